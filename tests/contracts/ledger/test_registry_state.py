"""The state of the registry in every ledger: snapshots, holds after a restore, and pending tag updates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import RegistrySnapshot
from bot.ledger import SqlLedger
from bot.ports import Claim, HeldWork, QueuedCommand, TagUpdate
from tests.support.domain.monitors import a_monitor
from tests.support.ledger.records import BOB, LATER, NOW, SOON, a_command, a_hold, a_request, a_transition

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def test_a_hold_covers_pending_work_but_not_later_work(ledger: SqlLedger) -> None:
    old, new = a_request(), a_request(model="fraud")
    with ledger.write() as w:
        w.add_request(old)
        w.add_transition(a_transition(id="old"))
        w.add_queued_command(a_command(id="old"))
        w.add_tag_update(TagUpdate(id="old", model="churn", version=7, tags={"approver": "U1"}))
        assert w.add_hold(a_hold())
        w.add_request(new)
        w.add_transition(a_transition(id="new"))
        w.add_queued_command(a_command(id="new"))
        w.add_tag_update(TagUpdate(id="behind", model="churn", version=7))
        w.add_tag_update(TagUpdate(id="new", model="churn", version=8))
        held = w.held_work()
        assert [
            [one.id for one in each] for each in (held.transitions, held.commands, held.requests, held.tag_updates)
        ] == [
            ["old"],
            ["old"],
            [old.id],
            ["old"],
        ]
        assert (w.is_request_held(old.id), w.is_request_held(new.id)) == (True, False)
        claimed = w.claim_transition("churn", Claim("one", NOW, SOON))
        assert claimed is not None
        assert claimed.id == "new"
        assert w.due_command_ids(NOW) == ["new"]
        assert not w.claim(QueuedCommand, "old", Claim("one", NOW, SOON))
        assert [one.id for one in w.due_tag_updates(NOW)] == ["new"]
        assert not w.claim(TagUpdate, held.tag_updates[0].id, Claim("one", NOW, SOON))


def test_only_one_hold_is_active_and_it_can_be_extended_and_lifted(ledger: SqlLedger) -> None:
    hold = a_hold()
    with ledger.write() as w:
        assert w.add_hold(hold)
        assert not w.add_hold(a_hold())
        w.add_tag_update(TagUpdate(id="later", model="churn", version=7))
        assert w.held_work().tag_updates == []
        wider = replace(hold, keys=("k", "l"))
        w.save_hold(wider, extend=True)
        assert [one.id for one in w.held_work().tag_updates] == ["later"]
    with ledger.write() as w:
        assert w.active_hold() == wider
        lifted = replace(wider, lifted_at=SOON, lifted_by=BOB, outcome="accepted")
        w.save_hold(lifted)
        assert (w.active_hold(), w.held_work(), w.holds()) == (
            None,
            HeldWork(transitions=[], commands=[], requests=[], tag_updates=[]),
            [lifted],
        )
        assert [one.id for one in w.due_tag_updates(NOW)] == ["later"]


def test_held_tag_updates_can_be_discarded(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_tag_update(TagUpdate(id="old", model="churn", version=7))
        assert w.models_with_pending_work() == ["churn"]
        w.add_hold(a_hold())
        w.add_tag_update(TagUpdate(id="new", model="churn", version=7))
        w.discard_held_tag_updates("done since")
        assert [one.id for one in w.due_tag_updates(NOW)] == ["new"]
        assert [one.id for one in w.tag_updates("churn")] == ["old", "new"]


def test_a_versions_tag_updates_are_found_from_a_number_on(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.first_unwritten_tag_update("churn") == 0
        for name, model, version in [("a", "churn", 7), ("b", "churn", 8), ("c", "fraud", 7), ("d", "churn", 7)]:
            w.add_tag_update(TagUpdate(id=name, model=model, version=version))
        a, b, d = w.tag_updates("churn")
        assert w.first_unwritten_tag_update("churn") == a.number
        w.finish_tag_update(a)
        assert w.first_unwritten_tag_update("churn") == b.number
        assert [one.id for one in w.tag_updates("churn", version=7)] == ["a", "d"]
        assert [one.id for one in w.tag_updates("churn", version=7, from_number=b.number)] == ["d"]
        w.finish_tag_update(b)
        w.finish_tag_update(d)
        assert w.first_unwritten_tag_update("churn") == d.number + 1


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
