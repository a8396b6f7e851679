"""The connection to Slack, MLflow, or PostgreSQL fails during a promotion or an automatic rollback.

Afterward, it was done and reported exactly once. `make chaos` runs every fault at every point; the short
version runs one of each kind.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy.exc import DBAPIError

from bot.domain.core.errors import LedgerUnavailable
from bot.ledger import SqlLedger
from handlers.slack.socket_mode import PING_INTERVAL
from localslack import LocalSlack, Remote
from tests.support.app.app_fixture import CHANNEL, RunningApp, running_app
from tests.support.app.harness import reply_to
from tests.support.app.live_world import BAD
from tests.support.faults.concurrent_writes import NOTHING, event_ids
from tests.support.faults.row_writer import write_rows
from tests.support.faults.socket_faults import (
    Backends,
    ProxiedApp,
    app_behind_proxy,
    postgres_url_through,
    promotion_problems,
    proxy_to,
    request_and_approve,
    rollback_problems,
    run_jobs,
)
from tests.support.faults.suite_size import CHAOS
from tests.support.ledger.ledgers import PostgresServer
from tests.support.network.tcp_proxy import SocketFault, TcpProxy
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.waiting import wait_until

SILENT = 5  # unanswered pings after which slack_sdk closes a connection
RECEIVE = 3  # seconds that its reader sleeps, which delays closing

# Where the fault happens: at the data that contains this text. Empty: at the next data.
PLACES = {
    "slack": [b"", b"/api/users.info", b"/api/chat.postMessage", b"/api/chat.update"],
    "mlflow": [b"", b"/model-versions/search", b"/registered-models/get", b"/transition-stage", b"/alias"],
    "postgres": [b"", b"BEGIN", b"INSERT INTO", b"audit_events", b"UPDATE", b"COMMIT"],
}
NOWHERE = {(b"/api/users.info", "rollback")}  # a monitor rolls back, so no profile is fetched
HTTP_ONLY = {SocketFault.TOO_MANY, SocketFault.TROUBLED}
TIMES = {
    SocketFault.LATENCY: 100,
    SocketFault.HALF_OPEN: 1,
    SocketFault.BLACKHOLE: 2,
    SocketFault.TOO_MANY: 5,
    SocketFault.TROUBLED: 5,
}
SHORT = [
    ("slack", SocketFault.RESET_AFTER, b"/api/chat.postMessage", "promotion"),
    ("mlflow", SocketFault.RESET_AFTER, b"/transition-stage", "promotion"),
    ("postgres", SocketFault.RESET_AFTER, b"COMMIT", "promotion"),
]
Case = tuple[str, SocketFault, bytes, str]


def faults_of(peer: str) -> list[SocketFault]:
    """Return the faults that can happen on the way to this peer."""
    return [fault for fault in SocketFault if peer != "postgres" or fault not in HTTP_ONLY]


EVERY = [(peer, fault) for peer in PLACES for fault in faults_of(peer)]


def name_of(case: Case) -> str:
    """Return the name of a case."""
    peer, fault, place, scene = case
    return f"{peer}, {fault.value} at {place.decode().rpartition('/')[2] or 'anything'}, {scene}"


@pytest.fixture(scope="module")
def mlflow_apart(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A real MLflow server in its own process: its address, and its database."""
    folder = tmp_path_factory.mktemp("mlflow")
    database = f"sqlite:///{shutil.copy(mlflow_template, folder / 'mlflow.db')}"
    with mlflow_subprocess(database, folder / "artifacts", workers=1) as uri:
        yield uri, database


@pytest.fixture
def run(
    postgres_server: PostgresServer,
    sqlite_template: Path,
    apart: Remote,
    mlflow_apart: tuple[str, str],
    mlflow_patience: None,
    tmp_path: Path,
) -> Callable[[Case], list[str]]:
    """Yield a function that runs a case on a new ledger, and returns the problems afterward."""

    def fresh_postgres() -> str:
        return postgres_server.url(postgres_server.create("migrated"))

    def play(case: Case) -> list[str]:
        peer, fault, place, scene = case
        apart.reset()
        home = Path(tempfile.mkdtemp(dir=tmp_path))
        sqlite = f"sqlite:///{shutil.copy(sqlite_template, home / 'ledger.db')}"
        url = fresh_postgres() if peer == "postgres" else sqlite
        with app_behind_proxy(peer, Backends(apart, *mlflow_apart, url), home) as stage:
            try:
                wrong = list(PLAYS[scene](stage, fault, place))
            except (AssertionError, TimeoutError) as error:
                wrong = [f"it didn't end: {error}"]
        return [f"{name_of(case)}: {what}" for what in wrong]

    return play


def promotion(stage: ProxiedApp, fault: SocketFault, place: bytes) -> Iterator[str]:
    """Cause the fault during a promotion, and yield the problems afterward."""
    stage.wire.fail(fault, on=place, times=TIMES.get(fault, 2))
    yield from request_and_approve(stage.seen)
    yield from what_stays(lambda: list(promotion_problems(stage)))
    yield from what_never_happened(stage)


def rollback(stage: ProxiedApp, fault: SocketFault, place: bytes) -> Iterator[str]:
    """Cause the fault during an automatic rollback, and yield the problems afterward."""
    with run_jobs(stage):
        assert list(request_and_approve(stage.seen, BAD)) == []
        wait_until(lambda: stage.seen.production() == [BAD])
        stage.wire.fail(fault, on=place, times=TIMES.get(fault, 2))
        yield from what_stays(lambda: list(rollback_problems(stage)))
        yield from what_never_happened(stage)


