"""Transitions and serving checks in every ledger: claims, leases, and order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bot.domain.core.errors import AlreadyDecided
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import (
    UNFINISHED_STATES,
    StageEntry,
    Transition,
    TransitionKind,
    TransitionState,
)
from bot.ledger import SqlLedger
from bot.ports import Claim
from tests.support.ledger.records import (
    LATER,
    NOW,
    SOON,
    a_request,
    a_transition,
    an_event,
    opened,
    raw,
    run_concurrently,
    save,
)

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def claim(ledger: SqlLedger, owner: str = "one", now: datetime = NOW, model: str = "churn") -> Transition | None:
    with ledger.write() as w:
        return w.claim_transition(model, Claim(owner, now, now + timedelta(minutes=1)))


# Transitions


def test_a_transition_is_added_only_once(ledger: SqlLedger) -> None:
    move = a_transition()
    with ledger.write() as w:
        assert w.add_transition(move)
        assert not w.add_transition(replace(move, version=8))
    with ledger.read() as r:
        assert r.transition(move.id) == move
        with pytest.raises(KeyError):
            r.transition("no such move")


def test_transitions_are_listed_newest_first(ledger: SqlLedger) -> None:
    first, second = a_transition(), a_transition(target=Stage.STAGING)
    clock_was_set_back = a_transition(intended_at=NOW - timedelta(days=9), state=TransitionState.DONE)
    save(ledger, first, second, clock_was_set_back, a_transition(model="fraud"))
    with ledger.read() as r:
        assert r.transitions("churn") == [clock_was_set_back, second, first]
        assert r.transitions("churn", stage=Stage.PRODUCTION, limit=1) == [clock_was_set_back]
        assert r.transitions("churn", stage=Stage.ARCHIVED) == []
        assert r.models_with_transitions(UNFINISHED_STATES) == ["churn", "fraud"]
        assert r.models_with_transitions([TransitionState.DONE]) == ["churn"]


def test_the_transition_that_put_a_version_into_production_is_found(ledger: SqlLedger) -> None:
    done = {"state": TransitionState.DONE, "finished_at": NOW}
    entered = a_transition(**done)
    others = [
        a_transition(version=8, **done),
        a_transition(model="fraud", **done),
        a_transition(target=Stage.STAGING, **done),
        a_transition(from_stage=Stage.PRODUCTION, target=Stage.ARCHIVED, **done),
        a_transition(state=TransitionState.STALE),
        a_transition(),
    ]
    with ledger.write() as tx:
        for move in [entered, *others]:
            tx.add_transition(move)
    with ledger.read() as reading:
        assert reading.production_entries("churn", 7) == [entered]


def test_the_latest_entry_of_each_model_is_read_with_its_semver(ledger: SqlLedger) -> None:
    done = {"state": TransitionState.DONE, "finished_at": NOW}
    churn = a_transition(version=8, intended_at=SOON, **done)
    fraud = a_transition(model="fraud", kind=TransitionKind.ROLLBACK, **done)
    staged = a_transition(version=9, target=Stage.STAGING, **done)
    others = [a_transition(**done), staged, a_transition(version=9, intended_at=LATER), a_transition(model="x", **done)]
    check = ServingCheck(move=churn.id, model="churn", version=8, lane="r1", asked_at=NOW)
    with ledger.write() as tx:
        for move in [churn, fraud, *others]:
            tx.add_transition(move)
        for model in ("churn", "fraud", "idle"):
            tx.save_registry_snapshot(RegistrySnapshot(model=model, at=NOW))
        tx.add_request(a_request(version=8, semver="2.1.0", state=RequestState.DONE))
        tx.add_request(a_request(version=8, semver=None, target=Stage.STAGING, state=RequestState.DONE))
        tx.save_serving_check(check)
    with ledger.read() as r:
        assert r.latest_entries(Stage.PRODUCTION, ["churn", "fraud", "idle", "x"]) == {
            "churn": StageEntry(transition=churn, semver="2.1.0"),
            "fraud": StageEntry(transition=fraud),
        }
        assert r.latest_entries(Stage.STAGING, ["churn"]) == {"churn": StageEntry(transition=staged)}
        assert r.latest_entries(Stage.PRODUCTION, []) == {}
        assert r.serving_checks([churn.id, fraud.id]) == {churn.id: check}


def test_earlier_transitions_are_inserted_before_existing_ones(ledger: SqlLedger) -> None:
    done = {"state": TransitionState.DONE, "finished_at": NOW}
    there, *earlier = (a_transition(version=version, **done) for version in (9, 3, 4, 1, 2))
    later = a_transition(version=10, **done)
    with ledger.write() as tx:
        tx.add_transition(there)
        tx.prepend_transitions(earlier[:2])
        tx.prepend_transitions(earlier[2:])
        tx.add_transition(later)
    with ledger.read() as reading:
        found = reading.transitions("churn", stage=Stage.PRODUCTION)
        assert [move.version for move in found] == [10, 9, 4, 3, 2, 1]
        page = reading.transitions("churn", before_id=found[2].id, limit=2)
        assert [move.version for move in page] == [3, 2]
        first = reading.first_transition("churn", Stage.PRODUCTION)
        assert first is not None
        assert first.version == 1


def test_earlier_transitions_can_be_inserted_into_an_empty_ledger(ledger: SqlLedger) -> None:
    with ledger.write() as tx:
        tx.prepend_transitions([a_transition(version=1), a_transition(version=2)])
        tx.add_transition(a_transition(version=3))
    with ledger.read() as reading:
        assert [move.version for move in reading.transitions("churn")] == [3, 2, 1]


def test_the_oldest_due_transition_is_claimed_and_locks_its_model(ledger: SqlLedger) -> None:
    old, new = a_transition(), a_transition(intended_at=NOW - timedelta(hours=1))  # the clock was set back in between
    save(ledger, old, new)
    taken = claim(ledger)
    assert taken == replace(old, state=TransitionState.EXECUTING, attempts=1)
    assert claim(ledger, "two") is None
    with ledger.write() as w:
        assert w.lease_owners() == ["one"]
        w.finish_transition(replace(old, attempts=1, state=TransitionState.DONE, finished_at=NOW))
        assert w.lease_owners() == []
    following = claim(ledger, "two")
    assert following is not None
    assert following.id == new.id


def test_an_idle_model_has_nothing_to_claim(ledger: SqlLedger) -> None:
    save(ledger, a_transition(state=TransitionState.DONE), a_transition(model="fraud"))
    assert claim(ledger) is None


def test_only_one_of_twenty_simultaneous_claims_succeeds(ledger: SqlLedger) -> None:
    save(ledger, a_transition(id="oldest"), a_transition(), a_transition())
    won = [move.id for move in run_concurrently(20, lambda number: claim(ledger, f"o{number}")) if move]
    assert won == ["oldest"]


@pytest.mark.postgres
def test_a_lost_claim_leaves_the_transaction_usable(postgres_url: str) -> None:
    with opened(postgres_url) as one, opened(postgres_url) as two:
        save(one, a_transition(), a_transition())
        began = threading.Event()

        def second() -> Transition | None:
            with two.write() as w:
                w.add_audit_event(an_event())
                began.set()
                move = w.claim_transition("churn", Claim("two", NOW, SOON))
                w.lease_owners()  # the transaction can still be used
                return move

        with ThreadPoolExecutor(1) as pool, one.write() as w:
            assert w.claim_transition("churn", Claim("one", NOW, SOON))
            other = pool.submit(second)
            began.wait()
            _wait_until_somebody_waits(postgres_url)
        assert other.result() is None
        with one.read() as r:
            assert len(r.audit_events()) == 1


def _wait_until_somebody_waits(url: str) -> None:
    with raw(url) as connection:
        while not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            pass


def test_an_expired_claim_is_taken_over_first(ledger: SqlLedger) -> None:
    stuck = a_transition()
    save(ledger, stuck)
    claim(ledger, "one")
    save(ledger, a_transition(intended_at=NOW - timedelta(days=1)))
    assert claim(ledger, "two", SOON - timedelta(microseconds=1)) is None
    taken = claim(ledger, "two", SOON)
    assert taken == replace(stuck, state=TransitionState.EXECUTING, attempts=2)


def test_a_process_that_lost_its_claim_cannot_finish_the_transition(ledger: SqlLedger) -> None:
    save(ledger, a_transition(id="m"))
    slow = claim(ledger, "slow")
    fast = claim(ledger, "fast", LATER)
    assert slow
    assert fast
    with ledger.write() as w:
        w.finish_transition(replace(fast, state=TransitionState.DONE))
    with pytest.raises(AlreadyDecided, match="took over transition m; it's now done"), ledger.write() as w:
        w.finish_transition(replace(slow, state=TransitionState.FAILED))
    with ledger.write() as w, pytest.raises(KeyError):
        w.finish_transition(a_transition())


def test_a_dead_processs_claims_are_released_at_once(ledger: SqlLedger) -> None:
    save(ledger, a_transition(), a_transition(model="fraud"))
    claim(ledger, "gone")
    claim(ledger, "here", model="fraud")
    with ledger.write() as w:
        w.release_leases("gone")
        assert w.lease_owners() == ["here"]
    assert claim(ledger, "two") is not None
    assert claim(ledger, "two", model="fraud") is None


def test_a_released_transition_waits_until_its_retry_time(ledger: SqlLedger) -> None:
    save(ledger, a_transition(id="m"))
    taken = claim(ledger)
    assert taken is not None
    with ledger.write() as w:
        assert w.release_transition(taken, SOON)
        assert w.transition("m").state is TransitionState.INTENDED
        assert w.lease_owners() == []
    assert claim(ledger, "two", SOON - timedelta(microseconds=1)) is None
    again = claim(ledger, "two", SOON)
    assert again is not None
    assert again.attempts == 2


def test_a_postponed_transition_lets_a_later_one_run_first(ledger: SqlLedger) -> None:
    save(ledger, a_transition(id="waits", intended_at=NOW - timedelta(days=1)), a_transition(id="due"))
    waits = claim(ledger)
    assert waits is not None
    with ledger.write() as w:
        w.release_transition(waits, LATER)
    taken = claim(ledger)
    assert taken is not None
    assert taken.id == "due"


def test_a_finished_transition_cannot_be_released(ledger: SqlLedger) -> None:
    done = a_transition(state=TransitionState.DONE, finished_at=NOW)
    save(ledger, done)
    with ledger.write() as w:
        assert not w.release_transition(done, NOW)
        assert w.transition(done.id) == done


def test_a_transition_keeps_the_time_of_its_first_attempt(ledger: SqlLedger) -> None:
    save(ledger, a_transition(id="m"))
    taken = claim(ledger)
    assert taken is not None
    with ledger.write() as w:
        assert w.begin_transition(taken, NOW)
        assert w.begin_transition(taken, LATER)
        assert w.transition("m").began_at == NOW
        w.release_transition(taken, SOON)
    again = claim(ledger, "two", SOON)
    assert again is not None
    with ledger.write() as w:
        w.finish_transition(replace(again, state=TransitionState.DONE, finished_at=SOON, began_at=None))
        assert w.transition("m").began_at == NOW


def test_a_transition_that_was_taken_over_does_not_begin(ledger: SqlLedger) -> None:
    save(ledger, a_transition(id="m"))
    taken = claim(ledger)
    assert taken is not None
    with ledger.write() as w:
        assert not w.begin_transition(replace(taken, attempts=taken.attempts - 1), NOW)
        w.release_transition(taken, SOON)
        assert not w.begin_transition(taken, NOW)
        assert w.transition("m").began_at is None


# Serving checks


def a_serving(**changes: Any) -> ServingCheck:
    serving = ServingCheck(
        move="m1",
        model="churn",
        version=7,
        lane="r1",
        asked_at=NOW,
        next_at=SOON,
        deadline=LATER,
    )
    return replace(serving, **changes)


def test_a_serving_check_is_due_at_its_time(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.save_serving_check(a_serving())
        assert w.save_serving_check(a_serving(move="m2", asked_at=SOON, next_at=LATER))
    with ledger.read() as r:
        assert r.due_serving_checks(NOW) == []
        assert r.due_serving_checks(SOON) == [a_serving()]
        assert [one.move for one in r.due_serving_checks(LATER)] == ["m1", "m2"]
        assert r.serving_check("m1") == a_serving()
        assert r.serving_check("nothing") is None
        latest = r.latest_serving_check("churn")
        assert latest is not None
        assert latest.move == "m2"


def test_only_one_process_runs_a_serving_check_at_a_time(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.save_serving_check(a_serving())
    with ledger.write() as w:
        assert w.claim(ServingCheck, a_serving().move, Claim("one", SOON, LATER))
    with ledger.write() as w:
        assert not w.claim(ServingCheck, a_serving().move, Claim("two", SOON, LATER))
        assert w.due_serving_checks(SOON) == []
        assert [one.move for one in w.due_serving_checks(LATER)] == ["m1"]


@pytest.mark.parametrize("end", [state for state in ServingCheckState if state is not ServingCheckState.PENDING])
def test_a_serving_check_ends_only_once(ledger: SqlLedger, end: ServingCheckState) -> None:
    with ledger.write() as w:
        w.save_serving_check(a_serving())
        assert w.save_serving_check(a_serving(seen="6"))
        assert w.save_serving_check(a_serving(state=end))
        assert not w.save_serving_check(a_serving(state=ServingCheckState.CONFIRMED, seen="7"))
        assert not w.save_serving_check(a_serving())
        assert not w.claim(ServingCheck, a_serving().move, Claim("one", SOON, LATER))
        assert w.serving_check("m1") == a_serving(state=end)
        assert w.due_serving_checks(LATER) == []
