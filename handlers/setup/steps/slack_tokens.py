"""The steps for Slack's two tokens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.bootstrap.slack import slack_client
from bot.domain.core.errors import Misconfigured, SlackUnreachable
from bot.services.core.admins import OPTIONAL_SCOPES, REINSTALL_ADVICE
from bot.settings import Settings, read_settings
from bot.slack.core.client import error_code, is_rate_limited
from handlers.doctor.check import CheckSkippedError, display_url, join_names
from handlers.doctor.slack.workspace import (
    CALL_TIMEOUT,
    SLACK_API_URL,
    TOKEN_LOCATIONS,
    BotIdentity,
    WorkspaceProbe,
    call_slack,
    token_problem,
)
from handlers.manifest import MANIFEST, required_scopes
from handlers.setup.create_page import create_app_url
from handlers.setup.steps.step import SetupState, SetupStep, StepPendingError
from handlers.setup.tokens import APP_TOKEN, BOT_TOKEN, app_id, rejection
from handlers.terminal.output.browser import open_page

_Result = TypeVar("_Result")


def bot_identity(settings: Settings) -> BotIdentity:
    """Return who the bot's token belongs to. Raises StepPendingError, Misconfigured, and SlackUnreachable."""
    client = slack_client(settings, timeout=CALL_TIMEOUT)
    return _check_call(BOT_TOKEN, str(client.token), WorkspaceProbe(client, lambda: datetime.now(UTC)).identity)


# -- the bot's token ---------------------------------------------------------------------------------------------------


def _check_bot_token(state: SetupState) -> str:
    settings = read_settings()
    _require_format(BOT_TOKEN, settings)
    bot = bot_identity(settings)
    missing = _required() - (bot.scopes or _required())
    if missing - OPTIONAL_SCOPES.keys():
        raise StepPendingError(
            f"{BOT_TOKEN} is missing {join_names(sorted(missing), 20)}. {REINSTALL_ADVICE} Then press Enter."
        )
    state.keep("SLACK_API_URL")
    return f"Slack: {BOT_TOKEN} connects to {bot.team_name} as @{bot.bot}."


def _required() -> frozenset[str]:
    try:
        return required_scopes()
    except OSError:  # not installed with the program
        return frozenset()


def _ask_bot_token(state: SetupState) -> None:
    settings = read_settings()
    if settings.slack_bot_token is None:
        _show_create_page(state, settings)
    _ask_token(BOT_TOKEN, state)


def _show_create_page(state: SetupState, settings: Settings) -> None:
    """Print the page that creates the app, and open it if there's a display."""
    if settings.slack_api_url != SLACK_API_URL:
        state.prompts.say(
            f"SLACK_API_URL is {display_url(settings.slack_api_url)}, so use the tokens of that server's app."
        )
        return
    mlflow = settings.mlflow_url or settings.tracking_uri or ""
    url = create_app_url(MANIFEST.read_text(encoding="utf-8"), mlflow)
    state.prompts.say(f"Create the Slack app on this page, and install it to your workspace:\n\n{url}\n")
    state.prompts.say(f"If the page is empty, choose From a manifest, and paste {MANIFEST}.")
    if sys.stdout.isatty():
        open_page(url)


# -- the app-level token -----------------------------------------------------------------------------------------------


def _check_app_token(state: SetupState) -> str:
    settings = read_settings()
    _require_format(APP_TOKEN, settings)
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    client = slack_client(settings, timeout=CALL_TIMEOUT)
    _check_call(APP_TOKEN, token, lambda: socket_mode_url(client, token))
    return f"Slack: {APP_TOKEN} can open Socket Mode."


def socket_mode_url(client: WebClient, app_token: str) -> str:
    """Return a URL that opens one Socket Mode connection. Raises what `call_slack` raises."""
    return str(call_slack(client, lambda: client.apps_connections_open(app_token=app_token))["url"])


def _bots_app_id(client: WebClient) -> str:
    """Return the ID of the app that the bot belongs to; empty if this server doesn't report it."""
    try:
        bot = call_slack(client, client.auth_test)["bot_id"]
        return str(call_slack(client, lambda: client.bots_info(bot=bot))["bot"].get("app_id") or "")
    except (CheckSkippedError, SlackApiError):
        return ""


# -- both tokens -----------------------------------------------------------------------------------------------------


def _check_same_app(state: SetupState) -> str:
    _check_bot_token(state)
    _check_app_token(state)
    settings = read_settings()
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    of_app, of_bot = app_id(token), _bots_app_id(slack_client(settings, timeout=CALL_TIMEOUT))
    if of_app and of_bot and of_app != of_bot:
        raise StepPendingError(
            f"The tokens belong to two apps: {APP_TOKEN} to {of_app}, and {BOT_TOKEN} to {of_bot}. "
            "Copy both from the same app's page. Press Enter to keep a token."
        )
    return "Slack: both tokens belong to the same app."


def _ask_both(state: SetupState) -> None:
    for name in (BOT_TOKEN, APP_TOKEN):
        _ask_token(name, state)


def _ask_token(name: str, state: SetupState) -> None:
    """Ask for a token; Enter checks the current one again."""
    state.prompts.say(f"Next, copy {name}: {TOKEN_LOCATIONS[name]}.")
    if typed := state.prompts.ask_secret(f"{name} (hidden)"):
        state.answer(name, typed)


def _require_format(name: str, settings: Settings) -> None:
    """Raise StepPendingError if a token isn't set or is the wrong kind of token."""
    if (settings.slack_bot_token if name == BOT_TOKEN else settings.slack_app_token) is None:
        raise StepPendingError
    if problem := token_problem(name, settings):
        raise StepPendingError(problem)


def _check_call(name: str, token: str, call: Callable[[], _Result]) -> _Result:
    """Return the result of a call with a token. Raises StepPendingError if Slack rejects the token."""
    try:
        return call()
    except (SlackApiError, Misconfigured, CheckSkippedError) as error:
        cause: Any = error if isinstance(error, SlackApiError) else error.__cause__
        if not isinstance(cause, SlackApiError) or not error_code(cause):
            raise
        if is_rate_limited(cause):
            raise SlackUnreachable(str(error)) from error
        raise StepPendingError(rejection(name, token, error_code(cause))) from error


BOT_TOKEN_STEP = SetupStep(_check_bot_token, _ask_bot_token)  # an app that has every scope
APP_TOKEN_STEP = SetupStep(_check_app_token, partial(_ask_token, APP_TOKEN))  # opens Socket Mode
SAME_APP_STEP = SetupStep(_check_same_app, _ask_both)  # asks for both, because either can be the wrong one
