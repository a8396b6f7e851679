"""Checks for the tokens, their scopes, and the connection over which Slack reaches the bot."""

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
from bot.services.core.admins import OPTIONAL_SCOPES, REINSTALL_ADVICE
from bot.settings import Settings
from bot.slack.core.client import error_code
from handlers.doctor.check import CheckSkippedError, Diagnosis, display_url, failure, join_names, ok, warning
from handlers.doctor.slack.workspace import CALL_TIMEOUT, TOKEN_LOCATIONS, WorkspaceProbe, call_slack, token_problem
from handlers.manifest import required_scopes


def check_token(settings: Settings, workspace: WorkspaceProbe | None) -> Iterator[Diagnosis]:
    """Check which bot the token belongs to, or why it can't be used. Raises Misconfigured and SlackUnreachable."""
    if workspace is None:
        problem = token_problem("SLACK_BOT_TOKEN", settings) or "SLACK_BOT_TOKEN isn't set."
        yield failure(
            "Slack token",
            problem,
            f"Copy it from your app's page at api.slack.com/apps: {TOKEN_LOCATIONS['SLACK_BOT_TOKEN']}.",
        )
        return
    us = workspace.identity()
    yield ok("Slack token", f"Connected to {display_url(settings.slack_api_url)} as @{us.bot} in {us.team_name}.")


def check_scopes(workspace: WorkspaceProbe, manifest: Path) -> Iterator[Diagnosis]:
    """Check which scopes in manifest.yml the token lacks, and which extra ones it has."""
    has = workspace.identity().scopes
    try:
        required = required_scopes(manifest)
    except OSError:
        raise CheckSkippedError("Can't check: manifest.yml isn't installed with the program.") from None
    if has is None:
        raise CheckSkippedError("Can't check: this server doesn't report a token's scopes.")
    if missing := sorted(required - has):
        report = failure if required - has - OPTIONAL_SCOPES.keys() else warning
        problem = f"The bot's token is missing {join_names(missing, 20)}."
        yield report(
            "Slack scopes", problem, f"{REINSTALL_ADVICE} docs/reference/slack-scopes.md says what each scope is for."
        )
    else:
        has_all = (
            f"The bot's token has all {len(required)} scopes in manifest.yml. Slack doesn't report the app's events."
        )
        yield ok("Slack scopes", has_all)
    if unneeded := sorted(has - required):
        yield warning(
            "Slack scopes",
            f"The bot's token has scopes that Registrar doesn't need: {join_names(unneeded, 20)}.",
            "Remove them under OAuth & Permissions, unless something else uses this app.",
        )


def check_connection(settings: Settings, *, live: bool) -> Iterator[Diagnosis]:
    """Check how Slack reaches the bot: Socket Mode (opened and closed if `live`), signed HTTP, or neither."""
    if settings.slack_app_token is None and settings.slack_signing_secret is None:
        yield failure(
            "Slack connection",
            "Slack can't reach the bot: neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set.",
            f"For Socket Mode: {TOKEN_LOCATIONS['SLACK_APP_TOKEN']}. For HTTP: Basic "
            "Information → App Credentials → Signing Secret.",
        )
    if settings.slack_signing_secret is not None:
        yield ok(
            "Slack connection",
            "Slack can reach the bot over signed HTTP, if the app's request URL ends in /slack/events.",
        )
    if settings.slack_app_token is None:
        return
    if kind := token_problem("SLACK_APP_TOKEN", settings):
        yield failure("Slack connection", kind, f"Copy it from your app's page: {TOKEN_LOCATIONS['SLACK_APP_TOKEN']}.")
    elif not live:
        raise CheckSkippedError(
            "Not checked. To test it, run `registrar doctor --live`, which opens and closes a Socket Mode connection."
        )
    else:
        yield _check_socket_mode(settings, settings.slack_app_token.get_secret_value())


def _check_socket_mode(settings: Settings, app_token: str) -> Diagnosis:
    """Open a connection, wait for Slack's hello, and close it right away, since events sent to it would be lost."""
    client = WebClient(base_url=settings.slack_api_url, timeout=CALL_TIMEOUT, retry_handlers=[])
    mend = f"Copy SLACK_APP_TOKEN again: {TOKEN_LOCATIONS['SLACK_APP_TOKEN']}."
    try:
        url = str(call_slack(client, lambda: client.apps_connections_open(app_token=app_token))["url"])
    except SlackApiError as error:
        return failure(
            "Slack connection",
            f"Slack rejected a Socket Mode connection ({error_code(error)}).",
            "Turn on Socket Mode in the app's settings, and give the token connections:write.",
        )
    except Misconfigured as error:
        return failure("Slack connection", str(error.sentence), mend)
    began = time.monotonic()
    try:
        with connect(url, open_timeout=CALL_TIMEOUT, close_timeout=1) as socket:
            hello = json.loads(socket.recv(timeout=CALL_TIMEOUT))
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        problem = f"Slack's Socket Mode address isn't responding ({type(error).__name__})."
        raise SlackUnreachable(problem) from error
    if hello.get("type") != "hello":
        return failure(
            "Slack connection",
            f"Slack closed the Socket Mode connection ({hello.get('reason')}).",
            "Slack allows 10 connections: check where else this app is running.",
        )
    return _socket_mode_diagnosis(int(hello.get("num_connections", 1)) - 1, time.monotonic() - began)


def _socket_mode_diagnosis(other_connections: int, seconds: float) -> Diagnosis:
    if other_connections <= 0:
        return ok("Slack connection", f"Socket Mode connects in {seconds:.1f} s. No bot is connected right now.")
    number = "1 other is" if other_connections == 1 else f"{other_connections} others are"
    return ok(
        "Slack connection",
        f"Socket Mode connects in {seconds:.1f} s. {number} connected. Make sure they all "
        "belong to your bot, because Slack sends each click to only one of them.",
    )
