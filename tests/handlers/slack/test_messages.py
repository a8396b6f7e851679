"""Which messages are commands, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.slack.messages import command_in
from localslack import payloads

BOT = payloads.Installation().bot_user_id
DIRECT = {"type": "message", "channel": "D0ALICE", "channel_type": "im"}
MENTION = {"type": "app_mention", "channel": "C0MLMODELS"}


def message_event(**fields: Any) -> dict[str, Any]:
    """Return the event of alice's message."""
    return payloads.event_callback({"user": "U0ALICE", "ts": "5.1"} | fields, event_id="Ev1", event_time=5)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("show churn", "show churn"),
        ("/model show churn", "show churn"),
        ("`/model show churn`", "show churn"),
        ("/models", "/models"),
        (f"<@{BOT}>, show churn", "show churn"),
        ("show <http://churn.ai|churn.ai>", "show churn.ai"),
        ("tag churn 4 page=<https://example.com/a?b=1&amp;c=2>", "tag churn 4 page=https://example.com/a?b=1&c=2"),
        ("list a&amp;b", "list a&b"),
        ("", ""),
    ],
)
def test_a_direct_message_is_a_command(text: str, command: str) -> None:
    assert command_in(message_event(**DIRECT, text=text)) == command


@pytest.mark.parametrize(("text", "command"), [(f"<@{BOT}> help", "help"), (f" <@{BOT}|registrar>: help", "help")])
def test_a_mention_at_the_start_of_a_message_is_a_command(text: str, command: str) -> None:
    assert command_in(message_event(**MENTION, text=text)) == command


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "message", "channel": "C0MLMODELS", "channel_type": "channel", "text": f"<@{BOT}> help"},
        DIRECT | {"text": "help", "subtype": "message_changed"},
        MENTION | {"text": f"<@{BOT}> help", "edited": {"user": "U0BOB", "ts": "1.2"}},
        DIRECT | {"text": "help", "bot_id": "B0OTHER"},
        DIRECT | {"text": "help", "user": None},
        MENTION | {"text": f"ask <@{BOT}> for help"},
        MENTION | {"text": f"<@U0BOB> <@{BOT}> help"},
    ],
    ids=[
        "without a mention",
        "an edit",
        "an edited mention",
        "a bot's",
        "nobody's",
        "about the bot",
        "to someone else",
    ],
)
def test_another_message_is_not_a_command(fields: dict[str, Any]) -> None:
    assert command_in(message_event(**fields)) is None
