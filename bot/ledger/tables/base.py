"""The tables. A column has the name of the field that it holds; rows.py relies on that.

`number` counts rows in the order of their insertion: it settles which of two with the same time came first.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal_column,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.monitoring.incident import Doing, Ending, IncidentKind
from bot.domain.monitoring.readings import Outcome
from bot.domain.monitoring.state import State
from bot.domain.promotions.request import Choice, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import FindingKind
from bot.domain.transitions.restores import HoldKind
from bot.domain.transitions.serving_check import ServingState
from bot.domain.transitions.transition import MoveKind, MoveState
from bot.ledger.tables.column_types import (
    Being,
    Evidence,
    Figures,
    Marks,
    Member,
    Numbers,
    Plain,
    Rules,
    Run,
    Sentence,
    Sentences,
    Stages,
    Summary,
    Texts,
    Utc,
    Who,
    Words,
)
from bot.ports import AskState, NoteKind

OPEN = tuple(state for state in RequestState if state.is_open)


class NoteState(Enum):
    """What has become of a row of the outbox. It is never deleted: its key stays taken."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DROPPED = "dropped"


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


# Ten thousand monitors fill four bytes in five months. SQLite counts with eight, and only what it calls INTEGER.
Count = BigInteger().with_variant(Integer(), "sqlite")


def _number() -> Column[int]:
    return Column("number", Count, primary_key=True)


