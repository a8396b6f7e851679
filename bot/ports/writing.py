"""What one transaction can change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.audit.events import Event
from bot.domain.core.actors import Person
from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Measurement, PushedReading
from bot.domain.monitoring.state import MonitorState
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, Vote
from bot.domain.registry.model import VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import ServingCheck
from bot.domain.transitions.transition import Transition
from bot.ports.reading import LedgerReader
from bot.ports.records import (
    IdempotentCall,
    MessageRef,
    OutboxMessage,
    QueuedCommand,
    TagUpdate,
)


class LedgerTransaction(LedgerReader, Protocol):
    """One transaction."""

    def lock_request(self, request_id: str) -> Request:
        """Return the request, locked until the transaction ends. Raises UnknownRequest."""
        ...

    def add_request(self, request: Request) -> None:
        """Insert it. Raises AlreadyOpen where one for this model and target has not ended."""
        ...

    def save_request(self, request: Request) -> None:
        """Write its present state."""
        ...

    def add_vote(self, vote: Vote) -> bool:
        """Insert it; return False where this person has voted on this request already."""
        ...

    def delete_vote(self, request_id: str, voter: Person) -> bool:
        """Take the person's vote away, the audit keeps it; return False where there is none."""
        ...

    def save_vote(self, vote: Vote) -> None:
        """Write its present state."""
        ...

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert it."""
        ...

    def save_freeze(self, freeze: Freeze) -> None:
        """Write its present state."""
        ...

    def add_hold(self, hold: Hold) -> bool:
        """Insert it, covering everything that waits now; return False where one is active."""
        ...

    def save_hold(self, hold: Hold, *, extend: bool = False) -> None:
        """Write its present state. With `widen` it also covers everything that waits now."""
        ...

    def discard_held_tag_updates(self, why: str) -> None:
        """Take the tag updates that are held out of the queue; they're never written."""
        ...

    def add_rollback_block(self, block: RollbackBlock) -> bool:
        """Insert it; return False where it is there already."""
        ...

    def save_rollback_block(self, block: RollbackBlock) -> None:
        """Write its present state."""
        ...

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert it; return False where the model has one of this name."""
        ...

    def save_monitor(self, monitor: Monitor) -> None:
        """Write its present state."""
        ...

    def save_monitor_states(self, states: Sequence[MonitorState]) -> None:
        """Write where monitors stand now."""
        ...

    def save_monitor_state(self, state: MonitorState) -> None:
        """Write where a monitor stands now."""
        ...

    def claim_slots(self, slots: Mapping[tuple[str, int], datetime], owner: str, now: datetime) -> set[tuple[str, int]]:
        """Take checks, each until its time; return those that are neither done nor somebody else's."""
        ...

    def finish_slots(self, checks: Sequence[Measurement], owner: str) -> set[tuple[str, int]]:
        """Write what claimed checks came to; return which of them were the owner's still. The others are left."""
        ...

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        """Write monitors' baselines; each takes the place of its monitor's former one.

        They're those of before the terms; where `own`, those of the versions' own days.
        """
        ...

    def add_readings(self, pushed: Sequence[PushedReading]) -> int:
        """Insert what was pushed, but for what is there already; return how many are new."""
        ...

    def add_idempotent_call(self, call: IdempotentCall) -> bool:
        """Remember what was answered; return False where this key has an answer already."""
        ...

    def purge(self, *, measurements_before: datetime, readings_before: datetime) -> int:
        """Throw away checks, and readings and calls, that are older than that; return how many rows.

        Checks that a frozen baseline is made of stay, however old they are, until their monitor is removed.
        """
        ...

    def add_incident(self, incident: Incident) -> bool:
        """Insert it; return False where one of this model, source and kind is open."""
        ...

    def save_incident(self, incident: Incident) -> None:
        """Write its present state."""
        ...

    def trip_breaker(self, breaker: TrippedBreaker) -> bool:
        """Trip a breaker; return False where it is tripped already."""
        ...

    def reset_breaker(self, model: str) -> bool:
        """Reset a breaker; return False where it is not tripped."""
        ...

    def save_serving_check(self, check: ServingCheck) -> bool:
        """Write what the serving side said; return False where the question had its end already."""
        ...

    def claim_serving_check(self, check: ServingCheck, until: datetime) -> bool:
        """Take a due question for oneself until then; return False where somebody else has it, or it has its end."""
        ...

    def add_transition(self, transition: Transition) -> bool:
        """Insert it; return False where a move with this id is there already."""
        ...

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        """Insert moves (oldest first) that come before every move that is there."""
        ...

    def claim_transition(self, model: str, owner: str, now: datetime, until: datetime) -> Transition | None:
        """Take the model's oldest move that is intended and due, or executing with an owner whose lease is over.

        None that is held. Return it as executing, or None where there is none or the model is held by another owner.
        """
        ...

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        """Record that a claimed move is about to write to the registry; the first such time is kept.

        Return False where it was taken over since `move` was claimed: then nothing was changed.
        """
        ...

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        """Give a claimed move back as intended, to be tried again at `not_before`. `began_at` is kept.

        Return False where it was taken over since `move` was claimed: then nothing was changed.
        """
        ...

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        """Fill in what a model's versions are, where an older Registrar's moves and open requests don't tell.

        Moves are marked as taken on trust. A version that was created after the row was written is another one.
        """
        ...

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        """Let the model's requests and moves name where the files of their versions are now."""
        ...

    def finish_transition(self, transition: Transition) -> None:
        """Write its end state and let go of the model; `began_at` is kept as `begin_move` wrote it.

        Raises AlreadyDecided where it was taken over or has ended.
        """
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

    def save_registry_snapshot(self, snapshot: RegistrySnapshot) -> None:
        """Write down how the model looks now."""
        ...

    def delete_registry_snapshot(self, model: str) -> None:
        """Forget a model that the registry has no more."""
        ...

    def add_drift_notice(self, notice: DriftNotice) -> bool:
        """Insert it; return False where it is there already."""
        ...

    def save_drift_notice(self, notice: DriftNotice) -> None:
        """Write its present state."""
        ...

    def add_tag_update(self, tag_update: TagUpdate) -> None:
        """Let something be written to a version; an id that is there already is left as it is."""
        ...

    def claim_tag_update(self, tag_update: TagUpdate, now: datetime, until: datetime) -> bool:
        """Take a due row for oneself until then; return False where somebody else has, or it's held."""
        ...

    def finish_tag_update(self, tag_update: TagUpdate, *, why: str = "") -> None:
        """Take it out of the queue; `why` says why it was given up."""
        ...

    def postpone_tag_update(self, tag_update: TagUpdate, until: datetime, why: str) -> None:
        """Try it again at `until`."""
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

    def add_audit_event(self, event: Event) -> None:
        """Add an event to the audit chain."""
        ...
