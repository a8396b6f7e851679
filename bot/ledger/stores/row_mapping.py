"""Rows to domain values and back: the one place that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import RowMapping

from bot.domain.audit.events import Event, Head, Link, canonical, canonical_time, chain, from_canonical
from bot.domain.core.actors import Actor, Operator, actor_id, parse_actor
from bot.ledger.audit_chain import Record
from bot.ledger.tables.column_types import storable, storable_data

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def read(kind: type[T], row: RowMapping) -> T:
    """Return a row as the dataclass `kind`, field by column. Columns that are no field are left out."""
    return kind(**{name: row[name] for name in _names(kind)})


def write(value: DataclassInstance, *, but: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the fields of a domain value as a row, without those in `but`."""
    return {name: getattr(value, name) for name in _names(type(value)) if name not in but}


@cache
def _names(kind: type[DataclassInstance]) -> tuple[str, ...]:
    """Return the names of the fields: thousands of rows have the same."""
    return tuple(field.name for field in fields(kind))


def recognized(value: T, operators: Mapping[str, str]) -> T:
    """Return a domain value in which every operator has their Slack id, where `operators` gives one."""
    found = {name: _known(getattr(value, name), operators) for name in _acting(type(value))} if operators else {}
    return replace(value, **found) if found else value


@cache
def _acting(kind: type[DataclassInstance]) -> tuple[str, ...]:
    """Return the names of the fields that hold an actor."""
    return tuple(field.name for field in fields(kind) if str(field.type).startswith("Actor"))


def _known(actor: Actor | None, operators: Mapping[str, str]) -> Actor | None:
    return Operator(actor.name, operators.get(actor.name, "")) if isinstance(actor, Operator) else actor


def link(row: RowMapping, operators: Mapping[str, str]) -> Link:
    """Return an audit row as an event in its chain, an operator with the Slack id that `operators` gives."""
    event = recognized(from_canonical(row["body"]), operators)
    return Link(number=row["number"], event=event, previous=row["previous"], hash=row["hash"])


def storable_event(event: Event) -> Event:
    """Return the event as it can be stored and hashed. Raises ValueError or TypeError for what is not JSON."""
    texts = ("subject", "model", "before", "after", "why", "origin", "evidence")
    kept = replace(
        event,
        actor=parse_actor(storable(actor_id(event.actor))),
        **{name: storable_data(getattr(event, name)) for name in texts},
    )
    canonical(kept, 0)
    return kept


def record(event: Event, after: Head) -> Record:
    """Return the audit row of an event (a storable one) that follows `after`."""
    number = after.number + 1
    body = canonical(event, number)
    return Record(
        number=number,
        at=canonical_time(event.at),
        actor=actor_id(event.actor),
        tag=event.tag.value,
        model=event.model,
        body=body,
        previous=after.hash,
        hash=chain(after.hash, body),
    )


def audit_row(event: Event, after: Head) -> dict[str, Any]:
    """Return the same as a row to insert."""
    return {**record(event, after)._asdict(), "at": event.at}
