"""Converts rows to domain values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import RowMapping

from bot.domain.audit.events import (
    ChainedEvent,
    ChainHead,
    Event,
    canonical_json,
    canonical_time,
    chained_hash,
    parse_canonical_json,
)
from bot.domain.core.actors import Actor, Operator, actor_id, parse_actor
from bot.ledger.audit_chain import AuditRecord
from bot.ledger.tables.column_types import storable, storable_data

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def from_row(domain_type: type[T], row: RowMapping) -> T:
    """Return a row as an instance of the dataclass; columns without a field of that name are ignored."""
    return domain_type(**{name: row[name] for name in _field_names(domain_type)})


def to_row(value: DataclassInstance, *, exclude: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the fields of a domain value as a row, without those in `exclude`."""
    return {name: getattr(value, name) for name in _field_names(type(value)) if name not in exclude}


@cache
def _field_names(domain_type: type[DataclassInstance]) -> tuple[str, ...]:
    """Return the names of the fields. Cached, since thousands of rows have the same."""
    return tuple(field.name for field in fields(domain_type))


def with_operator_ids(value: T, operator_ids: Mapping[str, str]) -> T:
    """Return a domain value whose operators have the Slack ids from `operator_ids`."""
    actors = (
        {name: _with_operator_id(getattr(value, name), operator_ids) for name in _actor_fields(type(value))}
        if operator_ids
        else {}
    )
    return replace(value, **actors) if actors else value


@cache
def _actor_fields(domain_type: type[DataclassInstance]) -> tuple[str, ...]:
    """Return the names of the fields that hold an actor."""
    return tuple(field.name for field in fields(domain_type) if str(field.type).startswith("Actor"))


def _with_operator_id(actor: Actor | None, operator_ids: Mapping[str, str]) -> Actor | None:
    return Operator(actor.name, operator_ids.get(actor.name, "")) if isinstance(actor, Operator) else actor


def to_link(row: RowMapping, operator_ids: Mapping[str, str]) -> ChainedEvent:
    """Return an audit row as an event in the chain, with the operator's Slack id from `operator_ids`."""
    event = with_operator_ids(parse_canonical_json(row["body"]), operator_ids)
    return ChainedEvent(number=row["number"], event=event, previous=row["previous"], hash=row["hash"])


def storable_event(event: Event) -> Event:
    """Return the event as it's stored and hashed. Raises ValueError or TypeError if its evidence isn't JSON."""
    texts = ("subject", "model", "before", "after", "why", "origin", "evidence")
    event_to_store = replace(
        event,
        actor=parse_actor(storable(actor_id(event.actor))),
        **{name: storable_data(getattr(event, name)) for name in texts},
    )
    canonical_json(event_to_store, 0)
    return event_to_store


def to_audit_record(event: Event, previous: ChainHead) -> AuditRecord:
    """Return the audit row of an event (a storable one) that follows `after`."""
    number = previous.number + 1
    body = canonical_json(event, number)
    return AuditRecord(
        number=number,
        at=canonical_time(event.at),
        actor=actor_id(event.actor),
        tag=event.tag.value,
        model=event.model,
        body=body,
        previous=previous.hash,
        hash=chained_hash(previous.hash, body),
    )


def to_audit_row(event: Event, previous: ChainHead) -> dict[str, Any]:
    """Return the audit row to insert for an event."""
    return {**to_audit_record(event, previous)._asdict(), "at": event.at}
