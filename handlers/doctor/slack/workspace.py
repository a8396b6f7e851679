"""The workspace as the bot's token sees it, and the calls that the checks share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.bootstrap.slack import slack_client
from bot.domain.core.errors import Misconfigured, SlackUnreachable
from bot.domain.policy.policy import Policy
from bot.settings import Settings
from bot.slack.core.client import CONNECTION_ERRORS, error_code
from handlers.doctor.check import CheckSkippedError, display_url
from handlers.manifest import token_scopes

SLACK_API_URL = "https://slack.com/api/"
CALL_TIMEOUT = 4  # timeout of a call in seconds


# Slack's errors for a token that it rejects, https://docs.slack.dev/reference/methods/auth.test.
INVALID_TOKEN_ERRORS = {
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "no_permission",
    "org_login_required",
    "ekm_access_denied",
    "not_allowed_token_type",
}
TOKEN_LOCATIONS = {
    "SLACK_BOT_TOKEN": "OAuth & Permissions → Bot User OAuth Token (xoxb-…)",
    "SLACK_APP_TOKEN": "Basic Information → App-Level Tokens, with connections:write (xapp-…)",
}
TOKEN_KINDS = {
    "xoxb-": "a bot token",
    "xapp-": "an app-level token",
    "xoxp-": "a user token",
    "xoxe": "an expiring token",
}


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """Slack's answer about the bot's token. `scopes` is None if the server doesn't report them."""

    team: str
    team_name: str
    bot: str
    scopes: frozenset[str] | None
    date: str
    answered_at: datetime  # when that answer arrived, by this machine's clock


class WorkspaceProbe:
    """Slack as the bot's token sees it. The identity is fetched once, by the first check that needs it."""

    def __init__(self, client: WebClient, now: Callable[[], datetime]) -> None:
        self.client = client
        self._now = now
        self._lock = threading.Lock()
        self._identity: BotIdentity | Exception | None = None

    def identity(self) -> BotIdentity:
        """Return the bot's identity. Raises Misconfigured and SlackUnreachable."""
        with self._lock:
            if self._identity is None:
                try:
                    self._identity = self._fetch_identity()
                except Exception as error:
                    self._identity = error
        if isinstance(self._identity, Exception):
            raise self._identity
        return self._identity

    def _fetch_identity(self) -> BotIdentity:
        answer = call_slack(self.client, self.client.auth_test)
        headers = {str(name).lower(): value for name, value in answer.headers.items()}
        if not isinstance(answer.data, dict) or not answer.data.get("team_id"):
            raise Misconfigured(f"The server at {display_url(self.client.base_url)} isn't Slack.")
        return BotIdentity(
            team=str(answer["team_id"]),
            team_name=str(answer.get("team") or answer["team_id"]),
            bot=str(answer.get("user") or "registrar"),
            scopes=token_scopes(answer),
            date=str(headers.get("date", "")),
            answered_at=self._now(),
        )


def call_slack(client: WebClient, call: Callable[[], Any]) -> Any:
    """Make a call, and return Slack's answer.

    Raises CheckSkippedError if this server lacks the method or can't run it now, or the token lacks the scope;
    Misconfigured for a rejected token or a server that isn't Slack; SlackUnreachable; and SlackApiError for everything
    else.
    """
    address = display_url(client.base_url)
    try:
        return call()
    except SlackApiError as error:
        name, status = error_code(error), getattr(error.response, "status_code", 200)
        if name == "unknown_method":
            raise CheckSkippedError("Can't check: this server doesn't have that method.") from error
        if name == "missing_scope":
            raise CheckSkippedError("Can't check: the token lacks the scope for it (see Slack scopes).") from error
        if status == 429 or name in {"ratelimited", "rate_limited"}:
            raise CheckSkippedError("Can't check: Slack's rate limit is reached. Try again in a minute.") from error
        if status >= 500 or name in {"internal_error", "fatal_error", "service_unavailable"}:
            raise SlackUnreachable(f"Slack is having problems ({name or status}).") from error
        if not name:
            raise Misconfigured(f"The server at {address} isn't Slack.") from error
        if name in INVALID_TOKEN_ERRORS:
            raise Misconfigured(f"Slack rejected the token ({name}).") from error
        raise
    except CONNECTION_ERRORS as error:
        raise SlackUnreachable(f"Slack isn't responding at {address}.") from error


def open_workspace(settings: Settings, now: Callable[[], datetime]) -> WorkspaceProbe | None:
    wrong = token_problem("SLACK_BOT_TOKEN", settings)
    return (
        None
        if wrong or settings.slack_bot_token is None
        else WorkspaceProbe(slack_client(settings, timeout=CALL_TIMEOUT), now)
    )


def require_workspace(workspace: WorkspaceProbe | None) -> WorkspaceProbe:
    if workspace is None:
        raise CheckSkippedError("Not checked: this needs the bot's token.")
    try:
        workspace.identity()
    except Exception:  # the check of the token reports it
        raise CheckSkippedError("Not checked: this needs a token that Slack accepts.") from None
    return workspace


def require_policy(policy: Policy | None) -> Policy:
    if policy is None:
        raise CheckSkippedError("Not checked: this needs a valid policy.")
    return policy


def token_problem(name: str, settings: Settings) -> str:
    """Return what's wrong with a token's format; empty if it's fine, or could be that of a server other than Slack."""
    secret = settings.slack_bot_token if name == "SLACK_BOT_TOKEN" else settings.slack_app_token
    text, prefix = secret.get_secret_value() if secret else "", "xoxb-" if name == "SLACK_BOT_TOKEN" else "xapp-"
    if not text or text.startswith(prefix):
        return ""
    kind = next((kind for start, kind in TOKEN_KINDS.items() if text.startswith(start)), "")
    if kind:
        return f"{name} is {kind}, not {TOKEN_KINDS[prefix]} ({prefix}…)."
    return f"{name} isn't a Slack token: it must start with {prefix}" if settings.slack_api_url == SLACK_API_URL else ""
