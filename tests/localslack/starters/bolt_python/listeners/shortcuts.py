from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from listeners.sample_view import sample_view


def open_view(ack: Ack, client: WebClient, shortcut: dict) -> None:
    ack()
    client.views_open(trigger_id=shortcut["trigger_id"], view=sample_view("Sample modal"))


def report_message(ack: Ack, client: WebClient, respond: Respond, shortcut: dict) -> None:
    ack()
    channel, ts = shortcut["channel"]["id"], shortcut["message_ts"]
    permalink = client.chat_getPermalink(channel=channel, message_ts=ts)["permalink"]
    client.reactions_add(channel=channel, timestamp=ts, name="eyes")
    respond(f"Reported: {permalink}")


def register(app: App) -> None:
    app.global_shortcut("sample_shortcut")(open_view)
    app.message_shortcut("report_message")(report_message)
