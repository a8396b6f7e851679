const greet = async ({ context, message, say }) => {
  await say(`${context.matches[0]}, <@${message.user}>`);
};

module.exports.register = (app) => app.message(/^(hi|hello|hey)\b/, greet);
