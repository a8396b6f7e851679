"""The tables of every ledger: created, upgraded, and left unchanged if a newer release created them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Misconfigured
from bot.domain.promotions.request import RequestState
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from bot.ledger.tables import metadata
from bot.ports import MessageRef
from tests.support.ledger.records import ALICE, BOB, LATER, a_request, an_event, fault, opened, raw, save
from tests.support.paths import OLD_LEDGER, ROOT

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def test_only_the_current_user_can_access_the_file_and_its_folder(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/home/ledger.db") as ledger:
        ledger.migrate()
        save(ledger, a_request())
        home = tmp_path / "home"
        assert home.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in home.iterdir()} == {0o600}


def test_only_one_process_at_a_time_uses_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/home/ledger.db"
    with opened(url) as second:
        with opened(url) as first:
            first.lock_file()
            with pytest.raises(Misconfigured, match="Another Registrar process is already using the ledger"):
                second.lock_file()
        second.lock_file()


@pytest.mark.postgres
def test_several_processes_can_use_postgresql(postgres_url: str) -> None:
    with opened(postgres_url) as one, opened(postgres_url) as two:
        one.lock_file()
        two.lock_file()
        assert (one.is_file, two.is_file) == (False, False)


def test_migrating_again_changes_nothing(ledger: SqlLedger) -> None:
    save(ledger, a_request(), an_event())
    ledger.migrate()
    assert fault(ledger) is None


def test_the_migrations_create_the_tables_in_the_code(ledger: SqlLedger, ledger_url: str) -> None:
    def is_ours(name: str | None, *_: object) -> bool:
        return not (name or "").startswith("procrastinate_")  # Procrastinate manages the queue's tables

    with raw(ledger_url) as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_ours})
        assert compare_metadata(context, metadata) == []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/ledger.db"
    return str(request.getfixturevalue("empty_postgres_url"))


def test_two_processes_that_start_at_once_can_both_migrate(empty_url: str) -> None:
    program = (
        "import sys; from bot.ledger import SqlLedger; ledger = SqlLedger(sys.argv[1]); "
        "print('ready', flush=True); input(); ledger.migrate()"
    )
    with _started(program, empty_url) as one, _started(program, empty_url) as two:
        for process in (one, two):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        results = [process.communicate("go\n") for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], results
    with opened(empty_url) as ledger:
        save(ledger, a_request(), an_event())


def _started(program: str, url: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program, url], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def test_a_ledger_from_a_newer_registrar_is_not_changed(ledger: SqlLedger, ledger_url: str) -> None:
    with raw(ledger_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="newer version of Registrar"):
        ledger.migrate()


def test_a_ledger_without_a_revision_is_not_changed(ledger: SqlLedger, ledger_url: str) -> None:
    with raw(ledger_url) as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(Misconfigured, match="Restore a backup"):
        ledger.migrate()


def test_a_ledger_from_the_first_release_is_upgraded(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as old:
        old.executescript(OLD_LEDGER.read_text(encoding="utf-8"))
    with opened(f"sqlite:///{file}") as ledger:
        ledger.migrate()
        _assert_the_old_story_is_there(ledger)
        save(ledger, an_event())
        assert fault(ledger) is None


def _assert_the_old_story_is_there(ledger: SqlLedger) -> None:
    with ledger.read() as r:
        done, waiting = r.request("k7qm2a"), r.request("p3xw9d")
        assert (done.state, done.decided_by, done.semver) == (RequestState.DONE, ALICE, "2.1.0")
        assert (waiting.state, waiting.reason) == (RequestState.PENDING, "“Größer”, it's 10% better 🚀")
        assert [vote.voter for vote in r.votes(done.id)] == [ALICE, BOB]
        assert [move.state for move in r.transitions("churn")] == [TransitionState.DONE]
        assert r.queued_command("a1").request == done.id
        assert [note.key for note in r.due_messages(LATER)] == ["p3xw9d:card"]
        assert r.message_ref("k7qm2a") == MessageRef("C1", "1777000000.000100")
        assert [link.event.tag for link in r.audit_events()] == [
            EventTag.PROMOTION_REQUESTED,
            EventTag.REQUEST_OPENED,
            EventTag.VOTED,
            EventTag.VOTED,
            EventTag.TRANSITION_DONE,
        ]
