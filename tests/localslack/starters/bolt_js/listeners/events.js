const publishHome = async ({ client, event }) => {
  if (event.tab !== 'home') return;
  const text = `*Welcome home, <@${event.user}>*`;
  await client.views.publish({
    user_id: event.user,
    view: { type: 'home', blocks: [{ type: 'section', text: { type: 'mrkdwn', text } }] },
  });
};

const thankForReaction = async ({ event, say }) => {
  await say({ text: `Thanks for the :${event.reaction}:`, thread_ts: event.item.ts, channel: event.item.channel });
};

module.exports.register = (app) => {
  app.event('app_home_opened', publishHome);
  app.event('reaction_added', thankForReaction);
};
