"""What became of a payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

# Why a payload was not acknowledged, in the words that Slack shows to people.
TIMEOUT = "operation_timeout"
DISPATCH_FAILED = "dispatch_failed"
SERVICE_ERROR = "http_service_error"


@dataclass(frozen=True, kw_only=True)
class PayloadResult:
    """Whether the app acknowledged, after how many seconds, with what answer; otherwise the error."""

    acked: bool
    seconds: float
    answer: dict[str, Any] | None = None
    error: str | None = None

    def acknowledgement(self) -> dict[str, Any]:
        """What the person who acted is told."""
        return {"acked": self.acked, "seconds": self.seconds, "error": self.error}


class Transport(Protocol):
    """A way to the app."""

    async def send(self, kind: str, payload: dict[str, Any], **envelope: Any) -> PayloadResult:
        """Deliver a payload of a kind (slash_commands, interactive, events_api) and wait for its answer."""
        ...
