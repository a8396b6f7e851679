"""The result of a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

# Why a payload wasn't acknowledged, as codes that Slack shows to people.
TIMEOUT = "operation_timeout"
DISPATCH_FAILED = "dispatch_failed"
SERVICE_ERROR = "http_service_error"


@dataclass(frozen=True, kw_only=True)
class PayloadResult:
    """Whether and how fast the app acknowledged a payload, and its answer or the error."""

    acked: bool
    seconds: float
    answer: dict[str, Any] | None = None
    error: str | None = None

    def acknowledgement(self) -> dict[str, Any]:
        """Return the part of the result that the acting person sees: acked, seconds, and error."""
        return {"acked": self.acked, "seconds": self.seconds, "error": self.error}


class Transport(Protocol):
    """A way to deliver payloads: Socket Mode or HTTP."""

    async def send(self, kind: str, payload: dict[str, Any], **envelope: Any) -> PayloadResult:
        """Deliver a payload and wait for its acknowledgment.

        kind: slash_commands, interactive, or events_api. envelope: more fields, as in Socket Mode's envelopes.
        """
        ...
