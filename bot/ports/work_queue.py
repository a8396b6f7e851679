"""Ledger ports for queued commands, answered API calls, the outbox, claims, locks, and leases."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.core.actors import Actor
from bot.domain.integrity.digest import VersionDigest
from bot.domain.transitions.serving_check import ServingCheck
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


class WorkQueueReader(Protocol):
    """Reads queued commands, answered API calls, and the outbox."""

    def queued_command(self, command_id: str) -> QueuedCommand:
        """Return a queued command. Raises KeyError if none has this ID."""

    def queued_command_with_key(self, caller: Actor, key: str) -> QueuedCommand | None:
        """Return the command that the caller queued with this idempotency key, or None."""

    def open_proposals(self) -> list[QueuedCommand]:
        """Return the queued commands with monitors that agents proposed, oldest first.

        Leaves out proposals that someone has added or dismissed.
        """

    def due_command_ids(self, now: datetime) -> list[str]:
        """Return the IDs of the waiting commands that are due at `now`, oldest first.

        Commands that a hold covers are left out.
        """

    def idempotent_call(self, client: str, key: str) -> IdempotentCall | None:
        """Return the API call that the client made with this idempotency key, including its answer, or None."""

    def message_ref(self, key: str) -> MessageRef | None:
        """Return where the message with this key is in Slack, or None."""

    def message_refs(self, keys: Collection[str]) -> dict[str, MessageRef]:
        """Return where the messages with these keys are in Slack, by key, without those that aren't delivered yet."""

    def is_pending(self, key: str) -> bool:
        """Return whether the outbox message with this key is neither delivered nor given up."""

    def delivery_progress(self, key: str) -> DeliveryProgress | None:
        """Return the progress of the outbox message with this key; None if it was never added."""

    def due_messages(
        self, now: datetime, limit: int = 100, *, kinds: Collection[MessageKind] = (), recipient: str | None = None
    ) -> list[OutboxMessage]:
        """Return the outbox messages that can be delivered at `now`.

        For each ordering key, these are the messages before the first one that has to wait, in order. `kinds`: only
        messages of these kinds; empty means any. All messages with the same ordering key go to the same place: Slack,
        or one endpoint. `recipient`: only messages to this recipient. `limit`: the maximum number to return.
        """

    def next_message_due_at(self, now: datetime, *, kinds: Collection[MessageKind]) -> datetime | None:
        """Return when the next postponed message of these kinds is due; None if none is postponed."""

    def pending_recipients(self, kind: MessageKind) -> list[str]:
        """Return the recipients of pending messages of this kind, due or not, sorted."""


class WorkQueueWriter(WorkQueueReader, Protocol):
    """Changes queued commands, answered API calls, the outbox, claims, locks, and leases."""

    def lock(self, name: str) -> None:
        """Lock a name until this transaction ends; if another transaction holds the lock, wait for it first."""

    def try_lock(self, name: str) -> bool:
        """Lock a name until this transaction ends; return False at once if another transaction holds the lock."""

    def claim(
        self, kind: type[QueuedCommand | TagUpdate | ServingCheck | VersionDigest], key: str, claim: Claim
    ) -> bool:
        """Claim waiting work that is due.

        Returns False if another process has claimed it, if it has ended, or if a hold covers it. `kind`, `key`: a
        queued command, tag update, or digest with its ID, or a serving check with the ID of its transition.
        """

    def acquire_lease(self, name: str, claim: Claim) -> bool:
        """Acquire or extend a lease on a name. It outlasts this transaction.

        Returns False if another owner's lease hasn't expired.
        """

    def release_lease(self, name: str, owner: str) -> None:
        """Release a lease if this owner has it."""

    def release_leases(self, owner: str) -> None:
        """Release everything that a process claimed. `owner`: a process that's known to have ended."""

    def lease_owners(self) -> list[str]:
        """Return the processes that have claimed transitions, messages, checks, or leases, sorted."""

    def add_queued_command(self, command: QueuedCommand) -> bool:
        """Queue a command; return False if its caller has used its idempotency key before."""

    def save_queued_command(self, command: QueuedCommand) -> None:
        """Write the command's current state. Raises KeyError if it was never added."""

    def add_idempotent_call(self, call: IdempotentCall) -> bool:
        """Record an answered API call; return False if its idempotency key already has an answer."""

    def add_nonce(self, scope: str, nonce: str, expires_at: datetime) -> bool:
        """Record that a nonce was used; return False if it was used before in this scope, in any process.

        `scope`: who chose the nonce; other scopes can use the same one. `expires_at`: when the nonce can be deleted,
        because what it belongs to is too old to be accepted by then.
        """

    def add_message(self, *messages: OutboxMessage) -> None:
        """Add messages to the outbox; skip those whose key already exists.

        A message without `created_at` gets the current time.
        """

    def claim_message(self, message: OutboxMessage, claim: Claim) -> OutboxMessage | None:
        """Claim a message for delivery; return the message to deliver, or None.

        Records that delivery was tried, so that if Slack's response is lost, the message can be searched for. Returns
        None if another process has claimed or delivered it.
        """

    def mark_delivered(self, message: OutboxMessage, ref: MessageRef | None) -> bool:
        """Mark a message as delivered, and record where it is in Slack.

        A message that is updated in place, and one of an audit stream, is recorded under its ordering key; every other
        one under its own key. Returns False, and changes nothing, if another owner has claimed it since.
        """

    def postpone_message(self, message: OutboxMessage, until: datetime, why: str = "") -> bool:
        """Postpone a message's delivery until `until`.

        `was_tried` is taken from the message. `why`: what went wrong; if it's empty, the last reason is kept. Returns
        False, and changes nothing, if another owner has claimed it since.
        """

    def discard_message(self, message: OutboxMessage, why: str) -> bool:
        """Give up on a message that will never be accepted.

        `why`: the reason to record. Returns False, and changes nothing, if another owner has claimed it since.
        """

    def take_channel_turn(self, channel: str, min_interval: timedelta, now: datetime) -> datetime:
        """Take the next turn to post in a channel if it has come; return when it comes.

        If the result is `now`, the turn was taken. `min_interval`: the shortest time between two posts in the channel.
        """

    def delay_channel(self, channel: str, until: datetime) -> None:
        """Postpone a channel's next turn until `until`, unless it's already later."""
