def plain(text: str) -> dict:
    return {"type": "plain_text", "text": text}


def entry(block_id: str, label: str, element: dict) -> dict:
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": element}


def sample_view(title: str) -> dict:
    button = {"type": "button", "text": plain("Update"), "action_id": "sample_action"}
    intro = {"type": "mrkdwn", "text": "The button updates the modal."}
    room = {"type": "conversations_select", "action_id": "sample_conversation", "response_url_enabled": True}
    topic = {"type": "external_select", "action_id": "sample_options", "min_query_length": 1}
    return {
        "type": "modal",
        "callback_id": "sample_view",
        "title": plain(title),
        "submit": plain("Submit"),
        "blocks": [
            {"type": "section", "text": intro, "accessory": button},
            entry("hopes", "Your hopes", {"type": "plain_text_input", "action_id": "sample_input", "multiline": True}),
            entry("topic", "A topic", topic),
            entry("room", "Where to post", room),
        ],
    }
