"""The ledger's storage is locked, full, read-only, truncated, or restarted: what the bot reports is true.

Everything acknowledged is recorded, everything reported as not recorded isn't, nothing is half done, and work
continues automatically as soon as it can.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.errors import LedgerUnavailable
from bot.ledger import SqlLedger
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, MANIFEST, RunningApp, running_app
from tests.support.app.harness import LEAD, is_chain_intact, take_snapshot, type_and_read_reply
from tests.support.faults.concurrent_writes import NOTHING, WriteReport, event_ids, mismatches, write_concurrently
from tests.support.faults.row_writer import ALICE, write_rows
from tests.support.faults.suite_size import suite_size
from tests.support.faults.write_lock import write_lock_held
from tests.support.ledger.ledgers import PostgresServer, postgres_running
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

ASK = "/model promote churn 4 production"
TAKES_NOTHING = "ledger is read-only or its disk is full, so nothing was recorded"
pytestmark = pytest.mark.timeout(900)  # the long versions take minutes
FRAME, HEAD = 24 + 4096, 32  # bytes of a frame in SQLite's log, and of the header before the first


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The whole bot over SQLite."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        yield app


def promotes(app: RunningApp) -> None:
    """Let Alice request and Bob approve, and wait until it's done."""
    app.alice.types(CHANNEL, ASK)
    app.bob.clicks(app.card(), "Approve")
    app.card(holds="is in Production")
    assert app.production() == [4]


@contextmanager
def ledger_at(url: str, patience: float = 2.0) -> Iterator[SqlLedger]:
    """Open a ledger until the block ends."""
    with closing(SqlLedger(url, timeout=patience)) as ledger:
        yield ledger


def file_of(url: str) -> Path:
    """Return SQLite's file."""
    return Path(url.removeprefix("sqlite:///"))


# -- SQLite: locked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusals", [3, pytest.param(suite_size(60, 12), marks=pytest.mark.slow)])
def test_another_process_s_lock_only_causes_a_delay(sqlite_url: str, refusals: int) -> None:
    """Four threads at two seconds each are refused 60 times in half a minute."""
    with ledger_at(sqlite_url) as ledger:
        with write_concurrently(ledger) as said:
            wait_until(lambda: said.done)
            with write_lock_held(file_of(sqlite_url)):
                wait_until(lambda: len(said.refused) >= refusals, limit=120)
            before = len(said.done)
            wait_until(lambda: len(said.done) > before + 10)
        print(f"locked: {len(list(mismatches(ledger, said)))} wrong of {said.number}, {len(said.refused)} refused")
        assert list(mismatches(ledger, said)) == []


# -- SQLite: full, read-only -----------------------------------------------------------------------------------------


def tell_writer(ledger: SqlLedger, pragma: str) -> None:
    """Run a statement on the ledger's only writing connection."""
    with closing(ledger._writer.raw_connection()) as connection:
        connection.cursor().execute(f"PRAGMA {pragma}").close()


FULL = ("max_page_count = 1", "max_page_count = 1000000")  # SQLite uses the current number of pages
READ_ONLY = ("query_only = ON", "query_only = OFF")


@pytest.mark.parametrize(("trouble", "end"), [FULL, READ_ONLY], ids=["full", "read-only"])
def test_a_request_is_refused_while_nothing_can_be_written_and_works_afterward(
    app: RunningApp, trouble: str, end: str
) -> None:
    assert isinstance(app.ledger, SqlLedger)
    tell_writer(app.ledger, trouble)
    fill(app)
    before = take_snapshot(app)
    assert TAKES_NOTHING in type_and_read_reply(app.alice, ASK)
    assert take_snapshot(app) == before
    assert is_chain_intact(app.ledger)
    tell_writer(app.ledger, end)
    promotes(app)


def fill(app: RunningApp) -> None:
    """Write until the existing pages have no room for any part of a request."""
    told = Event(
        at=datetime.now(UTC),
        actor=ALICE,
        tag=EventTag.PERMISSION_REFUSED,
        subject="x",
        model="m",
        why="why " * 20,
        origin="test",
    )

    def tell() -> None:
        with app.ledger.write() as tx:
            tx.add_audit_event(told)

    for write in (tell, lambda: app.registrar.command_queue.create_draft(LEAD, {"model": "churn"}, channel="C1")):
        with pytest.raises(LedgerUnavailable, match=NOTHING):
            again_and_again(write)


