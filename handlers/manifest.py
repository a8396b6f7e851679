"""What Registrar asks of Slack, by manifest.yml, and what the installed app has of it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from slack_sdk import WebClient
from slack_sdk.web import SlackResponse

MANIFEST = Path(__file__).parents[1] / "manifest.yml"


def scopes_wanted(manifest: Path = MANIFEST) -> frozenset[str]:
    """Return the bot's scopes by a manifest. Raises OSError where it isn't there."""
    return frozenset(yaml.safe_load(manifest.read_text(encoding="utf-8"))["oauth_config"]["scopes"]["bot"])


def scopes_of(answer: SlackResponse) -> frozenset[str] | None:
    """Return the scopes of the token that got an answer; None where this server doesn't tell them."""
    told = next((value for name, value in answer.headers.items() if name.lower() == "x-oauth-scopes"), None)
    return None if told is None else frozenset(re.findall(r"[\w:.\-]+", str(told)))


def scopes_missing(client: WebClient) -> list[str]:
    """Return the scopes that the token lacks, sorted; none where that can't be known.

    Raises SlackApiError, and what a lost connection raises.
    """
    has = scopes_of(client.auth_test())
    return sorted(scopes_wanted() - has) if has is not None and MANIFEST.exists() else []
