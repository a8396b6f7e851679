"""Monitors and alerts as people see them: real clicks in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.browser.screen import Screen, says
from tests.journeys.test_monitors import ADD, measure
from tests.world import World, running

pytestmark = pytest.mark.browser


@pytest.fixture
def watched(slack: LocalSlack, tmp_path: Path, open_window: Callable[..., Screen]) -> Iterator[tuple[World, Screen]]:
    """The bot with a monitor, and Bob's window."""
    with running(slack, tmp_path, MemoryRegistry()) as world:
        world.registrar.poll()
        screen = open_window(world.slack.url)
        screen.page.set_viewport_size({"width": 1200, "height": 900})
        screen.becomes("Bob")
        screen.types(ADD)
        says(screen.answer(), "is watched from now on")
        yield world, screen


def test_a_monitor_is_added_in_a_form(watched: tuple[World, Screen]) -> None:
    world, screen = watched
    screen.types("/model monitor add churn")
    form = screen.modal()
    form.get_by_role("textbox").nth(1).fill("latency")
    form.get_by_role("textbox").nth(4).fill("100")
    screen.picture("monitor-form")
    form.get_by_role("button", name="Add").click()
    says(screen.answer(), "latency is watched from now on")
    assert world.registrar.monitors.find("churn", "latency").rule.less_than == 100


def test_a_monitor_is_shown_with_its_picture(watched: tuple[World, Screen]) -> None:
    world, screen = watched
    measure(world, 0.9, 0.91, 0.88, 0.9, 0.84, 0.61)
    screen.types("/model monitor show churn accuracy")
    says(screen.answer(), "Last checks")
    screen.answer().get_by_role("img").first.wait_for()
    screen.picture("monitor-show")
    screen.presses("Post the chart here", screen.answer())
    screen.page.get_by_role("button", name="1 reply").click()
    screen.thread().get_by_role("img").first.wait_for()
    screen.picture("monitor-chart")
