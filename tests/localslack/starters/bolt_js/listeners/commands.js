const sampleCommand = async ({ ack, command, respond }) => {
  await ack();
  await respond(`You asked for "${command.text}".`);
};

module.exports.register = (app) => app.command('/sample-command', sampleCommand);
