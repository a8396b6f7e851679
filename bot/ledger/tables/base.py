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

from bot.domain.monitoring.incident import IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.monitoring.state import MonitorStatus
from bot.domain.promotions.request import RequestState, VoteChoice
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import DriftNoticeKind
from bot.domain.transitions.restores import HoldKind
from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.ledger.tables.column_types import (
    ActorText,
    BaselineJson,
    CiRunJson,
    EnumByValue,
    FloatsJson,
    IdentityJson,
    IntegersJson,
    MonitorRuleJson,
    PlainJson,
    SentenceJson,
    SentencesJson,
    SnapshotJson,
    StagesJson,
    StorableText,
    StringsJson,
    UtcDateTime,
    VersionTextsJson,
)
from bot.ports import MessageKind, QueuedCommandState

OPEN_STATES = tuple(state for state in RequestState if state.is_open)


class MessageState(Enum):
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
BigIntegerKey = BigInteger().with_variant(Integer(), "sqlite")


def number_column() -> Column[int]:
    return Column("number", BigIntegerKey, primary_key=True)


requests = Table(
    "requests",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", EnumByValue(Stage), nullable=False),
    Column("target", EnumByValue(Stage), nullable=False),
    Column("incumbent", Integer),
    Column("requester", ActorText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("required", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("keep_existing", Boolean, nullable=False),
    Column("semver", StorableText),
    Column("state", EnumByValue(RequestState), nullable=False),
    Column("decided_at", UtcDateTime),
    Column("decided_by", ActorText),
    Column("outcome", StorableText, nullable=False),
    Column("former_status", StorableText),
    Column("seen", SnapshotJson),
    Column("overridden_by", ActorText),
    Column("override_reason", StorableText, nullable=False, server_default=""),
    Column("reminded", Integer, nullable=False, server_default="0"),
    Column("ci", CiRunJson),
    Column("breaks_glass", Boolean, nullable=False, server_default=false()),
    Column("identity", IdentityJson),
    Column("incumbent_identity", IdentityJson),
    Column("review_due", UtcDateTime),
    Column("reviewed_by", ActorText),
    Column("reviewed_at", UtcDateTime),
    Column("review_reason", StorableText, nullable=False, server_default=""),
    Column("review_reminded", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

votes = Table(
    "votes",
    metadata,
    number_column(),
    Column("request", StorableText, ForeignKey(requests.c.id), nullable=False),
    Column("voter", ActorText, nullable=False),
    Column("choice", EnumByValue(VoteChoice), nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("lapsed", StorableText, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

transitions = Table(
    "moves",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", EnumByValue(TransitionKind), nullable=False),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", EnumByValue(Stage), nullable=False),
    Column("target", EnumByValue(Stage), nullable=False),
    Column("expected_incumbent", Integer),
    Column("actor", ActorText, nullable=False),
    Column("intended_at", UtcDateTime, nullable=False),
    Column("request", StorableText, ForeignKey(requests.c.id)),
    Column("keep_existing", Boolean, nullable=False),
    Column("state", EnumByValue(TransitionState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("why", StorableText, nullable=False),
    # Who is at it, until when nobody else may be, and from when it may be tried again.
    Column("claimed_by", StorableText),
    Column("claimed_until", UtcDateTime),
    Column("not_before", UtcDateTime),
    Column("finding", StorableText),
    Column("reason", StorableText, nullable=False, server_default=""),
    Column("incident", StorableText),
    Column("is_forced", Boolean, nullable=False, server_default=false()),
    Column("identity", IdentityJson),
    Column("trusted_at", UtcDateTime),
    Column("began_at", UtcDateTime),
    sqlite_autoincrement=True,
)

queued_commands = Table(
    "asks",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("caller", ActorText, nullable=False),
    Column("command", PlainJson, nullable=False),
    Column("where", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", EnumByValue(QueuedCommandState), nullable=False),
    Column("request", StorableText, ForeignKey(requests.c.id)),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime),
    Column("ci", CiRunJson),
    Column("key", StorableText),
    Column("digest", StorableText),
    Column("error", StorableText),
    Column("outcome", StorableText, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

outbox_messages = Table(
    "notes",
    metadata,
    number_column(),
    Column("key", StorableText, nullable=False, unique=True),
    Column("lane", StorableText, nullable=False),
    Column("kind", EnumByValue(MessageKind), nullable=False),
    Column("to", StorableText, nullable=False),
    Column("data", PlainJson, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("was_tried", Boolean, nullable=False),
    Column("created_at", UtcDateTime),
    Column("state", EnumByValue(MessageState), nullable=False),
    Column("not_before", UtcDateTime),
    Column("why", StorableText, nullable=False),
    # Who delivers it at this moment, and until when nobody else may.
    Column("claimed_by", StorableText),
    Column("claimed_until", UtcDateTime),
    sqlite_autoincrement=True,
)

message_refs = Table(
    "postings",
    metadata,
    Column("key", StorableText, primary_key=True),
    Column("channel", StorableText, nullable=False),
    Column("ts", StorableText, nullable=False),
    Column("file", StorableText, nullable=False, server_default=""),
)

channel_turns = Table(
    "turns",
    metadata,
    Column("channel", StorableText, primary_key=True),
    Column("next_at", UtcDateTime, nullable=False),
)

registry_snapshots = Table(
    "looks",
    metadata,
    Column("model", StorableText, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime),
    Column("stages", StagesJson, nullable=False),
    Column("aliases", PlainJson, nullable=False),
    Column("after", StorableText),
    Column("created_at", UtcDateTime),
    Column("marks", VersionTextsJson),
    Column("tags", VersionTextsJson),
)

drift_notices = Table(
    "findings",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", EnumByValue(DriftNoticeKind), nullable=False),
    Column("model", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("versions", IntegersJson, nullable=False),
    Column("lines", SentencesJson, nullable=False),
    Column("by", ActorText),
    Column("mend", Integer),
    Column("stage", EnumByValue(Stage), nullable=False),
    Column("mended_by", ActorText),
    Column("mended_at", UtcDateTime),
    sqlite_autoincrement=True,
)

freezes = Table(
    "freezes",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText),
    Column("by", ActorText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("lifted_at", UtcDateTime),
    Column("lifted_by", ActorText),
    sqlite_autoincrement=True,
)

# Discrepancies between ledger and registry. One that isn't lifted covers the rows that were there when it was opened:
# those of each of four tables, up to a number.
holds = Table(
    "holds",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", EnumByValue(HoldKind), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("lines", SentencesJson, nullable=False),
    Column("keys", StringsJson, nullable=False),
    Column("lifted_at", UtcDateTime),
    Column("lifted_by", ActorText),
    Column("outcome", StorableText, nullable=False, server_default=""),
    *(
        Column(name, BigIntegerKey, nullable=False, server_default="0")
        for name in ("requests", "moves", "asks", "copies")
    ),
    sqlite_autoincrement=True,
)

tag_updates = Table(
    "copies",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tags", PlainJson, nullable=False),
    Column("line", StorableText, nullable=False),
    Column("alias", StorableText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("not_before", UtcDateTime),
    Column("why", StorableText, nullable=False),
    Column("lane", StorableText, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

rollback_blocks = Table(
    "bars",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("move", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("by", ActorText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("cleared_at", UtcDateTime),
    Column("cleared_by", ActorText),
    Column("clear_reason", StorableText, nullable=False),
    sqlite_autoincrement=True,
)

monitors = Table(
    "monitors",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("rule", MonitorRuleJson, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", ActorText),
    Column("revision", Integer, nullable=False),
    Column("measured_from", Integer, nullable=False, server_default="1"),
    Column("is_paused", Boolean, nullable=False),
    Column("armed_at", UtcDateTime),
    Column("armed_by", ActorText),
    Column("removed_at", UtcDateTime),
    Column("silenced_until", UtcDateTime),
    Column("silenced_by", ActorText),
    Column("silence_reason", StorableText, nullable=False),
    sqlite_autoincrement=True,
)

# One row a monitor, written anew with each check.
monitor_states = Table(
    "standings",
    metadata,
    Column("monitor", StorableText, primary_key=True),
    Column("slot", Integer, nullable=False),
    Column("next_at", UtcDateTime),
    Column("state", EnumByValue(MonitorStatus), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", Integer),
    Column("move", StorableText),
    Column("bad", Integer, nullable=False),
    Column("good", Integer, nullable=False),
    Column("empty", Integer, nullable=False),
    Column("broken", Integer, nullable=False),
    Column("beyond", Integer, nullable=False),
    Column("unjudged", Integer, nullable=False, server_default="0"),
    Column("judged_at", UtcDateTime),
    Column("missed_at", UtcDateTime),
    Column("points", Integer, nullable=False),
    Column("newest", UtcDateTime),
    Column("judged_to", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("since", UtcDateTime),
    Column("at", UtcDateTime),
    Column("value", Double),
    Column("total", Double),
    Column("bound", Double),
    Column("usual", Double),
    Column("evidence", FloatsJson),
    Column("why", SentenceJson),
)

# A row is inserted when a check is claimed, and filled when it is done: (monitor, slot) is there once.
measurements = Table(
    "measurements",
    metadata,
    number_column(),
    Column("monitor", StorableText, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", Integer),
    Column("move", StorableText),
    Column("outcome", EnumByValue(CheckOutcome)),
    Column("value", Double),
    Column("total", Double),
    Column("points", Integer, nullable=False),
    Column("why", SentenceJson),
    Column("claimed_by", StorableText),
    Column("claimed_until", UtcDateTime),
    UniqueConstraint("monitor", "slot"),
    sqlite_autoincrement=True,
)


def baselines_table(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("monitor", StorableText, primary_key=True),
        Column("move", StorableText, nullable=False),
        Column("key", StorableText, nullable=False),
        Column("since", UtcDateTime, nullable=False),
        Column("until", UtcDateTime, nullable=False),
        Column("made_at", UtcDateTime, nullable=False),
        Column("summary", BaselineJson, nullable=False),
    )


# One row a monitor: the baseline of its present term. What it is made of stays as long as it does.
baselines = baselines_table("baselines")

# One row a monitor: the baseline of the version's own days, once it's compared with those instead.
own_baselines = baselines_table("own_baselines")

# What was pushed. Version 0: whoever pushed it did not say which.
readings = Table(
    "readings",
    metadata,
    number_column(),
    Column("source", StorableText, nullable=False),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("metric", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("value", Double, nullable=False),
    Column("total", Double),
    Column("received_at", UtcDateTime, nullable=False),
    Column("client", StorableText, nullable=False),
    UniqueConstraint("source", "model", "metric", "version", "at"),
    sqlite_autoincrement=True,
)

# What was answered to a call that carried an Idempotency-Key, so that a second one hears the same.
idempotent_calls = Table(
    "calls",
    metadata,
    number_column(),
    Column("client", StorableText, nullable=False),
    Column("key", StorableText, nullable=False),
    Column("digest", StorableText, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("client", "key"),
    sqlite_autoincrement=True,
)

incidents = Table(
    "incidents",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", EnumByValue(IncidentKind), nullable=False),
    Column("model", StorableText, nullable=False),
    Column("source", StorableText, nullable=False),
    Column("version", Integer),
    Column("move", StorableText),
    Column("monitors", StringsJson, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("lines", SentencesJson, nullable=False),
    Column("doing", EnumByValue(IncidentStatus), nullable=False),
    Column("why", SentenceJson),
    Column("target", Integer),
    Column("rollback", StorableText),
    Column("acknowledged_by", ActorText),
    Column("acknowledged_at", UtcDateTime),
    Column("told_at", UtcDateTime),
    Column("repeated_at", UtcDateTime),
    Column("resolved_at", UtcDateTime),
    Column("resolution", SentenceJson),
    Column("ending", EnumByValue(IncidentEnding)),
    Column("ended_by", ActorText),
    Column("ended_in", StorableText, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

tripped_breakers = Table(
    "breakers",
    metadata,
    Column("model", StorableText, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("why", SentenceJson, nullable=False),
)

serving_checks = Table(
    "servings",
    metadata,
    Column("move", StorableText, primary_key=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("lane", StorableText, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("state", EnumByValue(ServingCheckState), nullable=False),
    Column("next_at", UtcDateTime),
    Column("deadline", UtcDateTime),
    Column("seen", StorableText, nullable=False),
    Column("confirmed_at", UtcDateTime),
)

# Nothing refers to an audit row, so nothing can take it along. `body` is what is hashed; the columns before
# it are copies for queries. Triggers (in the migration) refuse UPDATE and DELETE.
audit_events = Table(
    "audit_events",
    metadata,
    Column("number", BigIntegerKey, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("model", StorableText),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one"), primary_key=True, autoincrement=False),
    Column("number", BigIntegerKey, nullable=False),
    Column("hash", Text, nullable=False),
)

# What one process at a time may do, across transactions: held by whom, and until when nobody else may.
leases = Table(
    "leases",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)


def is_in(column: Column[Any], *members: Enum) -> ColumnElement[bool]:
    """Return the condition that a column holds one of these.

    The values are written out: an index's condition has no parameters, and the planner takes a partial index
    only for a query that says the same.
    """
    return column.in_([literal_column(f"'{member.value}'") for member in members])


IS_OPEN = is_in(requests.c.state, *OPEN_STATES)
IS_PENDING = is_in(requests.c.state, RequestState.PENDING)
NEEDS_REVIEW = and_(requests.c.review_due.is_not(None), requests.c.reviewed_at.is_(None))
IS_EXECUTING = is_in(transitions.c.state, TransitionState.EXECUTING)
IS_INTENDED = is_in(transitions.c.state, TransitionState.INTENDED)
COMMAND_IS_WAITING = is_in(queued_commands.c.state, QueuedCommandState.WAITING)
MESSAGE_IS_WAITING = is_in(outbox_messages.c.state, MessageState.WAITING)
TAG_UPDATE_IS_WAITING = tag_updates.c.is_done.is_(literal_column("false"))


def partial_index(name: str, *columns: Column[Any], where: ColumnElement[bool], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


partial_index("one_open_request", requests.c.model, requests.c.target, where=IS_OPEN, unique=True)
partial_index("requests_by_expiry", requests.c.expires_at, where=IS_PENDING)
partial_index("requests_to_review", requests.c.review_due, where=NEEDS_REVIEW)
Index("requests_by_time", requests.c.opened_at, requests.c.number)
Index("requests_by_model", requests.c.model, requests.c.opened_at, requests.c.number)
Index("requests_by_requester", requests.c.requester, requests.c.opened_at, requests.c.number)
Index("requests_by_state", requests.c.state, requests.c.opened_at, requests.c.number)
Index("one_vote_each", votes.c.request, votes.c.voter, unique=True)
partial_index("one_executing_move", transitions.c.model, where=IS_EXECUTING, unique=True)
Index("moves_by_state", transitions.c.state, transitions.c.model, transitions.c.intended_at, transitions.c.number)
Index("moves_by_model", transitions.c.model, transitions.c.intended_at, transitions.c.number)
Index("moves_in_order", transitions.c.model, transitions.c.number)
Index("moves_by_target", transitions.c.model, transitions.c.target, transitions.c.intended_at, transitions.c.number)
partial_index("asks_waiting", queued_commands.c.at, queued_commands.c.number, where=COMMAND_IS_WAITING)
partial_index(
    "one_ask_of_a_key",
    queued_commands.c.caller,
    queued_commands.c.key,
    where=queued_commands.c.key.is_not(None),
    unique=True,
)
partial_index("notes_waiting", outbox_messages.c.lane, outbox_messages.c.number, where=MESSAGE_IS_WAITING)
partial_index(
    "copies_waiting", tag_updates.c.model, tag_updates.c.version, tag_updates.c.number, where=TAG_UPDATE_IS_WAITING
)
partial_index("freezes_that_hold", freezes.c.number, where=freezes.c.lifted_at.is_(None))
Index("copies_by_model", tag_updates.c.model, tag_updates.c.number)
partial_index("holds_that_hold", holds.c.number, where=holds.c.lifted_at.is_(None))
Index("bars_by_model", rollback_blocks.c.model, rollback_blocks.c.number)
partial_index(
    "one_monitor_of_a_name", monitors.c.model, monitors.c.name, where=monitors.c.removed_at.is_(None), unique=True
)
Index("standings_by_time", monitor_states.c.next_at)
Index("measurements_by_time", measurements.c.monitor, measurements.c.at)
Index("measurements_by_age", measurements.c.at)
Index("readings_by_age", readings.c.received_at)
partial_index(
    "one_open_incident",
    incidents.c.model,
    incidents.c.source,
    incidents.c.kind,
    where=incidents.c.resolved_at.is_(None),
    unique=True,
)
Index("incidents_by_model", incidents.c.model, incidents.c.number)
Index("servings_by_state", serving_checks.c.state, serving_checks.c.next_at)
Index("servings_by_model", serving_checks.c.model, serving_checks.c.asked_at)
Index("findings_by_model", drift_notices.c.model, drift_notices.c.number)
Index("audit_by_model", audit_events.c.model, audit_events.c.number)
Index("audit_by_time", audit_events.c.at, audit_events.c.number)
Index("audit_by_tag", audit_events.c.tag, audit_events.c.number)
Index("audit_by_actor", audit_events.c.actor, audit_events.c.number)