def again_and_again(act: Callable[[], object]) -> None:
    """Repeat it until it raises an error."""
    while True:
        act()


@pytest.mark.parametrize("step", [13_001, pytest.param(suite_size(509, 3001), marks=pytest.mark.slow)])
def test_a_disk_that_fills_during_a_write_keeps_no_partial_change(sqlite_url: str, step: int) -> None:
    """The log can grow up to a size that differs each time, so a write that doesn't fit can end anywhere."""
    process = subprocess.run(
        [sys.executable, "-c", FILLING, sqlite_url, str(step)],
        cwd=MANIFEST.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    print(process.stdout)
    assert process.stdout.endswith("wrong: []\n")


FILLING = """
import resource, signal, sys
from pathlib import Path
from bot.ledger import SqlLedger
from tests.support.faults.concurrent_writes import WriteReport, mismatches

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
url = sys.argv[1]
ledger, said, wrong, full = SqlLedger(url), WriteReport(), [], 0
log = Path(url.removeprefix("sqlite:///") + "-wal")
said.change(ledger, "first")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for room in range(0, 40_000, int(sys.argv[2])):
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + room, hard))
    while said.change(ledger, f"{room}-{said.number}"):
        pass
    full += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    if not said.change(ledger, f"again-{room}"):
        wrong.append(f"it does not work again after {room}")
wrong += mismatches(ledger, said)
print(f"full: {full} times, {len(said.done)} done, {len(said.refused)} refused, {len(said.unsure)} unsure")
print("wrong:", wrong)
"""


# -- SQLite: cut off in the middle -------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [1, pytest.param(suite_size(12, 4), marks=pytest.mark.slow)])
@pytest.mark.parametrize("what_follows", [b"", b"\0"], ids=["torn", "zeroed"])
def test_a_truncated_log_keeps_only_complete_commits(
    sqlite_url: str, tmp_path: Path, changes: int, what_follows: bytes
) -> None:
    """Everything up to the checkpoint is recorded, too. `zeroed`: the file keeps its length, filled with zeros."""
    with ledger_at(sqlite_url) as ledger:
        for number in range(changes):
            write_rows(ledger, f"old-{number}")
        tell_writer(ledger, "wal_checkpoint(TRUNCATE)")
        ends = {}
        for number in range(changes):
            write_rows(ledger, f"new-{number}")
            ends[f"new-{number}"] = log_of(sqlite_url).stat().st_size
        database, log = file_of(sqlite_url).read_bytes(), log_of(sqlite_url).read_bytes()
    old = {f"old-{number}" for number in range(changes)}
    cuts = sorted({0, 7, HEAD, *places_in_frames(len(log))})
    wrong = []
    for cut in cuts:
        home = tmp_path / str(cut)
        home.mkdir()
        (home / "ledger.db").write_bytes(database)
        (home / "ledger.db-wal").write_bytes(log[:cut] + what_follows * (len(log) - cut))
        with ledger_at(f"sqlite:///{home / 'ledger.db'}") as ledger:
            there = old | {name for name, end in ends.items() if end <= cut}
            wrong += [f"cut at {cut}: {what}" for what in mismatches(ledger, WriteReport(done=there))]
            write_rows(ledger, "after")
        shutil.rmtree(home)
    print(f"torn: {len(wrong)} wrong of {len(cuts)} cuts")
    assert wrong == []


def places_in_frames(size: int) -> Iterator[int]:
    """Yield the end of each frame, and points within: in its header, after it, and in its page."""
    for begin in range(HEAD, size, FRAME):
        yield from (begin + 11, begin + 24, begin + 24 + 2048, begin + FRAME)


def log_of(url: str) -> Path:
    """Return the file of SQLite's log."""
    return Path(f"{file_of(url)}-wal")


@pytest.mark.parametrize("rounds", [3, pytest.param(suite_size(50, 12), marks=pytest.mark.slow)])
def test_a_kill_during_a_write_keeps_acknowledged_changes_and_no_partial_ones(ledger_url: str, rounds: int) -> None:
    said = WriteReport()
    for number in range(rounds):
        is_killed_while_writing(ledger_url, f"k{number}", after=1 + number % 7, said=said)
    with ledger_at(ledger_url, patience=20) as ledger:
        wrong = list(mismatches(ledger, said))
        print(f"killed: {len(wrong)} wrong of {rounds} kills, {len(said.done)} acknowledged, {len(said.unsure)} open")
        assert wrong == []
        write_rows(ledger, "after")


def is_killed_while_writing(url: str, prefix: str, *, after: int, said: WriteReport) -> None:
    """Let a process write this many changes and begin the next one, and kill it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.faults.row_writer", url, prefix],
        cwd=MANIFEST.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"begin {prefix}-{after}\n":
                process.kill()
            word, _, name = line.strip().partition(" ")
            (said.done if word == "done" else said.unsure).add(name)
    said.unsure -= said.done


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restarted() -> Iterator[PostgresServer]:
    """A PostgreSQL of our own that can be killed, so its commits must be durable."""
    with postgres_running() as server:
        server.run("ALTER SYSTEM SET synchronous_commit = on")
        server.run("SELECT pg_reload_conf()")
        yield server
        server.stop()


@pytest.mark.postgres
@pytest.mark.parametrize("times", [2, pytest.param(suite_size(40, 10), marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_repeated_postgres_restarts_lose_nothing(restarted: PostgresServer, how: str, times: int) -> None:
    url = restarted.url(restarted.create("migrated"))
    assert mismatches_under_load(url, lambda: restarted.restart(how), times, how) == []


@pytest.mark.postgres
@pytest.mark.parametrize("times", [10, pytest.param(suite_size(500, 100), marks=pytest.mark.slow)])
def test_connections_closed_by_postgres_lose_nothing(
    postgres_url: str, break_connections: Callable[[], None], times: int
) -> None:
    assert mismatches_under_load(postgres_url, break_connections, times, "terminated") == []


def mismatches_under_load(url: str, trouble: Callable[[], None], times: int, name: str) -> list[str]:
    """Cause this many failures while changes are made, and return what was lost; each time, changes succeed again."""
    with ledger_at(url) as ledger:
        with write_concurrently(ledger) as said:
            for _ in range(times):
                before = len(said.done)
                wait_until(lambda before=before: len(said.done) > before + 5)  # type: ignore[misc]
                trouble()
            before = len(said.done)
            wait_until(lambda: len(said.done) > before + 5)
        wrong = list(mismatches(ledger, said))
        print(
            f"{name}: {len(wrong)} wrong of {said.number} changes and {times} times, {len(said.done)} done, "
            f"{len(said.refused)} refused, {len(said.unsure)} unsure"
        )
        assert event_ids(ledger)
        return wrong


@pytest.mark.postgres
def test_a_read_only_postgres_is_reported(postgres_server: PostgresServer, postgres_url: str) -> None:
    database = make_url(postgres_url).database
    with ledger_at(postgres_url) as ledger:
        postgres_server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        with pytest.raises(LedgerUnavailable, match="read-only or its disk is full"):
            write_rows(ledger, "r1")
        postgres_server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = off")
    with ledger_at(postgres_url) as ledger:
        write_rows(ledger, "r1")


@pytest.mark.postgres
def test_a_request_during_a_postgres_restart_is_refused_or_done_once(
    slack: LocalSlack, tmp_path: Path, restarted: PostgresServer
) -> None:
    url = restarted.url(restarted.create("migrated"))
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, database_url=url) as app:
        app.alice.types(CHANNEL, ASK)
        card = app.card()
        restarted.restart("immediate")
        app.bob.clicks(card, "Approve")  # the bot's connections are broken, and it opens new ones
        app.card(holds="is in Production")
        assert app.production() == [4]
        assert isinstance(app.ledger, SqlLedger)
        assert is_chain_intact(app.ledger)
