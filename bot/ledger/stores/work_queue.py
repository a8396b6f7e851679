"""Rows about queued commands, the outbox, locks, and leases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Select, and_, delete, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.core.actors import Actor
from bot.ledger.stores import held_work, row_mapping, statements
from bot.ledger.stores.base import EPOCH, UNCLAIMED, SqlReadStore, SqlWriteStore, is_due
from bot.ledger.tables import (
    COMMAND_IS_WAITING,
    IS_EXECUTING,
    MESSAGE_IS_WAITING,
    MessageState,
    channel_turns,
    idempotent_calls,
    leases,
    measurements,
    message_refs,
    monitor_states,
    outbox_messages,
    queued_commands,
    transitions,
)
from bot.ports import DeliveryProgress, IdempotentCall, MessageKind, MessageRef, OutboxMessage, QueuedCommand

MAX_CHANNEL_DELAY = timedelta(
    minutes=2
)  # a channel's next turn is never further ahead: the longest interval is a minute
# Tables whose rows are claimed, and the condition under which a claim counts.
_CLAIMABLE = ((transitions, IS_EXECUTING), (outbox_messages, MESSAGE_IS_WAITING))


class WorkQueueQueries(SqlReadStore):
    """Reads queued commands, the outbox, locks, and leases."""

    def queued_command(self, command_id: str) -> QueuedCommand:
        """Return a queued command. Raises KeyError if there is none with this id."""
        return self._get(QueuedCommand, queued_commands, command_id)

    def queued_command_with_key(self, caller: Actor, key: str) -> QueuedCommand | None:
        """Return the command that the caller queued with this idempotency key, or None."""
        return self._find(
            QueuedCommand,
            select(queued_commands).where(queued_commands.c.caller == caller, queued_commands.c.key == key),
        )

    def due_command_ids(self, now: datetime) -> list[str]:
        """Return the ids of the waiting commands that are due at `now`, oldest first."""
        ready = select(queued_commands.c.id).where(
            COMMAND_IS_WAITING, is_due(queued_commands.c.not_before, now), ~held_work.is_held(queued_commands)
        )
        return self._fetch_column(ready.order_by(queued_commands.c.at, queued_commands.c.number))

    def idempotent_call(self, client: str, key: str) -> IdempotentCall | None:
        """Return the API call that the client made with this idempotency key, and its answer, or None."""
        return self._find(
            IdempotentCall,
            select(idempotent_calls).where(idempotent_calls.c.client == client, idempotent_calls.c.key == key),
        )

    def message_ref(self, key: str) -> MessageRef | None:
        """Return where the message with this key is in Slack, or None."""
        return self._find(MessageRef, statements.select_by_key(message_refs, "key"), key)

    def message_ref_for(self, message: OutboxMessage) -> MessageRef | None:
        """Return where an outbox message is in Slack, or None."""
        return self.message_ref(message_ref_key(message))

    def is_pending(self, message: OutboxMessage) -> bool:
        """Return whether an outbox message is neither delivered nor given up."""
        return bool(
            self._fetch_column(
                select(outbox_messages.c.key).where(outbox_messages.c.key == message.key, MESSAGE_IS_WAITING)
            )
        )

    def delivery_progress(self, message: OutboxMessage) -> DeliveryProgress | None:
        """Return the progress of an outbox message; None if it was never added."""
        query = select(MESSAGE_IS_WAITING, outbox_messages.c.why, outbox_messages.c.not_before).where(
            outbox_messages.c.key == message.key
        )
        row = self._connection.execute(query).one_or_none()
        return DeliveryProgress(is_waiting=bool(row[0]), why=row[1], not_before=row[2]) if row else None

    def due_messages(
        self, now: datetime, limit: int = 100, *, kinds: Collection[MessageKind] = (), recipient: str | None = None
    ) -> list[OutboxMessage]:
        """Return the outbox messages that can be delivered at `now`.

        The ordering keys take turns, so that one with many messages delays nobody: the first message of each comes
        first, oldest first, then every second one.
        """
        due = _due_messages(now).where(outbox_messages.c.kind.in_(kinds)) if kinds else _due_messages(now)
        due = due if recipient is None else due.where(outbox_messages.c.to == recipient)
        return self._list(OutboxMessage, due.limit(limit))

    def next_message_due_at(self, now: datetime, *, kinds: Collection[MessageKind]) -> datetime | None:
        """Return when the next postponed message of these kinds is due; None if none is postponed."""
        waits = (MESSAGE_IS_WAITING, outbox_messages.c.not_before > now, outbox_messages.c.kind.in_(kinds))
        at: datetime | None = self._connection.execute(
            select(func.min(outbox_messages.c.not_before)).where(*waits)
        ).scalar()
        return at

    def pending_recipients(self, kind: MessageKind) -> list[str]:
        """Return the recipients of pending messages of this kind, due or not, sorted."""
        query = (
            select(outbox_messages.c.to)
            .distinct()
            .where(MESSAGE_IS_WAITING, outbox_messages.c.kind == kind)
            .order_by(outbox_messages.c.to)
        )
        return [str(to) for to in self._connection.execute(query).scalars()]


class WorkQueueStore(SqlWriteStore, WorkQueueQueries):
    """Writes queued commands, the outbox, locks, and leases."""

    def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Acquire or extend a lease on a name, beyond this transaction."""
        lease = {"name": name, "owner": owner, "until": until, statements.NOW: now}
        return self._connection.execute(statements.acquire_lease(self._dialect), lease).first() is not None

    def release_lease(self, name: str, owner: str) -> None:
        """Release a lease if this owner has it."""
        self._execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def release_leases(self, owner: str) -> None:
        """Release everything that a process claimed."""
        for table, is_at_work in _CLAIMABLE:
            self._execute(update(table).where(is_at_work, table.c.claimed_by == owner).values(**UNCLAIMED))
        if checks := self._fetch_claimed_checks(measurements.c.number, measurements.c.claimed_by == owner):
            held = [{statements.KEY: number, statements.OWNER: owner} for number in checks]
            self._connection.execute(statements.release_slot(), held)
        self._execute(delete(leases).where(leases.c.owner == owner))

    def lease_owners(self) -> list[str]:
        """Return the processes that have claimed transitions, messages, checks, or leases, sorted."""
        claims = [
            select(table.c.claimed_by).where(is_claimed, table.c.claimed_by.is_not(None))
            for table, is_claimed in _CLAIMABLE
        ]
        owners = {owner for query in (*claims, select(leases.c.owner)) for owner in self._fetch_column(query)}
        return sorted(owners.union(self._fetch_claimed_checks(measurements.c.claimed_by)))

    def add_queued_command(self, command: QueuedCommand) -> bool:
        """Queue a command; return False if its caller has used its idempotency key before."""
        return self._insert(queued_commands, row_mapping.to_row(command), "caller", "key")

    def claim_queued_command(self, command_id: str, now: datetime, until: datetime) -> bool:
        """Claim a waiting command that is due at `now`, until `until`."""
        is_free = and_(
            queued_commands.c.id == command_id,
            COMMAND_IS_WAITING,
            is_due(queued_commands.c.not_before, now),
            ~held_work.is_held(queued_commands),
        )
        return self._execute(update(queued_commands).where(is_free).values(not_before=until))

    def save_queued_command(self, command: QueuedCommand) -> None:
        """Write the command's current state. Raises KeyError if it was never added."""
        if not self._update(queued_commands, command.id, row_mapping.to_row(command)):
            raise KeyError(command.id)

    def add_idempotent_call(self, call: IdempotentCall) -> bool:
        """Record an answered API call; return False if its idempotency key already has an answer."""
        return self._insert(idempotent_calls, row_mapping.to_row(call), "client", "key")

    def add_message(self, message: OutboxMessage) -> None:
        """Put a message into the outbox; one whose key is already there is left as it is."""
        row = row_mapping.to_row(message, exclude=frozenset({"number"}))
        row["created_at"] = message.created_at or datetime.now(UTC)
        self._insert(outbox_messages, row | {"state": MessageState.WAITING, "why": ""}, "key")

    def claim_message(self, message: OutboxMessage, owner: str, now: datetime, until: datetime) -> OutboxMessage | None:
        """Claim a message for delivery and return it as it's to be delivered, or None."""
        if not self._update_message(
            message, was_tried=True, attempts=message.attempts + 1, claimed_by=owner, claimed_until=until
        ):
            return None
        return replace(message, attempts=message.attempts + 1, claimed_until=until)

    def mark_delivered(self, message: OutboxMessage, ref: MessageRef | None) -> bool:
        """Mark a message as delivered, and record where it is in Slack."""
        if not self._update_message(message, state=MessageState.DELIVERED, **UNCLAIMED):
            return False
        if ref is not None:
            key = message_ref_key(message)
            row = row_mapping.to_row(ref)
            if not self._insert(message_refs, {"key": key, **row}, "key"):
                self._execute(update(message_refs).where(message_refs.c.key == key).values(**row))
        return True

    def postpone_message(self, message: OutboxMessage, until: datetime, why: str = "") -> bool:
        """Try a message again at `until`."""
        reason = {"why": why} if why else {}
        return self._update_message(message, not_before=until, was_tried=message.was_tried, **reason, **UNCLAIMED)

    def discard_message(self, message: OutboxMessage, why: str) -> bool:
        """Give up a message that Slack will never accept."""
        return self._update_message(message, state=MessageState.DROPPED, why=why, **UNCLAIMED)

    def take_channel_turn(self, channel: str, min_interval: timedelta, now: datetime) -> datetime:
        """Take the turn to post in a channel if it has come; return when it comes.

        A turn that is too far ahead was set by a process whose clock was ahead, and would block the channel for as
        long.
        """
        self._insert(channel_turns, {"channel": channel, "next_at": now}, "channel")
        row = (
            self._connection.execute(self._select_by_key(channel_turns, "channel"), {statements.KEY: channel})
            .mappings()
            .one()
        )
        turn_at: datetime = row["next_at"] if now < row["next_at"] <= now + MAX_CHANNEL_DELAY else now
        if turn_at == now:
            self._execute(
                update(channel_turns).where(channel_turns.c.channel == channel).values(next_at=turn_at + min_interval)
            )
        return turn_at

    def delay_channel(self, channel: str, until: datetime) -> None:
        """Postpone a channel's next turn to `until` or later."""
        self._execute(
            update(channel_turns)
            .where(channel_turns.c.channel == channel, channel_turns.c.next_at < until)
            .values(next_at=until)
        )

    def _fetch_claimed_checks(self, column: Column[Any], *conditions: ColumnElement[bool]) -> list[Any]:
        """Return a column of the checks that are claimed and running.

        Empty on PostgreSQL: a check that this process claimed can run in another process, and its claim expires.
        """
        return [] if self._is_postgres else self._fetch_column(_claimed_checks(column, *conditions))

    def _update_message(self, message: OutboxMessage, **values: Any) -> bool:
        """Update a message unless it has ended or was claimed since it was read: `attempts` counts the claims."""
        is_ours = and_(
            outbox_messages.c.key == message.key, MESSAGE_IS_WAITING, outbox_messages.c.attempts == message.attempts
        )
        return self._execute(update(outbox_messages).where(is_ours).values(**values))


