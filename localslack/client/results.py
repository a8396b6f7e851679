"""What an action leads to: a result, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


class RefusedError(Exception):
    """The workspace refused an act or a switch: unknown channel, not a member, no such button."""


@dataclass(frozen=True, kw_only=True)
class ActionResult:
    """What an act led to: whether the app acknowledged, how fast, and what the person was shown at once.

    error is Slack's word for what went wrong, such as operation_timeout. text and message are the app's
    direct answer to a command, or the message that was posted.
    """

    acked: bool
    seconds: float = 0.0
    error: str | None = None
    text: str = ""
    message: JSON | None = None
