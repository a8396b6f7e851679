"""Tables for registry state: snapshots, drift notices, holds, and tag updates."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, Table, literal_column

from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import DriftNoticeKind
from bot.domain.transitions.restores import HoldKind
from bot.ledger.tables.base import BigIntegerKey, metadata, number_column, partial_index
from bot.ledger.tables.column_types import (
    ActorText,
    PlainJson,
    SentencesJson,
    StagesJson,
    StorableText,
    TupleJson,
    UtcDateTime,
    VersionTextsJson,
    enum_text,
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
    Column("kind", enum_text(DriftNoticeKind), nullable=False),
    Column("model", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("versions", TupleJson, nullable=False),
    Column("lines", SentencesJson, nullable=False),
    Column("by", ActorText),
    Column("mend", Integer),
    Column("stage", enum_text(Stage), nullable=False),
    Column("mended_by", ActorText),
    Column("mended_at", UtcDateTime),
    sqlite_autoincrement=True,
)

# Discrepancies between ledger and registry. Until it's lifted, a hold covers the rows that existed when it was added:
# those of four tables, each up to a number.
holds = Table(
    "holds",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("kind", enum_text(HoldKind), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("lines", SentencesJson, nullable=False),
    Column("keys", TupleJson, nullable=False),
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
    Column("lane", StorableText, nullable=False, server_default=""),  # unused; earlier releases need it
    sqlite_autoincrement=True,
)

TAG_UPDATE_IS_WAITING = tag_updates.c.is_done.is_(literal_column("false"))

partial_index(
    "copies_waiting", tag_updates.c.model, tag_updates.c.version, tag_updates.c.number, where=TAG_UPDATE_IS_WAITING
)
Index("copies_by_model", tag_updates.c.model, tag_updates.c.number)
partial_index("holds_that_hold", holds.c.number, where=holds.c.lifted_at.is_(None))
Index("findings_by_model", drift_notices.c.model, drift_notices.c.number)
