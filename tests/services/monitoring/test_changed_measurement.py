"""After a monitor is changed to measure something else, earlier values no longer count anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.readings import Answer
from bot.ports import Query
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.monitors import Monitors
from tests.support.monitoring.monitoring import (
    HOURS,
    QUICK,
    add_monitor,
    check_values,
    keep_measuring,
    monitor_state,
    policy_with,
    record_history,
)
from tests.support.services.bench import BOB, Bench

ANEW = "It now measures something else, so its earlier values no longer count, including in its baseline."
SOMETHING_ELSE = ["--query latency", "--source mlflow", "--aggregate p95", "--aggregate mean --window 30m"]
THE_SAME = ["--greater-than 0.7", "--every 1m", "--fail-after 3", "--action notify", "--window 30m"]


def by_hand(bench: Bench, **fields: Any) -> Monitor:
    """Add a monitor that people can change."""
    monitor = replace(add_monitor(bench, **fields), created_by=BOB.person)
    with bench.ledger.write() as tx:
        tx.save_monitor(monitor)
    return monitor


def edit(bench: Bench, flags: str) -> str:
    """Change the monitor as a person, and return the answer."""
    return str(bench.execute(BOB, f"monitor edit churn accuracy {flags}").answer)


def counted(bench: Bench) -> list[float]:
    """Return the only monitor's values that count, in its rule and in its chart."""
    with bench.ledger.read() as reading:
        [monitor] = reading.monitors()
        now = bench.clock.now()
        found = [value for _, value, _ in reading.series(monitor, since=now - timedelta(days=30), until=now)]
    service = Monitors(bench.context, bench.gatekeeper, lambda monitor, span: NotImplemented)
    assert list(service.chart(monitor.id).values) == found
    assert [one.value for one in reversed(service.view(monitor.id).recent_measurements)] == found
    return found


@pytest.mark.parametrize("flags", SOMETHING_ELSE)
def test_after_a_changed_measurement_only_new_values_count(served: Bench, flags: str) -> None:
    by_hand(served)
    check_values(served, 0.9, 0.91)
    assert edit(served, flags).endswith(ANEW)
    assert counted(served) == []
    served.sources.answers["latency"] = Answer(points=[(served.clock.now() + timedelta(seconds=11), 0.95)])
    check_values(served, 0.95)
    assert counted(served) == [0.95]


@pytest.mark.parametrize("flags", THE_SAME)
def test_after_any_other_change_all_values_count(served: Bench, flags: str) -> None:
    by_hand(served)
    check_values(served, 0.9, 0.91)
    assert ANEW not in edit(served, flags)
    assert counted(served) == [0.9, 0.91]


def test_an_earlier_change_of_the_measurement_still_applies(served: Bench) -> None:
    by_hand(served)
    check_values(served, 0.9)
    edit(served, "--aggregate p95")
    assert ANEW not in edit(served, "--fail-after 3")
    assert counted(served) == []


def test_a_value_queried_before_the_change_does_not_count(served: Bench) -> None:
    by_hand(served)
    ask = served.sources.read

    def asked(name: str, queries: Sequence[Query]) -> list[Answer]:
        served.sources.read = ask  # type: ignore[method-assign]
        edit(served, "--query latency")
        return ask(name, queries)

    served.sources.read = asked  # type: ignore[method-assign]
    check_values(served, 0.9)
    assert counted(served) == []


def test_a_baseline_of_another_measurement_is_not_used(served: Bench) -> None:
    monitor = by_hand(served, **HOURS | {"query": "other"})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    edit(served, "--query accuracy")
    keep_measuring(served, lambda at: 0.5, minutes=35)
    assert (served.registry.holders(), monitor_state(served, monitor).state) == ([4], MonitorStatus.CANT_JUDGE)
    assert "no usable data from before v4" in str(monitor_state(served, monitor).why)


def test_a_backtest_replays_nothing_from_before_the_change(served: Bench) -> None:
    by_hand(served)
    check_values(served, 0.5, 0.5, 0.5)
    edit(served, "--query latency")
    with served.ledger.read() as reading:
        [monitor] = reading.monitors()
    served.sources.answers["latency"] = Answer()
    found = Backtester(served.context, served.sources).backtest(monitor, timedelta(days=7))
    assert (found.points, found.firings) == ((), ())


@pytest.mark.parametrize(("change", "left"), [({"query": "latency"}, []), ({"fail_after": 5}, [0.9, 0.91])])
def test_the_policy_file_s_monitors_behave_the_same(
    served: Bench,
    change: dict[str, Any],
    left: list[float],
) -> None:
    served.context.active_policy.replace(policy_with({"name": "accuracy", **QUICK}), "1")
    served.file_monitors.sync()
    check_values(served, 0.9, 0.91)
    served.context.active_policy.replace(policy_with({"name": "accuracy", **QUICK, **change}), "2")
    served.file_monitors.sync()
    assert counted(served) == left
