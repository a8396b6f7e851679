"""Monitors and alerts as people see them: real clicks in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import POLICY, RunningApp, make_policy, running_app
from tests.support.app.live_world import promote
from tests.support.app.monitors import ADD, record_measurements
from tests.support.registry.memory import MemoryRegistry
from tests.support.slack.screen import Screen, expect_text

pytestmark = pytest.mark.browser

DESK: dict[str, Any] = {"viewport": {"width": 1200, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


@pytest.fixture
def watched(
    slack: LocalSlack, tmp_path: Path, open_window: Callable[..., Screen]
) -> Iterator[tuple[RunningApp, Screen]]:
    """The bot with a monitor, and Bob's window."""
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        app.registrar.poll_registry()
        screen = open_window(app.slack.url)
        screen.page.set_viewport_size({"width": 1200, "height": 900})
        screen.becomes("Bob")
        screen.types(ADD)
        expect_text(screen.answer(), "It checks")
        yield app, screen


def test_a_monitor_is_added_in_a_form(watched: tuple[RunningApp, Screen]) -> None:
    app, screen = watched
    screen.types("/model monitor add churn")
    form = screen.modal()
    form.get_by_role("textbox", name="Monitor name").fill("latency")
    form.get_by_role("textbox", name="Must be below").fill("100")
    screen.picture("monitor-form")
    form.get_by_role("button", name="Add").click()
    expect_text(screen.answer(), "latency. It checks")
    assert app.registrar.monitors.find("churn", "latency").rule.less_than == 100


def test_a_monitor_is_shown_and_its_chart_is_posted_to_the_channel(watched: tuple[RunningApp, Screen]) -> None:
    app, screen = watched
    record_measurements(app, 0.9, 0.91, 0.88, 0.9, 0.84, 0.61)
    screen.types("/model monitor show churn accuracy")
    screen.presses("Post chart here", screen.answer("Recent checks"))
    screen.page.get_by_role("button", name="1 reply").click()
    chart = screen.thread().get_by_role("img").first
    chart.wait_for()
    assert str(chart.get_attribute("alt")).startswith("Chart of churn")
    screen.picture("monitor-chart")


@pytest.mark.parametrize(("size", "how"), [("desk", DESK), ("phone", PHONE)])
def test_a_private_answer_links_to_its_chart(
    watched: tuple[RunningApp, Screen], open_window: Callable[..., Screen], size: str, how: dict[str, Any]
) -> None:
    app, _ = watched
    record_measurements(app, 0.9, 0.91, 0.88, 0.9, 0.84, 0.61)
    screen = open_window(app.slack.url, **how)
    screen.types("/model monitor show churn accuracy")
    screen.answer("Recent checks").wait_for()
    link = screen.answer().get_by_role("link", name="a direct message")
    link.wait_for()
    screen.picture(f"monitor-show-{size}")
    screen.page.goto(str(link.get_attribute("href")))
    chart = screen.page.get_by_role("img", name="Chart of churn").last
    chart.wait_for(timeout=20_000)
    assert chart.is_visible()
    screen.picture(f"monitor-chart-direct-{size}")


ARMED: list[dict[str, Any]] = [
    {"name": "accuracy", "source": "live", "action": "auto"},
    {"name": "recall", "source": "live", "action": "auto", "hard_limit": 0.5},
    {"name": "latency-p95", "source": "live", "action": "auto", "less_than": 300, "query": "latency"},
]


@pytest.fixture
def armed(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot with three armed monitors from the policy file, right after a promotion."""
    churn = POLICY["models"]["*"] | {"monitors": ARMED}
    policy = make_policy({"sources": {"live": {"type": "push"}}, "models": POLICY["models"] | {"churn": churn}})
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE])
    with running_app(slack, tmp_path, registry, policy=policy) as app:
        app.registrar.poll_registry()
        promote(app, 4, "better f1")
        yield app


def test_the_cost_of_armed_monitors_is_on_home_and_in_the_list(
    armed: RunningApp, open_window: Callable[..., Screen]
) -> None:
    for size, how in (("desk", DESK), ("phone", PHONE)):
        screen = open_window(armed.slack.url, **how)
        screen.types("/model monitor list")
        expect_text(screen.answer(), "3 monitors are armed. Based on simulations, expect at most")
        expect_text(screen.answer(), "Not counted: 1 threshold and 1 hard limit.")
        screen.picture(f"monitor-costs-list-{size}")
        screen.page.set_viewport_size(DESK["viewport"])  # on a phone, the link to Home is collapsed
        screen.opens_home()
        screen.page.set_viewport_size(how["viewport"])
        expect_text(screen.home(), "3 monitors are armed. Based on simulations, expect at most")
        screen.home().get_by_text("3 monitors are armed").hover()  # scrolls there, even while Home is redrawn
        screen.picture(f"monitor-costs-home-{size}")


def test_the_promotion_s_thread_says_that_a_monitor_is_judged_by_default(
    armed: RunningApp, open_window: Callable[..., Screen]
) -> None:
    """As after an upgrade from a version that used `blocks` for a file without a rule."""
    with armed.ledger.write() as tx:
        for one in tx.monitors("churn"):
            if one.rule.rule == "default":
                tx.save_monitor(replace(one, rule=one.rule.model_copy(update={"rule": "blocks"})))
    armed.registrar.policy_monitors.sync()
    armed.registrar.outbox.deliver()
    screen = open_window(armed.slack.url, **PHONE)
    screen.card().get_by_role("button", name=re.compile(r"repl(y|ies)")).click()
    expect_text(screen.thread(), "so default now evaluates them instead of blocks. They stay armed.")
    screen.thread().get_by_text("They stay armed.").hover()
    screen.picture("monitor-judged-by-default-phone")
