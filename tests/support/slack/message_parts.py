"""The parts of a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.slack.core.blocks import Message
from tests.support.app.app_fixture import message_text

# The bot's own markup; anything else in angle brackets is foreign.
OURS = re.compile(
    r"<!date\^\d+\^(?:\{date_short_pretty\} )?\{time(?:_secs)?\}\|\d{4}-\d\d-\d\d \d\d:\d\d UTC>"
    r"|<@(?!U0EVIL)[UW][A-Za-z0-9]+>"
    r"|<!subteam\^S\w+>"
    r"|<https://ci\.example/r+\?a=1&amp;b=2\|[^<>]*>"
    r"|<https://mlflow\.example:5000/base/#/[^|<>\s]+\|(?:Version|Run) in MLflow>"
    r"|<http://127\.0\.0\.1:\d+/archives/\w+/p\d+\|(?:a direct message|(?:Open|See) the \w+)>"  # a message's link
    r"|<https://slack\.example\.com/archives/C1/p1\|Request \w+>"
    r"|<http://127\.0\.0\.1:\d+/archives/[A-Z0-9]+/p\d+\|[A-Za-z ]*the (?:card|message|incident|alert)>"
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


def table_texts(blocks: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the texts of a table's cells, heading first; bold ones between asterisks."""
    table = next(block for block in blocks if block["type"] == "table")
    return [[_cell_text(cell) for cell in row] for row in table["rows"]]


def _cell_text(cell: Mapping[str, Any]) -> str:
    text = message_text({"blocks": [cell]}).strip()
    return f"*{text}*" if cell["type"] == "rich_text" else text


def shown_text(message: Message) -> str:
    """Return all text of a message."""
    return message_text({"text": message.text, "blocks": message.blocks})


def buttons(message: Message) -> list[str]:
    """Return the action ids of the buttons."""
    return [part["action_id"] for part in objects(message.blocks) if part.get("type") == "button"]
