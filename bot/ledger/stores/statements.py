"""Frequent statements, built once: building one takes SQLAlchemy longer than SQLite needs to run it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    Integer,
    Select,
    Table,
    Text,
    Update,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import array

from bot.domain.transitions.transition import UNFINISHED_STATES, TransitionState
from bot.ledger.stores.held_work import is_held
from bot.ledger.tables import (
    IS_EXECUTING,
    IS_INTENDED,
    IS_OPEN,
    audit_events,
    audit_head,
    incidents,
    is_in,
    leases,
    measurements,
    monitors,
    queued_commands,
    requests,
    transitions,
    votes,
)

PARTIAL_INDEXES = {
    requests: IS_OPEN,
    monitors: monitors.c.removed_at.is_(None),
    incidents: incidents.c.resolved_at.is_(None),
    queued_commands: queued_commands.c.key.is_not(None),
}
KEY = "b_key"  # a bound parameter; no column has its name or one of those below
NOW, ATTEMPTS, SLOT, OWNER, STAGE, LIMIT = "b_now", "b_attempts", "b_slot", "b_owner", "b_stage", "b_most"
BEFORE, UNTIL = "b_before", "b_until"
CONTEXT_ROWS = 50  # transitions after :b_until that are returned too, to show what followed
MAX_NUMBER = 2**62  # above every number that a row can have
_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@cache
def select_by_key(table: Table, column: str) -> Select[Any]:
    """Return the select of the row whose `column` is :b_key."""
    return select(table).where(table.c[column] == bindparam(KEY))


@cache
def select_for_update(table: Table, column: str) -> Select[Any]:
    """Return the same select, which locks the row; SQLite, with its single writer, ignores that."""
    return select_by_key(table, column).with_for_update(key_share=True)


@cache
def select_request_for_update() -> Select[Any]:
    """Return the select of a request that also blocks inserts that refer to it: votes and transitions."""
    return select_by_key(requests, "id").with_for_update()


@cache
def select_votes() -> Select[Any]:
    """Return the select of the votes on request :b_key, in the order in which they were cast."""
    return select_by_key(votes, "request").order_by(votes.c.number)


@cache
def select_transitions(dialect: str, *, of_stage: bool, is_before: bool = False, is_until: bool = False) -> Select[Any]:
    """Return the select of the :b_most newest transitions of model :b_key.

    Optionally only those into or out of :b_stage, before the transition :b_before, or up to soon after :b_until.
    """
    query = select(transitions)
    if of_stage:
        query = query.where(or_(transitions.c.target == bindparam(STAGE), transitions.c.from_stage == bindparam(STAGE)))
    if is_before:
        other = transitions.alias("other")
        query = query.where(
            transitions.c.number < _scalar(select(other.c.number).where(other.c.id == bindparam(BEFORE)))
        )
    if is_until:
        query = query.where(transitions.c.number <= _number_after_until())
    return _in_order(query, dialect, newest=True).limit(bindparam(LIMIT, type_=Integer))


@cache
def select_first_transition_into(dialect: str) -> Select[Any]:
    """Return the select of the first transition that put a version of model :b_key into :b_stage."""
    is_into_stage = and_(transitions.c.target == bindparam(STAGE), is_in(transitions.c.state, TransitionState.DONE))
    return _in_order(select(transitions).where(is_into_stage), dialect, newest=False).limit(1)


def _in_order(query: Select[Any], dialect: str, *, newest: bool) -> Select[Any]:
    """Return the select of a model's transitions in the order of their numbers, which an index provides."""
    model, columns = transitions.c.model, [transitions.c.model, transitions.c.number]
    value = bindparam(KEY, type_=Text)
    # Not written as an equality: PostgreSQL would scan the primary key, through the transitions of all models.
    query = query.where(model == any_(array([value])) if dialect == "postgresql" else model == value)
    return query.order_by(*([column.desc() for column in columns] if newest else columns))


def _number_after_until() -> Any:
    """Return the highest number among the transitions that were intended next after :b_until."""
    later = transitions.alias("later")
    next_transitions = select(later.c.number).where(
        later.c.model == bindparam(KEY), later.c.intended_at > bindparam(UNTIL)
    )
    context = next_transitions.order_by(later.c.intended_at, later.c.number).limit(CONTEXT_ROWS).subquery("near")
    return func.coalesce(_scalar(select(func.max(context.c.number))), MAX_NUMBER)


def _scalar(query: Select[Any]) -> Any:
    return query.scalar_subquery()


@cache
def insert_unless_present(table: Table, unique: tuple[str, ...], dialect: str) -> Any:
    """Return the insert that returns a row, or does nothing if there's a row with the same `unique` columns.

    Tables in `PARTIAL_INDEXES` are unique only among some rows: requests, for example, among open ones.
    """
    insert: Any = _INSERTS[dialect](table)
    partial = {"index_where": PARTIAL_INDEXES[table]} if table in PARTIAL_INDEXES else {}
    columns = [table.c[name] for name in unique]
    return insert.on_conflict_do_nothing(index_elements=columns, **partial).returning(columns[0])


@cache
def upsert(table: Table, unique: str, monotonic: str, dialect: str) -> Any:
    """Return the insert that replaces the row with the same `unique` column, but never lowers `monotonic`."""
    insert: Any = _INSERTS[dialect](table)
    new = {column.name: insert.excluded[column.name] for column in table.c if column.name != unique}
    new[monotonic] = case((table.c[monotonic] > new[monotonic], table.c[monotonic]), else_=new[monotonic])
    return insert.on_conflict_do_update(index_elements=[table.c[unique]], set_=new)