PLAYS = {"promotion": promotion, "rollback": rollback}


def what_stays(wrong: Callable[[], list[str]]) -> list[str]:
    """Wait until there are no problems, and return those that remain."""
    try:
        wait_until(lambda: not wrong(), limit=90)
    except AssertionError:
        return wrong()
    return []


def what_never_happened(stage: ProxiedApp) -> Iterator[str]:
    """Yield a problem if the fault didn't happen: then the case has shown nothing."""
    if not stage.wire.struck:
        yield "the fault didn't happen"


@pytest.mark.postgres
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", SHORT, ids=name_of)
def test_a_network_failure_loses_and_repeats_nothing(case: Case, run: Callable[[Case], list[str]]) -> None:
    assert run(case) == []


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("peer", "fault"), EVERY, ids=lambda one: getattr(one, "value", one))
def test_a_network_failure_at_any_point_loses_and_repeats_nothing(
    peer: str, fault: SocketFault, run: Callable[[Case], list[str]]
) -> None:
    cases = [(peer, fault, place, scene) for place in PLACES[peer] for scene in PLAYS if (place, scene) not in NOWHERE]
    if not CHAOS:  # one of each fault, and not always the same
        number = EVERY.index((peer, fault))
        cases = [cases[(3 * number) % len(cases)]]
    wrong = [what for case in cases for what in run(case)]
    print(f"{peer}, {fault.value}: {len({one.partition(':')[0] for one in wrong})} of {len(cases)} went wrong")
    assert wrong == []


# -- a vanished PostgreSQL -------------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("fault", [SocketFault.HALF_OPEN, SocketFault.BLACKHOLE], ids=lambda fault: fault.value)
def test_no_one_waits_for_a_vanished_postgres(fault: SocketFault, postgres_url: str) -> None:
    with (
        closing(proxy_to("postgres", postgres_url)) as wire,
        closing(SqlLedger(postgres_url_through(postgres_url, wire))) as ledger,
    ):
        write_rows(ledger, "before")
        wire.fail(fault, on=b"INSERT", times=1000)
        with pytest.raises(LedgerUnavailable, match=NOTHING):
            write_rows(ledger, "meanwhile")
        wire.mend()
        write_rows(ledger, "after")
        assert event_ids(ledger) == {"before", "after"}


@pytest.mark.postgres
def test_an_approval_is_refused_while_postgres_has_vanished_and_works_afterward(
    slack: LocalSlack, tmp_path: Path, postgres_url: str
) -> None:
    wire = proxy_to("postgres", postgres_url)
    url = postgres_url_through(postgres_url, wire)
    with closing(wire), running_app(slack, tmp_path, MemoryRegistry(), http=True, database_url=url) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        card = app.card()
        wait_until(lambda: all_is_told(app))  # a message in delivery would be blocked for half a minute
        wire.fail(SocketFault.BLACKHOLE, times=100_000)
        assert NOTHING in reply_to(app.bob, lambda: app.bob.clicks(card, "Approve"))
        wire.mend()
        app.bob.clicks(card, "Approve")
        app.card(holds="is in Production")
        assert app.production() == [4]


def all_is_told(app: RunningApp) -> bool:
    """Return whether everything was delivered to Slack and recorded."""
    with app.ledger.read() as reading:
        return not reading.due_messages(datetime.now(UTC) + timedelta(days=1))


@pytest.mark.slow
@pytest.mark.postgres
def test_a_lost_transaction_s_locks_are_released_soon(postgres_url: str) -> None:
    """The server isn't told about the end, as when a machine loses its network."""
    with closing(SqlLedger(postgres_url)) as lost, closing(SqlLedger(postgres_url)) as ledger:
        write_rows(ledger, "r1")
        with lost._writer.connect() as hanging, hanging.begin() as transaction:
            hanging.exec_driver_sql("SELECT * FROM requests FOR UPDATE")
            assert wait_until(lambda: may_be_locked(ledger, "r1"))
            with suppress(DBAPIError):
                transaction.rollback()


def may_be_locked(ledger: SqlLedger, request: str) -> bool:
    """Return whether a request's row can be locked."""
    try:
        with ledger.write() as tx:
            tx.lock_request(request)
    except LedgerUnavailable:
        return False
    return True


# -- Socket Mode -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [SocketFault.HALF_OPEN, pytest.param(SocketFault.RESET_BEFORE, marks=pytest.mark.slow)],
    ids=lambda fault: fault.value,
)
def test_socket_mode_recovers_automatically_after_a_silent_reset(
    fault: SocketFault, apart: Remote, tmp_path: Path
) -> None:
    with closing(TcpProxy(int(str(urlsplit(apart.url).port)))) as wire:
        slack = copy.copy(apart)
        slack.api_url = f"{wire.url}/api/"
        with running_app(slack, tmp_path, MemoryRegistry()) as app:
            wire.fail(fault)
            wait_until(lambda: wire.struck)
            began = time.monotonic()
            assert wait_until(lambda: app.alice.types(CHANNEL, "/model help").acked)
            print(f"{fault.value}: missed events for {time.monotonic() - began:.1f} s")


def test_socket_mode_misses_events_for_less_than_15_seconds() -> None:
    assert SILENT * PING_INTERVAL + RECEIVE < 15
