"""The audit log of every ledger: a chain that shows what was tampered with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.domain.audit import audit_chain
from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.audit_chain import ChainFault, ChainFaultKind
from bot.domain.audit.events import CHAIN_START, GENESIS_HASH, ChainHead, EventTag, chained_hash
from bot.ledger import SqlLedger
from bot.ledger.stores.audit_log import to_audit_record
from tests.support.ledger.bulk_data import add_many_events
from tests.support.ledger.records import LATER, NOW, an_event, fault, opened, raw, run_concurrently, save

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def tamper(url: str, *statements: str) -> None:
    """Change audit rows, as someone with the database's password could."""
    with raw(url) as connection:
        if connection.dialect.name == "sqlite":
            for act in ("update", "delete", "replace"):
                connection.execute(text(f"DROP TRIGGER audit_events_no_{act}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement))


# The audit log


def test_events_of_one_transaction_are_in_order_and_can_be_read_in_pages(ledger: SqlLedger) -> None:
    save(ledger, an_event(subject="1"), an_event(subject="2", model="fraud"))
    save(ledger, an_event(subject="3"))
    with ledger.read() as r:
        assert [link.event.subject for link in r.audit_events()] == ["1", "2", "3"]
        assert [link.number for link in r.audit_events(model="churn")] == [1, 3]
        assert [link.number for link in r.audit_events(after_number=1, limit=1)] == [2]
        first, second = r.audit_events(limit=2)
        assert second.previous == first.hash


def test_many_writers_create_one_chain(ledger: SqlLedger) -> None:
    run_concurrently(10, lambda number: save(ledger, an_event(subject=str(number)), an_event(subject="again")))
    with ledger.read() as r:
        assert [link.number for link in r.audit_events()] == list(range(1, 21))
    assert fault(ledger) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_events SET body = 'x' WHERE number = 1", "DELETE FROM audit_events"]
)
def test_the_database_refuses_to_change_the_audit_log(ledger: SqlLedger, ledger_url: str, statement: str) -> None:
    save(ledger, an_event())
    _assert_is_refused(statement, ledger_url)
    assert fault(ledger) is None


def test_sqlite_refuses_to_replace_an_event(sqlite_url: str) -> None:
    with opened(sqlite_url) as ledger:
        save(ledger, an_event())
        _assert_is_refused("INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events", sqlite_url)
        assert fault(ledger) is None


@pytest.mark.postgres
def test_postgresql_refuses_to_truncate_the_audit_log(postgres_url: str) -> None:
    with opened(postgres_url) as ledger:
        save(ledger, an_event())
        _assert_is_refused("TRUNCATE audit_events", postgres_url)
        assert fault(ledger) is None


def _assert_is_refused(statement: str, url: str) -> None:
    with pytest.raises(DBAPIError, match="never changed"), raw(url) as connection:
        connection.execute(text(statement))


COPY = "INSERT INTO audit_events SELECT {number}, at, actor, tag, model, body, {previous}, hash FROM audit_events"


MAKE_ROOM = [  # before number 3; on PostgreSQL, updating row by row would cause conflicts
    "UPDATE audit_events SET number = -number WHERE number >= 3",
    "UPDATE audit_events SET number = 1 - number WHERE number < 0",
]


CLOSE_UP = [
    "UPDATE audit_events SET number = -number WHERE number > 3",
    "UPDATE audit_events SET number = -1 - number WHERE number < 0",
]


def swap(one: int, other: int) -> list[str]:
    return [renumber(one, -one), renumber(other, one), renumber(-one, other)]


def renumber(number: int, to: int) -> str:
    return f"UPDATE audit_events SET number = {to} WHERE number = {number}"  # noqa: S608


def forged(number: int, previous: str, **changes: Any) -> str:
    """Return the statement that inserts a row with a valid hash."""
    row = to_audit_record(an_event(**changes), ChainHead(number - 1, previous))
    values = ", ".join(f"'{value}'" for value in row._replace(at=row.at[:26].replace("T", " "))[1:])
    values = values.replace(":", r"\:")  # SQLAlchemy reads a colon as a parameter
    return f"INSERT INTO audit_events VALUES ({number}, {values})"  # noqa: S608


@pytest.mark.parametrize(
    ("statements", "number", "kind", "why"),
    [
        (["UPDATE audit_events SET body = replace(body, 'U1', 'U2') WHERE number = 3"], 3, "edited", "text"),
        (["UPDATE audit_events SET hash = previous WHERE number = 3"], 3, "edited", "text"),
        (
            ["UPDATE audit_events SET model = 'fraud' WHERE number = 3"],
            3,
            "edited",
            "columns differ .*: model",
        ),
        (["UPDATE audit_events SET at = '1999-01-01 00:00:00.000000' WHERE number = 3"], 3, "edited", ": at"),
        (["UPDATE audit_events SET previous = hash WHERE number = 2"], 2, "edited", "doesn't follow"),
        (["UPDATE audit_events SET previous = hash WHERE number = 1"], 1, "edited", "doesn't follow"),
        (["DELETE FROM audit_events WHERE number = 3"], 3, "missing", "followed by event 4"),
        (["DELETE FROM audit_events WHERE number = 1"], 1, "missing", "followed by event 2"),
        (["DELETE FROM audit_events WHERE number = 3", *CLOSE_UP], 3, "missing", "its place was event 4"),
        (["DELETE FROM audit_events WHERE number > 4"], 5, "cut off", "head is event 5"),
        (["DELETE FROM audit_events"], 1, "cut off", "head is event 5"),
        ([COPY.format(number=6, previous="hash") + " WHERE number = 5"], 6, "inserted", "after the head"),
        ([COPY.format(number=-1, previous="hash") + " WHERE number = 5"], -1, "inserted", "never assigns"),
        (
            [*MAKE_ROOM, COPY.format(number=3, previous="previous") + " WHERE number = 2"],
            3,
            "inserted",
            "stored as event 4",
        ),
        (
            [*MAKE_ROOM, COPY.format(number=3, previous="hash") + " WHERE number = 2"],
            3,
            "inserted",
            "stored as event 4",
        ),
        (swap(2, 3), 2, "swapped", "stored as event 3"),
        (swap(2, 5), 2, "swapped", "stored as event 5"),
        ([renumber(3, 9)], 3, "swapped", "stored as event 9"),
        (["UPDATE audit_head SET number = 4"], 4, "edited", "differs from the head's"),
        (
            ["UPDATE audit_head SET number = 4, hash = (SELECT hash FROM audit_events WHERE number = 4)"],
            5,
            "inserted",
            "after the head",
        ),
        (["UPDATE audit_head SET hash = 'x'"], 5, "edited", "head"),
        (["DELETE FROM audit_head"], 1, "inserted", "after the head"),
    ],
)
def test_verification_finds_the_tampered_row(
    ledger: SqlLedger, ledger_url: str, statements: Sequence[str], number: int, kind: str, why: str
) -> None:
    save(ledger, *(an_event(subject=str(n)) for n in range(5)))
    assert fault(ledger) is None
    tamper(ledger_url, *statements)
    found = fault(ledger)
    assert found is not None
    assert (found.number, found.kind.value) == (number, kind)
    assert re.search(why, found.why)


def test_verification_finds_an_inserted_row_with_a_valid_hash(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, *(an_event(subject=str(n)) for n in range(5)))
    with ledger.read() as r:
        second = r.audit_records()[1]
    tamper(ledger_url, *MAKE_ROOM, forged(3, second.hash, subject="forged"))
    found = fault(ledger)
    assert found is not None
    assert (found.number, found.kind) == (3, ChainFaultKind.INSERTED)


def test_verification_finds_a_row_edited_with_its_hash_by_the_next_row(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, *(an_event(subject=str(n)) for n in range(5)))
    with ledger.read() as r:
        second = r.audit_records()[1]
    tamper(ledger_url, "DELETE FROM audit_events WHERE number = 3", forged(3, second.hash, subject="forged"))
    found = fault(ledger)
    assert found is not None
    assert (found.number, found.kind) == (3, ChainFaultKind.EDITED)


def test_verification_finds_text_that_is_not_an_event_despite_a_valid_hash(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, an_event())
    right = chained_hash(GENESIS_HASH, "x")
    tamper(ledger_url, f"UPDATE audit_events SET body = 'x', hash = '{right}'")  # noqa: S608
    assert fault(ledger) == ChainFault(
        1, ChainFaultKind.EDITED, "its text isn't an event, although it matches its hash"
    )


def test_verification_finds_an_invalid_time(sqlite_url: str) -> None:
    with opened(sqlite_url) as ledger:
        save(ledger, an_event(), an_event())
        tamper(sqlite_url, "UPDATE audit_events SET at = 'yesterday' WHERE number = 2")
        found = fault(ledger)
        assert found is not None
        assert (found.number, found.kind) == (2, ChainFaultKind.EDITED)


# Anchors


def anchored(ledger: SqlLedger) -> AnchoredHead:
    """Return the head as an anchor."""
    with ledger.read() as r:
        return AnchoredHead(at=NOW, number=r.audit_head().number, hash=r.audit_head().hash)


def rewrite(ledger: SqlLedger, url: str, before: int, why: str) -> None:
    """Rewrite every row from that number on, with valid hashes and a valid head, as a skilled attacker would."""
    with ledger.read() as r:
        links = r.audit_events()
    kept = ChainHead(links[before - 2].number, links[before - 2].hash) if before > 1 else CHAIN_START
    tamper(
        url,
        f"DELETE FROM audit_events WHERE number >= {before}",  # noqa: S608
        f"UPDATE audit_head SET number = {kept.number}, hash = '{kept.hash}'",  # noqa: S608
    )
    save(ledger, *(replace(link.event, why=why) for link in links[before - 1 :]))


def test_a_chain_that_matches_its_anchors_is_intact(ledger: SqlLedger) -> None:
    save(ledger, an_event(), an_event())
    first = anchored(ledger)
    save(ledger, an_event())
    assert fault(ledger, anchors=[first, anchored(ledger)]) is None


def test_an_anchor_reveals_a_fully_rewritten_chain(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, an_event(), an_event())
    anchor = anchored(ledger)
    rewrite(ledger, ledger_url, 1, why="forged")
    assert fault(ledger) is None
    found = fault(ledger, anchors=[anchor])
    assert found is not None
    assert (found.kind, found.number, found.last) == (ChainFaultKind.REWRITTEN, 1, 2)


def test_anchors_show_where_a_rewritten_chain_starts(ledger: SqlLedger, ledger_url: str) -> None:
    anchors = []
    for _ in range(4):
        save(ledger, an_event(), an_event(), an_event())
        anchors.append(anchored(ledger))
    rewrite(ledger, ledger_url, 8, why="forged")
    assert fault(ledger) is None
    found = fault(ledger, anchors=anchors)
    assert found is not None
    assert (found.kind, found.number, found.last) == (ChainFaultKind.REWRITTEN, 7, 9)


def test_an_anchor_reveals_a_truncated_chain(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, *(an_event() for _ in range(5)))
    anchor = anchored(ledger)
    tamper(
        ledger_url,
        "DELETE FROM audit_events WHERE number > 3",
        "UPDATE audit_head SET number = 3, hash = (SELECT hash FROM audit_events WHERE number = 3)",
    )
    assert fault(ledger) is None
    found = fault(ledger, anchors=[anchor])
    assert found is not None
    assert (found.kind, found.number) == (ChainFaultKind.CUT_OFF, 4)


def test_two_anchors_with_the_same_number_must_both_match(ledger: SqlLedger) -> None:
    save(ledger, an_event(), an_event())
    right = anchored(ledger)
    wrong = right.model_copy(update={"hash": "0" * 64})
    assert fault(ledger, anchors=[right, right]) is None
    found = fault(ledger, anchors=[right, wrong])
    assert found is not None
    assert (found.number, found.last) == (2, 2)


@pytest.mark.slow
def test_verification_handles_100_000_events(sqlite_url: str) -> None:
    add_many_events(sqlite_url, 100_000)
    with opened(sqlite_url) as ledger:
        with ledger.read() as r:
            assert (
                audit_chain.verify(
                    audit_chain.stream_records(lambda after: r.audit_records(after_number=after)), r.audit_head()
                )
                is None
            )
        tamper(sqlite_url, "UPDATE audit_events SET actor = 'slack:T1/U2' WHERE number = 99999")
        with ledger.read() as r:
            found = audit_chain.verify(
                audit_chain.stream_records(lambda after: r.audit_records(after_number=after)), r.audit_head()
            )
    assert found is not None
    assert found.number == 99_999


def test_a_chain_can_be_verified_from_an_anchor_on(ledger: SqlLedger) -> None:
    save(ledger, an_event())
    with ledger.read() as r:
        anchor = r.audit_head()
    save(ledger, an_event())
    with ledger.read() as r:
        assert audit_chain.verify(r.audit_records(after_number=anchor.number), r.audit_head(), anchor) is None


# Reading the audit log from its end


def test_the_audit_log_is_read_from_its_end(ledger: SqlLedger) -> None:
    for number in range(4):
        save(ledger, an_event(subject=f"s{number}", at=NOW + timedelta(minutes=number)))
    save(ledger, an_event(model="fraud", tag=EventTag.TRANSITION_DONE, at=LATER))

    def subjects(**how: Any) -> list[str]:
        with ledger.read() as r:
            return [link.event.subject for link in r.latest_audit_events(**how)]

    assert subjects(model="churn") == ["s3", "s2", "s1", "s0"]
    assert subjects(model="churn", before_number=3, limit=1) == ["s1"]
    assert subjects(model="churn", since=NOW + timedelta(minutes=2)) == ["s3", "s2"]
    assert subjects(tags=[EventTag.TRANSITION_DONE, EventTag.STALE]) == ["r1"]
