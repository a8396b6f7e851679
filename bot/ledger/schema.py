"""Compares a ledger's tables with those this release needs, and says what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bot.domain.core.sentence import Code, Sentence, say

NEWER_MESSAGE = say("This ledger was written by a newer Registrar; start that one, or restore an older copy.")


class SchemaAge(Enum):
    """How old a ledger's tables are, compared with this release."""

    NONE = "none"  # there are no tables
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Schema:
    """The revision of a ledger's tables, None if there are none, and the newest one that this release knows."""

    revision: str | None
    newest: str
    age: SchemaAge


def describe_schema(schema: Schema, url: str) -> Sentence:
    """Describe the state of the tables. `url`: the database's URL without the password."""
    where = Code(url)
    if schema.age is SchemaAge.CURRENT:
        return say("The ledger at {url} is up to date: {newest}.", url=where, newest=Code(schema.newest))
    if schema.age is SchemaAge.OLDER:
        return say(
            "The ledger at {url} is of an older Registrar: its tables are {revision}, and have to be {newest}.",
            url=where,
            revision=Code(schema.revision),
            newest=Code(schema.newest),
        )
    if schema.age is SchemaAge.NONE:
        return say("There is no ledger at {url} yet.", url=where)
    return NEWER_MESSAGE


def advice(schema: Schema) -> Sentence | None:
    """Return what to do before Registrar can use the ledger; None if there is nothing to do."""
    upgrade, database = Code("registrar db upgrade"), Code("REGISTRAR_DATABASE_URL")
    if schema.age is SchemaAge.OLDER:
        return say(
            "Take a copy ({backup}), then bring it up to date: {upgrade}.",
            upgrade=upgrade,
            backup=Code("registrar db backup FILE"),
        )
    if schema.age is SchemaAge.NONE:
        return say("{upgrade} makes its tables; {database} says which database.", upgrade=upgrade, database=database)
    return None
