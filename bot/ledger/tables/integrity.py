"""Tables for digests and passports."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text, literal_column

from bot.domain.integrity.digest import DigestState
from bot.domain.registry.model import Stage
from bot.ledger.tables.base import BigIntegerKey, metadata, number_column, partial_index
from bot.ledger.tables.column_types import IdentityJson, ManifestJson, StorableText, TupleJson, UtcDateTime, enum_text

digests = Table(
    "digests",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("identity", IdentityJson, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("state", enum_text(DigestState), nullable=False),
    Column("manifest", ManifestJson, nullable=False),
    Column("partial", ManifestJson, nullable=False),
    Column("file_count", BigIntegerKey),
    Column("byte_count", BigIntegerKey),
    Column("due_at", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("why", StorableText, nullable=False),
    Column("recorded_at", UtcDateTime),
    Column("began_at", UtcDateTime),
    Column("compared_at", UtcDateTime),
    Column("changed", TupleJson, nullable=False),
    sqlite_autoincrement=True,
)

passports = Table(
    "passports",
    metadata,
    number_column(),
    Column("id", StorableText, nullable=False, unique=True),
    Column("move", StorableText, nullable=False),
    Column("model", StorableText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", enum_text(Stage), nullable=False),
    Column("identity", IdentityJson, nullable=False),
    Column("digest", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

IS_CHANGED = digests.c.changed != literal_column("'[]'")

Index("digests_by_version", digests.c.model, digests.c.version, digests.c.number)
partial_index("digests_that_are_due", digests.c.due_at, where=digests.c.due_at.is_not(None))
partial_index("digests_that_changed", digests.c.number, where=IS_CHANGED)
Index("passports_by_move", passports.c.move, passports.c.number)
Index("passports_by_version", passports.c.model, passports.c.version, passports.c.number)
Index("passports_by_expiry", passports.c.expires_at)
