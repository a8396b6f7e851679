const { sampleView } = require('./sample-view');

const updateView = async ({ ack, body, client }) => {
  await ack();
  await client.views.update({ view_id: body.view.id, hash: body.view.hash, view: sampleView('Updated modal') });
};

module.exports.register = (app) => app.action('sample_action', updateView);
