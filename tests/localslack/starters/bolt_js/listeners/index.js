const actions = require('./actions');
const commands = require('./commands');
const events = require('./events');
const messages = require('./messages');
const options = require('./options');
const shortcuts = require('./shortcuts');
const views = require('./views');

module.exports.registerListeners = (app) => {
  for (const kind of [actions, commands, events, messages, options, shortcuts, views]) kind.register(app);
};