requests = Table(
    "requests",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("model", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", Member(Stage), nullable=False),
    Column("target", Member(Stage), nullable=False),
    Column("incumbent", Integer),
    Column("requester", Who, nullable=False),
    Column("reason", Words, nullable=False),
    Column("required", Integer, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("keep_existing", Boolean, nullable=False),
    Column("semver", Words),
    Column("state", Member(RequestState), nullable=False),
    Column("decided_at", Utc),
    Column("decided_by", Who),
    Column("outcome", Words, nullable=False),
    Column("former_status", Words),
    Column("seen", Evidence),
    Column("overridden_by", Who),
    Column("override_reason", Words, nullable=False, server_default=""),
    Column("reminded", Integer, nullable=False, server_default="0"),
    Column("ci", Run),
    Column("breaks_glass", Boolean, nullable=False, server_default=false()),
    Column("identity", Being),
    Column("incumbent_identity", Being),
    Column("review_due", Utc),
    Column("reviewed_by", Who),
    Column("reviewed_at", Utc),
    Column("review_reason", Words, nullable=False, server_default=""),
    Column("review_reminded", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

votes = Table(
    "votes",
    metadata,
    _number(),
    Column("request", Words, ForeignKey(requests.c.id), nullable=False),
    Column("voter", Who, nullable=False),
    Column("choice", Member(Choice), nullable=False),
    Column("reason", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("lapsed", Words, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

moves = Table(
    "moves",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("kind", Member(MoveKind), nullable=False),
    Column("model", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", Member(Stage), nullable=False),
    Column("target", Member(Stage), nullable=False),
    Column("expected_incumbent", Integer),
    Column("actor", Who, nullable=False),
    Column("intended_at", Utc, nullable=False),
    Column("request", Words, ForeignKey(requests.c.id)),
    Column("keep_existing", Boolean, nullable=False),
    Column("state", Member(MoveState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("finished_at", Utc),
    Column("why", Words, nullable=False),
    # Who is at it, until when nobody else may be, and from when it may be tried again.
    Column("claimed_by", Words),
    Column("claimed_until", Utc),
    Column("not_before", Utc),
    Column("finding", Words),
    Column("reason", Words, nullable=False, server_default=""),
    Column("incident", Words),
    Column("is_forced", Boolean, nullable=False, server_default=false()),
    Column("identity", Being),
    Column("trusted_at", Utc),
    Column("began_at", Utc),
    sqlite_autoincrement=True,
)

asks = Table(
    "asks",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("caller", Who, nullable=False),
    Column("command", Plain, nullable=False),
    Column("where", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("state", Member(AskState), nullable=False),
    Column("request", Words, ForeignKey(requests.c.id)),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Utc),
    Column("ci", Run),
    Column("key", Words),
    Column("digest", Words),
    Column("error", Words),
    Column("outcome", Words, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

notes = Table(
    "notes",
    metadata,
    _number(),
    Column("key", Words, nullable=False, unique=True),
    Column("lane", Words, nullable=False),
    Column("kind", Member(NoteKind), nullable=False),
    Column("to", Words, nullable=False),
    Column("data", Plain, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("was_tried", Boolean, nullable=False),
    Column("created_at", Utc),
    Column("state", Member(NoteState), nullable=False),
    Column("not_before", Utc),
    Column("why", Words, nullable=False),
    # Who delivers it at this moment, and until when nobody else may.
    Column("claimed_by", Words),
    Column("claimed_until", Utc),
    sqlite_autoincrement=True,
)

postings = Table(
    "postings",
    metadata,
    Column("key", Words, primary_key=True),
    Column("channel", Words, nullable=False),
    Column("ts", Words, nullable=False),
    Column("file", Words, nullable=False, server_default=""),
)

turns = Table(
    "turns",
    metadata,
    Column("channel", Words, primary_key=True),
    Column("next_at", Utc, nullable=False),
)

looks = Table(
    "looks",
    metadata,
    Column("model", Words, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("updated_at", Utc),
    Column("stages", Stages, nullable=False),
    Column("aliases", Plain, nullable=False),
    Column("after", Words),
    Column("created_at", Utc),
    Column("marks", Marks),
    Column("tags", Marks),
)

findings = Table(
    "findings",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("kind", Member(FindingKind), nullable=False),
    Column("model", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("versions", Numbers, nullable=False),
    Column("lines", Sentences, nullable=False),
    Column("by", Who),
    Column("mend", Integer),
    Column("stage", Member(Stage), nullable=False),
    Column("mended_by", Who),
    Column("mended_at", Utc),
    sqlite_autoincrement=True,
)

freezes = Table(
    "freezes",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("model", Words),
    Column("by", Who, nullable=False),
    Column("reason", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("until", Utc),
    Column("lifted_at", Utc),
    Column("lifted_by", Who),
    sqlite_autoincrement=True,
)

# Discrepancies between ledger and registry. One that isn't lifted covers the rows that were there when it was opened:
# those of each of four tables, up to a number.
holds = Table(
    "holds",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("kind", Member(HoldKind), nullable=False),
    Column("at", Utc, nullable=False),
    Column("lines", Sentences, nullable=False),
    Column("keys", Texts, nullable=False),
    Column("lifted_at", Utc),
    Column("lifted_by", Who),
    Column("outcome", Words, nullable=False, server_default=""),
    *(Column(name, Count, nullable=False, server_default="0") for name in ("requests", "moves", "asks", "copies")),
    sqlite_autoincrement=True,
)

copies = Table(
    "copies",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("model", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tags", Plain, nullable=False),
    Column("line", Words, nullable=False),
    Column("alias", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("not_before", Utc),
    Column("why", Words, nullable=False),
    Column("lane", Words, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

bars = Table(
    "bars",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("model", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("move", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("by", Who, nullable=False),
    Column("reason", Words, nullable=False),
    Column("cleared_at", Utc),
    Column("cleared_by", Who),
    Column("clear_reason", Words, nullable=False),
    sqlite_autoincrement=True,
)

monitors = Table(
    "monitors",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("model", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("rule", Rules, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", Who),
    Column("revision", Integer, nullable=False),
    Column("measured_from", Integer, nullable=False, server_default="1"),
    Column("is_paused", Boolean, nullable=False),
    Column("armed_at", Utc),
    Column("armed_by", Who),
    Column("removed_at", Utc),
    Column("silenced_until", Utc),
    Column("silenced_by", Who),
    Column("silence_reason", Words, nullable=False),
    sqlite_autoincrement=True,
)

# One row a monitor, written anew with each check.
standings = Table(
    "standings",
    metadata,
    Column("monitor", Words, primary_key=True),
    Column("slot", Integer, nullable=False),
    Column("next_at", Utc),
    Column("state", Member(State), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", Integer),
    Column("move", Words),
    Column("bad", Integer, nullable=False),
    Column("good", Integer, nullable=False),
    Column("empty", Integer, nullable=False),
    Column("broken", Integer, nullable=False),
    Column("beyond", Integer, nullable=False),
    Column("unjudged", Integer, nullable=False, server_default="0"),
    Column("judged_at", Utc),
    Column("missed_at", Utc),
    Column("points", Integer, nullable=False),
    Column("newest", Utc),
    Column("judged_to", Utc),
    Column("failed_at", Utc),
    Column("since", Utc),
    Column("at", Utc),
    Column("value", Double),
    Column("total", Double),
    Column("bound", Double),
    Column("usual", Double),
    Column("evidence", Figures),
    Column("why", Sentence),
)

# A row is inserted when a check is claimed, and filled when it is done: (monitor, slot) is there once.
measurements = Table(
    "measurements",
    metadata,
    _number(),
    Column("monitor", Words, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("at", Utc, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", Integer),
    Column("move", Words),
    Column("outcome", Member(Outcome)),
    Column("value", Double),
    Column("total", Double),
    Column("points", Integer, nullable=False),
    Column("why", Sentence),
    Column("claimed_by", Words),
    Column("claimed_until", Utc),
    UniqueConstraint("monitor", "slot"),
    sqlite_autoincrement=True,
)


def _baselines(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("monitor", Words, primary_key=True),
        Column("move", Words, nullable=False),
        Column("key", Words, nullable=False),
        Column("since", Utc, nullable=False),
        Column("until", Utc, nullable=False),
        Column("made_at", Utc, nullable=False),
        Column("summary", Summary, nullable=False),
    )


# One row a monitor: the baseline of its present term. What it is made of stays as long as it does.
baselines = _baselines("baselines")

# One row a monitor: the baseline of the version's own days, once it's compared with those instead.
own_baselines = _baselines("own_baselines")

# What was pushed. Version 0: whoever pushed it did not say which.
readings = Table(
    "readings",
    metadata,
    _number(),
    Column("source", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("metric", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("value", Double, nullable=False),
    Column("total", Double),
    Column("received_at", Utc, nullable=False),
    Column("client", Words, nullable=False),
    UniqueConstraint("source", "model", "metric", "version", "at"),
    sqlite_autoincrement=True,
)

# What was answered to a call that carried an Idempotency-Key, so that a second one hears the same.
calls = Table(
    "calls",
    metadata,
    _number(),
    Column("client", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("digest", Words, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Words, nullable=False),
    Column("at", Utc, nullable=False),
    UniqueConstraint("client", "key"),
    sqlite_autoincrement=True,
)

incidents = Table(
    "incidents",
    metadata,
    _number(),
    Column("id", Words, nullable=False, unique=True),
    Column("kind", Member(IncidentKind), nullable=False),
    Column("model", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("version", Integer),
    Column("move", Words),
    Column("monitors", Texts, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("since", Utc, nullable=False),
    Column("lines", Sentences, nullable=False),
    Column("doing", Member(Doing), nullable=False),
    Column("why", Sentence),
    Column("target", Integer),
    Column("rollback", Words),
    Column("acknowledged_by", Who),
    Column("acknowledged_at", Utc),
    Column("told_at", Utc),
    Column("repeated_at", Utc),
    Column("resolved_at", Utc),
    Column("resolution", Sentence),
    Column("ending", Member(Ending)),
    Column("ended_by", Who),
    Column("ended_in", Words, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

breakers = Table(
    "breakers",
    metadata,
    Column("model", Words, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("why", Sentence, nullable=False),
)

servings = Table(
    "servings",
    metadata,
    Column("move", Words, primary_key=True),
    Column("model", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("lane", Words, nullable=False),
    Column("asked_at", Utc, nullable=False),
    Column("state", Member(ServingState), nullable=False),
    Column("next_at", Utc),
    Column("deadline", Utc),
    Column("seen", Words, nullable=False),
    Column("confirmed_at", Utc),
)

# Nothing refers to an audit row, so nothing can take it along. `body` is what is hashed; the columns before
# it are copies for queries. Triggers (in the migration) refuse UPDATE and DELETE.
audit_events = Table(
    "audit_events",
    metadata,
    Column("number", Count, primary_key=True, autoincrement=False),
    Column("at", Utc, nullable=False),
    Column("actor", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("model", Words),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one"), primary_key=True, autoincrement=False),
    Column("number", Count, nullable=False),
    Column("hash", Text, nullable=False),
)

# What one process at a time may do, across transactions: held by whom, and until when nobody else may.
leases = Table(
    "leases",
    metadata,
    Column("name", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("until", Utc, nullable=False),
)


def is_in(column: Column[Any], *members: Enum) -> ColumnElement[bool]:
    """Return the condition that a column holds one of these.

    The values are written out: an index's condition has no parameters, and the planner takes a partial index
    only for a query that says the same.
    """
    return column.in_([literal_column(f"'{member.value}'") for member in members])


IS_OPEN = is_in(requests.c.state, *OPEN)
IS_PENDING = is_in(requests.c.state, RequestState.PENDING)
TO_REVIEW = and_(requests.c.review_due.is_not(None), requests.c.reviewed_at.is_(None))
IS_EXECUTING = is_in(moves.c.state, MoveState.EXECUTING)
IS_INTENDED = is_in(moves.c.state, MoveState.INTENDED)
ASK_WAITS = is_in(asks.c.state, AskState.WAITING)
NOTE_WAITS = is_in(notes.c.state, NoteState.WAITING)
COPY_WAITS = copies.c.is_done.is_(literal_column("false"))


def _partial(name: str, *columns: Column[Any], where: ColumnElement[bool], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_partial("one_open_request", requests.c.model, requests.c.target, where=IS_OPEN, unique=True)
_partial("requests_by_expiry", requests.c.expires_at, where=IS_PENDING)
_partial("requests_to_review", requests.c.review_due, where=TO_REVIEW)
Index("requests_by_time", requests.c.opened_at, requests.c.number)
Index("requests_by_model", requests.c.model, requests.c.opened_at, requests.c.number)
Index("requests_by_requester", requests.c.requester, requests.c.opened_at, requests.c.number)
Index("requests_by_state", requests.c.state, requests.c.opened_at, requests.c.number)
Index("one_vote_each", votes.c.request, votes.c.voter, unique=True)
_partial("one_executing_move", moves.c.model, where=IS_EXECUTING, unique=True)
Index("moves_by_state", moves.c.state, moves.c.model, moves.c.intended_at, moves.c.number)
Index("moves_by_model", moves.c.model, moves.c.intended_at, moves.c.number)
Index("moves_in_order", moves.c.model, moves.c.number)
Index("moves_by_target", moves.c.model, moves.c.target, moves.c.intended_at, moves.c.number)
_partial("asks_waiting", asks.c.at, asks.c.number, where=ASK_WAITS)
_partial("one_ask_of_a_key", asks.c.caller, asks.c.key, where=asks.c.key.is_not(None), unique=True)
_partial("notes_waiting", notes.c.lane, notes.c.number, where=NOTE_WAITS)
_partial("copies_waiting", copies.c.model, copies.c.version, copies.c.number, where=COPY_WAITS)
_partial("freezes_that_hold", freezes.c.number, where=freezes.c.lifted_at.is_(None))
Index("copies_by_model", copies.c.model, copies.c.number)
_partial("holds_that_hold", holds.c.number, where=holds.c.lifted_at.is_(None))
Index("bars_by_model", bars.c.model, bars.c.number)
_partial("one_monitor_of_a_name", monitors.c.model, monitors.c.name, where=monitors.c.removed_at.is_(None), unique=True)
Index("standings_by_time", standings.c.next_at)
Index("measurements_by_time", measurements.c.monitor, measurements.c.at)
Index("measurements_by_age", measurements.c.at)
Index("readings_by_age", readings.c.received_at)
_partial(
    "one_open_incident",
    incidents.c.model,
    incidents.c.source,
    incidents.c.kind,
    where=incidents.c.resolved_at.is_(None),
    unique=True,
)
Index("incidents_by_model", incidents.c.model, incidents.c.number)
Index("servings_by_state", servings.c.state, servings.c.next_at)
Index("servings_by_model", servings.c.model, servings.c.asked_at)
Index("findings_by_model", findings.c.model, findings.c.number)
Index("audit_by_model", audit_events.c.model, audit_events.c.number)
Index("audit_by_time", audit_events.c.at, audit_events.c.number)
Index("audit_by_tag", audit_events.c.tag, audit_events.c.number)
Index("audit_by_actor", audit_events.c.actor, audit_events.c.number)
