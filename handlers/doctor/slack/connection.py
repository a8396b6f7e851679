"""Checks of the tokens, their scopes, and the connection over which Slack reaches us."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bot.domain.core.errors import Misconfigured, SlackUnreachable
from bot.services.core.admins import REINSTALL_ADVICE
from bot.settings import Settings
from bot.slack.core.client import error_code
from handlers.doctor.check import CheckSkippedError, Diagnosis, display_url, failure, join_names, ok, warning
from handlers.doctor.slack.workspace import CALL_TIMEOUT, TOKEN_LOCATIONS, WorkspaceProbe, call_slack, token_problem
from handlers.manifest import required_scopes


def check_token(settings: Settings, workspace: WorkspaceProbe | None) -> Iterator[Diagnosis]:
    """Yield whose token the bot has, or why it can't be used. Raises Misconfigured and SlackUnreachable."""
    if workspace is None:
        problem = token_problem("SLACK_BOT_TOKEN", settings) or "SLACK_BOT_TOKEN is not set."
        yield failure(
            "Slack token",
            problem,
            f"Your app's page at api.slack.com/apps has it: {TOKEN_LOCATIONS['SLACK_BOT_TOKEN']}.",
        )
        return
    us = workspace.identity()
    yield ok("Slack token", f"Slack at {display_url(settings.slack_api_url)} knows us: @{us.bot} in {us.team_name}.")


def check_scopes(workspace: WorkspaceProbe, manifest: Path) -> Iterator[Diagnosis]:
    """Yield which scopes of manifest.yml the token lacks, and which it has beyond them."""
    has = workspace.require_identity().scopes
    try:
        required = required_scopes(manifest)
    except OSError:
        raise CheckSkippedError("Could not look: manifest.yml is not beside the program.") from None
    if has is None:
        raise CheckSkippedError("Could not look: this server does not tell which scopes a token has.")
    if missing := sorted(required - has):
        problem = f"The bot's token is missing {join_names(missing, 20)}."
        yield failure("Slack scopes", problem, f"{REINSTALL_ADVICE} docs/slack.md says what each scope is for.")
    else:
        has_all = (
            f"The bot's token has all {len(required)} scopes in manifest.yml. Slack doesn't say which events it gets."
        )
        yield ok("Slack scopes", has_all)
    if unneeded := sorted(has - required):
        yield warning(
            "Slack scopes",
            f"It may do more than we need: {join_names(unneeded, 20)}.",
            "Take them away at OAuth & Permissions, unless something else uses this app.",
        )


def check_connection(settings: Settings, *, live: bool) -> Iterator[Diagnosis]:
    """Yield how Slack reaches us: Socket Mode (with `live`, opened and closed), signed HTTP, or neither."""
    if settings.slack_app_token is None and settings.slack_signing_secret is None:
        yield failure(
            "Slack connection",
            "Slack cannot reach us: neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set.",
            f"For Socket Mode: {TOKEN_LOCATIONS['SLACK_APP_TOKEN']}. For HTTP: Basic "
            "Information → App Credentials → Signing Secret.",
        )
    if settings.slack_signing_secret is not None:
        yield ok(
            "Slack connection",
            "Slack can reach us over signed HTTP at /slack/events, where that is the request URL of the app.",
        )
    if settings.slack_app_token is None:
        return
    if kind := token_problem("SLACK_APP_TOKEN", settings):
        yield failure("Slack connection", kind, f"Your app's page has it: {TOKEN_LOCATIONS['SLACK_APP_TOKEN']}.")
    elif not live:
        raise CheckSkippedError("Not tried: `registrar doctor --live` opens a Socket Mode connection and closes it.")
    else:
        yield _check_socket_mode(settings, settings.slack_app_token.get_secret_value())


def _check_socket_mode(settings: Settings, app_token: str) -> Diagnosis:
    """Open a connection, wait for Slack's hello, and close it at once: events that it received would be lost."""
    client = WebClient(base_url=settings.slack_api_url, timeout=CALL_TIMEOUT, retry_handlers=[])
    mend = f"Copy SLACK_APP_TOKEN again: {TOKEN_LOCATIONS['SLACK_APP_TOKEN']}."
    try:
        url = str(call_slack(client, lambda: client.apps_connections_open(app_token=app_token))["url"])
    except SlackApiError as error:
        return failure(
            "Slack connection",
            f"Slack opens no Socket Mode connection ({error_code(error)}).",
            "Turn Socket Mode on in the app's settings, and give the token connections:write.",
        )
    except Misconfigured as error:
        return failure("Slack connection", str(error.sentence), mend)
    began = time.monotonic()
    try:
        with connect(url, open_timeout=CALL_TIMEOUT, close_timeout=1) as socket:
            hello = json.loads(socket.recv(timeout=CALL_TIMEOUT))
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        problem = f"Slack gave us an address for Socket Mode, and nothing answers there ({type(error).__name__})."
        raise SlackUnreachable(problem) from error
    if hello.get("type") != "hello":
        return failure(
            "Slack connection",
            f"Slack ended the Socket Mode connection ({hello.get('reason')}).",
            "Ten are allowed: look where else this app runs.",
        )
    return _socket_mode_diagnosis(int(hello.get("num_connections", 1)) - 1, time.monotonic() - began)


def _socket_mode_diagnosis(other_connections: int, seconds: float) -> Diagnosis:
    if other_connections <= 0:
        return ok("Slack connection", f"Socket Mode opens, in {seconds:.1f} s. No bot is connected now.")
    number = "1 other is" if other_connections == 1 else f"{other_connections} others are"
    return ok(
        "Slack connection",
        f"Socket Mode opens, in {seconds:.1f} s. {number} connected: your bot, it "
        "is to be hoped, for each click goes to any one of them.",
    )
