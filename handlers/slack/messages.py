"""Answer commands that people type in a direct message to the bot or after mentioning it in a channel."""

from __future__ import annotations

import re
import time
from typing import Any

from slack_bolt import App

from bot.slack.core.blocks import unescape
from handlers.recent_keys import RecentKeys
from handlers.slack.commands import answer_typed
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import target_of_message

REDELIVERY_SECONDS = 900.0  # Slack delivers an unacknowledged event up to four times, within about six minutes


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for messages to the bot. Each process answers a redelivered message only once.

    If another process gets the redelivery, the message's key keeps it from requesting the same registry change again.
    """
    answered = RecentKeys(REDELIVERY_SECONDS, time.monotonic)

    def on_message(body: dict[str, Any]) -> None:
        text = command_in(body)
        if text is None:
            return
        target = target_of_message(body)
        if not answered.is_new(str(target.message_key)):
            return
        message = answer_typed(interactions, target, text)
        if message is not None:
            interactions.reply_later(target, message)

    app.event("app_mention")(on_message)
    app.event("message")(on_message)


def command_in(body: dict[str, Any]) -> str | None:
    """Return the command in a message's event; None if the message isn't from a person or isn't to the bot.

    In a channel, the mention must come first. A message that mentions the bot later is about it, not to it.
    """
    event = body["event"]
    is_direct = event.get("channel_type") == "im"
    if (
        event.get("subtype")
        or event.get("edited")
        or event.get("bot_id")
        or not all(event.get(name) for name in ("user", "channel", "ts"))
    ):
        return None  # an edit, a deletion, a file, or a bot's message
    if event["type"] == "message" and not is_direct:
        return None
    text, bots = str(event.get("text") or ""), {one.get("user_id") for one in body.get("authorizations") or ()}
    mention = re.match(r"\s*<@(\w+)(?:\|[^>]*)?>[\s,:]*", text)
    if mention and mention[1] in bots:
        text = text[mention.end() :]
    elif not is_direct:
        return None
    return _as_typed(text)


def _as_typed(text: str) -> str:
    """Return the command without the links and formatting that Slack added, and without `/model`."""
    text = re.sub(r"<(?:https?:|mailto:)[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<(https?:[^|>]*)>", r"\1", text)
    return re.sub(r"^/model\b\s*", "", unescape(text).strip().strip("`").strip())
