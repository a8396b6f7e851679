"""Snapshots of the registry in every ledger, and the models that each poll reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import RegistrySnapshot
from bot.ledger import SqlLedger
from bot.ports import TagUpdate
from tests.support.domain.monitors import a_monitor
from tests.support.ledger.records import LATER, NOW, a_request, a_transition

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def a_snapshot(model: str, *stages: Stage) -> RegistrySnapshot:
    return RegistrySnapshot(model=model, at=NOW, stages=dict(enumerate(stages, 1)))


def test_several_snapshots_are_saved_together_and_replaced(ledger: SqlLedger) -> None:
    churn, fraud = a_snapshot("churn", Stage.NONE), a_snapshot("fraud")
    later = replace(churn, at=LATER, stages={1: Stage.PRODUCTION})
    with ledger.write() as w:
        w.save_registry_snapshot(churn, fraud)
        w.save_registry_snapshot(later)
        w.save_registry_snapshot()
        assert w.registry_snapshots() == {"churn": later, "fraud": fraud}


def test_only_the_snapshots_of_the_named_models_are_read(ledger: SqlLedger) -> None:
    snapshots = [a_snapshot(f"m{number}") for number in range(2_001)]
    with ledger.write() as w:
        w.save_registry_snapshot(*snapshots)
        assert w.registry_snapshots(["m7", "other"]) == {"m7": a_snapshot("m7")}
    with ledger.read() as r:
        assert r.registry_snapshots([]) == {}
        assert len(r.registry_snapshots([snapshot.model for snapshot in snapshots])) == 2_001


@pytest.mark.parametrize("stage", Stage)
def test_models_with_a_version_in_staging_or_production_are_watched(ledger: SqlLedger, stage: Stage) -> None:
    with ledger.write() as w:
        w.save_registry_snapshot(a_snapshot("churn", Stage.ARCHIVED, stage), a_snapshot(""))
        assert w.watched_models() == (["churn"] if stage in {Stage.STAGING, Stage.PRODUCTION} else [])


def test_models_with_pending_work_or_a_monitor_are_watched(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_request(replace(a_request(), model="requested"))
        w.add_transition(replace(a_transition(), model="moving"))
        w.add_tag_update(TagUpdate(id="t", model="tagged", version=1))
        w.add_monitor(replace(a_monitor(), model="monitored"))
        w.add_monitor(replace(a_monitor(), id="removed", model="unmonitored", removed_at=NOW))
        assert w.watched_models() == ["monitored", "moving", "requested", "tagged"]


def test_models_with_transitions_or_requests_have_a_history(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_request(replace(a_request(), model="requested"))
        w.add_transition(replace(a_transition(), model="moved"))
        w.save_registry_snapshot(a_snapshot("new"))
        assert w.models_with_history(["requested", "moved", "new"]) == {"requested", "moved"}
        assert w.models_with_history(["new"]) == set()
