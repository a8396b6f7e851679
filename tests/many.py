"""Very many versions in MLflow's database, and events in a ledger: nobody waits until each of them has been made."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.domain.events import START, Event, Head, Tag
from bot.domain.people import Person
from bot.domain.registry import Stage
from bot.ledger import rows
from bot.ledger.engines import parse_url
from bot.ledger.tables import audit_events, audit_head
from tests.registries import MlflowShelf

Row = dict[str, Any]


def add_many_versions(shelf: MlflowShelf, database_uri: str, name: str, number: int, **run: Any) -> None:
    """Add a model with so many versions, each with a finished run of its own; v1 is in Production.

    The shelf adds the first run, with what `run` says; the others are its copies, with other values of its metrics.
    """
    shelf.add(name)
    first = shelf.add_run(**run)
    shelf.add_version(name, run_id=first, stage=Stage.PRODUCTION)
    chance = random.Random(name)  # noqa: S311 - nothing here is a secret
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(number - 1)]
    engine = sa.create_engine(database_uri)
    with engine.begin() as connection:
        for table in ("runs", "tags", "params"):
            _copy(connection, table, {"run_uuid": first}, [{"run_uuid": run_id} for run_id in ids])
        for table in ("metrics", "latest_metrics"):
            _copy(connection, table, {"run_uuid": first}, [{"run_uuid": i, "value": chance.random()} for i in ids])
        more = [{"version": at, "run_id": run_id, "current_stage": "None"} for at, run_id in enumerate(ids, 2)]
        _copy(connection, "model_versions", {"name": name}, more)
    engine.dispose()


def _copy(connection: sa.Connection, name: str, where: Mapping[str, str], changes: Iterable[Row]) -> None:
    """Insert the rows that are there again, once with each of the changes."""
    table = sa.Table(name, sa.MetaData(), autoload_with=connection, resolve_fks=False)
    found = connection.execute(sa.select(table).filter_by(**where)).mappings().all()
    if rows := [{**row, **change} for change in changes for row in found]:
        connection.execute(sa.insert(table), rows)


def add_many_events(ledger_url: str, number: int) -> None:
    """Fill the audit of a ledger that has no event yet with so many votes, a second apart."""
    begun, head, added = datetime(2026, 5, 4, tzinfo=UTC), START, []
    for at in range(number):
        event = Event(
            at=begun + timedelta(seconds=at), actor=Person("T1", f"U{at % 50}"), tag=Tag.VOTED, subject=f"r{at}",
            model=f"model-{at % 20}", origin="slack", why="better f1 than the one before",
            evidence={"choice": "approve", "version": at, "target": "Production", "incumbent": at - 1,
                      "requester": "slack:T1/U1", "by": {"name": "Bob", "roles": ["lead"]}},
        )  # fmt: skip
        added.append(rows.audit_row(event, head))
        head = Head(added[-1]["number"], added[-1]["hash"])
    engine = sa.create_engine(parse_url(ledger_url))
    with engine.begin() as connection:
        connection.execute(sa.insert(audit_events), added)
        connection.execute(sa.update(audit_head), {"number": head.number, "hash": head.hash})
    engine.dispose()
