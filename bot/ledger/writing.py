"""What one transaction can change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, select, update
from sqlalchemy.exc import IntegrityError

from bot.domain.approvals import Request, RequestState, Vote
from bot.domain.errors import AlreadyDecided, AlreadyOpen
from bot.domain.events import Event, Head
from bot.domain.freezes import Freeze
from bot.domain.incidents import Incident, Tripped
from bot.domain.looks import Finding, Look
from bot.domain.monitors import Measurement, Monitor, Pushed, Standing
from bot.domain.moves import Move, MoveState
from bot.domain.people import Person
from bot.domain.rollbacks import Bar
from bot.domain.serving import Serving, ServingState
from bot.domain.text import Code, Name, Say, say
from bot.ledger import rows, statements, tables
from bot.ledger.reading import SqlReading
from bot.ledger.tables import (
    IS_EXECUTING,
    NoteState,
    asks,
    bars,
    breakers,
    calls,
    copies,
    findings,
    freezes,
    incidents,
    looks,
    measurements,
    monitors,
    moves,
    notes,
    postings,
    readings,
    requests,
    servings,
    standings,
    votes,
)
from bot.ports import Ask, Call, Copy, Note, NoteKind, Posting

# Messages of which a lane has one, drawn anew from its present state.
STANDING = {NoteKind.CARD, NoteKind.NOTICE, NoteKind.ROLLBACK, NoteKind.INCIDENT}
FREE = {"claimed_by": None, "claimed_until": None}


class SqlWriting(SqlReading):
    """`bot.ports.Writing` on one connection. The ledger calls `seal` right before it commits."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._events: list[Event] = []

    def lock_request(self, request_id: str) -> Request:
        """Return the request, locked until the transaction ends. Raises UnknownRequest."""
        # SQLite has one writer, which we are; there FOR UPDATE is left out.
        return self._request(statements.locked_request(), request_id)

    def add_request(self, request: Request) -> None:
        """Insert it. Raises AlreadyOpen where one for this model and target has not ended."""
        if not self._add(requests, rows.write(request), "model", "target"):
            raise AlreadyOpen(_in_the_way(request, self.open_request(request.model, request.target)))

    def save_request(self, request: Request) -> None:
        """Write its present state. Raises UnknownRequest."""
        if not self._set(requests, request.id, rows.write(request)):
            self.request(request.id)

    def add_vote(self, vote: Vote) -> bool:
        """Insert it; return False where this person has voted on this request already."""
        return self._add(votes, rows.write(vote), "request", "voter")

    def take_vote(self, request_id: str, voter: Person) -> bool:
        """Take the person's vote away, the audit keeps it; return False where there is none."""
        return self._run(delete(votes).where(votes.c.request == request_id, votes.c.voter == voter))

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert it."""
        self._run(freezes.insert().values(**rows.write(freeze)))

    def save_freeze(self, freeze: Freeze) -> None:
        """Write its present state."""
        self._set(freezes, freeze.id, rows.write(freeze))

    def add_bar(self, bar: Bar) -> bool:
        """Insert it; return False where it is there already."""
        return self._add(bars, rows.write(bar), "id")

    def save_bar(self, bar: Bar) -> None:
        """Write its present state."""
        self._set(bars, bar.id, rows.write(bar))

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert it; return False where the model has one of this name."""
        return self._add(monitors, rows.write(monitor) | {"name": monitor.name}, "model", "name")

    def save_monitor(self, monitor: Monitor) -> None:
        """Write its present state."""
        self._set(monitors, monitor.id, rows.write(monitor) | {"name": monitor.name})

    def save_standing(self, standing: Standing) -> None:
        """Write where a monitor stands now.

        Its slot never goes back: of two who write at once, a move and a check, one has not seen what the other wrote,
        and a slot that is done already can never be claimed again: nothing would be checked any more.
        """
        put = statements.put(standings, "monitor", "slot", self._connection.dialect.name)
        self._connection.execute(put, rows.write(standing))

    def claim_slot(self, monitor_id: str, slot: int, owner: str, now: datetime, until: datetime) -> bool:
        """Take a check for oneself until then; return False where it is done, or somebody else is at it."""
        claim = {"claimed_by": owner, "claimed_until": until}
        row = {"monitor": monitor_id, "slot": slot, "at": now, "revision": 0, "points": 0, **claim}
        if self._add(measurements, row, "monitor", "slot"):
            return True
        lapsed = and_(_slot(monitor_id, slot), measurements.c.outcome.is_(None), measurements.c.claimed_until < now)
        return self._run(update(measurements).where(lapsed).values(**claim))

    def finish_slot(self, measurement: Measurement, owner: str) -> bool:
        """Write what a claimed check came to; return False where it is not the owner's any more."""
        mine = {statements.KEY: measurement.monitor, statements.SLOT: measurement.slot, statements.OWNER: owner}
        ended = self._connection.execute(statements.end_slot(), mine | rows.write(measurement) | FREE)
        return ended.rowcount > 0

    def add_readings(self, pushed: Sequence[Pushed]) -> int:
        """Insert what was pushed, but for what is there already; return how many are new."""
        same = ("source", "model", "metric", "version", "at")
        return sum(self._add(readings, rows.write(one), *same) for one in pushed)

    def add_call(self, call: Call) -> bool:
        """Remember what was answered; return False where this key has an answer already."""
        return self._add(calls, rows.write(call), "client", "key")

    def sweep(self, *, measurements: datetime, readings: datetime) -> int:
        """Throw away checks, and readings and calls, that are older than that; return how many rows."""
        old = {tables.measurements.c.at: measurements, tables.readings.c.received_at: readings, calls.c.at: readings}
        return sum(self._connection.execute(delete(at.table).where(at < then)).rowcount for at, then in old.items())

    def add_incident(self, incident: Incident) -> bool:
        """Insert it; return False where one of this model, source and kind is open."""
        return self._add(incidents, rows.write(incident), "model", "source", "kind")

    def save_incident(self, incident: Incident) -> None:
        """Write its present state."""
        self._set(incidents, incident.id, rows.write(incident))

    def trip(self, breaker: Tripped) -> bool:
        """Trip a breaker; return False where it is tripped already."""
        return self._add(breakers, rows.write(breaker), "model")

    def reset_breaker(self, model: str) -> bool:
        """Reset a breaker; return False where it is not tripped."""
        return self._run(delete(breakers).where(breakers.c.model == model))

    def save_serving(self, serving: Serving) -> bool:
        """Write what the serving side said; return False where the question had its end already."""
        row = rows.write(serving)
        mine = and_(servings.c.move == serving.move, servings.c.state == ServingState.ASKED)
        return self._add(servings, row, "move") or self._run(update(servings).where(mine).values(**row))

    def claim_serving(self, serving: Serving, until: datetime) -> bool:
        """Take a due question for oneself until then; return False where somebody else has it, or it has its end."""
        free = and_(
            servings.c.move == serving.move, servings.c.state == ServingState.ASKED,
            servings.c.next_at == serving.next_at,
        )  # fmt: skip
        return self._run(update(servings).where(free).values(next_at=until))

    def add_move(self, move: Move) -> bool:
        """Insert it; return False where a move with this id is there already."""
        return self._add(moves, rows.write(move), "id")

    def claim_move(self, model: str, owner: str, now: datetime, until: datetime) -> Move | None:
        """Take the model's oldest move that is intended and due, or executing with a lease that is over.

        Return it as executing, or None where there is none or somebody holds the model.
        """
        claim = {statements.KEY: model, statements.NOW: now, "claimed_by": owner, "claimed_until": until}
        try:
            # On PostgreSQL a failed statement ends its transaction, unless it has a savepoint of its own.
            with self._connection.begin_nested():
                row = self._connection.execute(statements.claim_move(), claim).mappings().first()
        except IntegrityError:  # one executing move a model: somebody took another one at this moment
            return None
        return None if row is None else rows.read(Move, row)

    def release_move(self, move: Move, not_before: datetime) -> bool:
        """Give a claimed move back as intended; return False where it was taken over since it was claimed."""
        mine = and_(moves.c.id == move.id, moves.c.attempts == move.attempts, IS_EXECUTING)
        given = update(moves).where(mine).values(state=MoveState.INTENDED, not_before=not_before, **FREE)
        return self._run(given)

    def finish_move(self, move: Move) -> None:
        """Write its end state and let go of the model.

        Raises KeyError for an unknown move, and AlreadyDecided where it has ended or was taken over since
        `move` was claimed: `attempts` tells, since every claim counts it up.
        """
        claim = {statements.KEY: move.id, statements.ATTEMPTS: move.attempts}
        ended = self._connection.execute(statements.end_move(), claim | rows.write(move) | FREE)
        if not ended.rowcount:
            now = self.move(move.id)
            raise AlreadyDecided(
                say("Move {id} was taken over and is {state} now.", id=Code(move.id), state=now.state.value)
            )

    def disown(self, owner: str) -> None:
        """End the leases of an owner that is known to be gone."""
        self._run(update(moves).where(IS_EXECUTING, moves.c.claimed_by == owner).values(**FREE))

    def owners(self) -> list[str]:
        """Return who holds models now."""
        held = select(moves.c.claimed_by).where(IS_EXECUTING, moves.c.claimed_by.is_not(None))
        return sorted(self._column(held.distinct()))

    def add_ask(self, ask: Ask) -> bool:
        """Insert it; return False where its caller has asked with this key before."""
        return self._add(asks, rows.write(ask), "caller", "key")

    def save_ask(self, ask: Ask) -> None:
        """Write its present state. Raises KeyError."""
        if not self._set(asks, ask.id, rows.write(ask)):
            raise KeyError(ask.id)

    def save_look(self, look: Look) -> None:
        """Write down how the model looks now."""
        values = rows.write(look)
        if not self._add(looks, values, "model"):
            self._run(update(looks).where(looks.c.model == look.model).values(**values))

    def forget_look(self, model: str) -> None:
        """Forget a model that the registry has no more."""
        self._run(delete(looks).where(looks.c.model == model))

    def add_finding(self, finding: Finding) -> bool:
        """Insert it; return False where it is there already."""
        return self._add(findings, rows.write(finding), "id")

    def save_finding(self, finding: Finding) -> None:
        """Write its present state. Raises UnknownRequest."""
        if not self._set(findings, finding.id, rows.write(finding)):
            self.finding(finding.id)

    def add_copy(self, copy: Copy) -> None:
        """Let something be written to a version; an id that is there already is left as it is."""
        row = rows.write(copy, but=frozenset({"number"}))
        self._add(copies, row | {"is_done": False, "why": ""}, "id")

    def copied(self, copy: Copy, *, why: str = "") -> None:
        """Take it out of the queue; `why` says why it was given up."""
        self._run(update(copies).where(copies.c.id == copy.id).values(is_done=True, why=why))

    def postpone_copy(self, copy: Copy, until: datetime, why: str) -> None:
        """Try it again at `until`."""
        later = {"not_before": until, "why": why, "attempts": copies.c.attempts + 1}
        self._run(update(copies).where(copies.c.id == copy.id).values(**later))

    def add_note(self, note: Note) -> None:
        """Put it into the outbox; a key that is there already is left as it is."""
        row = rows.write(note, but=frozenset({"number"}))
        self._add(notes, row | {"state": NoteState.WAITING, "why": ""}, "key")

    def trying(self, note: Note) -> None:
        """Remember that its delivery has begun, so that a lost answer is looked for."""
        self._note(note, was_tried=True, attempts=notes.c.attempts + 1)

    def delivered(self, note: Note, posting: Posting | None) -> None:
        """Take it out of the queue, and remember where it stands: cards and notices by their lane, all else by key."""
        self._note(note, state=NoteState.DELIVERED)
        if posting is not None:
            key = note.lane if note.kind in STANDING else note.key
            place = rows.write(posting)
            if not self._add(postings, {"key": key, **place}, "key"):
                self._run(update(postings).where(postings.c.key == key).values(**place))

    def postpone(self, note: Note, until: datetime, why: str) -> None:
        """Try it again at `until`."""
        self._note(note, not_before=until, why=why)

    def drop(self, note: Note, why: str) -> None:
        """Give it up: Slack will never take it."""
        self._note(note, state=NoteState.DROPPED, why=why)

    def append(self, event: Event) -> None:
        """Add an event to the audit chain. Raises ValueError or TypeError where its evidence is not JSON."""
        # What cannot be written down is refused here, where the caller can be seen.
        self._events.append(rows.storable_event(event))

    def seal(self) -> None:
        """Chain the transaction's events. Everybody's events queue here, so it is the last thing done."""
        if not self._events:
            return
        head = rows.read(Head, self._connection.execute(statements.head()).mappings().one())
        added = []
        for event in self._events:
            added.append(rows.audit_row(event, head))
            head = Head(added[-1]["number"], added[-1]["hash"])
        self._connection.execute(statements.append(), added)
        self._connection.execute(statements.move_head(), rows.write(head))
        self._events.clear()

    def _note(self, note: Note, **values: Any) -> None:
        self._run(update(notes).where(notes.c.key == note.key).values(**values))

    def _set(self, table: Table, key: str, values: dict[str, Any]) -> bool:
        return self._connection.execute(statements.change(table), {statements.KEY: key, **values}).rowcount > 0

    def _add(self, table: Table, values: dict[str, Any], *unique: str) -> bool:
        insert = statements.add(table, unique, self._connection.dialect.name)
        return self._connection.execute(insert, values).first() is not None

    def _run(self, statement: Any) -> bool:
        return self._connection.execute(statement).rowcount > 0


def _slot(monitor_id: str, slot: int) -> Any:
    return and_(measurements.c.monitor == monitor_id, measurements.c.slot == slot)


def _in_the_way(asked: Request, there: Request | None) -> Say:
    if there is None:  # decided between our insert and our look
        return say("A request for {model} in {target} was open until now; ask again.",
                   model=Name(asked.model), target=asked.target)  # fmt: skip
    if there.state is RequestState.PENDING:
        return say(
            "Request {id} for v{version} of {model} in {target} is still open: {approve}, or {cancel} first.",
            id=Code(there.id), version=there.version, model=Name(there.model), target=there.target,
            approve=Code(f"approve {there.id}"), cancel=Code(f"cancel {there.id}"),
        )  # fmt: skip
    return say(
        "Request {id} for v{version} of {model} in {target} is approved and being made; ask again after it.",
        id=Code(there.id), version=there.version, model=Name(there.model), target=there.target,
    )  # fmt: skip
