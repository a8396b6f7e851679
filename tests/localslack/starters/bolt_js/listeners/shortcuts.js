const { sampleView } = require('./sample-view');

const openView = async ({ ack, client, shortcut }) => {
  await ack();
  await client.views.open({ trigger_id: shortcut.trigger_id, view: sampleView('Sample modal') });
};

const reportMessage = async ({ ack, client, respond, shortcut }) => {
  await ack();
  const about = { channel: shortcut.channel.id, message_ts: shortcut.message_ts };
  const { permalink } = await client.chat.getPermalink(about);
  await client.reactions.add({ channel: about.channel, timestamp: about.message_ts, name: 'eyes' });
  await respond(`Reported: ${permalink}`);
};

module.exports.register = (app) => {
  app.shortcut({ type: 'shortcut', callback_id: 'sample_shortcut' }, openView);
  app.shortcut({ type: 'message_action', callback_id: 'report_message' }, reportMessage);
};
