"""A comparison on a phone: the private answer, the table in direct messages, and the shared message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import RunningApp, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.slack.screen import Screen

METRICS = {
    3: {"f1": 0.891, "latency_ms": 57.2, "log_loss": 0.350, "recall": 0.840},
    4: {"f1": 0.917, "latency_ms": 45.1, "log_loss": 0.308, "recall": 0.842},
    5: {"f1": 0.912, "latency_ms": 44.0, "log_loss": 0.310, "recall": 0.839},
}
STAGES = {3: Stage.PRODUCTION, 4: Stage.STAGING, 5: Stage.NONE}
PHONE = {"viewport": {"width": 390, "height": 844}}
DARK_PHONE = PHONE | {"color_scheme": "dark"}


@pytest.fixture
def compared(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot with versions 3 to 5 of `churn`, which have metrics."""
    registry = MemoryRegistry()
    registry.add_model("churn", versions=2)
    for number, metrics in METRICS.items():
        registry.add_run(f"run{number}", metrics=metrics)
        registry.add_version("churn", run_id=f"run{number}", stage=STAGES[number])
    settings = {"f1": {"decimals": 3}, "latency_ms": {"unit": "ms", "decimals": 0}, "recall": {"noise": 0.005}}
    with running_app(slack, tmp_path, registry, policy=make_policy({"metrics": settings})) as app:
        yield app


@pytest.mark.parametrize(("size", "how"), [("phone", PHONE), ("dark", DARK_PHONE)])
def test_two_metrics_of_a_comparison_are_visible_on_a_phone(
    compared: RunningApp, open_window: Callable[..., Screen], size: str, how: dict[str, object]
) -> None:
    screen = open_window(compared.slack.url, **how)
    screen.types("/model compare churn 3 4 5")
    link = screen.answer("beats").get_by_role("link", name="a direct message")
    screen.presses("Share to channel", screen.answer("beats"))
    screen.page.get_by_text("Shared by").wait_for()
    screen.picture(f"compare-shared-{size}")
    assert visible_columns(screen.page.get_by_role("table").last) >= 3  # the version and two metrics
    screen.page.goto(str(link.get_attribute("href")))
    screen.page.get_by_role("img", name="Chart of churn").last.wait_for()
    screen.picture(f"compare-direct-{size}")


def visible_columns(table: Locator) -> int:
    """Return how many columns fit in the box that a table scrolls in."""
    right = "cell => cell.offsetLeft + cell.offsetWidth"
    script = f"table => [...table.rows[0].cells].map({right}).filter(x => x <= table.parentElement.clientWidth).length"
    return int(table.evaluate(script))