@cache
def update_by_id(table: Table) -> Update:
    """Return the update of the row whose id is :b_key; it sets the columns it gets values for."""
    return update(table).where(table.c.id == bindparam(KEY))


@cache
def claim_transition() -> Any:
    """Return the update that claims the oldest transition of model :b_key that's due at :b_now or has an expired lease.

    Claims nothing while another one of the model is executing, and none that is held.
    """
    other, now = transitions.alias("other"), bindparam(NOW, type_=transitions.c.not_before.type)
    is_taken = exists().where(other.c.model == bindparam(KEY), is_in(other.c.state, TransitionState.EXECUTING))
    due = and_(IS_INTENDED, or_(transitions.c.not_before.is_(None), transitions.c.not_before <= now), ~is_taken)
    expired = and_(IS_EXECUTING, or_(transitions.c.claimed_until.is_(None), transitions.c.claimed_until <= now))
    first = (
        select(transitions.c.number)
        .where(transitions.c.model == bindparam(KEY), or_(due, expired), ~is_held(transitions))
        .order_by(transitions.c.number)
        .limit(1)
        .with_for_update()
        .correlate(None)
        .scalar_subquery()
    )
    claim: dict[str, Any] = {name: bindparam(name) for name in ("claimed_by", "claimed_until")}
    return (
        update(transitions)
        .where(transitions.c.number == first)
        .values(state=TransitionState.EXECUTING, attempts=transitions.c.attempts + 1, not_before=None, **claim)
        .returning(transitions)
    )


@cache
def finish_transition() -> Update:
    """Return the update of transition :b_key, unless it has ended or was claimed since the claim :b_attempts."""
    is_ours = and_(
        transitions.c.id == bindparam(KEY),
        transitions.c.attempts == bindparam(ATTEMPTS),
        transitions.c.state.in_(UNFINISHED_STATES),
    )
    return update(transitions).where(is_ours)


@cache
def claim_slots(dialect: str) -> Any:
    """Return the insert that claims checks, taking over those whose claim has expired by :b_now.

    Returns a row for each check that was free.
    """
    insert: Any = _INSERTS[dialect](measurements)
    until = measurements.c.claimed_until
    expired = and_(measurements.c.outcome.is_(None), or_(until.is_(None), until < bindparam(NOW, type_=until.type)))
    claim = {name: insert.excluded[name] for name in ("claimed_by", "claimed_until")}
    return insert.on_conflict_do_update(
        index_elements=[measurements.c.monitor, measurements.c.slot], set_=claim, where=expired
    ).returning(measurements.c.monitor, measurements.c.slot)


@cache
def acquire_lease(dialect: str) -> Any:
    """Return the insert of a lease that replaces one that has expired by :b_now, or the same owner's.

    Returns a row if the lease was free.
    """
    insert: Any = _INSERTS[dialect](leases)
    is_free = or_(leases.c.owner == insert.excluded.owner, leases.c.until < bindparam(NOW, type_=leases.c.until.type))
    claim = {name: insert.excluded[name] for name in ("owner", "until")}
    return insert.on_conflict_do_update(index_elements=[leases.c.name], set_=claim, where=is_free).returning(
        leases.c.name
    )


@cache
def select_claimed_slots() -> Select[Any]:
    """Return the select of the unfinished checks among :b_slot that :b_owner has claimed; it locks them."""
    slot = tuple_(measurements.c.monitor, measurements.c.slot)
    is_held_by_owner = (measurements.c.outcome.is_(None), measurements.c.claimed_by == bindparam(OWNER))
    query = select(measurements.c.monitor, measurements.c.slot).where(
        slot.in_(bindparam(SLOT, expanding=True)), *is_held_by_owner
    )
    return query.order_by(measurements.c.monitor).with_for_update()


@cache
def release_slot() -> Update:
    """Return the update that releases the check with number :b_key if :b_owner has claimed it."""
    is_held_by_owner = (measurements.c.outcome.is_(None), measurements.c.claimed_by == bindparam(OWNER))
    statement = update(measurements).where(measurements.c.number == bindparam(KEY), *is_held_by_owner)
    return statement.values(claimed_by=None, claimed_until=None)


@cache
def finish_slot() -> Update:
    """Return the update of the check :b_slot of monitor :b_key."""
    return update(measurements).where(measurements.c.monitor == bindparam(KEY), measurements.c.slot == bindparam(SLOT))


@cache
def select_head_for_update() -> Select[Any]:
    """Return the select of the head of the audit chain; it locks the row."""
    return select(audit_head).with_for_update()


@cache
def update_head() -> Update:
    """Return the update of the head of the audit chain."""
    return update(audit_head)


@cache
def insert_events() -> Any:
    """Return the insert of audit events."""
    return audit_events.insert()


@cache
def select_records(dialect: str) -> Select[Any]:
    """Return the select of audit rows with the columns of `AuditRecord`: each column's text, whatever it holds.

    The database itself formats a time as the text that was hashed, since an edited one might not be a valid time.
    """
    columns = audit_events.c
    if dialect == "sqlite":
        at = func.replace(type_coerce(columns.at, Text), " ", "T", type_=Text)
    else:
        at = func.to_char(func.timezone("UTC", columns.at), 'YYYY-MM-DD"T"HH24:MI:SS.US', type_=Text)
    model = type_coerce(columns.model, Text)
    return select(
        columns.number,
        at.concat("+00:00"),
        columns.actor,
        columns.tag,
        model,
        columns.body,
        columns.previous,
        columns.hash,
    )
