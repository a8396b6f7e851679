"""How a ledger's tables stand to those that this Registrar wants, and what a person does about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bot.domain.core.sentence import Code, Sentence, say

NEWER_MESSAGE = say("This ledger was written by a newer Registrar; start that one, or restore an older copy.")


class SchemaAge(Enum):
    """Of whose making a ledger's tables are."""

    NONE = "none"  # there are none
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"  # than this Registrar


@dataclass(frozen=True, slots=True)
class Schema:
    """The revision of a ledger's tables (None: there are none), and the newest that this Registrar knows."""

    revision: str | None
    newest: str
    age: SchemaAge


def describe_schema(schema: Schema, url: str) -> Sentence:
    """Return how the tables stand, in one sentence. `url` names the database, without its password."""
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
    """Return what to do before Registrar can work on it, or None for nothing."""
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
