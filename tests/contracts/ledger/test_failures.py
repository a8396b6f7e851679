"""A ledger that can't be reached, read, or written: the errors, and the state afterward."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.ledger import SqlLedger
from bot.ledger.engines import parse_url
from tests.support.ledger.records import a_request, opened, save

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


KIND = r"nothing was recorded\. Try again in a moment"


def test_a_write_that_cannot_begin_in_time_raises_ledger_unavailable(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, a_request(id="r"))
    with opened(ledger_url, timeout=0.05) as hasty, ledger.write() as w:
        w.lock_request("r")
        with pytest.raises(LedgerUnavailable, match=KIND) as told, hasty.write() as w2:
            w2.lock_request("r")
        assert told.value.__cause__ is not None


def test_a_write_that_waits_too_long_for_a_turn_raises_ledger_unavailable(sqlite_url: str) -> None:
    with opened(sqlite_url, timeout=0.05) as ledger, ThreadPoolExecutor(1) as pool, ledger.write():
        waiting = pool.submit(save, ledger, a_request())
        with pytest.raises(LedgerUnavailable, match="is busy, so nothing was recorded"):
            waiting.result()


def test_writes_work_again_after_a_busy_period(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, a_request(id="r"))
    with opened(ledger_url, timeout=0.05) as hasty:
        with ledger.write() as w:
            w.lock_request("r")
            with pytest.raises(LedgerUnavailable), hasty.write() as w2:
                w2.lock_request("r")
        with hasty.write() as w2:
            assert w2.lock_request("r").id == "r"


def test_too_many_readers_raise_ledger_unavailable(ledger_url: str) -> None:
    with opened(ledger_url, timeout=0.05, connections=1) as ledger, ledger.read() as r:
        r.audit_head()
        with pytest.raises(LedgerUnavailable, match="Try again"), ledger.read():
            pass


def test_another_programs_lock_on_sqlite_raises_ledger_unavailable(sqlite_url: str, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    with closing(other), opened(sqlite_url, timeout=0.05) as ledger:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"), ledger.write():
            pytest.fail("it must not begin")
        with ledger.read() as r:
            assert r.requests() == []
        other.execute("ROLLBACK")
        save(ledger, a_request())


def test_an_unwritable_file_raises_ledger_unavailable(sqlite_url: str, tmp_path: Path) -> None:
    with opened(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true") as ledger:
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"):
            save(ledger, a_request())
        with ledger.read() as r:
            assert r.requests() == []


def test_a_full_disk_raises_ledger_unavailable_and_leaves_nothing_behind(sqlite_url: str) -> None:
    def fill(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite reads this as the current number of pages

    event.listen(Engine, "connect", fill)
    try:
        with opened(sqlite_url) as ledger:
            with pytest.raises(LedgerUnavailable) as told:
                save(ledger, a_request(), a_request(model="fraud", reason="long " * 9_999))
            with ledger.read() as r:
                assert r.requests() == []
    finally:
        event.remove(Engine, "connect", fill)
    assert "full" in str(told.value.__cause__)


def test_a_file_that_is_not_a_database_raises_ledger_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("Dear diary, today I am not a database. " * 100)
    with opened(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        with pytest.raises(LedgerUnavailable):
            ledger.migrate()
        with pytest.raises(LedgerUnavailable), ledger.read() as r:
            r.requests()


def test_a_folder_that_cannot_be_created_raises_ledger_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(f"sqlite:///{tmp_path}/file/ledger.db") as ledger, pytest.raises(LedgerUnavailable, match="folder"):
        ledger.migrate()


@pytest.mark.postgres
def test_a_missing_postgresql_server_raises_ledger_unavailable(tmp_path: Path) -> None:
    with opened(f"postgresql://registrar@/registrar?host={tmp_path}", timeout=0.2) as ledger:
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"):
            ledger.migrate()
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"):
            save(ledger, a_request())
        with pytest.raises(LedgerUnavailable, match=r"isn't responding\. Try again"), ledger.read():
            pass


@pytest.mark.postgres
def test_a_broken_connection_rolls_back_and_the_next_write_works(
    break_connections: Callable[[], None], postgres_url: str
) -> None:
    def begin_and_break() -> None:
        with ledger.write() as w:
            w.add_request(a_request())
            break_connections()
            w.requests()

    with opened(postgres_url) as ledger:
        with pytest.raises(LedgerUnavailable, match=KIND):
            begin_and_break()
        save(ledger, a_request())
        break_connections()  # idle ones, too: they're tested before use
        with ledger.read() as r:
            assert len(r.requests()) == 1


@pytest.mark.postgres
def test_an_unconfirmed_commit_is_reported_as_possibly_recorded(
    break_connections: Callable[[], None], postgres_url: str
) -> None:
    def begin_and_break() -> None:
        with opened(postgres_url) as ledger, ledger.write() as w:
            w.add_request(a_request())
            break_connections()

    with pytest.raises(LedgerUnavailable, match="Check whether your change was recorded before"):
        begin_and_break()


@pytest.mark.parametrize("url", ["mysql://somewhere/db", "no url", "sqlite://", "sqlite:///:memory:"])
def test_an_unsupported_url_raises_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured):
        SqlLedger(url)


def test_every_common_form_of_a_postgresql_url_works() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert parse_url(f"{scheme}://me@host/db").drivername == "postgresql+psycopg"
