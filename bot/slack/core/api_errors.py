"""What Slack answered, sorted into what we do about it."""

from __future__ import annotations

import http.client
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.error import URLError

from slack_sdk.errors import SlackApiError, SlackClientError

from bot.ports import DeliveryOutcome, DeliveryResult

# Slack must not turn text in our messages into mentions or links, nor fetch pages that someone linked to.
POST_OPTIONS: dict[str, Any] = {"parse": "none", "unfurl_links": False, "unfurl_media": False}

# No answer, or an unreadable one: we don't know whether Slack did it.
CONNECTION_ERRORS = (URLError, OSError, TimeoutError, http.client.HTTPException, SlackClientError)

# Slack refuses the message for its length or its blocks: a shorter one may pass.
CONTENT_ERRORS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})

# Slack refuses this content or this recipient: a retry changes nothing.
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
        # someone deleted the card; later messages are delivered, and the next change posts it again
        "thread_not_found",
    }
)
# Someone has to fix it (invite the bot, renew a token): keep the message, and retry at this pace.
_RETRY_PAUSE = timedelta(seconds=30)
MAX_RETRY_AFTER_SECONDS = 3600.0  # upper limit for Retry-After


def error_code(error: SlackApiError) -> str:
    """Return Slack's own name of the error."""
    data = error.response.data if hasattr(error.response, "data") else error.response
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def is_posting_restricted(code: str) -> bool:
    """Return whether an error code means that only some people can post there, or reply in its threads."""
    return code.startswith("restricted_action")


def missing_scopes(error: Exception) -> list[str]:
    """Return the scopes that the app is missing, by an upload's error; none for any other error."""
    if not isinstance(error, SlackApiError) or error_code(error) != "missing_scope":
        return []
    return str(error.response.get("needed") or "files:write").split(",")


def is_rate_limited(error: BaseException) -> bool:
    """Return whether Slack reports too many calls."""
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
