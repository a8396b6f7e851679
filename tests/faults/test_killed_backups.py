"""`registrar db backup` is killed at any moment: no partial copy remains in any folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.domain.core.errors import Misconfigured
from bot.ledger import SqlLedger, backup, backup_file
from tests.support.app.demo_process import clean_environment
from tests.support.faults.row_writer import write_rows
from tests.support.paths import ROOT

BEGIN = """
import os, shutil, signal, sys
from pathlib import Path
from bot.ledger import backup, backup_file

url, folder = sys.argv[1], Path(sys.argv[2])
copy = shutil.copyfileobj


def ended_by(number):
    def copy_half(source, target, length):
        target.write(source.read(10_000))
        target.flush()
        os.kill(os.getpid(), number)
    shutil.copyfileobj = copy_half
"""

# Each child is killed at a later file operation of the backup, until one isn't killed.
KILLED_EVERYWHERE = """
import json, traceback
backup.back_up(url, folder / "warm-up.db").size
(folder / "warm-up.db").unlink()


def killed_at(number):
    left = [number]

    def count(event, arguments):
        if event.startswith(("open", "os.", "sqlite3.", "tempfile.")):
            left[0] -= 1
            if left[0] == 0:  # killing is an event, too
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def remains(prepare):
    child = os.fork()
    if not child:
        try:
            prepare()
            backup.back_up(url, folder / "copy.db")
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    for name in files:
        (folder / name).unlink()
    return os.WIFSIGNALED(status), files


found = [remains(lambda: ended_by(signal.SIGKILL))]
while found[-1][0]:
    found.append(remains(lambda: killed_at(len(found))))
print(json.dumps(found))
"""

ENDED_BY_A_SIGNAL = """
backup_file._open_unnamed = lambda folder: None
ended_by(int(sys.argv[3]))
backup.back_up(url, folder / "copy.db")
"""


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in its own process."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script, *map(str, arguments)],
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def full_url(sqlite_url: str) -> str:
    """Return the URL of a ledger with many pages."""
    with closing(SqlLedger(sqlite_url)) as ledger:
        for number in range(20):
            write_rows(ledger, f"r{number}")
    return sqlite_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder for backups."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
def test_a_backup_killed_at_any_file_operation_leaves_no_partial_copy(full_url: str, folder: Path) -> None:
    done = python(KILLED_EVERYWHERE, full_url, folder)
    *killed, (is_killed, complete) = json.loads(done.stdout or pytest.fail(done.stderr))
    print(f"{len(killed)} kills")
    assert (is_killed, list(complete)) == (False, ["copy.db"]), done.stderr
    assert len(killed) > 5
    for _, files in killed:
        assert {name: size for name, size in files.items() if size} in ({}, complete)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_without_unnamed_files_a_signal_leaves_no_partial_copy(
    full_url: str, folder: Path, number: signal.Signals
) -> None:
    done = python(ENDED_BY_A_SIGNAL, full_url, folder, number.value)
    assert done.returncode in {128 + number, -number}
    assert list(folder.iterdir()) == []


def test_without_unnamed_files_a_later_backup_deletes_what_a_kill_left(
    full_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_file, "_open_unnamed", lambda folder: None)
    assert python(ENDED_BY_A_SIGNAL, full_url, folder, signal.SIGKILL.value).returncode == -signal.SIGKILL
    [partial] = folder.iterdir()
    backup.back_up(full_url, folder / "one.db")
    assert partial.exists()  # it might still be written
    os.utime(partial, (0, 0))
    backup.back_up(full_url, folder / "two.db")
    assert sorted(path.name for path in folder.iterdir()) == ["one.db", "two.db"]
    assert (folder / "two.db").stat().st_mode & 0o777 == 0o600
    assert (folder / "one.db").read_bytes() == (folder / "two.db").read_bytes()


def without_unnamed_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backup_file, "_open_unnamed", lambda folder: None)


def without_links(patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not supported")

    without_unnamed_files(patch)
    patch.setattr(os, "link", refuse)


FILE_SYSTEMS = pytest.mark.parametrize("prepare", [lambda patch: None, without_unnamed_files, without_links])


@FILE_SYSTEMS
def test_a_backup_needs_neither_unnamed_files_nor_links(
    full_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], None]
) -> None:
    prepare(monkeypatch)
    made = backup.back_up(full_url, folder / "copy.db")
    assert [(path.name, path.stat().st_size) for path in folder.iterdir()] == [("copy.db", made.size)]
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o600


@FILE_SYSTEMS
def test_a_file_that_appears_during_the_backup_is_not_overwritten(
    full_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], None]
) -> None:
    prepare(monkeypatch)
    copy = shutil.copyfileobj

    def copy_meanwhile(*arguments: object) -> None:
        (folder / "copy.db").write_text("dear diary")
        copy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "copyfileobj", copy_meanwhile)
    with pytest.raises(Misconfigured, match="already exists"):
        backup.back_up(full_url, folder / "copy.db")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("copy.db", "dear diary")]


ENDLESS = """#!/bin/sh
exec 3>{pipe}
echo started >&3
while echo endless; do :; done
"""


@pytest.mark.postgres
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_pg_dump_ends_with_the_backup_and_leaves_nothing(
    postgres_url: str, tmp_path: Path, folder: Path, number: signal.Signals
) -> None:
    pipe, tool = tmp_path / "pipe", tmp_path / "pg_dump"
    os.mkfifo(pipe)
    tool.write_text(ENDLESS.format(pipe=pipe))
    tool.chmod(0o755)
    environment = clean_environment(
        PYTHONPATH=str(ROOT),
        REGISTRAR_DATABASE_URL=postgres_url,
        PATH=os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
    )
    command = [sys.executable, "-m", "handlers", "db", "backup", "ledger.dump"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process:
        with pipe.open() as alive:
            assert alive.readline() == "started\n"
            process.send_signal(number)
            assert alive.read() == ""  # ends when no process has the pipe open
        assert process.wait() != 0
    assert list(folder.iterdir()) == []
