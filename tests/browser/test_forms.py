"""Forms with type-ahead, and corrected commands, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.app.app_fixture import RunningApp
from tests.support.app.harness import only_request
from tests.support.slack.screen import Screen, expect_text

pytestmark = pytest.mark.browser


def test_a_model_and_its_version_are_chosen_while_typing(screen: Screen, app: RunningApp) -> None:
    app.registrar.poll_registry()
    screen.types("/model promote")
    form = screen.modal()
    screen.chooses("Model", "chu", "churn")
    form.get_by_role("combobox", name="Version").click()
    listed = form.get_by_role("listbox").get_by_role("option")
    expect(listed).to_have_text(["v4", "v3 · Production", "v2", "v1 · Archived"])
    screen.picture("form-versions")
    form.get_by_role("option", name="v4").click()
    form.get_by_role("button", name="Request").click()
    expect_text(screen.card(), "v4")
    assert only_request(app.ledger).version == 4


def test_a_typo_is_answered_with_a_button_that_runs_the_corrected_command(screen: Screen, app: RunningApp) -> None:
    screen.types("/model prmote churn 4 production")
    expect_text(screen.answer(), "/model promote churn 4 production")
    screen.picture("typo")
    screen.presses("Run it", screen.answer())
    expect_text(screen.card(), "v4")
