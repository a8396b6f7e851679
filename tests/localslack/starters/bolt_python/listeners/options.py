from slack_bolt import Ack, App

TOPICS = ("Design", "Data", "Delivery")


def find_topics(ack: Ack, payload: dict) -> None:
    fitting = [topic for topic in TOPICS if payload["value"].lower() in topic.lower()]
    ack(options=[{"text": {"type": "plain_text", "text": topic}, "value": topic.lower()} for topic in fitting])


def register(app: App) -> None:
    app.options("sample_options")(find_topics)
