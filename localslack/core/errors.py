"""The exception that carries Slack's error codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class SlackError(Exception):
    """An error response from Slack.

    code: Slack's error code. messages: explanations, for response_metadata.messages. status and headers: those of the
    HTTP response. extra: more fields for the answer.
    """

    def __init__(
        self,
        code: str,
        *,
        messages: Sequence[str] = (),
        status: int = 200,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.messages = list(messages)
        self.status = status
        self.headers = headers or {}
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """Return the JSON answer: ok, error, the extra fields, and the explanations."""
        body: dict[str, Any] = {"ok": False, "error": self.code, **self.extra}
        if self.messages:
            body["errors"] = list(self.messages)
            body["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in self.messages]}
        return body


def missing_field(field: str) -> SlackError:
    """Return the error for a missing required argument."""
    return SlackError("invalid_arguments", messages=[f"missing required field: {field}"])
