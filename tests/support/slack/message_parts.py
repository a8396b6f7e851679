"""The parts of a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.slack.core.blocks import Message
from tests.support.app.app_fixture import message_text

# The bot's own markup; anything else in angle brackets is foreign.
OURS = re.compile(
    r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|\d{4}-\d\d-\d\d \d\d:\d\d UTC>"
    r"|<@(?!U0EVIL)[UW][A-Za-z0-9]+>"
    r"|<!subteam\^S\w+>"
    r"|<https://ci\.example/r+\?a=1&amp;b=2\|[^<>]*>"
    r"|<https://mlflow\.example:5000/base/#/[^|<>\s]+\|(?:Version|Run) in MLflow>"
    r"|<http://127\.0\.0\.1:\d+/files/[\w/.-]+\|our direct messages>"  # Slack's link to a chart
)


def objects(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in the blocks."""
    if isinstance(part, Mapping):
        yield part
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for one in part:
            yield from objects(one)


def shown_text(message: Message) -> str:
    """Return all text of a message."""
    return message_text({"text": message.text, "blocks": message.blocks})


def buttons(message: Message) -> list[str]:
    """Return the action ids of the buttons."""
    return [part["action_id"] for part in objects(message.blocks) if part.get("type") == "button"]
