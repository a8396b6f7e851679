// An app in the shape of Slack's starter template for Bolt for JavaScript; it knows nothing of localslack.
const { App } = require('@slack/bolt');
const { registerListeners } = require('./listeners');

const app = new App({
  token: process.env.SLACK_BOT_TOKEN,
  appToken: process.env.SLACK_APP_TOKEN,
  socketMode: true,
  clientOptions: { slackApiUrl: process.env.SLACK_API_URL || 'https://slack.com/api/' },
});

registerListeners(app);

(async () => {
  try {
    await app.start();
    app.logger.info('The app is running.');
  } catch (error) {
    app.logger.error('The app did not start.', error);
    process.exitCode = 1;
  }
})();
