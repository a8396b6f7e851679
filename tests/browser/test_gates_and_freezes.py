"""Gates, freezes and Home as people see them: real clicks in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import RunningApp, running_app
from tests.support.app.gates import GATES, policy_with, registry_with_metrics
from tests.support.slack.screen import Screen, expect_text

pytestmark = pytest.mark.browser


@pytest.fixture
def gated(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot with a policy whose gates an admin can override."""
    policy = policy_with(gates=GATES, override=["admin"], required=2)
    with running_app(slack, tmp_path, registry_with_metrics(), policy=policy) as app:
        app.registrar.poll_registry()
        yield app


def test_a_card_shows_its_gates_from_request_to_outcome(gated: RunningApp, open_window: Callable[..., Screen]) -> None:
    screen = open_window(gated.slack.url)
    screen.page.set_viewport_size({"width": 1200, "height": 760})
    screen.types('/model promote churn 4 production --reason "better on last month, and nearly as fast"')
    expect_text(screen.card(), "2 of 2 gates pass")
    screen.presses("Details")
    expect_text(screen.modal(), "at most 5 worse than the incumbent")
    screen.picture("gates-details")
    screen.page.keyboard.press("Escape")
    screen.becomes("Bob")
    screen.presses("Approve")
    screen.confirms("Approve")
    expect_text(screen.card(), "1 of 2")
    screen.becomes("Alice")
    screen.picture("gates-pending")
    screen.becomes("Carol")
    screen.presses("Approve")
    screen.confirms("Approve")
    expect_text(screen.card(), "is in Production")
    expect_text(screen.card(), "✓ Verified in MLflow")
    screen.picture("gates-done")


def test_a_failed_gate_is_shown_overridden_and_recorded(gated: RunningApp, open_window: Callable[..., Screen]) -> None:
    screen = open_window(gated.slack.url)
    screen.types('/model promote churn 5 production --reason "cheaper to run"')
    expect_text(screen.card(), "Override gates…")
    screen.picture("gates-failed")
    screen.becomes("Dave")
    screen.presses("Override gates…")
    screen.modal().get_by_role("textbox").fill("the incumbent is down; remeasured tomorrow")
    screen.picture("gates-override")
    screen.modal().get_by_role("button", name="Override").click()
    expect_text(screen.card(), "overridden by")
    screen.becomes("Bob")
    screen.presses("Approve")
    screen.confirms("Approve")
    expect_text(screen.card(), "1 of 2")
    expect_text(screen.answer(), "Withdraw")
    screen.picture("gates-one-of-two")


def test_home_shows_pending_requests_and_freezes(gated: RunningApp, open_window: Callable[..., Screen]) -> None:
    screen = open_window(gated.slack.url)
    screen.types('/model promote churn 4 production --reason "better accuracy"')
    expect_text(screen.card(), "0 of 2")
    screen.becomes("Dave")
    screen.types('/model freeze --all --until 48h --reason "end of the quarter"')
    expect_text(screen.card(), "❄️")
    screen.picture("frozen-card")
    screen.becomes("Bob")
    screen.opens_home()
    expect_text(screen.home(), "Needs your review")
    expect_text(screen.home(), "froze Production")
    screen.picture("home")
