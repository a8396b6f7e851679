"""Holds after a restore, and the tag updates that wait, in every ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.ledger import SqlLedger
from bot.ports import Copy, Held
from tests.support.ledger.records import BOB, NOW, SOON, a_command, a_hold, a_request, a_transition

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def test_a_hold_covers_what_was_waiting_and_nothing_that_comes_later(ledger: SqlLedger) -> None:
    old, new = a_request(), a_request(model="fraud")
    with ledger.write() as w:
        w.add_request(old)
        w.add_move(a_transition(id="old"))
        w.add_ask(a_command(id="old"))
        w.add_copy(Copy(id="old", model="churn", version=7, tags={"approver": "U1"}))
        assert w.add_hold(a_hold())
        w.add_request(new)
        w.add_move(a_transition(id="new"))
        w.add_ask(a_command(id="new"))
        w.add_copy(Copy(id="behind", model="churn", version=7))
        w.add_copy(Copy(id="new", model="churn", version=8))
        held = w.held()
        assert [[one.id for one in each] for each in (held.moves, held.asks, held.requests, held.copies)] == [
            ["old"],
            ["old"],
            [old.id],
            ["old"],
        ]
        assert (w.is_held(old.id), w.is_held(new.id)) == (True, False)
        claimed = w.claim_move("churn", "one", NOW, SOON)
        assert claimed is not None
        assert claimed.id == "new"
        assert w.waiting_asks(NOW) == ["new"]
        assert not w.claim_ask("old", NOW, SOON)
        assert [one.id for one in w.due_copies(NOW)] == ["new"]
        assert not w.claim_copy(held.copies[0], NOW, SOON)


def test_one_hold_is_active_at_a_time_and_can_be_widened_and_lifted(ledger: SqlLedger) -> None:
    hold = a_hold()
    with ledger.write() as w:
        assert w.add_hold(hold)
        assert not w.add_hold(a_hold())
        w.add_copy(Copy(id="later", model="churn", version=7))
        assert w.held().copies == []
        wider = replace(hold, keys=("k", "l"))
        w.save_hold(wider, widen=True)
        assert [one.id for one in w.held().copies] == ["later"]
    with ledger.write() as w:
        assert w.hold() == wider
        lifted = replace(wider, lifted_at=SOON, lifted_by=BOB, outcome="accepted")
        w.save_hold(lifted)
        assert (w.hold(), w.held(), w.holds()) == (None, Held(moves=[], asks=[], requests=[], copies=[]), [lifted])
        assert [one.id for one in w.due_copies(NOW)] == ["later"]


def test_held_tag_updates_can_be_dropped(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_copy(Copy(id="old", model="churn", version=7))
        assert w.models_waiting() == ["churn"]
        w.add_hold(a_hold())
        w.add_copy(Copy(id="new", model="churn", version=7))
        w.drop_copies("done since")
        assert [one.id for one in w.due_copies(NOW)] == ["new"]
        assert [one.id for one in w.copies("churn")] == ["old", "new"]


def test_what_is_to_be_written_to_one_version_is_found_from_a_number_on(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.first_unwritten("churn") == 0
        for name, model, version in [("a", "churn", 7), ("b", "churn", 8), ("c", "fraud", 7), ("d", "churn", 7)]:
            w.add_copy(Copy(id=name, model=model, version=version))
        a, b, d = w.copies("churn")
        assert w.first_unwritten("churn") == a.number
        w.copied(a)
        assert w.first_unwritten("churn") == b.number
        assert [one.id for one in w.copies("churn", version=7)] == ["a", "d"]
        assert [one.id for one in w.copies("churn", version=7, since=b.number)] == ["d"]
        w.copied(b)
        w.copied(d)
        assert w.first_unwritten("churn") == d.number + 1
