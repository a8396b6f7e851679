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

from bot.domain.audit.events import Head, Link, Tag
from bot.domain.core.actors import Actor
from bot.domain.core.errors import UnknownRequest
from bot.domain.core.sentence import Name, say
from bot.domain.monitoring.incident import Incident, Tripped
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Check, Measured, Measurement, Pushed
from bot.domain.monitoring.state import Standing
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.drift import Finding, Look
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import Serving, ServingState
from bot.domain.transitions.transition import Move, MoveKind, MoveState
from bot.ledger.audit_chain import LOWEST, Record
from bot.ledger.stores import audit_pages, backlog_queries, held_work, row_mapping, statements
from bot.ledger.tables.base import (
    ASK_WAITS,
    COPY_WAITS,
    IS_INTENDED,
    IS_OPEN,
    IS_PENDING,
    NOTE_WAITS,
    TO_REVIEW,
    asks,
    audit_events,
    audit_head,
    bars,
    baselines,
    breakers,
    calls,
    copies,
    findings,
    freezes,
    holds,
    incidents,
    looks,
    measurements,
    monitors,
    moves,
    notes,
    own_baselines,
    postings,
    readings,
    requests,
    servings,
    standings,
)
from bot.ports import Ask, Backlog, Batch, Call, Copy, Held, Note, NoteKind, Posting, Progress, Waiting

NOBODY: Mapping[str, str] = MappingProxyType({})  # no operator is known

T = TypeVar(
    "T",
    Request,
    Vote,
    Move,
    Ask,
    Note,
    Posting,
    Look,
    Finding,
    Copy,
    Freeze,
    Bar,
    Monitor,
    Standing,
    Measurement,
    Pushed,
    Call,
    Incident,
    Tripped,
    Serving,
    Hold,
    FrozenBaseline,
)


