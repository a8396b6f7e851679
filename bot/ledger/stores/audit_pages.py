"""Pages of the audit log, newest first. A page reads few rows beyond those it returns; statements are built once.

This is keyset pagination: a page starts right before a number, so the last page costs as much as the first. Every
filter has an index that ends with the number and is scanned backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    desc,
    func,
    literal,
    select,
    true,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.audit.audit_chain import MIN_NUMBER
from bot.domain.audit.events import EventTag
from bot.ledger.stores.base import MAX_NUMBER
from bot.ledger.tables import audit_events

# What `ChainedEvent` needs, in the order of its fields.
EVENT_COLUMNS = tuple(audit_events.c[name] for name in ("number", "body", "previous", "hash"))
EARLIEST = datetime.min.replace(tzinfo=UTC)
MAX_CLOCK_SKEW = timedelta(hours=1)  # the largest difference between the clocks of two processes
_MODEL_PARAM, _ACTOR_PARAM, _TAG_PARAM, _SINCE_PARAM, _NEAR_PARAM, _BEFORE_PARAM, _LIMIT_PARAM = (
    f"b_{name}" for name in ("model", "actor", "tag", "since", "near", "before", "most")
)


class PageFilter(NamedTuple):
    """Which filters a page has. `tags`: how many tags it matches; 0 means any tag."""

    of_model: bool
    by_actor: bool
    since: bool
    tags: int


def page_filter(
    *,
    model: str | None = None,
    actor: str | None = None,
    tags: Sequence[EventTag | str] = (),
    since: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> tuple[PageFilter, dict[str, Any]]:
    """Return a page's filters, and the parameter values for its statement."""
    values: dict[str, Any] = {_BEFORE_PARAM: MAX_NUMBER if before is None else before, _LIMIT_PARAM: limit}
    if model is not None:
        values[_MODEL_PARAM] = model
    if actor is not None:
        values[_ACTOR_PARAM] = actor
    if since is not None:
        values |= {_SINCE_PARAM: since, _NEAR_PARAM: max(since, EARLIEST + MAX_CLOCK_SKEW) - MAX_CLOCK_SKEW}
    values |= {
        f"{_TAG_PARAM}{index}": tag.value if isinstance(tag, EventTag) else tag for index, tag in enumerate(tags)
    }
    return PageFilter(model is not None, actor is not None, since is not None, len(tags)), values


@cache
def select_events(page: PageFilter, dialect: str) -> Any:
    """Return the SELECT for a page of events."""
    return _select_newest(select(*EVENT_COLUMNS), page, dialect)


@cache
def select_records(page: PageFilter, dialect: str) -> Any:
    """Return the SELECT for a page of rows with the columns of `AuditRecord`."""
    return _select_newest(select_stored(dialect), page, dialect)


@cache
def select_stored(dialect: str) -> Select[Any]:
    """Return the SELECT for audit rows with the columns of `AuditRecord`, as text even if they're invalid.

    The database formats a time as the text that was hashed, because an edited value might not be a valid time.
    """
    columns = audit_events.c
    if dialect == "sqlite":
        at = func.replace(type_coerce(columns.at, Text), " ", "T", type_=Text)
    else:
        at = func.to_char(func.timezone("UTC", columns.at), 'YYYY-MM-DD"T"HH24:MI:SS.US', type_=Text)
    chained = (columns.body, columns.previous, columns.hash)
    model = type_coerce(columns.model, Text)
    return select(columns.number, at.concat("+00:00"), columns.actor, columns.tag, model, *chained)


def _select_newest(rows: Select[Any], page: PageFilter, dialect: str) -> Any:
    """Return the SELECT for a page. With several tags, each has its own index scan, which reads at most a page."""
    columns = audit_events.c
    rows = rows.where(columns.number < bindparam(_BEFORE_PARAM, type_=BigInteger))
    if page.since:
        # Prevents use of the index on times, which would sort all events since then by number.
        rows = rows.where((columns.at >= bindparam(_SINCE_PARAM, type_=columns.at.type)).is_(true()))
    start = _number_long_before() if page.since else None
    given = [(columns.model, _MODEL_PARAM)] * page.of_model + [(columns.actor, _ACTOR_PARAM)] * page.by_actor
    if page.tags < 2:
        return _walk_index(rows, given + [(columns.tag, f"{_TAG_PARAM}0")] * page.tags, start, dialect)
    walks = [
        _walk_index(rows, [(columns.tag, f"{_TAG_PARAM}{index}"), *given], start, dialect) for index in range(page.tags)
    ]
    if dialect == "sqlite":
        # SQLite merges the scans as it reads, and allows a limit only in the last one.
        walks = [walk.order_by(None).limit(None) for walk in walks]
    return select(union_all(*walks).subquery("walks")).order_by(desc("number")).limit(_limit_param())


def _walk_index(
    rows: Select[Any], filters: Sequence[tuple[Column[Any], str]], start: ColumnElement[int] | None, dialect: str
) -> Select[Any]:
    """Return the SELECT for a page; it scans the index on the first filter's column, or else the primary key.

    On PostgreSQL, the filter isn't an equality and is combined with the start, so that only this index has the right
    order. Otherwise, for a value that it estimates to be common, PostgreSQL scans the primary key through everything
    since the last such row, or sorts all rows in a time range.
    """
    number, is_index_forced = audit_events.c.number, dialect == "postgresql" and bool(filters)
    rows = rows.where(*(column == bindparam(name, type_=Text) for column, name in filters[is_index_forced:]))
    if not is_index_forced:
        rows = rows if start is None else rows.where(number > start)
        return rows.order_by(number.desc()).limit(_limit_param())
    first, value = filters[0][0], bindparam(filters[0][1], type_=Text)
    rows = rows.where(first == any_(array([value])))
    rows = rows if start is None else rows.where(tuple_(first, number) > tuple_(value, start))
    return rows.order_by(first.desc(), number.desc()).limit(_limit_param())


def _limit_param() -> BindParameter[int]:
    return bindparam(_LIMIT_PARAM, type_=Integer)


def _number_long_before() -> Any:
    """Return an expression for a number up to which all events are earlier than :b_since.

    It's the number of an event that's earlier by more than the clock skew, so all events before it are earlier, too.
    Without it, a page with few matches would be searched for back to the first event.
    """
    other = audit_events.alias("other")
    near = bindparam(_NEAR_PARAM, type_=other.c.at.type)
    last = select(other.c.number).where(other.c.at < near).order_by(other.c.at.desc(), other.c.number.desc()).limit(1)
    return func.coalesce(last.scalar_subquery(), literal(MIN_NUMBER, BigInteger))
