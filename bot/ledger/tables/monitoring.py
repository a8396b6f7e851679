"""Tables for monitors, checks, baselines, readings, and incidents."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, UniqueConstraint

from bot.domain.monitoring.incident import IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.readings import CheckOutcome
from bot.ledger.tables.base import metadata, number_column, partial_index
from bot.ledger.tables.column_types import (
    ActorText,
    BaselineJson,
    FloatsJson,
    MonitorRuleJson,
    SentenceJson,
    SentencesJson,
    StorableText,
    TupleJson,
    UtcDateTime,
    enum_text,
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

# One row per monitor, updated with each check.
monitor_states = Table(
    "standings",
    metadata,
    Column("monitor", StorableText, primary_key=True),
    Column("slot", Integer, nullable=False),
    Column("next_at", UtcDateTime),
    Column("state", enum_text(MonitorStatus), nullable=False),
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

# A row is inserted when a check is claimed and filled in when it finishes; (monitor, slot) is unique.
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
    Column("outcome", enum_text(CheckOutcome)),
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


# One row per monitor: the baseline of the current term. The checks that it was taken from are kept as long as the
# baseline.
baselines = baselines_table("baselines")

# One row per monitor: the baseline from the version's own days, once that's the baseline to compare with.
own_baselines = baselines_table("own_baselines")

# Pushed readings. Version 0: the client didn't name a version.
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

incidents = Table(
    "incidents",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", enum_text(IncidentKind), nullable=False),
    Column("model", StorableText, nullable=False),
    Column("source", StorableText, nullable=False),
    Column("version", Integer),
    Column("move", StorableText),
    Column("monitors", TupleJson, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("lines", SentencesJson, nullable=False),
    Column("doing", enum_text(IncidentStatus), nullable=False),
    Column("why", SentenceJson),
    Column("target", Integer),
    Column("rollback", StorableText),
    Column("acknowledged_by", ActorText),
    Column("acknowledged_at", UtcDateTime),
    Column("told_at", UtcDateTime),
    Column("repeated_at", UtcDateTime),
    Column("resolved_at", UtcDateTime),
    Column("resolution", SentenceJson),
    Column("ending", enum_text(IncidentEnding)),
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
