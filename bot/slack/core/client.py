"""Slack's client, with an observer for failed calls. A method that Slack limits isn't called until the limit ends."""

from __future__ import annotations

import re
import time
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.ports import NO_OBSERVER, Observer
from bot.slack.core.api_errors import CONNECTION_ERRORS, delivery_for_error, error_code

NO_ANSWER = "no_answer"
_ERROR_CODE = re.compile(r"[a-z][a-z0-9_]*")
_LIMITED_BY_CHANNEL = "chat.postMessage"  # paced in each channel, too: see bot/services/core/outbox.py
_MAX_LIMIT_SECONDS = 60.0  # seconds that a limit can last: Slack counts by the minute


class ObservedWebClient(WebClient):
    """A client that reports failed calls to `observer`, in the one place that all calls go through.

    After Slack has reported too many calls of a method, or messages in a channel, none is sent until the time that it
    named: otherwise all that are waiting would be refused in turn.
    """

    observer: Observer = NO_OBSERVER
    monotonic = staticmethod(time.monotonic)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limited_until: dict[str, float] = {}  # until when, by what Slack counts

    def api_call(self, api_method: str, **kwargs: Any) -> SlackResponse:
        """Call Slack. Raises what the client raises."""
        is_paced_by_channel = api_method == _LIMITED_BY_CHANNEL
        limit = f"{api_method} {(kwargs.get('json') or {}).get('channel')}" if is_paced_by_channel else api_method
        if (left := self._limited_until.get(limit, 0.0) - self.monotonic()) > 0:
            raise self._rate_limit_error(api_method, left)
        try:
            return super().api_call(api_method, **kwargs)
        except SlackApiError as error:
            code, status = error_code(error), getattr(error.response, "status_code", 0)
            # What is no answer of Slack's own, such as a proxy's page, the client words itself.
            self.observer.slack_call_failed(code if _ERROR_CODE.fullmatch(code) else f"http_{status}")
            answer = delivery_for_error(error)
            if answer.why == "ratelimited":
                seconds = min(answer.retry_after.total_seconds(), _MAX_LIMIT_SECONDS)
                self._limited_until[limit] = self.monotonic() + seconds
            raise
        except CONNECTION_ERRORS:
            self.observer.slack_call_failed(NO_ANSWER)
            raise

    def _rate_limit_error(self, method: str, left: float) -> SlackApiError:
        """Return the error that Slack would answer with now."""
        response = SlackResponse(
            client=self,
            http_verb="POST",
            api_url=method,
            req_args={},
            data={"ok": False, "error": "ratelimited"},
            headers={"retry-after": str(left)},
            status_code=429,
        )
        return SlackApiError(f"Slack limits {method} for another {left:.1f} s.", response)  # type: ignore[no-untyped-call]
