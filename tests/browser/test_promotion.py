"""A promotion in a real browser, with a click for every step."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.app.app_fixture import RunningApp
from tests.support.slack.screen import Screen, expect_text

pytestmark = pytest.mark.browser

ASK = '/model promote churn 4 production --reason "f1 0.77 instead of 0.74 on last month, same latency"'


def test_alice_cannot_approve_her_own_request_but_bob_can(screen: Screen, app: RunningApp) -> None:
    screen.page.set_viewport_size({"width": 1200, "height": 700})
    screen.types(ASK)
    expect_text(screen.card(), "f1 0.77 instead of 0.74")
    expect_text(screen.answer(), "Requested")
    screen.picture("card-pending")

    screen.presses("Approve")
    screen.confirms("Approve")
    expect_text(screen.answer(), "someone else has to decide")
    screen.picture("alice-refused")
    assert app.production() == [3]

    screen.becomes("Bob Tanaka")
    screen.presses("Approve")
    screen.picture("confirm")
    screen.confirms("Approve")
    expect_text(screen.card(), "is in Production")
    expect(screen.card().get_by_role("button", name="Approve")).to_have_count(0)
    expect_text(screen.card(), "✓ Verified in MLflow")
    screen.picture("card-done")
    assert app.production() == [4]


def test_bob_can_cancel_the_confirmation(screen: Screen, app: RunningApp) -> None:
    screen.types(ASK)
    screen.becomes("Bob Tanaka")
    screen.presses("Approve")
    screen.confirms("Cancel")
    expect_text(screen.card(), "0 of 1")
    assert app.production() == [3]


def test_alice_sees_why_bob_rejected(screen: Screen) -> None:
    screen.types(ASK)
    screen.becomes("Bob Tanaka")
    screen.presses("Reject")
    screen.modal().get_by_label("Reason").fill("p95 latency doubled on the replay of Monday; see the run's artefacts.")
    screen.picture("reject")
    screen.modal().get_by_role("button", name="Reject").click()
    expect_text(screen.card(), "rejected")
    screen.picture("rejected")
    screen.becomes("Alice Moreau")
    screen.page.get_by_test_id("channel-registrar").click()
    expect_text(screen.page.get_by_test_id("messages"), "p95 latency doubled")
    screen.picture("rejected-alice")


def test_the_form_stays_open_without_a_reason(screen: Screen) -> None:
    screen.types(ASK)
    screen.becomes("Bob Tanaka")
    screen.presses("Reject")
    screen.modal().get_by_role("button", name="Reject").click()
    expect(screen.modal().get_by_role("alert")).to_be_visible()
    screen.picture("reject-without-reason")


def test_alice_can_request_from_the_menu(screen: Screen) -> None:
    screen.types("/model")
    screen.presses("Request a promotion", screen.answer())
    form = screen.modal()
    screen.chooses("Model", "churm", "churm (as typed)")
    form.get_by_role("button", name="Request").click()
    expect(form.get_by_role("alert")).to_be_visible()
    expect(form.get_by_label("Version")).to_be_focused()
    screen.picture("promote-wrong")
    screen.chooses("Model", "churn", "churn")
    screen.chooses("Version", "v4", "v4")
    form.get_by_label("Reason").fill("better f1")
    screen.picture("promote")
    form.get_by_role("button", name="Request").click()
    expect(form).to_have_count(0)
    expect_text(screen.card(), "better f1")


def test_details_show_the_version(screen: Screen) -> None:
    screen.types(ASK)
    screen.presses("Details")
    expect_text(screen.modal(), "v4")
    expect(screen.modal()).not_to_contain_text("Loading from")
    screen.picture("details")
