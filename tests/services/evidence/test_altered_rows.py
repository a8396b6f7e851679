"""Reports about a ledger whose rows someone altered: the audit log says what really happened."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from bot.ledger.tables import audit_events, audit_head, requests, transitions, votes
from scripts.evidence_tampering import open_for_tampering
from tests.support.ledger.evidence import evidence
from tests.support.services.bench import CAROL, Bench


@pytest.fixture
def change(bench: Bench) -> dict[str, Any]:
    """Return a change to Production that Alice requested and Bob approved."""
    request = bench.approved()
    bench.moves.execute_due(request.model)
    [found] = evidence(bench.ledger, since="2020")["population"]
    return dict(found)


def difference(bench: Bench) -> Any:
    """Return the facts of the only exception."""
    [found] = evidence(bench.ledger, since="2020")["exceptions"]
    assert found["kind"] == "transition_differs"
    return found["facts"]


def alter(url: str, statement: Any) -> None:
    with open_for_tampering(url) as connection:
        connection.execute(statement)


@pytest.mark.usefixtures("change")
def test_another_approver_is_an_exception(bench: Bench, sqlite_url: str) -> None:
    alter(sqlite_url, sa.update(votes).values(voter=CAROL.person))
    assert difference(bench) == {"approved_by": {"ledger": ["UCAROL"], "audit_log": ["UBOB"]}}


@pytest.mark.usefixtures("change")
def test_a_deleted_approval_is_an_exception(bench: Bench, sqlite_url: str) -> None:
    alter(sqlite_url, sa.delete(votes))
    assert difference(bench) == {"approved_by": {"ledger": [], "audit_log": ["UBOB"]}}


@pytest.mark.usefixtures("change")
def test_another_requester_is_an_exception(bench: Bench, sqlite_url: str) -> None:
    alter(sqlite_url, sa.update(requests).values(requester=CAROL.person))
    assert difference(bench) == {"requested_by": {"ledger": "slack:T1/UCAROL", "audit_log": "slack:T1/UALICE"}}


def test_a_change_without_its_request_is_an_exception(bench: Bench, sqlite_url: str, change: dict[str, Any]) -> None:
    alter(sqlite_url, sa.update(transitions).values(request=None))
    assert difference(bench) == {"request": {"ledger": None, "audit_log": change["request"]}}


def test_a_change_in_an_emptied_log_is_an_exception(bench: Bench, sqlite_url: str, change: dict[str, Any]) -> None:
    alter(sqlite_url, sa.delete(audit_events))
    alter(sqlite_url, sa.delete(audit_head))
    [found] = evidence(bench.ledger, since="2020")["exceptions"]
    assert (found["kind"], found["subject"]) == ("transition_without_event", change["id"])
