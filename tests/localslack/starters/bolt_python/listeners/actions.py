from slack_bolt import Ack, App
from slack_sdk import WebClient

from listeners.sample_view import sample_view


def update_view(ack: Ack, body: dict, client: WebClient) -> None:
    ack()
    client.views_update(view_id=body["view"]["id"], hash=body["view"]["hash"], view=sample_view("Updated modal"))


def register(app: App) -> None:
    app.action("sample_action")(update_view)
