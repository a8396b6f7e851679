"""What can be asked of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Connection,
    RowMapping,
    Select,
    Table,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.audit.events import ChainedEvent, ChainHead, EventTag
from bot.domain.core.actors import Actor
from bot.domain.core.errors import UnknownRequest
from bot.domain.core.sentence import Name, say
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
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger.audit_chain import MIN_NUMBER, AuditRecord
from bot.ledger.stores import audit_pages, backlog_queries, held_work, row_mapping, statements
from bot.ledger.tables.base import (
    COMMAND_IS_WAITING,
    IS_INTENDED,
    IS_OPEN,
    IS_PENDING,
    MESSAGE_IS_WAITING,
    NEEDS_REVIEW,
    TAG_UPDATE_IS_WAITING,
    audit_events,
    audit_head,
    baselines,
    drift_notices,
    freezes,
    holds,
    idempotent_calls,
    incidents,
    measurements,
    message_refs,
    monitor_states,
    monitors,
    outbox_messages,
    own_baselines,
    queued_commands,
    readings,
    registry_snapshots,
    requests,
    rollback_blocks,
    serving_checks,
    tag_updates,
    transitions,
    tripped_breakers,
)
from bot.ports import (
    Backlog,
    CheckBatch,
    DeliveryProgress,
    HeldWork,
    IdempotentCall,
    MessageKind,
    MessageRef,
    OutboxMessage,
    PendingCount,
    QueuedCommand,
    TagUpdate,
)

NO_OPERATOR_IDS: Mapping[str, str] = MappingProxyType({})  # no operator is known

T = TypeVar(
    "T",
    Request,
    Vote,
    Transition,
    QueuedCommand,
    OutboxMessage,
    MessageRef,
    RegistrySnapshot,
    DriftNotice,
    TagUpdate,
    Freeze,
    RollbackBlock,
    Monitor,
    MonitorState,
    Measurement,
    PushedReading,
    IdempotentCall,
    Incident,
    TrippedBreaker,
    ServingCheck,
    Hold,
    FrozenBaseline,
)


class SqlLedgerReader:
    """`bot.ports.Reading` on one connection, whose transaction the ledger opens and ends.

    `operators` are the Slack ids of users of the bot's machine.
    """

    def __init__(self, connection: Connection, operator_ids: Mapping[str, str] = NO_OPERATOR_IDS) -> None:
        self._connection = connection
        self._operator_ids = operator_ids

    def request(self, request_id: str) -> Request:
        """Return the request. Raises UnknownRequest."""
        return self._get_request(statements.select_by_key(requests, "id"), request_id)

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
        query = select(requests).order_by(requests.c.opened_at.desc(), requests.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(requests.c.model == model)
        if version is not None:
            query = query.where(requests.c.version == version)
        if states:
            query = query.where(requests.c.state.in_(states))
        if requester is not None:
            query = query.where(requests.c.requester == requester)
        return self._list(Request, query)

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the request of this model and target that has not ended, if there is one."""
        this = and_(requests.c.model == model, requests.c.target == target, IS_OPEN)
        return self._find(Request, select(requests).where(this))

    def requests_to_review(self, model: str | None = None, limit: int = 1000) -> list[Request]:
        """Return the requests that were moved without approvals and need a review, those due first."""
        query = select(requests).where(NEEDS_REVIEW, requests.c.state == RequestState.DONE)
        query = query if model is None else query.where(requests.c.model == model)
        return self._list(Request, query.order_by(requests.c.review_due, requests.c.number).limit(limit))

    def expired_request_ids(self, now: datetime) -> list[str]:
        """Return the ids of pending requests whose time is over."""
        over = select(requests.c.id).where(IS_PENDING, requests.c.expires_at <= now)
        return self._fetch_column(over.order_by(requests.c.expires_at))

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order in which they were cast."""
        return self._list(Vote, statements.select_votes(), request_id)

    def transition(self, transition_id: str) -> Transition:
        """Return the move. Raises KeyError."""
        return self._get(Transition, transitions, transition_id)

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
        given: dict[str, Any] = {statements.KEY: model, statements.LIMIT: limit}
        given |= {} if stage is None else {statements.STAGE: stage}
        given |= {} if before_id is None else {statements.BEFORE: before_id}
        given |= {} if until is None else {statements.UNTIL: until}
        query = statements.select_transitions(
            self._connection.dialect.name,
            of_stage=stage is not None,
            is_before=before_id is not None,
            is_until=until is not None,
        )
        return [self._to_domain(Transition, row) for row in self._connection.execute(query, given).mappings()]

    def first_transition(self, model: str, stage: Stage) -> Transition | None:
        """Return the first move that put a version of the model into the stage."""
        given = {statements.KEY: model, statements.STAGE: stage}
        row = self._connection.execute(statements.select_first_transition_into(self._connection.dialect.name), given)
        found = row.mappings().first()
        return None if found is None else self._to_domain(Transition, found)

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return the finished moves that put this version into Production, newest first: the last 100."""
        query = select(transitions).where(
            transitions.c.model == model,
            transitions.c.version == version,
            transitions.c.target == Stage.PRODUCTION,
            transitions.c.state == TransitionState.DONE,
        )
        return self._list(Transition, query.order_by(transitions.c.number.desc()).limit(100))

    def models_with_transitions(self, states: Sequence[TransitionState]) -> list[str]:
        """Return the models that have moves in these states."""
        # Sorted here: the databases do not agree on the order of letters.
        return sorted(self._fetch_column(select(transitions.c.model).where(transitions.c.state.in_(states)).distinct()))

    def models_with_expired_transitions(self, now: datetime) -> list[str]:
        """Return the models that have a move to be made whose request expired before anything was moved."""
        query = select(transitions.c.model).join(requests, requests.c.id == transitions.c.request).distinct()
        query = query.where(IS_INTENDED, transitions.c.began_at.is_(None), requests.c.expires_at <= now)
        return sorted(self._fetch_column(query))

    def queued_command(self, command_id: str) -> QueuedCommand:
        """Return what was asked. Raises KeyError."""
        return self._get(QueuedCommand, queued_commands, command_id)

    def queued_command_with_key(self, caller: Actor, key: str) -> QueuedCommand | None:
        """Return what the caller asked for with this key."""
        return self._find(
            QueuedCommand,
            select(queued_commands).where(queued_commands.c.caller == caller, queued_commands.c.key == key),
        )

    def due_command_ids(self, now: datetime) -> list[str]:
        """Return the ids of asks that wait and whose time has come, oldest first."""
        ready = select(queued_commands.c.id).where(
            COMMAND_IS_WAITING, is_due(queued_commands.c.not_before, now), ~held_work.is_held(queued_commands)
        )
        return self._fetch_column(ready.order_by(queued_commands.c.at, queued_commands.c.number))

    def registry_snapshot(self, model: str) -> RegistrySnapshot | None:
        """Return how the model looked when the registry was read last."""
        return self._find(RegistrySnapshot, self._select_by_key(registry_snapshots, "model"), model)

    def model_with_other_case(self, name: str) -> str | None:
        """Return the model that the poll has seen by this name in another letter case, and not in this one."""
        there = self._fetch_column(
            select(registry_snapshots.c.model).where(func.lower(registry_snapshots.c.model) == name.lower())
        )
        return None if name in there else min(there, default=None)

    def registry_snapshots(self) -> dict[str, RegistrySnapshot]:
        """Return how every model looked, by its name."""
        return {look.model: look for look in self._list(RegistrySnapshot, select(registry_snapshots))}

    def drift_notice(self, notice_id: str) -> DriftNotice:
        """Return a finding. Raises UnknownRequest."""
        if found := self._find(DriftNotice, self._select_by_key(drift_notices, "id"), notice_id):
            return found
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def due_tag_updates(self, now: datetime, limit: int = 100) -> list[TagUpdate]:
        """Return what has to be written to versions: of each version that which comes first, if it is due."""
        first = (
            select(func.min(tag_updates.c.number))
            .where(TAG_UPDATE_IS_WAITING)
            .group_by(tag_updates.c.model, tag_updates.c.version)
        ).scalar_subquery()
        due = select(tag_updates).where(
            tag_updates.c.number.in_(first), is_due(tag_updates.c.not_before, now), ~held_work.is_held(tag_updates)
        )
        return self._list(TagUpdate, due.order_by(tag_updates.c.number).limit(limit))

    def tag_updates(self, model: str, *, version: int | None = None, from_number: int = 0) -> list[TagUpdate]:
        """Return what was ever to be written to the model's versions, or to one, written or not, oldest first.

        From the number `since` on.
        """
        query = (
            select(tag_updates)
            .where(tag_updates.c.model == model, tag_updates.c.number >= from_number)
            .order_by(tag_updates.c.number)
        )
        return self._list(TagUpdate, query if version is None else query.where(tag_updates.c.version == version))

    def first_unwritten_tag_update(self, model: str) -> int:
        """Return the number of the first copy that isn't written to the model's versions yet, else of the next one."""
        of_model = tag_updates.c.model == model
        waits = select(func.min(tag_updates.c.number)).where(of_model, TAG_UPDATE_IS_WAITING).scalar_subquery()
        last = select(func.max(tag_updates.c.number)).where(of_model).scalar_subquery()
        return self._fetch_int(select(func.coalesce(waits, last + 1, 0)))

    def active_hold(self) -> Hold | None:
        """Return the active hold."""
        return self._find(Hold, select(holds).where(held_work.IS_ACTIVE).order_by(holds.c.number))

    def holds(self, limit: int = 20) -> list[Hold]:
        """Return holds, newest first; lifted ones too."""
        return self._list(Hold, select(holds).order_by(holds.c.number.desc()).limit(limit))

    def held_work(self) -> HeldWork:
        """Return what the active hold covers: everything that waited when it was opened or widened."""
        return HeldWork(
            transitions=self._list(Transition, held_work.select_held(transitions)),
            commands=self._list(QueuedCommand, held_work.select_held(queued_commands)),
            requests=self._list(Request, held_work.select_held(requests)),
            tag_updates=self._list(TagUpdate, held_work.select_held(tag_updates)),
        )

    def is_request_held(self, request_id: str) -> bool:
        """Tell whether the active hold covers a request."""
        mine = select(requests.c.id).where(requests.c.id == request_id, held_work.is_held(requests))
        return bool(self._fetch_column(mine))

    def models_with_pending_work(self) -> list[str]:
        """Return the models that have open requests, unfinished moves, or tags still to be written."""
        return sorted(self._fetch_column(held_work.select_models_with_pending_work()))

    def backlog(self, now: datetime) -> Backlog:
        """Return what is not finished. However much has ended, it costs no more."""
        return Backlog(
            requests=self._count_by_kind(backlog_queries.count_requests()),
            commands=self._count_pending(backlog_queries.count_commands()),
            transitions=self._count_by_kind(backlog_queries.count_transitions()),
            messages=self._count_by_kind(backlog_queries.count_messages()),
            tag_updates=self._fetch_int(backlog_queries.count_tag_updates()),
            incidents=self._count_by_kind(backlog_queries.count_incidents()),
            tripped_breakers=self._fetch_int(backlog_queries.count_tripped_breakers()),
            monitors={row[0]: row[1] for row in self._connection.execute(backlog_queries.count_monitors())},
            overdue_checks=self._count_pending(backlog_queries.count_overdue_checks(now)),
            audit_events=self.audit_head().number,
        )

    def freezes(self) -> list[Freeze]:
        """Return the freezes that nobody has lifted, oldest first; one whose time is over may be among them."""
        return self._list(Freeze, select(freezes).where(freezes.c.lifted_at.is_(None)).order_by(freezes.c.number))

    def rollback_blocks(self, model: str) -> list[RollbackBlock]:
        """Return the bars of a model that nobody has cleared, oldest first."""
        mine = select(rollback_blocks).where(rollback_blocks.c.model == model, rollback_blocks.c.cleared_at.is_(None))
        return self._list(RollbackBlock, mine.order_by(rollback_blocks.c.number))

    def rollbacks(self, since: datetime) -> list[Transition]:
        """Return the rollbacks that were intended since then, newest first; those that came to nothing included."""
        query = select(transitions).where(
            transitions.c.kind == TransitionKind.ROLLBACK, transitions.c.intended_at >= since
        )
        return self._list(Transition, query.order_by(transitions.c.number.desc()))

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that are not removed, by model and name."""
        query = select(monitors).where(monitors.c.removed_at.is_(None))
        if model is not None:
            query = query.where(monitors.c.model == model)
        return sorted(self._list(Monitor, query), key=lambda one: (one.model, one.name))

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, a removed one too. Raises UnknownRequest."""
        if found := self._find(Monitor, self._select_by_key(monitors, "id"), monitor_id):
            return found
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def monitor_states(self) -> dict[str, MonitorState]:
        """Return where the monitors stand, by their ids."""
        return {one.monitor: one for one in self._list(MonitorState, select(monitor_states))}

    def monitor_state(self, monitor_id: str) -> MonitorState:
        """Return where a monitor stands; one that was never checked at its beginning."""
        return self._find(
            MonitorState, statements.select_by_key(monitor_states, "monitor"), monitor_id
        ) or MonitorState(monitor=monitor_id)

    def due_monitors(self, now: datetime, limit: int = 1000) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors whose check is due, the longest due first; neither paused nor removed ones.

        One that somebody is checking at this moment is none of them.
        """
        query = (
            _monitors_with_states()
            .where(monitors.c.removed_at.is_(None), ~monitors.c.is_paused, is_due(monitor_states.c.next_at, now))
            .where(~exists().where(_IS_NEXT_SLOT, measurements.c.claimed_until >= now))
            .limit(limit)
        )
        return [self._to_monitor_with_state(row) for row in self._fetch_rows(query)]

    def claimed_monitors(self, batch: CheckBatch, now: datetime) -> list[tuple[Monitor, MonitorState]]:
        """Return those of a batch whose claim holds, the longest due first."""
        query = (
            _monitors_with_states()
            .join(measurements, _IS_NEXT_SLOT)
            .where(tuple_(measurements.c.monitor, measurements.c.slot).in_(batch.slots))
            .where(measurements.c.claimed_by == batch.owner, measurements.c.claimed_until > now)
        )
        return [self._to_monitor_with_state(row) for row in self._fetch_rows(query)]

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
        query = select(measurements).where(
            measurements.c.monitor == monitor_id,
            measurements.c.outcome.is_not(None),
            measurements.c.revision >= from_revision,
        )
        if since is not None:
            query = query.where(measurements.c.at > since)
        if transition_id is not None:
            query = query.where(measurements.c.move == transition_id)
        return self._list(Measurement, query.order_by(measurements.c.slot.desc()).limit(limit))

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
        """Return the values of a monitor's checks after `since` and up to `until`, oldest first: see `Reading`."""
        query = select(measurements.c.at, measurements.c.value, measurements.c.total).where(
            measurements.c.monitor == monitor.id,
            measurements.c.at > since,
            measurements.c.at <= until,
            measurements.c.value.is_not(None),
            measurements.c.revision >= monitor.measured_from,
        )
        if transition_id is not None:
            query = query.where(measurements.c.move == transition_id)
        if except_transition_id is not None:
            query = query.where(measurements.c.move != except_transition_id)
        if except_versions:
            query = query.where(measurements.c.version.not_in(list(except_versions)))
        return [(at, value, total) for at, value, total in self._connection.execute(query.order_by(measurements.c.at))]

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[RecordedCheck]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first: see `Reading`."""
        mine = measurements.c
        query = select(mine.at, mine.move, mine.version, mine.outcome, mine.value, mine.points, mine.total).where(
            mine.monitor == monitor.id,
            mine.at > since,
            mine.at <= until,
            mine.outcome.is_not(None),
            mine.revision >= monitor.measured_from,
        )
        return [RecordedCheck(*row) for row in self._connection.execute(query.order_by(mine.at))]

    def baselines(self, monitor_ids: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the baselines that monitors have, by their ids: see `Reading`."""
        table = own_baselines if own else baselines
        found = self._list(FrozenBaseline, select(table).where(table.c.monitor.in_(monitor_ids)))
        return {one.monitor: one for one in found}

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[PushedReading]:
        """Return what was pushed of metrics (model and name), after `since` and up to `until`, oldest first.

        The times are the readings' own.
        """
        query = select(readings).where(
            readings.c.source == source,
            tuple_(readings.c.model, readings.c.metric).in_(metrics),
            readings.c.at > since,
            readings.c.at <= until,
        )
        return self._list(PushedReading, query.order_by(readings.c.at, readings.c.number))

    def idempotent_call(self, client: str, key: str) -> IdempotentCall | None:
        """Return what was answered to a call with this key before."""
        return self._find(
            IdempotentCall,
            select(idempotent_calls).where(idempotent_calls.c.client == client, idempotent_calls.c.key == key),
        )

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest."""
        if found := self._find(Incident, self._select_by_key(incidents, "id"), incident_id):
            return found
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def incidents(self, *, model: str | None = None, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first; open ones only, where `is_open`."""
        query = select(incidents).order_by(incidents.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(incidents.c.model == model)
        if open_only:
            query = query.where(incidents.c.resolved_at.is_(None))
        return self._list(Incident, query)

    def tripped_breakers(self) -> list[TrippedBreaker]:
        """Return the breakers that are tripped."""
        return sorted(self._list(TrippedBreaker, select(tripped_breakers)), key=lambda one: one.model)

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        """Return what the serving side was asked after a move."""
        return self._find(ServingCheck, statements.select_by_key(serving_checks, "move"), transition_id)

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        """Return what the serving side of a model was asked last."""
        query = (
            select(serving_checks)
            .where(serving_checks.c.model == model)
            .order_by(serving_checks.c.asked_at.desc())
            .limit(1)
        )
        return self._find(ServingCheck, query)

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        """Return the questions to the serving side that are to be asked (again) now."""
        due = select(serving_checks).where(
            serving_checks.c.state == ServingCheckState.PENDING, is_due(serving_checks.c.next_at, now)
        )
        return self._list(ServingCheck, due.order_by(serving_checks.c.next_at))

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
        page, values = audit_pages.page_filter(model=model, tags=tags, since=since, before=before_number, limit=limit)
        found = self._connection.execute(audit_pages.select_events(page, self._connection.dialect.name), values)
        return [row_mapping.to_link(row, self._operator_ids) for row in found.mappings()]

    def message_ref(self, key: str) -> MessageRef | None:
        """Return where the message with this key stands in Slack."""
        return self._find(MessageRef, statements.select_by_key(message_refs, "key"), key)

    def message_ref_for(self, message: OutboxMessage) -> MessageRef | None:
        """Return where a note's message stands in Slack."""
        return self.message_ref(message_ref_key(message))

    def is_pending(self, message: OutboxMessage) -> bool:
        """Tell whether a note is neither delivered nor given up."""
        return bool(
            self._fetch_column(
                select(outbox_messages.c.key).where(outbox_messages.c.key == message.key, MESSAGE_IS_WAITING)
            )
        )

    def delivery_progress(self, message: OutboxMessage) -> DeliveryProgress | None:
        """Return a note's progress; None if it was never added."""
        query = select(MESSAGE_IS_WAITING, outbox_messages.c.why, outbox_messages.c.not_before).where(
            outbox_messages.c.key == message.key
        )
        row = self._connection.execute(query).one_or_none()
        return DeliveryProgress(is_waiting=bool(row[0]), why=row[1], not_before=row[2]) if row else None

    def due_messages(
        self, now: datetime, limit: int = 100, *, kinds: Collection[MessageKind] = (), recipient: str | None = None
    ) -> list[OutboxMessage]:
        """Return the undelivered notes: of each lane those before the first that has to wait, in order.

        The lanes take turns, so that one with much to say holds up nobody: first the first note of every
        lane, oldest first, then every second one.
        """
        due = _due_messages(now).where(outbox_messages.c.kind.in_(kinds)) if kinds else _due_messages(now)
        due = due if recipient is None else due.where(outbox_messages.c.to == recipient)
        return self._list(OutboxMessage, due.limit(limit))

    def next_message_due_at(self, now: datetime, *, kinds: Collection[MessageKind]) -> datetime | None:
        """Return when the first undelivered note that has to wait can be tried; None if none has to."""
        waits = (MESSAGE_IS_WAITING, outbox_messages.c.not_before > now, outbox_messages.c.kind.in_(kinds))
        at: datetime | None = self._connection.execute(
            select(func.min(outbox_messages.c.not_before)).where(*waits)
        ).scalar()
        return at

    def pending_recipients(self, kind: MessageKind) -> list[str]:
        """Return for whom there are undelivered notes of this kind, due or not, sorted."""
        query = (
            select(outbox_messages.c.to)
            .distinct()
            .where(MESSAGE_IS_WAITING, outbox_messages.c.kind == kind)
            .order_by(outbox_messages.c.to)
        )
        return [str(to) for to in self._connection.execute(query).scalars()]

    def audit_events(self, *, model: str | None = None, after_number: int = 0, limit: int = 1000) -> list[ChainedEvent]:
        """Return audit events as they stand in the chain, oldest first."""
        query = _audit_events_after(after_number, limit)
        if model is not None:
            query = query.where(audit_events.c.model == model)
        return [row_mapping.to_link(row, self._operator_ids) for row in self._fetch_rows(query)]

    def audit_records(
        self,
        *,
        model: str | None = None,
        since: datetime | None = None,
        after_number: int = MIN_NUMBER,
        limit: int = 1000,
    ) -> list[AuditRecord]:
        """Return audit rows as they are stored, oldest first; rows that are no event, too.

        From the very lowest number, unless `after` says otherwise: somebody could have put rows before the first.
        """
        number = audit_events.c.number
        query = statements.select_records(self._connection.dialect.name).where(
            number > literal(after_number, BigInteger)
        )
        query = query.order_by(number).limit(limit)
        if model is not None:
            query = query.where(audit_events.c.model == model)
        if since is not None:
            query = query.where(audit_events.c.at >= since)
        return [AuditRecord._make(row) for row in self._connection.execute(query)]

    def latest_audit_records(
        self,
        *,
        model: str | None = None,
        actor: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[AuditRecord]:
        """Return audit rows as they are stored, newest first; rows that are no event, too.

        Those of a model, an actor or a tag as they are stored; since a time, before a number.
        """
        tags = [] if tag is None else [tag]
        page, values = audit_pages.page_filter(
            model=model, actor=actor, tags=tags, since=since, before=before_number, limit=limit
        )
        found = self._connection.execute(audit_pages.select_records(page, self._connection.dialect.name), values)
        return [AuditRecord._make(row) for row in found]

    def audit_head(self) -> ChainHead:
        """Return where the audit chain ends; a head that somebody took away is the one of no event, without a hash."""
        row = self._connection.execute(select(audit_head)).mappings().first()
        return row_mapping.from_row(ChainHead, row) if row else ChainHead(0, "")

    def _get_request(self, query: Select[Any], request_id: str) -> Request:
        if found := self._find(Request, query, request_id):
            return found
        raise UnknownRequest(say("There is no request {id}.", id=Name(request_id)))

    def _select_by_key(self, table: Table, column: str) -> Select[Any]:
        """Return the select of the row whose `column` is :b_key; whoever writes locks what they read so."""
        return statements.select_by_key(table, column)

    def _get(self, domain_type: type[T], table: Table, key: str) -> T:
        if found := self._find(domain_type, self._select_by_key(table, "id"), key):
            return found
        raise KeyError(key)

    def _find(self, domain_type: type[T], query: Select[Any], key: str | None = None) -> T | None:
        row = self._connection.execute(query, _key_parameter(key)).mappings().first()
        return None if row is None else self._to_domain(domain_type, row)

    def _list(self, domain_type: type[T], query: Select[Any], key: str | None = None) -> list[T]:
        return [self._to_domain(domain_type, row) for row in self._fetch_rows(query, key)]

    def _to_domain(self, domain_type: type[T], row: RowMapping) -> T:
        return row_mapping.with_operator_ids(row_mapping.from_row(domain_type, row), self._operator_ids)

    def _fetch_rows(self, query: Select[Any], key: str | None = None) -> Sequence[RowMapping]:
        return self._connection.execute(query, _key_parameter(key)).mappings().all()

    def _to_monitor_with_state(self, row: RowMapping) -> tuple[Monitor, MonitorState]:
        standing = {field.name: row[field.name] for field in fields(MonitorState) if field.name != "revision"}
        return self._to_domain(Monitor, row), MonitorState(**standing, revision=row["judged_revision"])

    def _count_by_kind(self, query: Select[Any]) -> dict[Any, PendingCount]:
        return {kind: PendingCount(number, since) for kind, number, since in self._connection.execute(query)}

    def _count_pending(self, query: Select[int, Any]) -> PendingCount:
        number, since = self._connection.execute(query).one()
        return PendingCount(number, since)

    def _fetch_int(self, query: Select[Any]) -> int:
        return int(self._connection.execute(query).scalar_one())

    def _fetch_column(self, query: Select[Any] | CompoundSelect[Any]) -> list[str]:
        return list(self._connection.execute(query).scalars())


def message_ref_key(message: OutboxMessage) -> str:
    """Return under which key it is kept where a note's message stands: its lane's, where the lane has but one."""
    return message.lane if message.kind.is_updated_in_place else message.key


def _key_parameter(key: str | None) -> dict[str, str]:
    return {} if key is None else {statements.KEY: key}


def is_due(time: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Return the condition that `time` has come, or was never set."""
    return or_(time.is_(None), time <= now)


_IS_NEXT_SLOT = and_(measurements.c.monitor == monitors.c.id, measurements.c.slot == monitor_states.c.slot + 1)


def _monitors_with_states() -> Select[Any]:
    """Return the select of monitors and where they stand, the longest due first.

    The two tables share one column's name, `revision`, which a monitor and a standing mean differently.
    """
    mine = [column for column in monitor_states.c if column.name not in monitors.c]
    query = select(monitors, *mine, monitor_states.c.revision.label("judged_revision"))
    joined = query.join(monitor_states, monitor_states.c.monitor == monitors.c.id)
    return joined.order_by(monitor_states.c.next_at, monitors.c.number)


def _due_messages(now: datetime) -> Select[Any]:
    stops = (
        select(outbox_messages.c.lane, func.min(outbox_messages.c.number).label("number"))
        .where(MESSAGE_IS_WAITING, or_(outbox_messages.c.not_before > now, outbox_messages.c.claimed_until > now))
        .group_by(outbox_messages.c.lane)
        .subquery("stops")
    )
    place = func.row_number().over(partition_by=outbox_messages.c.lane, order_by=outbox_messages.c.number)
    return (
        select(outbox_messages)
        .outerjoin(stops, stops.c.lane == outbox_messages.c.lane)
        .where(MESSAGE_IS_WAITING, or_(stops.c.number.is_(None), outbox_messages.c.number < stops.c.number))
        .order_by(place, outbox_messages.c.number)
    )


def _audit_events_after(number: int, limit: int) -> Select[Any]:
    return select(audit_events).where(audit_events.c.number > number).order_by(audit_events.c.number).limit(limit)
