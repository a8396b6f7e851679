"""Stores for queued commands, the outbox, claims, locks, and leases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Column, Integer, Select, Update, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.core.actors import Actor
from bot.domain.integrity.digest import VersionDigest
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.ledger.stores.base import (
    EPOCH,
    INSERTS,
    KEY,
    NOW,
    UNCLAIMED,
    SqlReadStore,
    SqlWriteStore,
    is_due,
    row_loader,
    select_by_key,
    to_row,
)
from bot.ledger.stores.held_work import IS_HELD
from bot.ledger.tables import (
    COMMAND_IS_PROPOSAL,
    COMMAND_IS_WAITING,
    IS_EXECUTING,
    MESSAGE_IS_WAITING,
    TAG_UPDATE_IS_WAITING,
    MessageState,
    channel_turns,
    digests,
    idempotent_calls,
    leases,
    measurements,
    message_refs,
    monitor_states,
    outbox_messages,
    queued_commands,
    serving_checks,
    tag_updates,
    transitions,
    used_nonces,
)
from bot.ports.records import (
    Claim,
    DeliveryProgress,
    IdempotentCall,
    MessageKind,
    MessageRef,
    OutboxMessage,
    QueuedCommand,
    TagUpdate,
)
from bot.ports.work_queue import WorkQueueReader, WorkQueueWriter

MAX_CHANNEL_DELAY = timedelta(
    minutes=2
)  # a channel's next turn is never further ahead, since the longest interval is a minute
# Tables whose rows name their claim, and the condition under which it's active.
_CLAIMABLE = ((transitions, IS_EXECUTING), (outbox_messages, MESSAGE_IS_WAITING))
# Rows that are claimed by postponing them: their key, their due time, and the condition for a claim.
_DUE_ROWS: dict[type, tuple[Column[Any], Column[Any], ColumnElement[bool]]] = {
    QueuedCommand: (
        queued_commands.c.id,
        queued_commands.c.not_before,
        and_(COMMAND_IS_WAITING, ~IS_HELD[queued_commands]),
    ),
    TagUpdate: (tag_updates.c.id, tag_updates.c.not_before, and_(TAG_UPDATE_IS_WAITING, ~IS_HELD[tag_updates])),
    VersionDigest: (digests.c.id, digests.c.due_at, digests.c.due_at.is_not(None)),
    ServingCheck: (
        serving_checks.c.move,
        serving_checks.c.next_at,
        serving_checks.c.state == ServingCheckState.PENDING,
    ),
}
KINDS, UNTIL, ATTEMPTS, LIMIT = "b_kinds", "b_until", "b_attempts", "b_most"  # bound parameters
_KEY_OF_COMMAND, _COMMAND_IS_DUE_AT, _COMMAND_CAN_BE_CLAIMED = _DUE_ROWS[QueuedCommand]
_SELECT_DUE_COMMANDS = (
    select(_KEY_OF_COMMAND)
    .where(_COMMAND_CAN_BE_CLAIMED, is_due(_COMMAND_IS_DUE_AT, bindparam(NOW)))
    .order_by(queued_commands.c.at, queued_commands.c.number)
)
_SELECT_NEXT_DUE_TIME = select(func.min(outbox_messages.c.not_before)).where(
    MESSAGE_IS_WAITING,
    outbox_messages.c.not_before > bindparam(NOW),
    outbox_messages.c.kind.in_(bindparam(KINDS, expanding=True)),
)
_SELECT_RECIPIENTS = (
    select(outbox_messages.c.to)
    .distinct()
    .where(MESSAGE_IS_WAITING, outbox_messages.c.kind == bindparam(KEY))
    .order_by(outbox_messages.c.to)
)
_UPDATE_MESSAGE = update(outbox_messages).where(
    outbox_messages.c.key == bindparam(KEY), MESSAGE_IS_WAITING, outbox_messages.c.attempts == bindparam(ATTEMPTS)
)
_UPDATE_REF = update(message_refs).where(message_refs.c.key == bindparam(KEY))
_UPDATE_TURN = update(channel_turns).where(channel_turns.c.channel == bindparam(KEY))
_DELAY_TURN = _UPDATE_TURN.where(channel_turns.c.next_at < bindparam(UNTIL))
_SELECT_TURN = (
    select(channel_turns.c.next_at).where(channel_turns.c.channel == bindparam(KEY)).with_for_update(key_share=True)
)


class WorkQueueQueries(SqlReadStore, WorkQueueReader):
    """Reads queued commands, the outbox, locks, and leases; see the port."""

    def queued_command(self, command_id: str) -> QueuedCommand:
        return self._get(QueuedCommand, queued_commands.c.id, command_id)

    def queued_command_with_key(self, caller: Actor, key: str) -> QueuedCommand | None:
        is_same = (queued_commands.c.caller == caller, queued_commands.c.key == key)
        return self._find(QueuedCommand, select(queued_commands).where(*is_same))

    def open_proposals(self) -> list[QueuedCommand]:
        query = select(queued_commands).where(COMMAND_IS_PROPOSAL).order_by(queued_commands.c.number)
        return self._list(QueuedCommand, query)

    def due_command_ids(self, now: datetime) -> list[str]:
        return self._fetch_column(_SELECT_DUE_COMMANDS, {NOW: now})

    def idempotent_call(self, client: str, key: str) -> IdempotentCall | None:
        is_same = (idempotent_calls.c.client == client, idempotent_calls.c.key == key)
        return self._find(IdempotentCall, select(idempotent_calls).where(*is_same))

    def message_ref(self, key: str) -> MessageRef | None:
        return self._find(MessageRef, select_by_key(message_refs.c.key), {KEY: key})

    def message_refs(self, keys: Collection[str]) -> dict[str, MessageRef]:
        result = self._connection.execute(select(message_refs).where(message_refs.c.key.in_(keys)))
        load = row_loader(MessageRef, result)
        return {row.key: load(row) for row in result}

    def is_pending(self, key: str) -> bool:
        progress = self.delivery_progress(key)
        return progress is not None and progress.is_waiting

    def delivery_progress(self, key: str) -> DeliveryProgress | None:
        columns = outbox_messages.c
        query = select(MESSAGE_IS_WAITING, columns.why, columns.not_before).where(columns.key == key)
        row = self._connection.execute(query).one_or_none()
        return DeliveryProgress(is_waiting=bool(row[0]), why=row[1], not_before=row[2]) if row else None

    def due_messages(
        self, now: datetime, limit: int = 100, *, kinds: Collection[MessageKind] = (), recipient: str | None = None
    ) -> list[OutboxMessage]:
        given = ({KINDS: list(kinds)} if kinds else {}) | ({} if recipient is None else {KEY: recipient})
        return self._list(OutboxMessage, _select_due_messages(frozenset(given)), {NOW: now, LIMIT: limit, **given})

    def next_message_due_at(self, now: datetime, *, kinds: Collection[MessageKind]) -> datetime | None:
        values = {NOW: now, KINDS: list(kinds)}
        at: datetime | None = self._connection.execute(_SELECT_NEXT_DUE_TIME, values).scalar()
        return at

    def pending_recipients(self, kind: MessageKind) -> list[str]:
        return self._fetch_column(_SELECT_RECIPIENTS, {KEY: kind})


class WorkQueueStore(SqlWriteStore, WorkQueueQueries, WorkQueueWriter):
    """Writes queued commands, the outbox, locks, and leases; see the port."""

    def claim(
        self, kind: type[QueuedCommand | TagUpdate | ServingCheck | VersionDigest], key: str, claim: Claim
    ) -> bool:
        key_column, due_at, can_be_claimed = _DUE_ROWS[kind]
        free = update(key_column.table).where(key_column == key, is_due(due_at, claim.now), can_be_claimed)
        return self._execute(free.values({due_at: claim.until}))

    def acquire_lease(self, name: str, claim: Claim) -> bool:
        lease = {"name": name, "owner": claim.owner, "until": claim.until, NOW: claim.now}
        return self._connection.execute(_acquire_lease(self._dialect), lease).first() is not None

    def release_lease(self, name: str, owner: str) -> None:
        self._execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def release_leases(self, owner: str) -> None:
        for table, is_at_work in _CLAIMABLE:
            self._execute(update(table).where(is_at_work, table.c.claimed_by == owner).values(**UNCLAIMED))
        for number in self._fetch_claimed_checks(measurements.c.number, measurements.c.claimed_by == owner):
            self._execute(_RELEASE_CHECK, {KEY: number, "b_owner": owner})
        self._execute(delete(leases).where(leases.c.owner == owner))

    def lease_owners(self) -> list[str]:
        claims = [
            select(table.c.claimed_by).where(is_claimed, table.c.claimed_by.is_not(None))
            for table, is_claimed in _CLAIMABLE
        ]
        owners = {owner for query in (*claims, select(leases.c.owner)) for owner in self._fetch_column(query)}
        return sorted(owners.union(self._fetch_claimed_checks(measurements.c.claimed_by)))

    def add_queued_command(self, command: QueuedCommand) -> bool:
        return self._insert(queued_commands, to_row(command), "caller", "key")

    def save_queued_command(self, command: QueuedCommand) -> None:
        if not self._update(queued_commands, command.id, to_row(command)):
            raise KeyError(command.id)

    def add_idempotent_call(self, call: IdempotentCall) -> bool:
        return self._insert(idempotent_calls, to_row(call), "client", "key")

    def add_nonce(self, scope: str, nonce: str, expires_at: datetime) -> bool:
        row = {"scope": scope, "nonce": nonce, "expires_at": expires_at}
        return self._insert(used_nonces, row, "scope", "nonce")

    def add_message(self, *messages: OutboxMessage) -> None:
        for message in messages:
            row = to_row(message, exclude="number") | {"state": MessageState.WAITING, "why": ""}
            row["created_at"] = message.created_at or self._clock.now()
            self._insert(outbox_messages, row, "key")

    def claim_message(self, message: OutboxMessage, claim: Claim) -> OutboxMessage | None:
        """Claim a message for delivery; return the message to deliver, or None if the claim failed."""
        claimed = replace(message, attempts=message.attempts + 1, claimed_until=claim.until)
        is_ours = self._update_message(
            message, was_tried=True, attempts=claimed.attempts, claimed_by=claim.owner, claimed_until=claim.until
        )
        return claimed if is_ours else None

    def mark_delivered(self, message: OutboxMessage, ref: MessageRef | None) -> bool:
        if not self._update_message(message, state=MessageState.DELIVERED, **UNCLAIMED):
            return False
        if ref is not None:
            row = {"key": message.ref_key} | to_row(ref)
            if not self._insert(message_refs, row, "key"):
                self._execute(_UPDATE_REF, {KEY: message.ref_key, **row})
        return True

    def postpone_message(self, message: OutboxMessage, until: datetime, why: str = "") -> bool:
        reason = {"why": why} if why else {}
        return self._update_message(message, not_before=until, was_tried=message.was_tried, **reason, **UNCLAIMED)

    def discard_message(self, message: OutboxMessage, why: str) -> bool:
        return self._update_message(message, state=MessageState.DROPPED, why=why, **UNCLAIMED)

    def take_channel_turn(self, channel: str, min_interval: timedelta, now: datetime) -> datetime:
        self._insert(channel_turns, {"channel": channel, "next_at": now}, "channel")
        next_at: datetime = self._connection.execute(_SELECT_TURN, {KEY: channel}).scalar_one()
        # A turn that's too far ahead was set by a process whose clock is ahead, and would block the channel until then.
        if now < next_at <= now + MAX_CHANNEL_DELAY:
            return next_at
        self._execute(_UPDATE_TURN, {KEY: channel, "next_at": now + min_interval})
        return now

    def delay_channel(self, channel: str, until: datetime) -> None:
        self._execute(_DELAY_TURN, {KEY: channel, UNTIL: until, "next_at": until})

    def _fetch_claimed_checks(self, column: Column[Any], *conditions: ColumnElement[bool]) -> list[Any]:
        """Return a column of the checks that are claimed and running; on PostgreSQL, return an empty list.

        There, a check that this process claimed can run in another process, and its claim expires.
        """
        return self._fetch_column(_claimed_checks(column, *conditions)) if self._dialect == "sqlite" else []

    def _update_message(self, message: OutboxMessage, **values: Any) -> bool:
        """Update a message unless it was finished or claimed since it was read; `attempts` counts the claims."""
        return self._execute(_UPDATE_MESSAGE, {KEY: message.key, ATTEMPTS: message.attempts, **values})


@cache
def _select_due_messages(given: frozenset[str]) -> Select[Any]:
    """Return the SELECT for the next :b_most messages at :b_now; if given, only those of :b_kinds or to :b_key.

    The ordering keys take turns, so that one with many messages doesn't delay the others: each key's first message
    comes first, oldest first, then each key's second message, and so on.
    """
    columns, now = outbox_messages.c, bindparam(NOW, type_=outbox_messages.c.not_before.type)
    stops = (
        select(columns.lane, func.min(columns.number).label("number"))
        .where(MESSAGE_IS_WAITING, or_(columns.not_before > now, columns.claimed_until > now))
        .group_by(columns.lane)
        .subquery("stops")
    )
    due = (
        select(outbox_messages)
        .outerjoin(stops, stops.c.lane == columns.lane)
        .where(MESSAGE_IS_WAITING, or_(stops.c.number.is_(None), columns.number < stops.c.number))
    )
    due = due.where(columns.kind.in_(bindparam(KINDS, expanding=True))) if KINDS in given else due
    due = due.where(columns.to == bindparam(KEY)) if KEY in given else due
    position = func.row_number().over(partition_by=columns.lane, order_by=columns.number)
    return due.order_by(position, columns.number).limit(bindparam(LIMIT, type_=Integer))


@cache
def _acquire_lease(dialect: str) -> Any:
    """Return the INSERT for a lease; it replaces one that has expired by :b_now or belongs to the same owner.

    It returns a row if the lease was free.
    """
    insert: Any = INSERTS[dialect](leases)
    is_free = or_(leases.c.owner == insert.excluded.owner, leases.c.until < bindparam(NOW, type_=leases.c.until.type))
    values = {name: insert.excluded[name] for name in ("owner", "until")}
    return insert.on_conflict_do_update(index_elements=[leases.c.name], set_=values, where=is_free).returning(
        leases.c.name
    )


_RELEASE_CHECK: Update = (
    update(measurements)
    .where(
        measurements.c.number == bindparam(KEY),
        measurements.c.outcome.is_(None),
        measurements.c.claimed_by == bindparam("b_owner"),
    )
    .values(claimed_by=None, claimed_until=None)
)


def _claimed_checks(column: Column[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the SELECT for a column of the claimed checks; only a monitor's next check can be claimed.

    It uses a subquery for each monitor because, with a join, SQLite scans all checks ever recorded.
    """
    is_next = (measurements.c.monitor == monitor_states.c.monitor, measurements.c.slot == monitor_states.c.slot + 1)
    is_claimed = (measurements.c.outcome.is_(None), measurements.c.claimed_by.is_not(None))
    claimed = select(column).where(*is_next, *is_claimed, *conditions).correlate(monitor_states).scalar_subquery()
    return select(claimed).where(monitor_states.c.next_at > EPOCH, claimed.is_not(None))
