"""Slack's web client, and what its errors mean for a delivery."""

from __future__ import annotations

import http.client
import re
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from bot.ports import NO_OBSERVER, DeliveryOutcome, DeliveryResult, Observer

# Slack must not turn text in the bot's messages into mentions or links, or fetch pages that someone linked to.
POST_OPTIONS: dict[str, Any] = {"parse": "none", "unfurl_links": False, "unfurl_media": False}

# No response, or an unreadable one: Slack might have executed the call.
CONNECTION_ERRORS = (URLError, OSError, TimeoutError, http.client.HTTPException, SlackClientError)

# Slack rejects the message because of its length or its blocks: a shorter one might work.
CONTENT_ERRORS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})

# Slack rejects this content or this recipient: a retry won't help.
_PERMANENT_ERRORS = CONTENT_ERRORS | frozenset(
    {
        "no_text",
        "invalid_arguments",
        "unknown_method",
        "user_not_found",
        "cannot_dm_bot",
        "user_disabled",
        "messages_tab_disabled",
        "metadata_too_large",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "metadata_must_be_sent_from_app",
        "cannot_reply_to_message",
        "message_limit_exceeded",
        # someone deleted the card: later messages can still be delivered, and the next change posts it again
        "thread_not_found",
    }
)
# Someone has to fix it (invite the bot, renew a token): keep the message, and retry at this interval.
_RETRY_PAUSE = timedelta(seconds=30)
MAX_RETRY_AFTER_SECONDS = 3600.0  # upper limit for Retry-After
NO_ANSWER = "no_answer"
_ERROR_CODE = re.compile(r"[a-z][a-z0-9_]*")
_LIMITED_BY_CHANNEL = "chat.postMessage"  # limited per channel too: see bot/services/core/outbox.py
_MAX_LIMIT_SECONDS = 60.0  # seconds that a limit can last: Slack counts by the minute


def error_code(error: SlackApiError) -> str:
    """Return Slack's error code."""
    data = error.response.data if hasattr(error.response, "data") else error.response
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def is_posting_restricted(code: str) -> bool:
    """Return whether an error code means that only some people can post in the channel or reply in its threads."""
    return code.startswith("restricted_action")


def missing_scopes(error: Exception) -> list[str]:
    """Return the scopes that the app lacks, according to an upload's error; empty for any other error."""
    if not isinstance(error, SlackApiError) or error_code(error) != "missing_scope":
        return []
    return str(error.response.get("needed") or "files:write").split(",")


def is_rate_limited(error: BaseException) -> bool:
    """Return whether the error means that the app has made too many calls."""
    return isinstance(error, SlackApiError) and delivery_for_error(error).why == "ratelimited"


def delivery_for_error(error: SlackApiError) -> DeliveryResult:
    """Return what an error from Slack means for a delivery."""
    status = getattr(error.response, "status_code", 200)
    name = error_code(error)
    if status == 429 or name in {"ratelimited", "rate_limited"}:
        headers = {key.lower(): value for key, value in getattr(error.response, "headers", {}).items()}
        seconds = 1.0
        with suppress(ValueError):
            seconds = max(0.0, min(float(headers.get("retry-after", 1)), MAX_RETRY_AFTER_SECONDS))
        return DeliveryResult(DeliveryOutcome.RETRY, retry_after=timedelta(seconds=seconds), why="ratelimited")
    if status >= 500 or name in {"internal_error", "fatal_error", "request_timeout", "service_unavailable"}:
        return DeliveryResult(DeliveryOutcome.UNKNOWN, why=name or f"HTTP {status}")
    if name in _PERMANENT_ERRORS or is_posting_restricted(name):
        return DeliveryResult(DeliveryOutcome.REFUSED, why=name)
    return DeliveryResult(DeliveryOutcome.RETRY, retry_after=_RETRY_PAUSE, why=name or f"HTTP {status}")


class ObservedWebClient(WebClient):
    """A client that reports failed calls to `observer`. All calls go through it.

    After Slack has rate-limited a method, or messages in a channel, such calls fail here until the limit ends.
    Otherwise, Slack would reject every waiting call in turn.
    """

    observer: Observer = NO_OBSERVER
    monotonic = staticmethod(time.monotonic)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limited_until: dict[str, float] = {}  # when each limit ends, by method, or by method and channel

    def api_call(self, api_method: str, **kwargs: Any) -> SlackResponse:
        """Call Slack. Raises the same errors as `WebClient`."""
        is_paced_by_channel = api_method == _LIMITED_BY_CHANNEL
        limit = f"{api_method} {(kwargs.get('json') or {}).get('channel')}" if is_paced_by_channel else api_method
        if (left := self._limited_until.get(limit, 0.0) - self.monotonic()) > 0:
            raise self._rate_limit_error(api_method, left)
        try:
            return super().api_call(api_method, **kwargs)
        except SlackApiError as error:
            code, status = error_code(error), getattr(error.response, "status_code", 0)
            # If the response isn't from Slack, such as a proxy's page, the client invents the error's text.
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
        """Return the error that Slack would return now."""
        response = SlackResponse(
            client=self,
            http_verb="POST",
            api_url=method,
            req_args={},
            data={"ok": False, "error": "ratelimited"},
            headers={"retry-after": str(left)},
            status_code=429,
        )
        return SlackApiError(f"Slack is rate-limiting {method} for another {left:.1f} s.", response)  # type: ignore[no-untyped-call]
