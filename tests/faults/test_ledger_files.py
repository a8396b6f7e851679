"""Files of an SQLite ledger are deleted or replaced while it's open: nothing more is acknowledged."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from bot.domain.core.errors import LedgerFileGone, LedgerUnavailable
from bot.ledger import SqlLedger
from localslack import LocalSlack
from tests.faults.test_stopping import bot, home_with
from tests.support.app.harness import type_and_read_reply
from tests.support.faults.concurrent_writes import event_ids
from tests.support.faults.crashing_bot import MODEL
from tests.support.faults.row_writer import write_rows
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE, wait_until

FILES = ["ledger.db", "ledger.db-wal", "ledger.db-shm"]


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[SqlLedger]:
    """Yield an open ledger with one change."""
    with closing(SqlLedger(sqlite_url)) as ledger:
        write_rows(ledger, "before")
        yield ledger


def delete(file: Path) -> None:
    file.unlink()


def move(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    file.with_name("copy").rename(file)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("remove", [delete, move, replace])
def test_nothing_is_acknowledged_after_a_file_is_gone(
    ledger: SqlLedger, tmp_path: Path, name: str, remove: Callable[[Path], None]
) -> None:
    remove(tmp_path / name)
    with pytest.raises(LedgerFileGone, match="nothing can be recorded"):
        write_rows(ledger, "after")


def test_nothing_is_acknowledged_after_the_folder_is_moved(sqlite_template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "ledger.db")
    with closing(SqlLedger(f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        write_rows(ledger, "before")
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(LedgerFileGone):
            write_rows(ledger, "after")


@pytest.mark.parametrize("name", FILES)
def test_a_commit_during_which_a_file_is_deleted_is_not_acknowledged(
    ledger: SqlLedger, tmp_path: Path, name: str
) -> None:
    with pytest.raises(LedgerFileGone), ledger.write():
        (tmp_path / name).unlink()


@pytest.mark.parametrize("name", FILES)
def test_a_read_after_a_file_is_gone_is_refused(ledger: SqlLedger, tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(LedgerFileGone), ledger.read():
        pytest.fail("it must not begin")
    assert not (tmp_path / name).exists()


def test_a_ledger_stays_unusable_even_if_the_file_is_back(ledger: SqlLedger, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").rename(tmp_path / "elsewhere")
    with pytest.raises(LedgerFileGone):
        write_rows(ledger, "after")
    (tmp_path / "elsewhere").rename(tmp_path / "ledger.db")
    with pytest.raises(LedgerFileGone):
        write_rows(ledger, "after")


def test_a_new_ledger_on_the_restored_file_works(ledger: SqlLedger, sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").rename(tmp_path / "elsewhere")
    with pytest.raises(LedgerFileGone):
        write_rows(ledger, "after")
    (tmp_path / "elsewhere").rename(tmp_path / "ledger.db")
    ledger.close()
    with closing(SqlLedger(sqlite_url)) as restarted:
        write_rows(restarted, "restarted")
        assert event_ids(restarted) == {"before", "restarted"}


def test_closing_keeps_what_was_acknowledged_before_the_log_was_deleted(
    ledger: SqlLedger, sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "ledger.db-wal").unlink()
    ledger.close()
    with closing(SqlLedger(sqlite_url)) as restarted:
        assert event_ids(restarted) == {"before"}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
def test_deleted_files_can_be_recovered_while_the_process_runs(ledger: SqlLedger, tmp_path: Path) -> None:
    """The steps in docs/operations/outages.md."""
    for name in FILES:
        (tmp_path / name).unlink()
    for link in Path("/proc/self/fd").iterdir():
        name = _deleted_file(link).name
        if name in FILES[:2]:
            subprocess.run(["cp", f"/proc/{os.getpid()}/fd/{link.name}", f"recovered-{name}"], cwd=tmp_path, check=True)
    with closing(SqlLedger(f"sqlite:///{tmp_path / 'recovered-ledger.db'}")) as recovered:
        assert event_ids(recovered) == {"before"}


def _deleted_file(link: Path) -> Path:
    """Return the deleted file of an open descriptor, or an empty path."""
    target = str(link.readlink()) if link.is_symlink() else ""
    return Path(target.removesuffix(" (deleted)") if target.endswith(" (deleted)") else "")


def test_a_missing_file_is_logged_once_a_minute(
    ledger: SqlLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    ledger._file_watch._monotonic = lambda: now[0]
    (tmp_path / "ledger.db").unlink()
    for now[0] in (0.0, 1.0, 59.0, 61.0):
        with caplog.at_level(logging.ERROR), pytest.raises(LedgerUnavailable), ledger.read():
            pass
    assert [str(tmp_path / "ledger.db") in record.getMessage() for record in caplog.records] == [True, True]


# -- no false alarms ---------------------------------------------------------------------------------------------------

ANOTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("CREATE TABLE another (a)")
connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
connection.execute("VACUUM")
connection.close()
"""


