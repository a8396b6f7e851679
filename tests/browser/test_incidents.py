"""Monitors and rollbacks as people see them: the alert, what was done, the pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from bot.domain.monitoring.readings import CheckOutcome
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp
from tests.support.app.live_world import BAD, MONITOR, AcceleratedClock, MetricPusher, monitored_app, promote
from tests.support.slack.screen import Screen, expect_text
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

DESK = {"viewport": {"width": 1200, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
MEASURED = 5  # checks of the good version, so the chart has data
LONG = 20_000  # milliseconds, enough for several checks

Watched = tuple[RunningApp, AcceleratedClock, MetricPusher]


@pytest.fixture
def asking(slack: LocalSlack, tmp_path: Path) -> Iterator[Watched]:
    """A bad version is serving, and its monitor can only ask."""
    with monitored_app(slack, tmp_path, action="ask") as it:
        serve_the_bad_one(*it)
        yield it


@pytest.fixture
def rolling(slack: LocalSlack, tmp_path: Path) -> Iterator[Watched]:
    """A bad version is serving, and its monitor rolls back."""
    with monitored_app(slack, tmp_path) as it:
        serve_the_bad_one(*it)
        yield it


def serve_the_bad_one(app: RunningApp, clock: AcceleratedClock, life: MetricPusher) -> None:
    """Let v4 serve for three days, and then v5."""
    life.fill(timedelta(days=5))
    clock.advance(days=2)
    promote(app, 4, "better f1")
    clock.advance(days=3)
    life.fill(timedelta(days=3))
    with app.ledger.read() as reading:
        [monitor] = reading.monitors("churn")
    wait_until(lambda: measured(app, monitor.id) >= MEASURED)
    promote(app, BAD, "f1 0.96 instead of 0.77!")


def measured(app: RunningApp, monitor: str) -> int:
    """Return how many checks found v4 healthy."""
    with app.ledger.read() as reading:
        return sum(one.version == 4 and one.outcome is CheckOutcome.OK for one in reading.measurements(monitor))


def incident(screen: Screen, words: str) -> Locator:
    """Wait for the incident's message with this text."""
    card = screen.page.get_by_test_id("message").filter(has_text=words).last
    expect(card).to_be_visible(timeout=LONG)
    return card


def opens_thread(screen: Screen, card: Locator) -> None:
    card.get_by_role("button", name=re.compile("repl(y|ies)")).click()


def expect_drawn(picture: Locator) -> None:
    expect(picture).to_be_visible(timeout=LONG)
    expect(picture).not_to_have_js_property("naturalWidth", 0)


def test_a_person_decides_on_a_proposed_rollback(asking: Watched, open_window: Callable[..., Screen]) -> None:
    app, _, _ = asking
    screen = open_window(app.slack.url, **DESK)
    card = incident(screen, f"{MONITOR} failed. Roll back to v4?")
    opens_thread(screen, card)
    expect_drawn(screen.thread().get_by_role("img").last)
    screen.picture("incident-asks")
    screen.becomes("Bob Tanaka")
    screen.presses("Acknowledge", card)
    expect_text(card, "Acknowledged by @bob")
    screen.presses("Roll back to v4", card)
    screen.picture("incident-confirm")
    screen.confirms("Roll back")
    incident(screen, "restored to v4")
    screen.picture("incident-decided")
    assert app.production() == [4]


def test_an_automatic_rollback_is_shown_step_by_step(rolling: Watched, open_window: Callable[..., Screen]) -> None:
    app, _, _ = rolling
    screen = open_window(app.slack.url, **DESK)
    card = incident(screen, "restored to v4")
    opens_thread(screen, card)
    expect_drawn(screen.thread().get_by_role("img").last)
    expect_text(screen.thread(), "Incident review")
    screen.picture("incident-restored")
    small = open_window(app.slack.url, **PHONE)
    small.picture("incident-phone")
    screen.page.get_by_test_id("thread").get_by_role("button", name="Close").click()

    screen.types(f"/model monitor show churn {MONITOR}")
    screen.presses("Post chart here", screen.answer("Recent checks"))
    screen.types(f"/model monitor backtest churn {MONITOR} --days 7")
    backtest = screen.page.get_by_test_id("message").filter(has_text="would have").last
    expect(backtest).to_be_visible(timeout=LONG)
    screen.picture("backtest-answer")
    opens_thread(screen, backtest)
    expect_drawn(screen.thread().get_by_role("img").last)
    screen.picture("backtest")
    screen.page.get_by_test_id("thread").get_by_role("button", name="Close").click()

    screen.types("/model history churn")
    expect_text(screen.answer("serving now"), "serving now")
    screen.picture("history")
    screen.presses("Share to channel", screen.answer("serving now"))
    timeline = screen.page.get_by_test_id("message").filter(has_text="Production of churn").last
    opens_thread(screen, timeline)
    expect_drawn(screen.thread().get_by_role("img").last)
    screen.picture("timeline")
    screen.opens_home()
    expect_text(screen.home(), MONITOR)
    screen.picture("home-monitors")


def test_a_rollback_by_a_person_has_one_message(rolling: Watched, open_window: Callable[..., Screen]) -> None:
    app, _, _ = rolling
    screen = open_window(app.slack.url, **DESK)
    incident(screen, "restored to v4")
    app.bob.types(CHANNEL, '/model rollback churn --reason "the support desk sees wrong letters"')
    card = incident(screen, "rolled back from v4 to v3")
    expect_text(card, "✓ Verified in MLflow")
    screen.picture("rollback-by-hand")
    assert app.production() == [3]


def test_an_armed_monitor_that_cannot_judge_says_so(
    slack: LocalSlack, tmp_path: Path, open_window: Callable[..., Screen]
) -> None:
    rule = {"rule": "blocks", "greater_than": None, "window": "60s"}
    with monitored_app(slack, tmp_path, **rule) as (app, _, _):
        screen = open_window(app.slack.url, **DESK)
        card = incident(screen, f"{MONITOR}: can't judge.")
        expect_text(card, "Evaluation starts")
        expect_text(card, "It stays armed")
        screen.picture("incident-cannot-judge")
        small = open_window(app.slack.url, **PHONE)
        small.picture("incident-cannot-judge-phone")
        screen.types(f"/model monitor show churn {MONITOR}")
        expect_text(screen.answer(), "armed, but can't judge")
        screen.picture("monitor-cannot-judge")
        screen.types(f"/model monitor backtest churn {MONITOR} --days 1")
        expect_text(screen.page.get_by_test_id("message").filter(has_text="covered 0").last, "has no measurements")
        screen.picture("backtest-cannot-judge")
        screen.opens_home()
        expect_text(screen.home(), "armed, but can't judge")
        screen.picture("home-cannot-judge")
