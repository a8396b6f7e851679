"""The part of the ledger about queued commands, the outbox, locks, and leases."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.core.actors import Actor
from bot.ports.records import DeliveryProgress, IdempotentCall, MessageKind, MessageRef, OutboxMessage, QueuedCommand


class WorkQueueReader(Protocol):
    """Reads queued commands, the outbox, locks, and leases."""

    def queued_command(self, command_id: str) -> QueuedCommand:
        """Return what was asked. Raises KeyError."""
        ...

    def queued_command_with_key(self, caller: Actor, key: str) -> QueuedCommand | None:
        """Return what the caller asked for with this key."""
        ...

    def due_command_ids(self, now: datetime) -> list[str]:
        """Return the ids of asks that wait and whose time has come, oldest first; none that are held."""
        ...

    def idempotent_call(self, client: str, key: str) -> IdempotentCall | None:
        """Return what was answered to a call with this key before."""
        ...

    def message_ref(self, key: str) -> MessageRef | None:
        """Return where the message with this key stands in Slack."""
        ...

    def message_ref_for(self, message: OutboxMessage) -> MessageRef | None:
        """Return where a note's message stands in Slack."""
        ...

    def is_pending(self, message: OutboxMessage) -> bool:
        """Tell whether a note is neither delivered nor given up."""
        ...

    def delivery_progress(self, message: OutboxMessage) -> DeliveryProgress | None:
        """Return a note's progress; None if it was never added."""
        ...

    def due_messages(
        self, now: datetime, limit: int = 100, *, kinds: Collection[MessageKind] = (), recipient: str | None = None
    ) -> list[OutboxMessage]:
        """Return the undelivered notes: of each lane those before the first that has to wait, in order.

        Only those of `kinds`, where any are named, and those for `to`; the notes of one lane go out by one way.
        """
        ...

    def next_message_due_at(self, now: datetime, *, kinds: Collection[MessageKind]) -> datetime | None:
        """Return when the first undelivered note that has to wait can be tried; None if none has to."""
        ...

    def pending_recipients(self, kind: MessageKind) -> list[str]:
        """Return for whom there are undelivered notes of this kind, due or not, sorted."""
        ...


class WorkQueueWriter(WorkQueueReader, Protocol):
    """Changes queued commands, the outbox, locks, and leases."""

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name; they go one after the other from here to their ends."""
        ...

    def try_lock(self, name: str) -> bool:
        """Lock a name unless another transaction holds it: then return False at once."""
        ...

    def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Hold a name across transactions; return False where somebody else does. One's own is made longer."""
        ...

    def release_lease(self, name: str, owner: str) -> None:
        """Let it go, if it is the owner's."""
        ...

    def release_leases(self, owner: str) -> None:
        """End the leases of an owner that is known to be gone."""
        ...

    def lease_owners(self) -> list[str]:
        """Return who holds models, notes, checks or leases now."""
        ...

    def add_queued_command(self, command: QueuedCommand) -> bool:
        """Insert it; return False where its caller has asked with this key before."""
        ...

    def claim_queued_command(self, command_id: str, now: datetime, until: datetime) -> bool:
        """Take a waiting ask whose time has come for oneself until then; False where it's taken, or held."""
        ...

    def save_queued_command(self, command: QueuedCommand) -> None:
        """Write its present state."""
        ...

    def add_idempotent_call(self, call: IdempotentCall) -> bool:
        """Remember what was answered; return False where this key has an answer already."""
        ...

    def add_message(self, message: OutboxMessage) -> None:
        """Put it into the outbox, from now unless it says since when; a key that is there already is left as it is."""
        ...

    def claim_message(self, message: OutboxMessage, owner: str, now: datetime, until: datetime) -> OutboxMessage | None:
        """Take a note to deliver it until then, and remember that this has begun: a lost answer is looked for.

        Return it as it is to be delivered, or None where somebody else has taken or delivered it.
        """
        ...

    def mark_delivered(self, message: OutboxMessage, ref: MessageRef | None) -> bool:
        """Take it out of the queue, and remember where it stands: cards and notices by their lane, all else by key.

        Return False, as those below, where it was taken over since it was claimed: then nothing is written.
        """
        ...

    def postpone_message(self, message: OutboxMessage, until: datetime, why: str = "") -> bool:
        """Try it again at `until`; `was_tried` is taken from `note`. Without `why`, the last reason stays."""
        ...

    def discard_message(self, message: OutboxMessage, why: str) -> bool:
        """Give it up: Slack will never take it."""
        ...

    def take_channel_turn(self, channel: str, min_interval: timedelta, now: datetime) -> datetime:
        """Take a channel's turn if it has come, which sets the next one `pace` later. Return when it comes."""
        ...

    def delay_channel(self, channel: str, until: datetime) -> None:
        """Postpone a channel's next turn to at least `until`."""
        ...
