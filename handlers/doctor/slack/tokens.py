"""Checks of the tokens and their scopes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bot.services.core.admins import REINSTALL_ADVICE
from bot.settings import Settings
from handlers.doctor.check import CheckSkippedError, Diagnosis, display_url, failure, join_names, ok, warning
from handlers.doctor.slack.workspace import TOKEN_LOCATIONS, WorkspaceProbe, token_problem
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
