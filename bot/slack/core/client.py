"""Slack's client, with an observer for failed calls. A method that Slack limits isn't called until the limit ends."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.ports import UNOBSERVED, Observer
from bot.slack.core.api_errors import LOST, error_of, sort_out

NO_ANSWER = "no_answer"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BY_CHANNEL = "chat.postMessage"  # paced in each channel, too: see bot/services/core/outbox.py
_LIMITED_MOST = 60.0  # seconds that a limit can last: Slack counts by the minute


class HeardClient(WebClient):
    """A client that reports failed calls to `observer`, in the one place that all calls go through.

    Once Slack says that there are too many calls of a method, or messages in a channel, none is sent until the time
    that it names has passed: else all that wait would be refused in turn.
    """

    observer: Observer = UNOBSERVED
    monotonic = staticmethod(time.monotonic)

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._limited: dict[str, float] = {}  # until when, by what Slack counts

    def api_call(self, api_method: str, **given: Any) -> SlackResponse:
        """Call Slack. Raises what the client raises."""
        limit = _limit_of(api_method, given)
        if (left := self._limited.get(limit, 0.0) - self.monotonic()) > 0:
            raise self._too_many(api_method, left)
        try:
            return super().api_call(api_method, **given)
        except SlackApiError as error:
            code, status = error_of(error), getattr(error.response, "status_code", 0)
            # What is no answer of Slack's own, such as a proxy's page, the client words itself.
            self.observer.slack_failed(code if _NAME.fullmatch(code) else f"http_{status}")
            self._keep_limit(limit, error)
            raise
        except LOST:
            self.observer.slack_failed(NO_ANSWER)
            raise

    def _keep_limit(self, limit: str, error: SlackApiError) -> None:
        answer = sort_out(error)
        if answer.why == "ratelimited":
            self._limited[limit] = self.monotonic() + min(answer.wait.total_seconds(), _LIMITED_MOST)

    def _too_many(self, method: str, left: float) -> SlackApiError:
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


def _limit_of(method: str, given: Mapping[str, Any]) -> str:
    """Return what Slack counts a call as: by its method, and messages in each channel."""
    return f"{method} {(given.get('json') or {}).get('channel')}" if method == _BY_CHANNEL else method
