"""The tokens that setup asks for: what's wrong with one, and that the right one is stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from handlers.manifest import MANIFEST
from handlers.setup.files import saved_values
from handlers.setup.steps.slack_tokens import APP_TOKEN_STEP, BOT_TOKEN_STEP, SAME_APP_STEP
from localslack import LocalSlack
from tests.support.app.workspaces import local_slack
from tests.support.terminal.setup_wizard import Wizard

UNKNOWN_BOT = "xoxb-123456789012-aaaaaaaaaaaaaaaaaaaaaaaa"
UNKNOWN_APP = "xapp-1-A0LOCALAPP-123456789012-0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("xapp-1-A0-1-2", "SLACK_BOT_TOKEN is an app-level token, not a bot token (xoxb-…)."),
        ("xoxp-1-2-3", "SLACK_BOT_TOKEN is a user token, not a bot token (xoxb-…)."),
        ("xoxb-123456789012-aaa", "SLACK_BOT_TOKEN is incomplete: its format is wrong"),
        (UNKNOWN_BOT, "Slack doesn't accept SLACK_BOT_TOKEN (invalid_auth): it was revoked or mistyped."),
    ],
)
def test_a_wrong_bot_token_is_explained_and_the_right_one_is_stored(
    wizard: Wizard, slack: LocalSlack, typed: str, problem: str
) -> None:
    screen = wizard.finishes(BOT_TOKEN_STEP, typed, slack.bot_token)
    assert problem in screen
    assert "✓ Slack: SLACK_BOT_TOKEN connects to Local workspace as @registrar." in screen
    assert saved_values(Path(".env")) == {"SLACK_API_URL": slack.api_url, "SLACK_BOT_TOKEN": slack.bot_token}


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("xoxb-1-2-3", "SLACK_APP_TOKEN is a bot token, not an app-level token (xapp-…)."),
        ("xapp-1-A0", "SLACK_APP_TOKEN is incomplete: its format is wrong"),
        (UNKNOWN_APP, "Slack doesn't accept SLACK_APP_TOKEN (invalid_auth): it was revoked or mistyped."),
    ],
)
def test_a_wrong_app_token_is_explained_and_the_right_one_is_stored(
    wizard: Wizard, slack: LocalSlack, typed: str, problem: str
) -> None:
    wizard.knows(slack)
    del os.environ["SLACK_APP_TOKEN"]
    screen = wizard.finishes(APP_TOKEN_STEP, typed, slack.app_token)
    assert problem in screen
    assert "✓ Slack: SLACK_APP_TOKEN can open Socket Mode." in screen
    assert saved_values(Path(".env")) == {"SLACK_APP_TOKEN": slack.app_token}


@pytest.mark.parametrize("code", ["token_revoked", "account_inactive"])
def test_a_revoked_token_is_named(wizard: Wizard, slack: LocalSlack, code: str) -> None:
    wizard.knows(slack)
    slack.fail("auth.test", code)
    screen = wizard.finishes(BOT_TOKEN_STEP, "")
    assert f"SLACK_BOT_TOKEN was revoked, or the app was removed from the workspace ({code})." in screen


def test_an_app_token_without_its_scope_is_explained(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.knows(slack)
    slack.fail("apps.connections.open", "missing_scope")
    screen = wizard.finishes(APP_TOKEN_STEP, "")
    assert "SLACK_APP_TOKEN lacks connections:write." in screen


def test_missing_scopes_are_named(wizard: Wizard) -> None:
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    manifest["oauth_config"]["scopes"]["bot"] = ["chat:write", "commands"]
    with local_slack(manifest) as older:
        wizard.knows(older)
        screen = wizard.finishes(BOT_TOKEN_STEP)
    assert "SLACK_BOT_TOKEN is missing" in screen
    assert "users:read" in screen
    assert "Reinstall the app" in screen


def test_tokens_of_two_apps_are_told_apart(wizard: Wizard) -> None:
    secrets = {"app_token": UNKNOWN_APP.replace("A0LOCALAPP", "A0ANOTHER")}
    with local_slack(MANIFEST, secrets=secrets) as slack:
        wizard.knows(slack)
        screen = wizard.finishes(SAME_APP_STEP)
    assert "SLACK_APP_TOKEN to A0ANOTHER, and SLACK_BOT_TOKEN to A0LOCALAPP." in screen


def test_tokens_of_one_app_are_accepted(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.knows(slack)
    assert "✓ Slack: both tokens belong to the same app." in wizard.finishes(SAME_APP_STEP)


def test_enter_tries_again_if_slack_does_not_respond(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.knows(slack)
    slack.reset_before("auth.test")
    screen = wizard.finishes(BOT_TOKEN_STEP, "")
    assert "Slack isn't responding" in screen
    assert "connects to Local workspace" in screen


def test_a_rejected_token_is_not_stored(wizard: Wizard) -> None:
    wizard.finishes(BOT_TOKEN_STEP, UNKNOWN_BOT)
    assert not Path(".env").exists()


def test_a_token_in_the_shell_is_not_overridden_silently(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.shell["SLACK_BOT_TOKEN"] = UNKNOWN_BOT
    screen = wizard.finishes(BOT_TOKEN_STEP, slack.bot_token)
    assert "SLACK_BOT_TOKEN is also set in this shell" in screen
