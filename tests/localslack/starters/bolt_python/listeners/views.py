from slack_bolt import Ack, App
from slack_sdk import WebClient


def post_hopes(ack: Ack, body: dict, client: WebClient, view: dict) -> None:
    ack()
    values = view["state"]["values"]
    topic = values["topic"]["sample_options"]["selected_option"]["value"]
    client.chat_postMessage(
        channel=values["room"]["sample_conversation"]["selected_conversation"],
        text=f"<@{body['user']['id']}> on {topic}: {values['hopes']['sample_input']['value']}",
    )


def register(app: App) -> None:
    app.view("sample_view")(post_hopes)
