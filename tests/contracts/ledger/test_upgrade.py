"""The ledger of the previous release (tests/data), upgraded on SQLite and PostgreSQL without loss."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from bot.domain.core.actors import Person
from bot.domain.monitoring.incident import IncidentEnding
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.promotions.request import RequestState
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.ledger import SqlLedger, engines
from bot.ledger.database import _alembic_config
from tests.support.app.harness import is_chain_intact
from tests.support.ledger.previous_release import LEDGER, database

pytest_plugins = ("tests.support.ledger.ledgers",)

ALICE, BOB, CAROL = (Person("T0LOCAL", f"U0{name}") for name in ("ALICE", "BOB", "CAROL"))
MUCH_LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    """Return the previous release's ledger, upgraded."""
    file = database(LEDGER, tmp_path / "ledger.db")
    url = f"sqlite:///{file}"
    if request.param == "postgres":
        url = str(request.getfixturevalue("empty_postgres_url"))
        _copy(file, url)
    with closing(SqlLedger(url, timeout=20)) as ledger:
        ledger.migrate()
        yield ledger


def _copy(file: Path, url: str) -> None:
    """Copy every row of an SQLite file into an empty PostgreSQL with the same release's tables."""
    old, new = sa.create_engine(f"sqlite:///{file}"), sa.create_engine(engines.parse_url(url))
    with old.connect() as source, new.begin() as target:
        config, revision = (
            _alembic_config(),
            source.execute(sa.text("SELECT version_num FROM alembic_version")).scalar(),
        )
        config.attributes["connection"] = target
        command.upgrade(config, str(revision))
        before, after = sa.MetaData(), sa.MetaData()
        before.reflect(source)
        after.reflect(target, only=[name for name in before.tables if name != "alembic_version"])
        for table in after.sorted_tables:
            target.execute(table.delete())
            rows = source.execute(sa.select(before.tables[table.name])).mappings().all()
            if rows:
                target.execute(table.insert(), [{key: _in_utc(value) for key, value in row.items()} for row in rows])
    old.dispose()
    new.dispose()


def _in_utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def test_the_audit_chain_verifies(upgraded: SqlLedger) -> None:
    assert is_chain_intact(upgraded)


def test_requests_keep_their_states_and_their_votes(upgraded: SqlLedger) -> None:
    with upgraded.read() as reading:
        found = {one.model: one for one in reading.requests() if one.state.is_open or one.model == "billing"}
        assert {name: one.state for name, one in found.items()} == {
            "fraud": RequestState.PENDING,
            "search": RequestState.PENDING,
            "two-eyes": RequestState.PENDING,
            "pricing": RequestState.APPROVED,
            "ranking": RequestState.EXECUTING,
            "billing": RequestState.REJECTED,
        }
        votes = {name: [vote.voter for vote in reading.votes(one.id)] for name, one in found.items()}
        assert votes == {
            "fraud": [],
            "search": [],
            "two-eyes": [BOB],
            "pricing": [BOB],
            "ranking": [BOB],
            "billing": [CAROL],
        }


def test_transitions_keep_their_states(upgraded: SqlLedger) -> None:
    with upgraded.read() as reading:
        newest = {name: reading.transitions(name)[0] for name in ("churn", "vision", "pricing", "ranking", "mail")}
    assert {name: (move.kind, move.state, move.version) for name, move in newest.items()} == {
        "churn": (TransitionKind.ROLLBACK, TransitionState.DONE, 4),
        "vision": (TransitionKind.OBSERVED, TransitionState.DONE, 4),
        "pricing": (TransitionKind.PROMOTION, TransitionState.INTENDED, 4),
        "ranking": (TransitionKind.PROMOTION, TransitionState.EXECUTING, 4),
        "mail": (TransitionKind.PROMOTION, TransitionState.DONE, 4),
    }


def test_blocked_versions_incidents_and_armed_monitors_are_kept(upgraded: SqlLedger) -> None:
    with upgraded.read() as reading:
        assert [bar.version for bar in reading.rollback_blocks("churn")] == [5]
        assert {one.model for one in reading.incidents()} == {"churn", "leads"}
        armed = {one.model: one.is_armed for name in ("churn", "leads", "mail") for one in reading.monitors(name)}
    assert armed == {"churn": True, "leads": False, "mail": True}


def test_monitors_keep_their_last_verdicts(upgraded: SqlLedger) -> None:
    with upgraded.read() as reading:
        found = {one.state: one.judged_at for one in reading.monitor_states().values()}
    judged_at = datetime(2026, 12, 2, 5, 5, 39, 635416, tzinfo=UTC)
    assert found == {MonitorStatus.WARMUP: None, MonitorStatus.FAILED: judged_at, MonitorStatus.OK: judged_at}


def test_pending_work_is_still_pending(upgraded: SqlLedger) -> None:
    with upgraded.read() as reading:
        [ask] = reading.due_command_ids(MUCH_LATER)
        assert reading.queued_command(ask).caller == ALICE
        assert [(copy.model, dict(copy.tags)) for copy in reading.due_tag_updates(MUCH_LATER)] == [
            ("billing", {"approval_status": "rejected"})
        ]
        [rejected] = [one for one in reading.requests() if one.model == "billing"]
        lanes = {note.lane for note in reading.due_messages(MUCH_LATER)}
        assert lanes == {rejected.id, f"{rejected.id}:direct"}
        assert reading.message_ref(rejected.id) is not None
        assert [freeze.model for freeze in reading.freezes()] == ["pricing"]


ENDS = {
    (
        '{"args":{},"template":"Overtaken: {v} serves no more, {now} does. This was about {v} only."}'
    ): IncidentEnding.OVERTAKEN,
    (
        '{"args":{},"template":"Ended: {monitor} was paused, changed or removed, so nobody watches this now."}'
    ): IncidentEnding.UNWATCHED,
    '{"args":{},"template":"Recovered: {v} is well again, after {age}. Nothing was moved."}': IncidentEnding.RECOVERED,
}


@pytest.mark.parametrize("resolution", ENDS)
def test_the_upgrade_derives_how_incidents_ended(tmp_path: Path, resolution: str) -> None:
    file = database(LEDGER, tmp_path / "ledger.db")
    with closing(sqlite3.connect(file)) as before, before:
        before.execute("UPDATE incidents SET resolved_at = opened_at, doing = 'notified', resolution = ?", [resolution])
    with closing(SqlLedger(f"sqlite:///{file}", timeout=20)) as ledger:
        ledger.migrate()
        with ledger.read() as reading:
            assert {one.ending for one in reading.incidents()} == {ENDS[resolution]}