class SqlReading:
    """`bot.ports.Reading` on one connection, whose transaction the ledger opens and ends.

    `operators` are the Slack ids of users of the bot's machine.
    """

    def __init__(self, connection: Connection, operators: Mapping[str, str] = NOBODY) -> None:
        self._connection = connection
        self._operators = operators

    def request(self, request_id: str) -> Request:
        """Return the request. Raises UnknownRequest."""
        return self._request(statements.one(requests, "id"), request_id)

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        most: int = 100,
    ) -> list[Request]:
        """Return requests, newest first; `states` empty means any."""
        query = select(requests).order_by(requests.c.opened_at.desc(), requests.c.number.desc()).limit(most)
        if model is not None:
            query = query.where(requests.c.model == model)
        if version is not None:
            query = query.where(requests.c.version == version)
        if states:
            query = query.where(requests.c.state.in_(states))
        if requester is not None:
            query = query.where(requests.c.requester == requester)
        return self._all(Request, query)

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the request of this model and target that has not ended, if there is one."""
        this = and_(requests.c.model == model, requests.c.target == target, IS_OPEN)
        return self._first(Request, select(requests).where(this))

    def to_review(self, model: str | None = None, most: int = 1000) -> list[Request]:
        """Return the requests that were moved without approvals and need a review, those due first."""
        query = select(requests).where(TO_REVIEW, requests.c.state == RequestState.DONE)
        query = query if model is None else query.where(requests.c.model == model)
        return self._all(Request, query.order_by(requests.c.review_due, requests.c.number).limit(most))

    def expired(self, now: datetime) -> list[str]:
        """Return the ids of pending requests whose time is over."""
        over = select(requests.c.id).where(IS_PENDING, requests.c.expires_at <= now)
        return self._column(over.order_by(requests.c.expires_at))

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order in which they were cast."""
        return self._all(Vote, statements.votes_on(), request_id)

    def move(self, move_id: str) -> Move:
        """Return the move. Raises KeyError."""
        return self._one(Move, moves, move_id)

    def moves(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        before: str | None = None,
        until: datetime | None = None,
        most: int = 50,
    ) -> list[Move]:
        """Return the finished and unfinished moves of a model, newest first; only those into or out of `stage`.

        Those before the move with the id `before`. With `until` those up to that time, and some that followed.
        """
        given: dict[str, Any] = {statements.KEY: model, statements.MOST: most}
        given |= {} if stage is None else {statements.STAGE: stage}
        given |= {} if before is None else {statements.BEFORE: before}
        given |= {} if until is None else {statements.UNTIL: until}
        query = statements.moves_of(
            self._connection.dialect.name,
            of_stage=stage is not None,
            is_before=before is not None,
            until=until is not None,
        )
        return [self._read(Move, row) for row in self._connection.execute(query, given).mappings()]

    def first_move(self, model: str, stage: Stage) -> Move | None:
        """Return the first move that put a version of the model into the stage."""
        given = {statements.KEY: model, statements.STAGE: stage}
        row = self._connection.execute(statements.first_move_into(self._connection.dialect.name), given)
        found = row.mappings().first()
        return None if found is None else self._read(Move, found)

    def entries(self, model: str, version: int) -> list[Move]:
        """Return the finished moves that put this version into Production, newest first: the last 100."""
        query = select(moves).where(
            moves.c.model == model,
            moves.c.version == version,
            moves.c.target == Stage.PRODUCTION,
            moves.c.state == MoveState.DONE,
        )
        return self._all(Move, query.order_by(moves.c.number.desc()).limit(100))

    def models_with_moves(self, states: Sequence[MoveState]) -> list[str]:
        """Return the models that have moves in these states."""
        # Sorted here: the databases do not agree on the order of letters.
        return sorted(self._column(select(moves.c.model).where(moves.c.state.in_(states)).distinct()))

    def models_with_expired_moves(self, now: datetime) -> list[str]:
        """Return the models that have a move to be made whose request expired before anything was moved."""
        query = select(moves.c.model).join(requests, requests.c.id == moves.c.request).distinct()
        query = query.where(IS_INTENDED, moves.c.began_at.is_(None), requests.c.expires_at <= now)
        return sorted(self._column(query))

    def ask(self, ask_id: str) -> Ask:
        """Return what was asked. Raises KeyError."""
        return self._one(Ask, asks, ask_id)

    def ask_with_key(self, caller: Actor, key: str) -> Ask | None:
        """Return what the caller asked for with this key."""
        return self._first(Ask, select(asks).where(asks.c.caller == caller, asks.c.key == key))

    def waiting_asks(self, now: datetime) -> list[str]:
        """Return the ids of asks that wait and whose time has come, oldest first."""
        ready = select(asks.c.id).where(ASK_WAITS, has_come(asks.c.not_before, now), ~held_work.is_held(asks))
        return self._column(ready.order_by(asks.c.at, asks.c.number))

    def look(self, model: str) -> Look | None:
        """Return how the model looked when the registry was read last."""
        return self._first(Look, self._row(looks, "model"), model)

    def seen_as(self, name: str) -> str | None:
        """Return the model that the poll has seen by this name in another letter case, and not in this one."""
        there = self._column(select(looks.c.model).where(func.lower(looks.c.model) == name.lower()))
        return None if name in there else min(there, default=None)

    def looks(self) -> dict[str, Look]:
        """Return how every model looked, by its name."""
        return {look.model: look for look in self._all(Look, select(looks))}

    def finding(self, finding_id: str) -> Finding:
        """Return a finding. Raises UnknownRequest."""
        if found := self._first(Finding, self._row(findings, "id"), finding_id):
            return found
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def due_copies(self, now: datetime, most: int = 100) -> list[Copy]:
        """Return what has to be written to versions: of each version that which comes first, if it is due."""
        first = (
            select(func.min(copies.c.number)).where(COPY_WAITS).group_by(copies.c.model, copies.c.version)
        ).scalar_subquery()
        due = select(copies).where(
            copies.c.number.in_(first), has_come(copies.c.not_before, now), ~held_work.is_held(copies)
        )
        return self._all(Copy, due.order_by(copies.c.number).limit(most))

    def copies(self, model: str, *, version: int | None = None, since: int = 0) -> list[Copy]:
        """Return what was ever to be written to the model's versions, or to one, written or not, oldest first.

        From the number `since` on.
        """
        query = select(copies).where(copies.c.model == model, copies.c.number >= since).order_by(copies.c.number)
        return self._all(Copy, query if version is None else query.where(copies.c.version == version))

    def first_unwritten(self, model: str) -> int:
        """Return the number of the first copy that isn't written to the model's versions yet, else of the next one."""
        of_model = copies.c.model == model
        waits = select(func.min(copies.c.number)).where(of_model, COPY_WAITS).scalar_subquery()
        last = select(func.max(copies.c.number)).where(of_model).scalar_subquery()
        return self._number(select(func.coalesce(waits, last + 1, 0)))

    def hold(self) -> Hold | None:
        """Return the active hold."""
        return self._first(Hold, select(holds).where(held_work.HOLDS).order_by(holds.c.number))

    def holds(self, most: int = 20) -> list[Hold]:
        """Return holds, newest first; lifted ones too."""
        return self._all(Hold, select(holds).order_by(holds.c.number.desc()).limit(most))

    def held(self) -> Held:
        """Return what the active hold covers: everything that waited when it was opened or widened."""
        return Held(
            moves=self._all(Move, held_work.held(moves)),
            asks=self._all(Ask, held_work.held(asks)),
            requests=self._all(Request, held_work.held(requests)),
            copies=self._all(Copy, held_work.held(copies)),
        )

    def is_held(self, request_id: str) -> bool:
        """Tell whether the active hold covers a request."""
        mine = select(requests.c.id).where(requests.c.id == request_id, held_work.is_held(requests))
        return bool(self._column(mine))

    def models_waiting(self) -> list[str]:
        """Return the models that have open requests, unfinished moves, or tags still to be written."""
        return sorted(self._column(held_work.models_waiting()))

    def backlog(self, now: datetime) -> Backlog:
        """Return what is not finished. However much has ended, it costs no more."""
        return Backlog(
            requests=self._waiting(backlog_queries.requests()),
            asks=self._all_waiting(backlog_queries.asks()),
            moves=self._waiting(backlog_queries.moves()),
            notes=self._waiting(backlog_queries.notes()),
            copies=self._number(backlog_queries.copies()),
            incidents=self._waiting(backlog_queries.incidents()),
            breakers=self._number(backlog_queries.breakers()),
            monitors={row[0]: row[1] for row in self._connection.execute(backlog_queries.monitors())},
            overdue=self._all_waiting(backlog_queries.overdue(now)),
            events=self.head().number,
        )

    def freezes(self) -> list[Freeze]:
        """Return the freezes that nobody has lifted, oldest first; one whose time is over may be among them."""
        return self._all(Freeze, select(freezes).where(freezes.c.lifted_at.is_(None)).order_by(freezes.c.number))

    def bars(self, model: str) -> list[Bar]:
        """Return the bars of a model that nobody has cleared, oldest first."""
        mine = select(bars).where(bars.c.model == model, bars.c.cleared_at.is_(None))
        return self._all(Bar, mine.order_by(bars.c.number))

    def rollbacks(self, since: datetime) -> list[Move]:
        """Return the rollbacks that were intended since then, newest first; those that came to nothing included."""
        query = select(moves).where(moves.c.kind == MoveKind.ROLLBACK, moves.c.intended_at >= since)
        return self._all(Move, query.order_by(moves.c.number.desc()))

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that are not removed, by model and name."""
        query = select(monitors).where(monitors.c.removed_at.is_(None))
        if model is not None:
            query = query.where(monitors.c.model == model)
        return sorted(self._all(Monitor, query), key=lambda one: (one.model, one.name))

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, a removed one too. Raises UnknownRequest."""
        if found := self._first(Monitor, self._row(monitors, "id"), monitor_id):
            return found
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def standings(self) -> dict[str, Standing]:
        """Return where the monitors stand, by their ids."""
        return {one.monitor: one for one in self._all(Standing, select(standings))}

    def standing(self, monitor_id: str) -> Standing:
        """Return where a monitor stands; one that was never checked at its beginning."""
        return self._first(Standing, statements.one(standings, "monitor"), monitor_id) or Standing(monitor=monitor_id)

    def due_monitors(self, now: datetime, most: int = 1000) -> list[tuple[Monitor, Standing]]:
        """Return the monitors whose check is due, the longest due first; neither paused nor removed ones.

        One that somebody is checking at this moment is none of them.
        """
        query = (
            _with_standings()
            .where(monitors.c.removed_at.is_(None), ~monitors.c.is_paused, has_come(standings.c.next_at, now))
            .where(~exists().where(_IS_NEXT, measurements.c.claimed_until >= now))
            .limit(most)
        )
        return [self._due_monitor(row) for row in self._rows(query)]

    def claimed(self, batch: Batch, now: datetime) -> list[tuple[Monitor, Standing]]:
        """Return those of a batch whose claim holds, the longest due first."""
        query = (
            _with_standings()
            .join(measurements, _IS_NEXT)
            .where(tuple_(measurements.c.monitor, measurements.c.slot).in_(batch.slots))
            .where(measurements.c.claimed_by == batch.owner, measurements.c.claimed_until > now)
        )
        return [self._due_monitor(row) for row in self._rows(query)]

    def measurements(
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        move: str | None = None,
        revision: int = 1,
        most: int = 100,
    ) -> list[Measurement]:
        """Return the finished checks of a monitor, newest first.

        Those of one term only, where `move` names it; by this revision of it or a later one.
        """
        query = select(measurements).where(
            measurements.c.monitor == monitor_id,
            measurements.c.outcome.is_not(None),
            measurements.c.revision >= revision,
        )
        if since is not None:
            query = query.where(measurements.c.at > since)
        if move is not None:
            query = query.where(measurements.c.move == move)
        return self._all(Measurement, query.order_by(measurements.c.slot.desc()).limit(most))

    def series(
        self,
        monitor: Monitor,
        *,
        since: datetime,
        until: datetime,
        move: str | None = None,
        but: str | None = None,
        without: Collection[int] = (),
    ) -> list[Measured]:
        """Return the values of a monitor's checks after `since` and up to `until`, oldest first: see `Reading`."""
        query = select(measurements.c.at, measurements.c.value, measurements.c.total).where(
            measurements.c.monitor == monitor.id,
            measurements.c.at > since,
            measurements.c.at <= until,
            measurements.c.value.is_not(None),
            measurements.c.revision >= monitor.measured_from,
        )
        if move is not None:
            query = query.where(measurements.c.move == move)
        if but is not None:
            query = query.where(measurements.c.move != but)
        if without:
            query = query.where(measurements.c.version.not_in(list(without)))
        return [(at, value, total) for at, value, total in self._connection.execute(query.order_by(measurements.c.at))]

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[Check]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first: see `Reading`."""
        mine = measurements.c
        query = select(mine.at, mine.move, mine.version, mine.outcome, mine.value, mine.points, mine.total).where(
            mine.monitor == monitor.id,
            mine.at > since,
            mine.at <= until,
            mine.outcome.is_not(None),
            mine.revision >= monitor.measured_from,
        )
        return [Check(*row) for row in self._connection.execute(query.order_by(mine.at))]

    def baselines(self, monitors: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the baselines that monitors have, by their ids: see `Reading`."""
        table = own_baselines if own else baselines
        found = self._all(FrozenBaseline, select(table).where(table.c.monitor.in_(monitors)))
        return {one.monitor: one for one in found}

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[Pushed]:
        """Return what was pushed of metrics (model and name), after `since` and up to `until`, oldest first.

        The times are the readings' own.
        """
        query = select(readings).where(
            readings.c.source == source,
            tuple_(readings.c.model, readings.c.metric).in_(metrics),
            readings.c.at > since,
            readings.c.at <= until,
        )
        return self._all(Pushed, query.order_by(readings.c.at, readings.c.number))

    def call(self, client: str, key: str) -> Call | None:
        """Return what was answered to a call with this key before."""
        return self._first(Call, select(calls).where(calls.c.client == client, calls.c.key == key))

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest."""
        if found := self._first(Incident, self._row(incidents, "id"), incident_id):
            return found
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def incidents(self, *, model: str | None = None, is_open: bool = False, most: int = 100) -> list[Incident]:
        """Return incidents, newest first; open ones only, where `is_open`."""
        query = select(incidents).order_by(incidents.c.number.desc()).limit(most)
        if model is not None:
            query = query.where(incidents.c.model == model)
        if is_open:
            query = query.where(incidents.c.resolved_at.is_(None))
        return self._all(Incident, query)

    def breakers(self) -> list[Tripped]:
        """Return the breakers that are tripped."""
        return sorted(self._all(Tripped, select(breakers)), key=lambda one: one.model)

    def serving(self, move: str) -> Serving | None:
        """Return what the serving side was asked after a move."""
        return self._first(Serving, statements.one(servings, "move"), move)

    def serving_of(self, model: str) -> Serving | None:
        """Return what the serving side of a model was asked last."""
        query = select(servings).where(servings.c.model == model).order_by(servings.c.asked_at.desc()).limit(1)
        return self._first(Serving, query)

    def due_servings(self, now: datetime) -> list[Serving]:
        """Return the questions to the serving side that are to be asked (again) now."""
        due = select(servings).where(servings.c.state == ServingState.ASKED, has_come(servings.c.next_at, now))
        return self._all(Serving, due.order_by(servings.c.next_at))

    def latest(
        self,
        *,
        model: str | None = None,
        tags: Sequence[Tag] = (),
        since: datetime | None = None,
        before: int | None = None,
        most: int = 50,
    ) -> list[Link]:
        """Return audit events, newest first: of a model, of these tags, since a time, before a number."""
        page, values = audit_pages.wanted(model=model, tags=tags, since=since, before=before, most=most)
        found = self._connection.execute(audit_pages.events(page, self._connection.dialect.name), values)
        return [row_mapping.link(row, self._operators) for row in found.mappings()]

    def posting(self, key: str) -> Posting | None:
        """Return where the message with this key stands in Slack."""
        return self._first(Posting, statements.one(postings, "key"), key)

    def posting_of(self, note: Note) -> Posting | None:
        """Return where a note's message stands in Slack."""
        return self.posting(place_of(note))

    def is_waiting(self, note: Note) -> bool:
        """Tell whether a note is neither delivered nor given up."""
        return bool(self._column(select(notes.c.key).where(notes.c.key == note.key, NOTE_WAITS)))

    def progress(self, note: Note) -> Progress | None:
        """Return a note's progress; None if it was never added."""
        query = select(NOTE_WAITS, notes.c.why, notes.c.not_before).where(notes.c.key == note.key)
        row = self._connection.execute(query).one_or_none()
        return Progress(is_waiting=bool(row[0]), why=row[1], not_before=row[2]) if row else None

    def due_notes(
        self, now: datetime, most: int = 100, *, kinds: Collection[NoteKind] = (), to: str | None = None
    ) -> list[Note]:
        """Return the undelivered notes: of each lane those before the first that has to wait, in order.

        The lanes take turns, so that one with much to say holds up nobody: first the first note of every
        lane, oldest first, then every second one.
        """
        due = _due(now).where(notes.c.kind.in_(kinds)) if kinds else _due(now)
        due = due if to is None else due.where(notes.c.to == to)
        return self._all(Note, due.limit(most))

    def next_note(self, now: datetime, *, kinds: Collection[NoteKind]) -> datetime | None:
        """Return when the first undelivered note that has to wait can be tried; None if none has to."""
        waits = (NOTE_WAITS, notes.c.not_before > now, notes.c.kind.in_(kinds))
        at: datetime | None = self._connection.execute(select(func.min(notes.c.not_before)).where(*waits)).scalar()
        return at

    def waited_for(self, kind: NoteKind) -> list[str]:
        """Return for whom there are undelivered notes of this kind, due or not, sorted."""
        query = select(notes.c.to).distinct().where(NOTE_WAITS, notes.c.kind == kind).order_by(notes.c.to)
        return [str(to) for to in self._connection.execute(query).scalars()]

    def links(self, *, model: str | None = None, after: int = 0, most: int = 1000) -> list[Link]:
        """Return audit events as they stand in the chain, oldest first."""
        query = _after(after, most)
        if model is not None:
            query = query.where(audit_events.c.model == model)
        return [row_mapping.link(row, self._operators) for row in self._rows(query)]

    def records(
        self, *, model: str | None = None, since: datetime | None = None, after: int = LOWEST, most: int = 1000
    ) -> list[Record]:
        """Return audit rows as they are stored, oldest first; rows that are no event, too.

        From the very lowest number, unless `after` says otherwise: somebody could have put rows before the first.
        """
        number = audit_events.c.number
        query = statements.records(self._connection.dialect.name).where(number > literal(after, BigInteger))
        query = query.order_by(number).limit(most)
        if model is not None:
            query = query.where(audit_events.c.model == model)
        if since is not None:
            query = query.where(audit_events.c.at >= since)
        return [Record._make(row) for row in self._connection.execute(query)]

    def latest_records(
        self,
        *,
        model: str | None = None,
        actor: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        most: int = 50,
    ) -> list[Record]:
        """Return audit rows as they are stored, newest first; rows that are no event, too.

        Those of a model, an actor or a tag as they are stored; since a time, before a number.
        """
        tags = [] if tag is None else [tag]
        page, values = audit_pages.wanted(model=model, actor=actor, tags=tags, since=since, before=before, most=most)
        found = self._connection.execute(audit_pages.stored(page, self._connection.dialect.name), values)
        return [Record._make(row) for row in found]

    def head(self) -> Head:
        """Return where the audit chain ends; a head that somebody took away is the one of no event, without a hash."""
        row = self._connection.execute(select(audit_head)).mappings().first()
        return row_mapping.read(Head, row) if row else Head(0, "")

    def _request(self, query: Select[Any], request_id: str) -> Request:
        if found := self._first(Request, query, request_id):
            return found
        raise UnknownRequest(say("There is no request {id}.", id=Name(request_id)))

    def _row(self, table: Table, column: str) -> Select[Any]:
        """Return the select of the row whose `column` is :b_key; whoever writes locks what they read so."""
        return statements.one(table, column)

    def _one(self, kind: type[T], table: Table, key: str) -> T:
        if found := self._first(kind, self._row(table, "id"), key):
            return found
        raise KeyError(key)

    def _first(self, kind: type[T], query: Select[Any], key: str | None = None) -> T | None:
        row = self._connection.execute(query, _bound(key)).mappings().first()
        return None if row is None else self._read(kind, row)

    def _all(self, kind: type[T], query: Select[Any], key: str | None = None) -> list[T]:
        return [self._read(kind, row) for row in self._rows(query, key)]

    def _read(self, kind: type[T], row: RowMapping) -> T:
        return row_mapping.recognized(row_mapping.read(kind, row), self._operators)

    def _rows(self, query: Select[Any], key: str | None = None) -> Sequence[RowMapping]:
        return self._connection.execute(query, _bound(key)).mappings().all()

    def _due_monitor(self, row: RowMapping) -> tuple[Monitor, Standing]:
        standing = {field.name: row[field.name] for field in fields(Standing) if field.name != "revision"}
        return self._read(Monitor, row), Standing(**standing, revision=row["judged_revision"])

    def _waiting(self, query: Select[Any]) -> dict[Any, Waiting]:
        return {kind: Waiting(number, since) for kind, number, since in self._connection.execute(query)}

    def _all_waiting(self, query: Select[int, Any]) -> Waiting:
        number, since = self._connection.execute(query).one()
        return Waiting(number, since)

    def _number(self, query: Select[Any]) -> int:
        return int(self._connection.execute(query).scalar_one())

    def _column(self, query: Select[Any] | CompoundSelect[Any]) -> list[str]:
        return list(self._connection.execute(query).scalars())


