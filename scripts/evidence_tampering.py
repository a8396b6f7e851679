"""Alter a ledger as someone with write access to its database could. For scripts/evidence_year.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.domain.audit.events import EventTag, chained_hash
from bot.ledger.engines import parse_url
from bot.ledger.tables import audit_events, audit_head, transitions

# What alters the audit log, and in which order: a rewritten log has no faults that were there before.
LOG_TAMPERING = {"anchor_mismatch": 1, "chain_fault": 2, "numbering_gap": 3, "cut_off": 4}
ROW_TAMPERING = ("transition_without_event", "event_without_transition", "transition_differs")
QUIET = (EventTag.METRICS_REFUSED.value, EventTag.API_REFUSED.value)  # events that no other finding depends on
EVENTS_CUT_OFF = 3


def tamper_with_row(url: str, kind: str, transition: str) -> None:
    """Delete a transition's row, change its version, or add a copy of the row, depending on `kind`."""
    with open_for_tampering(url) as connection:
        if kind == "event_without_transition":
            connection.execute(sa.delete(transitions).where(transitions.c.id == transition))
        elif kind == "transition_differs":
            connection.execute(sa.update(transitions).where(transitions.c.id == transition).values(version=997))
        else:
            row = connection.execute(sa.select(transitions).where(transitions.c.id == transition)).mappings().one()
            copy = {**row, "id": f"{transition}-again"}
            del copy["number"]
            connection.execute(sa.insert(transitions), copy)


def tamper_with_log(url: str, kind: str, at: datetime, used: set[int]) -> None:
    """Edit or delete an event at or after a time, rewrite the log from there on, or cut off the log's end.

    `used`: the numbers of events that were altered before; neither they nor the events next to them are altered again.
    """
    with open_for_tampering(url) as connection:
        quiet = sa.select(audit_events).where(audit_events.c.tag.in_(QUIET), audit_events.c.at >= at)
        rows = connection.execute(quiet.order_by(audit_events.c.number).limit(1000)).mappings()
        row = next(row for row in rows if not used & set(range(row["number"] - 1, row["number"] + 2)))
        used.add(row["number"])
        number, is_it = audit_events.c.number, audit_events.c.number == row["number"]
        edited = row["body"].replace('"origin":"api"', '"origin":"job"')
        if kind == "chain_fault":
            connection.execute(sa.update(audit_events).where(is_it).values(body=edited))
        elif kind == "numbering_gap":
            connection.execute(sa.delete(audit_events).where(is_it))
        elif kind == "cut_off":
            head = connection.execute(sa.select(audit_head)).mappings().one()
            connection.execute(sa.delete(audit_events).where(number > head["number"] - EVENTS_CUT_OFF))
        else:
            connection.execute(sa.update(audit_events).where(is_it).values(body=edited))
            _rewrite(connection, row["number"])


def _rewrite(connection: sa.Connection, first: int) -> None:
    """Recompute the hashes from an event on, so that only an anchor shows the edit."""
    rows = connection.execute(sa.select(audit_events).where(audit_events.c.number >= first).order_by("number"))
    previous, changed = None, []
    for row in rows.mappings():
        before = row["previous"] if previous is None else previous
        previous = chained_hash(before, row["body"])
        changed.append({"key": row["number"], "before": before, "after": previous})
    statement = sa.update(audit_events).where(audit_events.c.number == sa.bindparam("key"))
    values: dict[str, Any] = {"previous": sa.bindparam("before"), "hash": sa.bindparam("after")}
    connection.execute(statement.values(values), changed)
    connection.execute(sa.update(audit_head).values(hash=previous))


@contextmanager
def open_for_tampering(url: str) -> Iterator[sa.Connection]:
    """Open the database without the triggers that protect the audit log from changes."""
    engine = sa.create_engine(parse_url(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            for act in ("update", "delete", "replace"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS audit_events_no_{act}")
        else:
            connection.exec_driver_sql("ALTER TABLE audit_events DISABLE TRIGGER USER")
        yield connection