def message_ref_key(message: OutboxMessage) -> str:
    """Return the key under which a message's place in Slack is recorded."""
    return message.lane if message.kind.is_updated_in_place else message.key


def _due_messages(now: datetime) -> Select[Any]:
    stops = (
        select(outbox_messages.c.lane, func.min(outbox_messages.c.number).label("number"))
        .where(MESSAGE_IS_WAITING, or_(outbox_messages.c.not_before > now, outbox_messages.c.claimed_until > now))
        .group_by(outbox_messages.c.lane)
        .subquery("stops")
    )
    position = func.row_number().over(partition_by=outbox_messages.c.lane, order_by=outbox_messages.c.number)
    return (
        select(outbox_messages)
        .outerjoin(stops, stops.c.lane == outbox_messages.c.lane)
        .where(MESSAGE_IS_WAITING, or_(stops.c.number.is_(None), outbox_messages.c.number < stops.c.number))
        .order_by(position, outbox_messages.c.number)
    )


def _claimed_checks(column: Column[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the select of a column of the claimed checks; for each monitor, only its next check can be claimed.

    As a subquery for each monitor: with a join, SQLite scans all checks ever recorded.
    """
    is_next = (measurements.c.monitor == monitor_states.c.monitor, measurements.c.slot == monitor_states.c.slot + 1)
    is_claimed = (measurements.c.outcome.is_(None), measurements.c.claimed_by.is_not(None))
    claimed = select(column).where(*is_next, *is_claimed, *conditions).correlate(monitor_states).scalar_subquery()
    return select(claimed).where(monitor_states.c.next_at > EPOCH, claimed.is_not(None))