def place_of(note: Note) -> str:
    """Return under which key it is kept where a note's message stands: its lane's, where the lane has but one."""
    return note.lane if note.kind.is_standing else note.key


def _bound(key: str | None) -> dict[str, str]:
    return {} if key is None else {statements.KEY: key}


def has_come(time: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Return the condition that `time` has come, or was never set."""
    return or_(time.is_(None), time <= now)


_IS_NEXT = and_(measurements.c.monitor == monitors.c.id, measurements.c.slot == standings.c.slot + 1)


def _with_standings() -> Select[Any]:
    """Return the select of monitors and where they stand, the longest due first.

    The two tables share one column's name, `revision`, which a monitor and a standing mean differently.
    """
    mine = [column for column in standings.c if column.name not in monitors.c]
    query = select(monitors, *mine, standings.c.revision.label("judged_revision"))
    joined = query.join(standings, standings.c.monitor == monitors.c.id)
    return joined.order_by(standings.c.next_at, monitors.c.number)


def _due(now: datetime) -> Select[Any]:
    stops = (
        select(notes.c.lane, func.min(notes.c.number).label("number"))
        .where(NOTE_WAITS, or_(notes.c.not_before > now, notes.c.claimed_until > now))
        .group_by(notes.c.lane)
        .subquery("stops")
    )
    place = func.row_number().over(partition_by=notes.c.lane, order_by=notes.c.number)
    return (
        select(notes)
        .outerjoin(stops, stops.c.lane == notes.c.lane)
        .where(NOTE_WAITS, or_(stops.c.number.is_(None), notes.c.number < stops.c.number))
        .order_by(place, notes.c.number)
    )


def _after(number: int, most: int) -> Select[Any]:
    return select(audit_events).where(audit_events.c.number > number).order_by(audit_events.c.number).limit(most)
