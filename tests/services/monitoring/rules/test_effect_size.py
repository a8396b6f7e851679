"""The effect size, and rules that can never judge, through the service with a real ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.commands.parser import parse_command
from bot.domain.core.errors import BadInput
from bot.domain.monitoring.monitor import MonitorStatus
from bot.services.monitoring.monitors import Monitors
from tests.support.monitoring.monitoring import (
    HOURS,
    QUICK,
    add_monitor,
    keep_measuring,
    monitor_state,
    policy_with,
    record_history,
)
from tests.support.services.bench import BOB, Bench


def service(bench: Bench) -> Monitors:
    return Monitors(bench.context, bench.gatekeeper, lambda monitor, span: NotImplemented)


@pytest.mark.parametrize(
    ("effect", "usual", "now", "holder"),
    [
        ("2%", 0.9, 0.8, 2),
        ("20%", 0.9, 0.8, 4),
        ("0.05 abs", 0.9, 0.8, 2),
        ("0.2 abs", 0.9, 0.8, 4),
        ("50 abs", 300.0, 200.0, 2),
        ("200 abs", 300.0, 200.0, 4),
        ("50% of error", 0.9, 0.8, 2),
        ("200% of error", 0.9, 0.8, 4),
    ],
)
@pytest.mark.parametrize("rule", ["blocks", "sequential"])
def test_only_a_version_worse_by_at_least_the_effect_is_rolled_back(
    served: Bench,
    rule: str,
    effect: str,
    usual: float,
    now: float,
    holder: int,
) -> None:
    monitor = add_monitor(served, **HOURS | {"rule": rule, "min_effect": effect, "direction": "higher", "warmup": "0s"})
    record_history(served, monitor, lambda slot: usual * (1 + 0.002 * (slot % 5)), hours=8)
    keep_measuring(served, lambda at: now * (1 + 0.002 * (at % 5)), minutes=35)
    assert served.registry.holders() == [holder]


def test_the_sequential_rule_judges_as_soon_as_it_has_enough_readings(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"rule": "sequential", "fail_after": 1, "min_points": None})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.5, minutes=12)
    assert served.registry.holders() == [2]


def test_a_rule_waits_for_its_configured_number_of_readings(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"min_points": 60})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.5, minutes=35)
    assert served.registry.holders() == [4]
    assert "The rule needs 60 readings since the promotion" in str(monitor_state(served, monitor).why)


@pytest.mark.parametrize("window", ["5d", "7h", "30s"])
def test_a_window_that_an_earlier_release_accepted_is_still_checked(served: Bench, window: str) -> None:
    monitor = add_monitor(served, **HOURS | {"window": window})
    keep_measuring(served, lambda at: 0.9, minutes=5)
    assert monitor_state(served, monitor).state in {MonitorStatus.OK, MonitorStatus.WARMUP}


def test_an_edit_fixes_a_window_that_an_earlier_release_accepted(served: Bench) -> None:
    monitor = replace(
        add_monitor(served, **QUICK | {"rule": "blocks", "greater_than": None, "window": "7h"}), created_by=BOB.person
    )
    with served.ledger.write() as tx:
        tx.save_monitor(monitor)
    edit: Any = parse_command("monitor edit churn accuracy --action notify")
    with pytest.raises(BadInput, match="Use 6h or 8h"):
        service(served).edit(BOB, edit, origin="slack")
    edit = parse_command("monitor edit churn accuracy --action notify --window 6h")
    service(served).edit(BOB, edit, origin="slack")
    assert service(served).find("churn", "accuracy").rule.window == timedelta(hours=6)


def test_an_unchanged_policy_file_changes_no_monitor_from_an_earlier_release(served: Bench) -> None:
    """The ledger has the effect as the number that it was then."""
    fields = {"name": "accuracy", **HOURS, "source": "push", "min_effect": 0.02}
    served.context.active_policy.replace(policy_with(fields), "1")
    assert served.file_monitors.sync() == 1
    served.context.active_policy.replace(policy_with(fields | {"min_effect": "2%"}), "2")
    assert served.file_monitors.sync() == 0
    served.context.active_policy.replace(policy_with(fields | {"min_effect": "0.02 abs"}), "3")
    assert served.file_monitors.sync() == 1
    assert served.file_monitors.sync() == 0
