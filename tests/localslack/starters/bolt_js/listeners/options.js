const TOPICS = ['Design', 'Data', 'Delivery'];

const findTopics = async ({ ack, payload }) => {
  const fitting = TOPICS.filter((topic) => topic.toLowerCase().includes(payload.value.toLowerCase()));
  await ack({ options: fitting.map((text) => ({ text: { type: 'plain_text', text }, value: text.toLowerCase() })) });
};

module.exports.register = (app) => app.options('sample_options', findTopics);
