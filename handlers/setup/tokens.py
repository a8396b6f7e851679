"""What's wrong with a token, according to its text and Slack's error code."""

from __future__ import annotations

import re

from handlers.doctor.slack.workspace import TOKEN_LOCATIONS

BOT_TOKEN, APP_TOKEN = "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"
_COMPLETE = {
    BOT_TOKEN: re.compile(r"xoxb-\d+-(\d+-)?\w{20,}"),
    APP_TOKEN: re.compile(r"xapp-\d+-\w+-\d+-\w{32,}"),
}
_REVOKED = {"token_revoked", "account_inactive", "token_expired"}


def rejection(name: str, token: str, code: str) -> str:
    """Return why Slack rejected a token, and the next step. `code`: Slack's error code."""
    copy = f"Copy it again: {TOKEN_LOCATIONS[name]}."
    if code == "missing_scope" and name == APP_TOKEN:
        return f"{name} lacks connections:write. Generate a token that has it: {TOKEN_LOCATIONS[name]}."
    if code in _REVOKED:
        return f"{name} was revoked, or the app was removed from the workspace ({code}). {copy}"
    if code == "invalid_auth" and not _COMPLETE[name].fullmatch(token):
        return f"{name} is incomplete: its format is wrong, and Slack rejects it ({code}). {copy}"
    if code == "invalid_auth":
        return f"Slack doesn't accept {name} ({code}): it was revoked or mistyped. {copy}"
    return f"Slack rejected {name} ({code}). {copy}"


def app_id(app_token: str) -> str:
    """Return the app's ID from an app-level token; empty if the token doesn't contain it."""
    found = re.match(r"xapp-\d+-(A\w+)-", app_token)
    return found[1] if found else ""
