"""Passports in every ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bot.domain.integrity.digest import DigestState, VersionDigest
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger import SqlLedger
from tests.support.ledger.records import LATER, NOW, a_transition, save
from tests.support.passports.records import FILES, passport

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def certified(ledger: SqlLedger, number: int, **changes: Any) -> Transition:
    """Insert a finished transition of the n-th version, whose files are recorded, and its passport."""
    move = a_transition(version=number, state=TransitionState.DONE, finished_at=NOW, **changes)
    digest = VersionDigest(
        id=move.id, model="churn", version=number, identity=FILES, requested_at=NOW, state=DigestState.RECORDED
    )
    with ledger.write() as w:
        w.save_registry_snapshot(RegistrySnapshot(model="churn", at=NOW, stages={}, aliases={}))
        w.add_transition(move)
        w.add_digest(digest)
        w.add_passport(a_passport(move))
    return move


def a_passport(move: Transition, number: int = 1, **changes: Any) -> Passport:
    found = passport(move, number, issued_at=NOW, expires_at=LATER)
    return replace(found, envelope="{}", **changes)


def test_a_passport_is_added_once_and_found_by_its_transition(ledger: SqlLedger) -> None:
    move = certified(ledger, 7)
    with ledger.write() as w:
        assert not w.add_passport(a_passport(move))
        assert w.add_passport(a_passport(move, 2))
    with ledger.read() as r:
        assert r.passport(move.id) == a_passport(move, 2)
        assert r.passports("churn", 7) == [a_passport(move, 2), a_passport(move)]


def test_unexpired_passports_come_without_envelopes(ledger: SqlLedger) -> None:
    move = certified(ledger, 7)
    with ledger.read() as r:
        assert r.unexpired_passports(NOW) == [replace(a_passport(move), envelope="")]
        assert r.unexpired_passports(LATER) == r.unexpired_passports(NOW, "fraud") == []


def test_changes_begin_with_the_first_transition_that_has_a_passport(ledger: SqlLedger) -> None:
    save(ledger, a_transition(state=TransitionState.DONE), a_transition(model="fraud", state=TransitionState.DONE))
    first = certified(ledger, 7)
    second = a_transition(state=TransitionState.DONE, kind=TransitionKind.OBSERVED)
    save(ledger, second, a_transition())
    with ledger.read() as r:
        assert r.changes_since_passports(NOW) == r.changes_since_passports(NOW, "churn") == [first, second]
        assert r.changes_since_passports(LATER) == r.changes_since_passports(NOW, "fraud") == []


@pytest.mark.parametrize(
    ("key", "since", "until", "is_due"),
    [("k1", LATER, NOW, False), ("k2", NOW, NOW, False), ("k2", LATER, NOW, True), ("k1", NOW, LATER, True)],
)
def test_the_latest_transition_needs_a_passport_of_this_key_or_a_later_one(
    ledger: SqlLedger, key: str, since: datetime, until: datetime, is_due: bool
) -> None:
    certified(ledger, 6)
    move = certified(ledger, 7)
    with ledger.read() as r:
        assert r.transitions_to_certify(key, since, until) == ([move] if is_due else [])
