from slack_bolt import App, Say
from slack_sdk import WebClient


def publish_home(client: WebClient, event: dict) -> None:
    if event["tab"] != "home":
        return
    text = {"type": "mrkdwn", "text": f"*Welcome home, <@{event['user']}>*"}
    client.views_publish(user_id=event["user"], view={"type": "home", "blocks": [{"type": "section", "text": text}]})


def thank_for_reaction(event: dict, say: Say) -> None:
    item = event["item"]
    say(text=f"Thanks for the :{event['reaction']}:", channel=item["channel"], thread_ts=item["ts"])


def register(app: App) -> None:
    app.event("app_home_opened")(publish_home)
    app.event("reaction_added")(thank_for_reaction)
