"""Pages of the audit log and the history: each reads from an index and stops, on both databases, whatever the size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Person
from bot.domain.home.home_content import RECENT_EVENT_TAGS
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.ledger.stores import audit_pages
from bot.ledger.stores.reader import SqlLedgerReader
from tests.support.ledger.bulk_data import BEGUN, SECOND, a_vote, add_many_events, add_many_transitions, analyze
from tests.support.ledger.ledgers import PostgresServer

EVENTS, MOVES = 6000, 4000
MOST = 250  # rows that a page can read
MINUTE = timedelta(minutes=1)
END = BEGUN + EVENTS * MINUTE
ALICE = Person("T1", "UALICE")


def an_event(at: int) -> Event:
    """Return one of many events: half are about churn, the tags take turns, and rare values are far back."""
    event = replace(
        a_vote(at),
        at=BEGUN + at * MINUTE,
        tag=(EventTag.VOTED, EventTag.PROMOTION_REQUESTED, EventTag.TRANSITION_DONE)[at % 3],
    )
    if at < 30:
        return replace(event, model="old", tag=EventTag.REGISTERED, actor=ALICE)
    return replace(event, model="churn") if at % 2 else event


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLedger]:
    """Return a ledger with thousands of events and transitions, which the database has analyzed."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        url, drop = f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('pages') / 'ledger.db')}", None
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        drop = server.create("migrated")
        url = server.url(drop)
    add_many_events(url, EVENTS, an_event)
    add_many_transitions(url, "churn", MOVES)
    for number in range(20):
        add_many_transitions(url, f"model-{number}", MOVES // 20)
    analyze(url)
    with closing(SqlLedger(url, timeout=20)) as ledger:
        yield ledger
    if drop:
        server.drop(drop)


Page = Callable[[SqlLedgerReader], Any]

AUDIT: dict[str, tuple[str, Page]] = {
    "everything": ("key", lambda r: r.latest_audit_events()),
    "everything, far back": ("key", lambda r: r.latest_audit_events(before_number=EVENTS // 2)),
    "a model": ("audit_by_model", lambda r: r.latest_audit_events(model="churn")),
    "a model, far back": ("audit_by_model", lambda r: r.latest_audit_events(model="churn", before_number=EVENTS // 2)),
    "a model, lately": ("audit_by_model", lambda r: r.latest_audit_events(model="churn", since=END - MINUTE * 20)),
    "a model of long ago": ("audit_by_model", lambda r: r.latest_audit_events(model="old")),
    "a tag": ("audit_by_tag", lambda r: r.latest_audit_events(tags=[EventTag.VOTED])),
    "a tag of long ago": ("audit_by_tag", lambda r: r.latest_audit_events(tags=[EventTag.REGISTERED], limit=1)),
    "a tag that nothing has": ("audit_by_tag", lambda r: r.latest_audit_events(tags=[EventTag.ANCHORED], limit=1)),
    "a time": ("key", lambda r: r.latest_audit_events(since=END - 3 * MINUTE)),
    "rows of everything": ("key", lambda r: r.latest_audit_records()),
    "rows of a model": ("audit_by_model", lambda r: r.latest_audit_records(model="churn", before_number=EVENTS // 2)),
    "rows of an actor": ("audit_by_actor", lambda r: r.latest_audit_records(actor="slack:T1/U3")),
    "rows of an actor of long ago": ("audit_by_actor", lambda r: r.latest_audit_records(actor="slack:T1/UALICE")),
    "rows of a tag": ("audit_by_tag", lambda r: r.latest_audit_records(tag=EventTag.VOTED.value)),
}
HISTORY: dict[str, tuple[str, Page]] = {
    "the newest moves": ("moves_in_order", lambda r: r.transitions("churn", stage=Stage.PRODUCTION, limit=100)),
    "the moves of a model that has none": ("moves_in_order", lambda r: r.transitions("nobody")),
    "moves far back": (
        "moves_in_order",
        lambda r: r.transitions("churn", stage=Stage.PRODUCTION, before_id="churn-2000"),
    ),
    "moves of a time": ("moves_in_order", lambda r: r.transitions("churn", until=BEGUN + SECOND * 1000)),
    "the first move": ("moves_in_order", lambda r: r.first_transition("churn", Stage.PRODUCTION)),
}


ALL = AUDIT | HISTORY
# PostgreSQL knows that these are few, so it can also fetch and sort them.
FEW = {page for page in ALL if "long ago" in page or "lately" in page or "none" in page or "nothing" in page}


@pytest.mark.parametrize("page", ALL)
def test_a_page_reads_from_an_index_without_scans_or_sorts(full: SqlLedger, page: str) -> None:
    index, read = ALL[page]
    plan = plan_of(full, read)
    if full.is_file or page not in FEW:
        assert walks(plan) == index, plan
        assert not reads_more(plan), plan
    if not full.is_file:
        assert touched(plan) <= MOST, plan


def test_several_tags_read_at_most_one_page_each(full: SqlLedger) -> None:
    plan = plan_of(full, lambda r: r.latest_audit_events(tags=RECENT_EVENT_TAGS, limit=10))
    assert "SCAN" not in str(plan)
    assert "Seq Scan" not in str(plan)
    if full.is_file:
        assert sum("audit_by_tag" in line for line in plan) == len(RECENT_EVENT_TAGS)
        assert not reads_more(plan), plan
    else:
        limits = [node for node in nodes(plan) if node["Node Type"] == "Limit" and node["Plan Rows"] <= 10]
        assert len(limits) == len(RECENT_EVENT_TAGS) + 1, plan
        assert touched(plan) <= MOST, plan


def plan_of(ledger: SqlLedger, read: Page) -> Any:
    """Return the query plan of a page's last statement: lines for SQLite, a tree for PostgreSQL."""
    sent: list[tuple[str, Any]] = []
    with ledger.snapshot() as connection:

        @sa.event.listens_for(connection, "before_cursor_execute")
        def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
            sent.append((statement, parameters))

        read(SqlLedgerReader(connection))
        statement, parameters = sent[-1]
        if ledger.is_file:
            return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        told = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
        return (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of PostgreSQL's plan, last one first, without lookups of single values."""
    yield plan
    for inner in plan.get("Plans", []):
        if inner.get("Parent Relationship") not in {"InitPlan", "SubPlan"}:
            yield from nodes(inner)


def touched(plan: dict[str, Any]) -> float:
    """Return how many rows PostgreSQL read."""
    return max(
        float(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))
        for node in nodes(plan)
    )


def walks(plan: Any) -> str:
    """Return the index that a page reads from."""
    if isinstance(plan, list):
        line = plan[0]
        return "key" if "PRIMARY KEY" in line else line.partition("USING INDEX ")[2].partition(" ")[0]
    [index] = [node["Index Name"] for node in nodes(plan) if "Index Name" in node]
    return "key" if index == "pk_audit_events" else str(index)


def reads_more(plan: Any) -> bool:
    """Return whether a plan reads more than it returns, with a scan or a sort."""
    if isinstance(plan, list):
        return any(
            "SCAN" in line or "TEMP B-TREE" in line for line in plan if "near" not in line and line != "SCAN near"
        )
    return {node["Node Type"] for node in nodes(plan)} - {"Limit", "Index Scan"} != set()


# -- the pages' contents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"model": "churn"},
        {"tags": [EventTag.TRANSITION_DONE]},
        {"tags": [EventTag.TRANSITION_DONE, EventTag.REGISTERED]},
        {"model": "old"},
        {"model": "churn", "tags": [EventTag.PROMOTION_REQUESTED, EventTag.TRANSITION_DONE]},
        {"since": BEGUN + MINUTE * 5000},
        {"model": "churn", "tags": [EventTag.VOTED], "since": BEGUN + MINUTE * 3000},
    ],
    ids=str,
)
def test_the_pages_together_have_every_event(full: SqlLedger, given: dict[str, Any]) -> None:
    found: list[int] = []
    with full.read() as r:
        while page := r.latest_audit_events(**given, before_number=found[-1] if found else None, limit=700):
            found += [link.number for link in page]
    assert found == [at + 1 for at in reversed(range(EVENTS)) if is_meant(an_event(at), **given)]


def is_meant(event: Event, model: str | None = None, tags: list[EventTag] | None = None, since: Any = None) -> bool:
    return (
        (model is None or event.model == model)
        and (not tags or event.tag in tags)
        and (since is None or event.at >= since)
    )


def test_the_actor_filter_matches_stored_text(full: SqlLedger) -> None:
    with full.read() as r:
        assert len(r.latest_audit_records(actor="slack:T1/UALICE", limit=100)) == 30
        assert r.latest_audit_records(actor="slack:T1/UALICE", before_number=10, limit=2)[0].number == 9


def test_clock_skew_does_not_hide_events(ledger: SqlLedger) -> None:
    slow = timedelta(minutes=30)
    with ledger.write() as w:
        for at in (BEGUN, BEGUN - slow, BEGUN + slow, BEGUN):
            w.add_audit_event(replace(a_vote(1), at=at))
    with ledger.read() as r:
        assert [link.number for link in r.latest_audit_events(since=BEGUN)] == [4, 3, 1]
    assert slow < audit_pages.MAX_CLOCK_SKEW
