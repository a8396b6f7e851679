"""TODO handlers.doctor.slack.tokens"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bot.services.core.admins import REINSTALL
from bot.settings import Settings
from handlers.doctor.check import NotLookedAtError, listed, shown
from handlers.doctor.diagnosis import Finding, mind, ok, wrong
from handlers.doctor.slack.workspace import WHERE, Workspace, _wrong_kind
from handlers.manifest import scopes_wanted


def token(settings: Settings, space: Workspace | None) -> Iterator[Finding]:
    """Yield whose the bot's token is, or why there is none to ask with. Raises Misconfigured and SlackUnreachable."""
    if space is None:
        what = _wrong_kind("SLACK_BOT_TOKEN", settings) or "SLACK_BOT_TOKEN is not set."
        yield wrong("Slack token", what, f"Your app's page at api.slack.com/apps has it: {WHERE['SLACK_BOT_TOKEN']}.")
        return
    us = space.identity()
    yield ok("Slack token", f"Slack at {shown(settings.slack_api_url)} knows us: @{us.bot} in {us.team_name}.")


def scopes(space: Workspace, manifest: Path) -> Iterator[Finding]:
    """Yield which scopes of manifest.yml the token lacks, and which it has beyond them."""
    has = space.must_know_us().scopes
    try:
        wanted = scopes_wanted(manifest)
    except OSError:
        raise NotLookedAtError("Could not look: manifest.yml is not beside the program.") from None
    if has is None:
        raise NotLookedAtError("Could not look: this server does not tell which scopes a token has.")
    if missing := sorted(wanted - has):
        what = f"The bot's token is missing {listed(missing, 20)}."
        yield wrong("Slack scopes", what, f"{REINSTALL} docs/slack.md says what each scope is for.")
    else:
        has_all = (
            f"The bot's token has all {len(wanted)} scopes in manifest.yml. Slack doesn't say which events it gets."
        )
        yield ok("Slack scopes", has_all)
    if more := sorted(has - wanted):
        yield mind(
            "Slack scopes",
            f"It may do more than we need: {listed(more, 20)}.",
            "Take them away at OAuth & Permissions, unless something else uses this app.",
        )
