"""TODO handlers.doctor.slack.workspace"""

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
from bot.slack.core.api_errors import LOST, error_of
from handlers.doctor.check import NotLookedAtError, shown
from handlers.manifest import scopes_of

SLACK = "https://slack.com/api/"


EACH = 4  # seconds that one call may take


# What Slack says of a token that it does not take, https://docs.slack.dev/reference/methods/auth.test.
DEAD = {
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


WHERE = {
    "SLACK_BOT_TOKEN": "OAuth & Permissions → Bot User OAuth Token (xoxb-…)",
    "SLACK_APP_TOKEN": "Basic Information → App-Level Tokens, with connections:write (xapp-…)",
}


KINDS = {
    "xoxb-": "a bot token",
    "xapp-": "an app-level token",
    "xoxp-": "a user's token",
    "xoxe": "a token that expires",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the bot is, by Slack's answer to its token. `scopes` is None where the server does not tell them."""

    team: str
    team_name: str
    bot: str
    scopes: frozenset[str] | None
    date: str
    at: datetime  # when that answer came, by our clock


class Workspace:
    """Slack as the bot's token sees it. Who we are is asked once, whoever wants to know it first."""

    def __init__(self, client: WebClient, now: Callable[[], datetime]) -> None:
        self.client = client
        self._now = now
        self._asking = threading.Lock()
        self._known: Identity | Exception | None = None

    def identity(self) -> Identity:
        """Return who we are. Raises Misconfigured and SlackUnreachable."""
        with self._asking:
            if self._known is None:
                try:
                    self._known = self._ask()
                except Exception as error:
                    self._known = error
        if isinstance(self._known, Exception):
            raise self._known
        return self._known

    def must_know_us(self) -> Identity:
        """Return who we are, for what cannot be looked at without. Raises NotLookedAtError."""
        try:
            return self.identity()
        except Exception:  # the check of the token tells it
            raise NotLookedAtError("Not looked at: that needs a token that Slack takes.") from None

    def _ask(self) -> Identity:
        answer = asked(self.client, self.client.auth_test)
        headers = {str(name).lower(): value for name, value in answer.headers.items()}
        if not isinstance(answer.data, dict) or not answer.data.get("team_id"):
            raise Misconfigured(f"What answers at {shown(self.client.base_url)} is no Slack.")
        return Identity(
            team=str(answer["team_id"]),
            team_name=str(answer.get("team") or answer["team_id"]),
            bot=str(answer.get("user") or "registrar"),
            scopes=scopes_of(answer),
            date=str(headers.get("date", "")),
            at=self._now(),
        )


def asked(client: WebClient, call: Callable[[], Any]) -> Any:
    """Return Slack's answer. Raises NotLookedAtError for what this server has not or refuses to say.

    Raises Misconfigured for a token that it does not take, SlackUnreachable, and SlackApiError for everything else.
    """
    where = shown(client.base_url)
    try:
        return call()
    except SlackApiError as error:
        name, status = error_of(error), getattr(error.response, "status_code", 200)
        if name == "unknown_method":
            raise NotLookedAtError("Could not look: this server does not have that method.") from error
        if name == "missing_scope":
            raise NotLookedAtError("Could not look: the token lacks the scope for it, see scopes.") from error
        if status == 429 or name in {"ratelimited", "rate_limited"}:
            raise NotLookedAtError("Could not look: Slack is asked too often now; try again in a minute.") from error
        if status >= 500 or name in {"internal_error", "fatal_error", "service_unavailable"}:
            raise SlackUnreachable(f"Slack has trouble of its own ({name or status}).") from error
        if not name:
            raise Misconfigured(f"What answers at {where} is no Slack.") from error
        if name in DEAD:
            raise Misconfigured(f"Slack does not take the token ({name}).") from error
        raise
    except LOST as error:
        raise SlackUnreachable(f"Slack does not answer at {where}.") from error


def _space(settings: Settings, now: Callable[[], datetime]) -> Workspace | None:
    wrong = _wrong_kind("SLACK_BOT_TOKEN", settings)
    return None if wrong or settings.slack_bot_token is None else Workspace(slack_client(settings, timeout=EACH), now)


def _needed(space: Workspace | None) -> Workspace:
    if space is None:
        raise NotLookedAtError("Not looked at: that needs the bot's token.")
    space.must_know_us()
    return space


def _of(policy: Policy | None) -> Policy:
    if policy is None:
        raise NotLookedAtError("Not looked at: the policy says which, and cannot be used.")
    return policy


def _wrong_kind(name: str, settings: Settings) -> str:
    """Return what is wrong with a token by its looks; another server than Slack's may have others."""
    held = settings.slack_bot_token if name == "SLACK_BOT_TOKEN" else settings.slack_app_token
    text, wanted = held.get_secret_value() if held else "", "xoxb-" if name == "SLACK_BOT_TOKEN" else "xapp-"
    if not text or text.startswith(wanted):
        return ""
    kind = next((kind for start, kind in KINDS.items() if text.startswith(start)), "")
    if kind:
        return f"{name} holds {kind}, and not {KINDS[wanted]} ({wanted}…)."
    return f"{name} holds no token of Slack's: it has to begin with {wanted}" if settings.slack_api_url == SLACK else ""
