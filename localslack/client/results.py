"""The results of actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


class RefusedError(Exception):
    """The workspace rejected an action or a control: for example, unknown channel, not a member, or no such button."""


@dataclass(frozen=True, kw_only=True)
class ActionResult:
    """The result of an action: whether and how fast the app acknowledged it, and what the person saw immediately.

    error: Slack's error code, such as operation_timeout. text and message: the app's direct answer to a command, or the
    posted message.
    """

    acked: bool
    seconds: float = 0.0
    error: str | None = None
    text: str = ""
    message: JSON | None = None
