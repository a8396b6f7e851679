"""Compare a ledger's tables with what this release needs, and say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bot.domain.core.sentence import Code, Sentence, say

NEWER_MESSAGE = say(
    "This ledger was written by a newer version of Registrar. Run that version, or restore an older backup."
)
NO_REVISION_MESSAGE = say(
    "This ledger has no {table} table, which records the revision of its tables. Restore a backup.",
    table=Code("alembic_version"),
)


class SchemaAge(Enum):
    """The age of a ledger's tables relative to this release."""

    NONE = "none"  # there are no tables
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Schema:
    """The revision of a ledger's tables (None if there are none), and the newest one that this release knows."""

    revision: str | None
    newest: str
    age: SchemaAge


def describe_schema(schema: Schema, url: str) -> Sentence:
    """Describe the state of the tables. `url`: the database's URL without the password."""
    where = Code(url)
    if schema.age is SchemaAge.CURRENT:
        return say("The ledger at {url} is up to date (revision {newest}).", url=where, newest=Code(schema.newest))
    if schema.age is SchemaAge.OLDER:
        return say(
            "The ledger at {url} was created by an older version of Registrar. "
            "Its tables are at revision {revision}; this version needs {newest}.",
            url=where,
            revision=Code(schema.revision),
            newest=Code(schema.newest),
        )
    if schema.age is SchemaAge.NONE:
        return say("No ledger at {url} yet.", url=where)
    return NEWER_MESSAGE


def advice(schema: Schema) -> Sentence | None:
    """Return what to run before this release can use the ledger, or None if there's nothing to run."""
    upgrade, database = Code("registrar db upgrade"), Code("REGISTRAR_DATABASE_URL")
    if schema.age is SchemaAge.OLDER:
        return say(
            "Back it up with {backup}, then upgrade it with {upgrade}.",
            upgrade=upgrade,
            backup=Code("registrar db backup FILE"),
        )
    if schema.age is SchemaAge.NONE:
        return say(
            "To create its tables, run {upgrade}. {database} sets which database to use.",
            upgrade=upgrade,
            database=database,
        )
    return None
