"""Changes to a monitor while its source is queried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.domain.monitoring.incident import IncidentStatus
from bot.domain.monitoring.readings import Answer
from bot.ports import Query
from tests.support.monitoring.monitoring import add_monitor, check_values, incidents, rollbacks
from tests.support.services.bench import BOB, Bench

MEANWHILE = {
    "changed": "monitor edit churn accuracy --greater-than 0.1",
    "paused": "monitor pause churn accuracy",
    "removed": "monitor remove churn accuracy",
}


@pytest.fixture
def armed(served: Bench) -> Bench:
    """Return a bench with an armed monitor that rolls back at the first bad value."""
    monitor = add_monitor(served, fail_after=1)
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, created_by=BOB.person, armed_at=served.clock.now(), armed_by=BOB.person))
    return served


def while_the_source_is_asked(bench: Bench, typed: str) -> None:
    """Type this command after the source was queried and before it answers."""
    ask = bench.sources.read

    def asked(name: str, queries: Sequence[Query]) -> list[Answer]:
        bench.sources.read = ask  # type: ignore[method-assign]
        bench.execute(BOB, typed)
        return ask(name, queries)

    bench.sources.read = asked  # type: ignore[method-assign]


@pytest.mark.parametrize("what", MEANWHILE)
def test_a_monitor_changed_during_its_check_moves_nothing_and_alerts_no_one(armed: Bench, what: str) -> None:
    while_the_source_is_asked(armed, MEANWHILE[what])
    check_values(armed, 0.5)
    assert (armed.registry.holders(), rollbacks(armed), incidents(armed)) == ([4], [], [])


def test_the_next_check_uses_the_new_rule(armed: Bench) -> None:
    while_the_source_is_asked(armed, MEANWHILE["changed"])
    check_values(armed, 0.5, 0.5)
    assert (armed.registry.holders(), incidents(armed)) == ([4], [])
    check_values(armed, 0.05)
    assert incidents(armed)[0].doing is IncidentStatus.AWAITING_HUMAN  # the change has disarmed it


def test_a_monitor_silenced_during_its_check_moves_nothing(armed: Bench) -> None:
    while_the_source_is_asked(armed, "monitor silence churn accuracy 2h")
    check_values(armed, 0.5)
    assert (armed.registry.holders(), rollbacks(armed), incidents(armed)) == ([4], [], [])


def test_without_a_change_the_version_is_rolled_back(armed: Bench) -> None:
    check_values(armed, 0.5)
    assert armed.registry.holders() == [2]
