"""The scopes that Registrar requires, from manifest.yml, and those of the installed app."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from slack_sdk import WebClient
from slack_sdk.web import SlackResponse

MANIFEST = Path(__file__).parents[1] / "manifest.yml"


def required_scopes(manifest: Path = MANIFEST) -> frozenset[str]:
    """Return the bot's scopes in a manifest. Raises OSError if it doesn't exist."""
    return frozenset(yaml.safe_load(manifest.read_text(encoding="utf-8"))["oauth_config"]["scopes"]["bot"])


def token_scopes(response: SlackResponse) -> frozenset[str] | None:
    """Return the scopes of the token that got this answer; None if the server doesn't report them."""
    scopes = next((value for name, value in response.headers.items() if name.lower() == "x-oauth-scopes"), None)
    return None if scopes is None else frozenset(re.findall(r"[\w:.\-]+", str(scopes)))


def find_missing_scopes(client: WebClient) -> list[str]:
    """Return the scopes that the token is missing, sorted; empty if its scopes or the required ones are unknown.

    Raises SlackApiError and connection errors.
    """
    has = token_scopes(client.auth_test())
    return sorted(required_scopes() - has) if has is not None and MANIFEST.exists() else []
