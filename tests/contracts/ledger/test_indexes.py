"""No query scans an entire table."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bot.domain.audit.events import EventTag
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger import SqlLedger
from bot.ledger.tables import metadata
from bot.ports import CheckBatch, Claim, MessageRef
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
    slot_claims,
)

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def test_every_query_uses_an_index(sqlite_url: str, tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        with opened(sqlite_url) as ledger:
            _ask_everything(ledger)
            _ask_about_holds(ledger)
            _ask_about_passports(ledger)
            _ask_about_several(ledger)
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
    return scan is not None and scan[1] in set(metadata.tables) - {"audit_head", "leases"}  # which have one or two rows


def _ask_everything(ledger: SqlLedger) -> None:
    request, move = a_request(), a_transition()
    with ledger.write() as w:
        w.add_request(request)
        w.save_request(w.lock_request(request.id))
        w.add_vote(a_vote(request))
        w.add_transition(move)
        w.claim_transition("churn", Claim("one", NOW, SOON))
        w.release_transition(replace(move, attempts=1), NOW)
        w.finish_transition(replace(move, attempts=1))
        w.release_leases("one")
        w.lease_owners()
        w.add_message(a_message("k"))
        (note,) = w.due_messages(NOW)
        w.claim_message(note, Claim("one", NOW, SOON))
        w.postpone_message(note, SOON, "")
        w.mark_delivered(note, MessageRef("C1", "1"))
        w.add_audit_event(an_event())
        w.backlog(NOW)
        w.acquire_lease("register:churn", Claim("one", NOW, SOON))
        w.release_lease("register:churn", "one")
        w.claim_slots(slot_claims({("m1", 1): SOON}, "one", NOW))
        w.finish_slots([a_measurement("m1", 1)], "one")
        w.delete_vote(request.id, BOB)
        freeze = a_freeze()
        w.add_freeze(freeze)
        w.save_freeze(freeze)
    with ledger.read() as r:
        r.freezes()
        r.claimed_monitors(CheckBatch("push", "one", (("m1", 1),)), NOW)
        r.readings("push", [("churn", "accuracy")], since=NOW, until=SOON)
        r.is_pending(note.key)
        r.message_ref(note.ref_key)
        r.latest_audit_events(model="churn", before_number=7)
        r.latest_audit_events(tags=[EventTag.TRANSITION_DONE], since=NOW)
        r.requests()
        r.requests(requester=ALICE)
        r.requests(model="churn")
        r.requests(states=[RequestState.DONE])
        r.requests(model="churn", states=[RequestState.DONE])
        r.open_request("churn", Stage.PRODUCTION)
        r.expired_request_ids(NOW)
        r.votes(request.id)
        r.transitions("churn")
        r.transitions("churn", stage=Stage.PRODUCTION)
        r.models_with_transitions(UNFINISHED_STATES)
        r.due_command_ids(NOW)
        r.message_ref("k")
        r.audit_events(after_number=3)
        r.audit_events(model="churn", after_number=3)
        r.audit_records()


def _ask_about_several(ledger: SqlLedger) -> None:
    with ledger.read() as r:
        r.latest_entries(Stage.PRODUCTION, ["churn", "fraud"])
        r.serving_checks(["m1", "m2"])
        r.votes_by_request(["r1", "r2"])
        r.message_refs(["k1", "k2"])
        r.open_proposals()


def _ask_about_holds(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_hold(a_hold())
        w.claim_transition("churn", Claim("one", NOW, SOON))
        w.is_request_held("r1")
        w.tag_updates("churn")
        w.tag_updates("churn", version=7, from_number=3)
        w.first_unwritten_tag_update("churn")


def _ask_about_passports(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.passport("m1")
        w.passports("churn", 7)
        w.changed_digests()
        w.rollback_blocks(None)
        for model in (None, "churn"):
            w.unexpired_passports(NOW, model)
            w.changes_since_passports(NOW, model)
        w.transitions_to_certify("k1", NOW, SOON)