def test_other_processes_checkpoints_cause_no_alarm(ledger: SqlLedger, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path / "ledger.db")], check=True)
    write_rows(ledger, "after")
    assert event_ids(ledger) == {"before", "after"}


def test_other_ledgers_in_this_process_cause_no_alarm(ledger: SqlLedger, sqlite_url: str) -> None:
    for number in range(3):
        with closing(SqlLedger(sqlite_url)) as other:
            write_rows(other, f"other-{number}")
    write_rows(ledger, "after")
    assert event_ids(ledger) == {"before", "other-0", "other-1", "other-2", "after"}


def test_terminal_commands_cause_no_alarm(ledger: SqlLedger, sqlite_url: str, tmp_path: Path) -> None:
    for words in ("db backup copy.db", "db status", "audit verify", "requests"):
        subprocess.run(
            [sys.executable, "-m", "handlers", *words.split()],
            env={**os.environ, "REGISTRAR_DATABASE_URL": sqlite_url, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    write_rows(ledger, "after")
    assert event_ids(ledger) == {"before", "after"}


def test_a_folder_that_cannot_be_read_is_an_error_only_until_it_can(sqlite_template: Path, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "ledger.db")
    with closing(SqlLedger(f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        write_rows(ledger, "before")
        folder.rename(elsewhere)
        folder.symlink_to(folder)  # no user, not even root, can follow it
        with pytest.raises(LedgerUnavailable, match="can't read its ledger's folder"):
            write_rows(ledger, "meanwhile")
        folder.unlink()
        elsewhere.rename(folder)
        write_rows(ledger, "after")
        assert event_ids(ledger) == {"before", "after"}


@pytest.mark.parametrize("engine", ["_writer", "_reader"])
def test_a_new_connection_after_all_others_are_closed_causes_no_alarm(ledger: SqlLedger, engine: str) -> None:
    """SQLite deletes its log when the last connection closes, and creates a new one."""
    event_ids(ledger)
    for each in (ledger._reader, ledger._writer):
        each.dispose()
    getattr(ledger, engine).connect().close()
    assert event_ids(ledger) == {"before"}
    write_rows(ledger, "after")


def test_a_ledger_is_found_again_after_a_change_of_the_working_directory(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SqlLedger("sqlite:///ledger.db")) as ledger:
        write_rows(ledger, "before")
        monkeypatch.chdir("/")
        write_rows(ledger, "after")
        assert event_ids(ledger) == {"before", "after"}


@pytest.mark.parametrize("url", ["sqlite:///{}/link.db", "sqlite:///file:{}/link.db?uri=true&mode=rw"])
def test_a_link_or_a_uri_is_watched_at_its_target(sqlite_url: str, tmp_path: Path, url: str) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    with closing(SqlLedger(url.format(tmp_path))) as ledger:
        write_rows(ledger, "before")
        write_rows(ledger, "after")
        (tmp_path / "ledger.db-wal").unlink()
        with pytest.raises(LedgerFileGone):
            write_rows(ledger, "later")


# -- the bot -----------------------------------------------------------------------------------------------------------


def test_the_bot_acknowledges_no_command_after_its_ledger_is_deleted(
    slack: LocalSlack, tmp_path: Path, templates: Path
) -> None:
    home = home_with(templates, tmp_path)
    with bot(slack, home, REGISTRAR_LOG="json") as running_bot:
        (home / "ledger.db").unlink()
        told = type_and_read_reply(slack.person("alice"), f"/model promote {MODEL} 4 production")
        ledger_says = wait_until(lambda: _unready(running_bot.address))
        metrics = httpx2.get(f"{running_bot.address}/metrics", timeout=PATIENCE, trust_env=False).text
        running_bot.signal()
        code, log = running_bot.ends()
    assert "ledger file was deleted or replaced, so nothing can be recorded" in told
    assert "deleted or replaced" in ledger_says
    assert "registrar_ledger_up 0.0" in metrics
    assert (code, str(home / "ledger.db") in log) == (0, True)
    assert not (home / "ledger.db").exists()


def _unready(address: str) -> str:
    """Return what /readyz says about the ledger if it isn't ready."""
    answer = httpx2.get(f"{address}/readyz", timeout=PATIENCE, trust_env=False)
    return str(answer.json()["parts"]["ledger"]["says"]) if answer.status_code == 503 else ""
