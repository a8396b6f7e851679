"""No query reads a whole table."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bot.domain.audit.events import Tag
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import UNFINISHED
from bot.ledger import SqlLedger
from bot.ledger.tables.base import metadata
from bot.ports import Batch, Posting
from tests.support.ledger.records import (
    ALICE,
    BOB,
    NOW,
    SOON,
    a_freeze,
    a_hold,
    a_measurement,
    a_message,
    a_request,
    a_transition,
    a_vote,
    an_event,
    opened,
)

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def test_every_question_has_an_index(sqlite_url: str, tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        with opened(sqlite_url) as ledger:
            _ask_everything(ledger)
            _ask_about_holds(ledger)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        questions = [(s, p) for s, p in asked if s.startswith(("SELECT", "WITH", "UPDATE"))]
        scans = [
            (line[3], statement)
            for statement, parameters in questions
            for line in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            if _is_full_scan(line[3])
        ]
    assert len(questions) > 25
    assert scans == []


def _is_full_scan(step: str) -> bool:
    scan = re.match(r"SCAN (?:TABLE )?(\w+)(?! .*USING)", step)
    return scan is not None and scan[1] in set(metadata.tables) - {"audit_head", "leases"}  # which have a row or two


def _ask_everything(ledger: SqlLedger) -> None:
    request, move = a_request(), a_transition()
    with ledger.write() as w:
        w.add_request(request)
        w.save_request(w.lock_request(request.id))
        w.add_vote(a_vote(request))
        w.add_move(move)
        w.claim_move("churn", "one", NOW, SOON)
        w.release_move(replace(move, attempts=1), NOW)
        w.finish_move(replace(move, attempts=1))
        w.disown("one")
        w.owners()
        w.add_note(a_message("k"))
        (note,) = w.due_notes(NOW)
        w.claim_note(note, "one", NOW, SOON)
        w.postpone(note, SOON, "")
        w.delivered(note, Posting("C1", "1"))
        w.append(an_event())
        w.backlog(NOW)
        w.take_lease("register:churn", "one", NOW, SOON)
        w.give_lease("register:churn", "one")
        w.claim_slots({("m1", 1): SOON}, "one", NOW)
        w.finish_slots([a_measurement("m1", 1)], "one")
        w.take_vote(request.id, BOB)
        freeze = a_freeze()
        w.add_freeze(freeze)
        w.save_freeze(freeze)
    with ledger.read() as r:
        r.freezes()
        r.claimed(Batch("push", "one", (("m1", 1),)), NOW)
        r.readings("push", [("churn", "accuracy")], since=NOW, until=SOON)
        r.is_waiting(note)
        r.posting_of(note)
        r.latest(model="churn", before=7)
        r.latest(tags=[Tag.MOVED], since=NOW)
        r.requests()
        r.requests(requester=ALICE)
        r.requests(model="churn")
        r.requests(states=[RequestState.DONE])
        r.requests(model="churn", states=[RequestState.DONE])
        r.open_request("churn", Stage.PRODUCTION)
        r.expired(NOW)
        r.votes(request.id)
        r.moves("churn")
        r.moves("churn", stage=Stage.PRODUCTION)
        r.models_with_moves(UNFINISHED)
        r.waiting_asks(NOW)
        r.posting("k")
        r.links(after=3)
        r.links(model="churn", after=3)
        r.records()


def _ask_about_holds(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_hold(a_hold())
        w.claim_move("churn", "one", NOW, SOON)
        w.is_held("r1")
        w.copies("churn")
        w.copies("churn", version=7, since=3)
        w.first_unwritten("churn")
