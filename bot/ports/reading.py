"""What can be asked of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.audit.events import ChainedEvent, ChainHead, EventTag
from bot.domain.core.actors import Actor
from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckValue, Measurement, PushedReading, RecordedCheck
from bot.domain.monitoring.state import MonitorState
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import ServingCheck
from bot.domain.transitions.transition import Transition, TransitionState
from bot.ports.records import (
    Backlog,
    CheckBatch,
    DeliveryProgress,
    HeldWork,
    IdempotentCall,
    MessageKind,
    MessageRef,
    OutboxMessage,
    QueuedCommand,
    TagUpdate,
)


class LedgerReader(Protocol):
    """What can be asked of the ledger."""

    def request(self, request_id: str) -> Request:
        """Return the request. Raises UnknownRequest."""
        ...

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        limit: int = 100,
    ) -> list[Request]:
        """Return requests, newest first; `states` empty means any."""
        ...

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the request of this model and target that has not ended, if there is one."""
        ...

    def requests_to_review(self, model: str | None = None, limit: int = 1000) -> list[Request]:
        """Return the requests that were moved without approvals and need a review, those due first."""
        ...

    def expired_request_ids(self, now: datetime) -> list[str]:
        """Return the ids of pending requests whose time is over."""
        ...

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order in which they were cast."""
        ...

    def transition(self, transition_id: str) -> Transition:
        """Return the move. Raises KeyError."""
        ...

    def transitions(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        before_id: str | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> list[Transition]:
        """Return the finished and unfinished moves of a model, newest first; only those into or out of `stage`.

        Those before the move with the id `before`. With `until` those up to that time, and some that followed.
        """
        ...

    def first_transition(self, model: str, stage: Stage) -> Transition | None:
        """Return the first move that put a version of the model into the stage."""
        ...

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return the finished moves that put this version into Production, newest first: the last 100."""
        ...

    def models_with_transitions(self, states: Sequence[TransitionState]) -> list[str]:
        """Return the models that have moves in these states."""
        ...

    def models_with_expired_transitions(self, now: datetime) -> list[str]:
        """Return the models that have a move to be made whose request expired before anything was moved."""
        ...

    def queued_command(self, command_id: str) -> QueuedCommand:
        """Return what was asked. Raises KeyError."""
        ...

    def queued_command_with_key(self, caller: Actor, key: str) -> QueuedCommand | None:
        """Return what the caller asked for with this key."""
        ...

    def due_command_ids(self, now: datetime) -> list[str]:
        """Return the ids of asks that wait and whose time has come, oldest first; none that are held."""
        ...

    def registry_snapshot(self, model: str) -> RegistrySnapshot | None:
        """Return how the model looked when the registry was read last."""
        ...

    def model_with_other_case(self, name: str) -> str | None:
        """Return the model that the poll has seen by this name in another letter case, and not in this one."""
        ...

    def registry_snapshots(self) -> dict[str, RegistrySnapshot]:
        """Return how every model looked, by its name."""
        ...

    def drift_notice(self, notice_id: str) -> DriftNotice:
        """Return a finding. Raises UnknownRequest."""
        ...

    def due_tag_updates(self, now: datetime, limit: int = 100) -> list[TagUpdate]:
        """Return what has to be written to versions: of each version that which comes first, if it is due.

        A version whose first one is held waits with all that came later: the order stays.
        """
        ...

    def tag_updates(self, model: str, *, version: int | None = None, from_number: int = 0) -> list[TagUpdate]:
        """Return what was ever to be written to the model's versions, or to one, written or not, oldest first.

        From the number `since` on.
        """
        ...

    def first_unwritten_tag_update(self, model: str) -> int:
        """Return the number of the first copy that isn't written to the model's versions yet, else of the next one."""
        ...

    def active_hold(self) -> Hold | None:
        """Return the active hold."""
        ...

    def holds(self, limit: int = 20) -> list[Hold]:
        """Return holds, newest first; lifted ones too."""
        ...

    def held_work(self) -> HeldWork:
        """Return what the active hold covers: everything that waited when it was opened or widened."""
        ...

    def is_request_held(self, request_id: str) -> bool:
        """Tell whether the active hold covers a request."""
        ...

    def models_with_pending_work(self) -> list[str]:
        """Return the models that have open requests, unfinished moves, or tags still to be written."""
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

    def audit_events(self, *, model: str | None = None, after_number: int = 0, limit: int = 1000) -> list[ChainedEvent]:
        """Return audit events as they stand in the chain, oldest first."""
        ...

    def latest_audit_events(
        self,
        *,
        model: str | None = None,
        tags: Sequence[EventTag] = (),
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        """Return audit events, newest first: of a model, of these tags, since a time, before a number."""
        ...

    def audit_head(self) -> ChainHead:
        """Return where the audit chain ends."""
        ...

    def backlog(self, now: datetime) -> Backlog:
        """Return what is not finished. However much has ended, it costs no more."""
        ...

    def freezes(self) -> list[Freeze]:
        """Return the freezes that nobody has lifted, oldest first; one whose time is over may be among them."""
        ...

    def rollback_blocks(self, model: str) -> list[RollbackBlock]:
        """Return the bars of a model that nobody has cleared, oldest first."""
        ...

    def rollbacks(self, since: datetime) -> list[Transition]:
        """Return the rollbacks that were intended since then, newest first; those that came to nothing included."""
        ...

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that are not removed, by model and name."""
        ...

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, a removed one too. Raises UnknownRequest."""
        ...

    def monitor_states(self) -> dict[str, MonitorState]:
        """Return where the monitors stand, by their ids."""
        ...

    def monitor_state(self, monitor_id: str) -> MonitorState:
        """Return where a monitor stands; one that was never checked at its beginning."""
        ...

    def due_monitors(self, now: datetime, limit: int = 1000) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors whose check is due, the longest due first; neither paused nor removed ones.

        One that somebody is checking at this moment is none of them.
        """
        ...

    def claimed_monitors(self, batch: CheckBatch, now: datetime) -> list[tuple[Monitor, MonitorState]]:
        """Return those of a batch whose claim holds, the longest due first."""
        ...

    def measurements(
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        transition_id: str | None = None,
        from_revision: int = 1,
        limit: int = 100,
    ) -> list[Measurement]:
        """Return the finished checks of a monitor, newest first.

        Those of one term only, where `move` names it; by this revision of it or a later one.
        """
        ...

    def series(
        self,
        monitor: Monitor,
        *,
        since: datetime,
        until: datetime,
        transition_id: str | None = None,
        except_transition_id: str | None = None,
        except_versions: Collection[int] = (),
    ) -> list[CheckValue]:
        """Return the values of a monitor's checks after `since` and up to `until`, oldest first, with their totals.

        None of before it was changed to measure something else. Those of one term, where `move` names it; those of
        every other term, where `but` does; never of the versions in `without`.
        """
        ...

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[RecordedCheck]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first.

        None of before it was changed to measure something else.
        """
        ...

    def baselines(self, monitor_ids: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the baselines that monitors have, by their ids; of which term, and by which rule, they say themselves.

        They're those of before the terms; where `own`, those of the versions' own days.
        """
        ...

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[PushedReading]:
        """Return what was pushed of metrics (model and name), after `since` and up to `until`, oldest first.

        The times are the readings' own.
        """
        ...

    def idempotent_call(self, client: str, key: str) -> IdempotentCall | None:
        """Return what was answered to a call with this key before."""
        ...

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest."""
        ...

    def incidents(self, *, model: str | None = None, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first; open ones only, where `is_open`."""
        ...

    def tripped_breakers(self) -> list[TrippedBreaker]:
        """Return the breakers that are tripped."""
        ...

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        """Return what the serving side was asked after a move."""
        ...

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        """Return what the serving side of a model was asked last."""
        ...

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        """Return the questions to the serving side that are to be asked (again) now."""
        ...
