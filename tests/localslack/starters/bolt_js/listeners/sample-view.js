const plain = (text) => ({ type: 'plain_text', text });
const input = (block_id, label, element) => ({ type: 'input', block_id, label: plain(label), element });

module.exports.sampleView = (title) => ({
  type: 'modal',
  callback_id: 'sample_view',
  title: plain(title),
  submit: plain('Submit'),
  blocks: [
    {
      type: 'section',
      text: { type: 'mrkdwn', text: 'The button updates the modal.' },
      accessory: { type: 'button', text: plain('Update'), action_id: 'sample_action' },
    },
    input('hopes', 'Your hopes', { type: 'plain_text_input', action_id: 'sample_input', multiline: true }),
    input('topic', 'A topic', { type: 'external_select', action_id: 'sample_options', min_query_length: 1 }),
    input('room', 'Where to post', {
      type: 'conversations_select',
      action_id: 'sample_conversation',
      response_url_enabled: true,
    }),
  ],
});
