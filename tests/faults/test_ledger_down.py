"""The ledger isn't writable: the bot says immediately that nothing was recorded, and works again afterward."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Approve
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, running_app
from tests.support.app.harness import (
    LEAD,
    MODEL_LAYOUT,
    audit_links,
    executor,
    make_transition,
    only_request,
    open_request,
    reply_to,
    requests_over,
    take_snapshot,
    tapped_registry,
    transition_state,
    type_and_read_reply,
)
from tests.support.faults.write_lock import write_lock_held
from tests.support.ledger.ledgers import PostgresServer
from tests.support.registry.memory import MemoryRegistry

ASK = "/model promote churn 4 production"


NOTHING = "nothing was recorded"


SOON = 15.0  # seconds; the ledger times out after two, or later on a busy machine


@contextmanager
def gone(server: PostgresServer, url: str, break_connections: Callable[[], None]) -> Iterator[None]:
    """Take PostgreSQL down for a while: it closes every connection and accepts none."""
    database = make_url(url).database
    server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    break_connections()
    yield
    server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The whole bot over SQLite."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        yield app


@pytest.fixture
def postgres_app(slack: LocalSlack, tmp_path: Path, postgres_url: str) -> Iterator[RunningApp]:
    """The whole bot over PostgreSQL."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, database_url=postgres_url) as app:
        yield app


def in_time(act: Callable[[], str]) -> str:
    """Return the result, which must arrive even though the ledger isn't responding."""
    began = time.monotonic()
    answer = act()
    assert time.monotonic() - began < SOON
    return answer


def test_a_requester_is_told_that_nothing_was_recorded_in_a_locked_ledger(app: RunningApp, tmp_path: Path) -> None:
    before = take_snapshot(app)
    with write_lock_held(tmp_path / "ledger.db"):
        assert NOTHING in in_time(lambda: type_and_read_reply(app.alice, ASK))
    assert take_snapshot(app) == before


def test_an_approver_is_told_that_nothing_was_recorded_in_a_locked_ledger(app: RunningApp, tmp_path: Path) -> None:
    app.alice.types(CHANNEL, ASK)
    card = app.card()
    before = take_snapshot(app)
    with write_lock_held(tmp_path / "ledger.db"):
        assert NOTHING in in_time(lambda: reply_to(app.bob, lambda: app.bob.clicks(card, "Approve")))
    assert take_snapshot(app) == before


def test_the_rejection_form_stays_open_and_says_why_with_a_locked_ledger(app: RunningApp, tmp_path: Path) -> None:
    app.alice.types(CHANNEL, ASK)
    app.bob.clicks(app.card(), "Reject")
    app.bob.waits_for_modal()
    with write_lock_held(tmp_path / "ledger.db"):
        errors = app.bob.submits({"reason": "too slow"})
    assert errors is not None
    assert NOTHING in errors["reason"]
    assert app.bob.modal() is not None
    assert app.bob.submits({"reason": "too slow"}) is None
    app.card(holds="rejected")


def test_everything_works_again_after_the_lock_is_released(app: RunningApp, tmp_path: Path) -> None:
    with write_lock_held(tmp_path / "ledger.db"):
        type_and_read_reply(app.alice, ASK)
    app.alice.types(CHANNEL, ASK)
    app.bob.clicks(app.card(), "Approve")
    app.card(holds="is in Production")
    assert app.production() == [4]


def test_a_query_does_not_wait_for_the_lock(app: RunningApp, tmp_path: Path) -> None:
    with write_lock_held(tmp_path / "ledger.db"):
        assert "v4" in in_time(lambda: type_and_read_reply(app.alice, "/model show churn"))


def test_a_ledger_locked_during_a_transition_delays_it(sqlite_url: str) -> None:
    """The registry has changed, and then the ledger isn't writable: the next executor finishes the transition."""
    ledger, registry, clock = SqlLedger(sqlite_url, timeout=0.2), MemoryRegistry(), AdjustableClock()
    registry.add_model("churn", versions=MODEL_LAYOUT)
    with ledger.write() as tx:
        tx.add_transition(make_transition("churn", 4, after=3))
    lock = ExitStack()

    def locks(when: str, call: str) -> None:
        if (when, call) == ("after", "set_alias"):
            lock.enter_context(write_lock_held(Path(sqlite_url.removeprefix("sqlite:///"))))

    with lock, pytest.raises(LedgerUnavailable):
        executor(ledger, tapped_registry(registry, locks), clock=clock).execute_due("churn")
    clock.advance(timedelta(minutes=1))  # the previous process recorded no result, so its lease has to expire
    executor(ledger, registry, clock=clock).execute_due("churn")
    assert transition_state(ledger, "churn") is TransitionState.DONE
    assert len(audit_links(ledger, EventTag.TRANSITION_DONE)) == 1
    ledger.close()


def test_a_read_only_ledger_records_nothing_and_says_so(sqlite_url: str) -> None:
    ledger = SqlLedger(sqlite_url)
    request = open_request(ledger, "churn", required=1)
    ledger.close()
    path = sqlite_url.removeprefix("sqlite:///")
    readable = SqlLedger(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(LedgerUnavailable, match=NOTHING):
        requests_over(readable).approve(LEAD, Approve(request=request.id), origin="slack")
    with readable.read() as reading:
        assert reading.votes(request.id) == []
    readable.close()


@pytest.mark.postgres
def test_a_requester_is_told_that_nothing_was_recorded_without_postgres(
    postgres_app: RunningApp,
    postgres_server: PostgresServer,
    postgres_url: str,
    break_connections: Callable[[], None],
) -> None:
    app = postgres_app
    before = take_snapshot(app)
    with gone(postgres_server, postgres_url, break_connections):
        assert NOTHING in in_time(lambda: type_and_read_reply(app.alice, ASK))
    assert take_snapshot(app) == before
    app.alice.types(CHANNEL, ASK)
    app.bob.clicks(app.card(), "Approve")
    app.card(holds="is in Production")


@pytest.mark.postgres
def test_an_approver_is_told_that_nothing_was_recorded_without_postgres(
    postgres_app: RunningApp,
    postgres_server: PostgresServer,
    postgres_url: str,
    break_connections: Callable[[], None],
) -> None:
    app = postgres_app
    app.alice.types(CHANNEL, ASK)
    card = app.card()
    with gone(postgres_server, postgres_url, break_connections):
        assert NOTHING in in_time(lambda: reply_to(app.bob, lambda: app.bob.clicks(card, "Approve")))
    app.bob.clicks(card, "Approve")
    app.card(holds="is in Production")
    assert only_request(app.ledger).decided_at is not None
