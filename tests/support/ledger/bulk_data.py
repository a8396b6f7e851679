"""Insert many versions into MLflow's database, and many events into a ledger, in bulk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.domain.audit.events import CHAIN_START, ChainHead, Event, EventTag
from bot.domain.core.actors import Person
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger.engines import parse_url
from bot.ledger.stores.audit_log import to_audit_record
from bot.ledger.stores.base import to_row
from bot.ledger.tables import audit_events, audit_head, transitions
from tests.support.registry.registries import MlflowBackend

Row = dict[str, Any]

BEGUN = datetime(2026, 5, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOBODY_HAS_IT = {"claimed_by": None, "claimed_until": None, "not_before": None}
AT_ONCE = 20_000  # events in memory at a time


def add_many_versions(backend: MlflowBackend, database_uri: str, name: str, number: int, **run: Any) -> None:
    """Add a model with so many versions, each with a finished run of its own; v1 is in Production.

    The shelf adds the first run, with what `run` says; the others are its copies, with other values of its metrics.
    """
    backend.add_model(name)
    first = backend.add_run(**run)
    backend.add_version(name, run_id=first, stage=Stage.PRODUCTION)
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
    """Insert copies of the existing rows, one with each of the changes."""
    table = sa.Table(name, sa.MetaData(), autoload_with=connection, resolve_fks=False)
    found = connection.execute(sa.select(table).filter_by(**where)).mappings().all()
    if rows := [{**row, **change} for change in changes for row in found]:
        connection.execute(sa.insert(table), rows)


def a_vote(at: int) -> Event:
    """Return event number `at`, a vote one second after the one before."""
    return Event(
        at=BEGUN + timedelta(seconds=at),
        actor=Person("T1", f"U{at % 50}"),
        tag=EventTag.VOTED,
        subject=f"r{at}",
        model=f"model-{at % 20}",
        origin="slack",
        why="better f1 than the one before",
        evidence={
            "choice": "approve",
            "version": at,
            "target": "Production",
            "incumbent": at - 1,
            "requester": "slack:T1/U1",
            "by": {"name": "Bob", "roles": ["lead"]},
        },
    )


def add_many_events(ledger_url: str, number: int, event: Callable[[int], Event] = a_vote) -> None:
    """Fill an empty audit log with this many events, chained as if each had been appended."""
    head, engine = CHAIN_START, sa.create_engine(parse_url(ledger_url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for first in range(0, number, AT_ONCE):
            added = []
            for at in range(first, min(first + AT_ONCE, number)):
                one = event(at)
                record = to_audit_record(one, head)
                added.append({**record._asdict(), "at": one.at})
                head = ChainHead(record.number, record.hash)
            _insert(connection, audit_events, added)
        connection.execute(sa.update(audit_head), {"number": head.number, "hash": head.hash})


def add_many_transitions(ledger_url: str, model: str, number: int, first: int = 0, apart: timedelta = SECOND) -> None:
    """Add this many promotions of a model to Production, `apart` from each other; `first` is the first number."""
    engine = sa.create_engine(parse_url(ledger_url), poolclass=sa.NullPool)
    added = [to_row(_a_move(model, at, apart)) | NOBODY_HAS_IT for at in range(first, first + number)]
    with engine.begin() as connection:
        for at in range(0, number, AT_ONCE):
            connection.execute(sa.insert(transitions), added[at : at + AT_ONCE])


def _a_move(model: str, at: int, apart: timedelta) -> Transition:
    then = BEGUN + at * apart
    return Transition(
        id=f"{model}-{at}",
        kind=TransitionKind.PROMOTION,
        model=model,
        version=at + 1,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        expected_incumbent=at or None,
        actor=Person("T1", f"U{at % 50}"),
        intended_at=then,
        state=TransitionState.DONE,
        finished_at=then,
        attempts=1,
    )


def analyze(ledger_url: str) -> None:
    """Update the database's statistics, as PostgreSQL's autovacuum does."""
    engine = sa.create_engine(parse_url(ledger_url), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM ANALYZE"))


def _insert(connection: sa.Connection, table: sa.Table, added: list[Row]) -> None:
    """Insert rows that need no conversion. For PostgreSQL, uses COPY, which is several times faster."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.insert(table), added)
        return
    names, driver = list(added[0]), connection.connection.driver_connection
    assert driver is not None
    listed = ", ".join(f'"{name}"' for name in names)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({listed}) FROM STDIN") as copy:
        for row in added:
            copy.write_row([row[name] for name in names])
