"""Slack's client, overheard: which of its calls failed, and how."""

from __future__ import annotations

import re
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.ports import UNOBSERVED, Observer
from bot.slack.calls import LOST, error_of

NO_ANSWER = "no_answer"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class HeardClient(WebClient):
    """A client whose failed calls are told to `observer`, in the one place through which all of them go."""

    observer: Observer = UNOBSERVED

    def api_call(self, api_method: str, **given: Any) -> SlackResponse:
        """Call Slack. Raises what the client raises."""
        try:
            return super().api_call(api_method, **given)
        except SlackApiError as error:
            code, status = error_of(error), getattr(error.response, "status_code", 0)
            # What is no answer of Slack's own, such as a proxy's page, the client words itself.
            self.observer.slack_failed(code if _NAME.fullmatch(code) else f"http_{status}")
            raise
        except LOST:
            self.observer.slack_failed(NO_ANSWER)
            raise
