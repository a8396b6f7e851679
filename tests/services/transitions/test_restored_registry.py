"""A restored registry, ordinary drift, and starts without a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.restores import HoldKind
from tests.support.services.bench import BOB, Bench
from tests.support.services.fakes import FaultyRegistry
from tests.support.services.restored_machine import (
    RestorableMachine,
    hold_of,
    promote_and_roll_back,
    recover,
    start_and_recover,
)

# -- a restored registry -----------------------------------------------------------------------------------------------


def _copied(registry: FaultyRegistry) -> dict[str, Any]:
    """Return a copy of the registry's contents, like a backup of its database."""
    return {
        name: replace(model, versions=dict(model.versions), aliases=dict(model.aliases))
        for name, model in registry._models.items()
    }


def test_a_registry_from_before_a_transition_holds_pending_work(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    backup = _copied(machine.registry)
    machine.clock.advance(hours=1)
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    bench.watch.poll()
    machine.clock.advance(hours=1)
    request = bench.approved("promote churn 1 production")
    machine.registry._models = backup
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.REGISTRY_RESTORED
    assert bench.state(request) is RequestState.APPROVED
    assert machine.registry.holders() == [3]


# -- no hold -----------------------------------------------------------------------------------------------------------


def test_drift_without_pending_work_is_only_reported(machine: RestorableMachine) -> None:
    start_and_recover(machine)
    machine.clock.advance(hours=1)
    machine.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    assert "v4" in str(bench.findings()[-1].lines)


def test_drift_holds_a_pending_transition(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    machine.clock.advance(hours=1)
    bench.approved("promote churn 1 production")
    machine.registry.by_hand("churn", 4, Stage.STAGING)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is HoldKind.UNEXPLAINED


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_crash_during_a_transition_recovers_without_a_hold(machine: RestorableMachine, where: str) -> None:
    bench = start_and_recover(machine)
    machine.clock.advance(hours=1)
    request = bench.approved("promote churn 4 production")

    def die() -> None:
        raise SystemExit

    setattr(machine.registry, where, die)
    with pytest.raises(SystemExit):
        bench.moves.execute_due("churn")
    setattr(machine.registry, where, None)
    machine.clock.advance(minutes=5)
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    assert bench.state(request) is RequestState.DONE
    assert machine.registry.holders() == [4]


def test_a_stop_between_a_transition_and_the_next_poll_holds_nothing(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    machine.clock.advance(hours=1)
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    bench.mirror.write_due()
    machine.clock.advance(hours=1)
    bench.do("rollback churn --reason slow", BOB)
    bench.mirror.write_due()
    bench.approved("promote churn 1 production")
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None
    assert machine.registry.holders() == [1]


def test_tags_from_before_this_ledger_hold_nothing(machine: RestorableMachine) -> None:
    machine.registry.set_tags("churn", 4, {"approval_status": "approved_staging", "promoted_by": "U0OLD"})
    bench = start_and_recover(machine)
    bench.open("promote churn 4 production")
    bench.mirror.write_due()
    bench = machine.start()
    recover(bench)
    assert hold_of(bench) is None


# -- starts without a comparison ---------------------------------------------------------------------------------------


def test_pending_work_is_not_executed_while_mlflow_is_down(machine: RestorableMachine) -> None:
    promote_and_roll_back(machine)
    bench = machine.start()
    machine.registry.is_down = True
    recover(bench)
    assert hold_of(bench) is None
    machine.registry.is_down = False
    recover(bench)
    assert hold_of(bench) is HoldKind.LEDGER_RESTORED
    assert machine.registry.holders() == [3]


def test_a_start_takes_one_request_per_page_and_per_changed_or_pending_model(machine: RestorableMachine) -> None:
    machine.registry.add_model("quiet", versions=3)
    machine.registry.add_model("busy", versions=1)
    bench = start_and_recover(machine)
    bench.open("promote busy 1 production")
    machine.clock.advance(hours=1)
    machine.registry.by_hand("churn", 4, Stage.STAGING)
    bench = machine.start()
    machine.registry.request_counts.clear()
    assert bench.context.startup_check.has_passed()
    assert machine.registry.request_counts == {"models": 1, "versions": 2}
    assert bench.context.startup_check.has_passed()
    assert machine.registry.request_counts.total() == 3


def test_a_transition_by_another_process_is_not_evidence(machine: RestorableMachine) -> None:
    bench = start_and_recover(machine)
    machine.clock.advance(hours=1)
    bench.approved("promote churn 4 production")
    other = Bench(
        ledger=bench.ledger, registry=machine.registry, clock=machine.clock, policy=machine.policy, owner="there:2:b"
    )
    read: Callable[[str], object] = machine.registry.versions

    def versions(name: str) -> object:
        found = read(name)
        machine.registry.versions = read  # type: ignore[method-assign,assignment]
        bench.moves.execute_due("churn")
        return found

    machine.registry.versions = versions  # type: ignore[method-assign,assignment]
    other.restores.check()
    assert hold_of(bench) is None
