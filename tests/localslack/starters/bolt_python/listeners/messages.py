import re

from slack_bolt import App, BoltContext, Say


def greet(context: BoltContext, message: dict, say: Say) -> None:
    say(f"{context['matches'][0]}, <@{message['user']}>")


def register(app: App) -> None:
    app.message(re.compile(r"^(hi|hello|hey)\b"))(greet)
