const postHopes = async ({ ack, body, client, view }) => {
  await ack();
  const { hopes, topic, room } = view.state.values;
  await client.chat.postMessage({
    channel: room.sample_conversation.selected_conversation,
    text: `<@${body.user.id}> on ${topic.sample_options.selected_option.value}: ${hopes.sample_input.value}`,
  });
};

module.exports.register = (app) => app.view('sample_view', postHopes);
