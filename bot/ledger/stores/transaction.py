"""What one transaction can change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from bot.domain.audit.events import Event, Head
from bot.domain.core.actors import Person
from bot.domain.core.errors import AlreadyDecided, AlreadyOpen
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.monitoring.incident import Incident, Tripped
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Measurement, Pushed
from bot.domain.monitoring.state import Standing
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Identity
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.drift import Finding, Look
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import Serving, ServingState
from bot.domain.transitions.transition import Move, MoveState
from bot.ledger.stores import held_work, row_mapping, statements
from bot.ledger.stores.reader import NOBODY, SqlReading, has_come, place_of
from bot.ledger.tables import base
from bot.ledger.tables.base import (
    ASK_WAITS,
    COPY_WAITS,
    IS_EXECUTING,
    NOTE_WAITS,
    NoteState,
    asks,
    bars,
    breakers,
    calls,
    copies,
    findings,
    freezes,
    holds,
    incidents,
    leases,
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
    turns,
    votes,
)
from bot.ports import Ask, Call, Copy, Note, Posting

FREE = {"claimed_by": None, "claimed_until": None}
TURN_MOST = timedelta(minutes=2)  # a channel's next turn is never further away: the longest pace is a minute
_HELD = ((moves, IS_EXECUTING), (notes, NOTE_WAITS))  # what is held, and while what is true of it


_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


def _under_way(column: Column[Any], *holds: ColumnElement[bool]) -> Select[Any]:
    """Return the select of a column of the checks that somebody has claimed: of each monitor only its next.

    Asked for one by one: SQLite would rather look through all checks that there ever were.
    """
    is_next = (measurements.c.monitor == standings.c.monitor, measurements.c.slot == standings.c.slot + 1)
    is_claimed = (measurements.c.outcome.is_(None), measurements.c.claimed_by.is_not(None))
    claimed = select(column).where(*is_next, *is_claimed, *holds).correlate(standings).scalar_subquery()
    return select(claimed).where(standings.c.next_at > _BEFORE_ALL, claimed.is_not(None))


class SqlWriting(SqlReading):
    """`bot.ports.Writing` on one connection. The ledger calls `seal` right before it commits."""

    def __init__(self, connection: Connection, operators: Mapping[str, str] = NOBODY) -> None:
        super().__init__(connection, operators)
        self._events: list[Event] = []
        self._dialect = connection.dialect.name
        self._is_shared = self._dialect == "postgresql"

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name; they go one after the other from here to their ends."""
        if self._is_shared:  # SQLite has one writer, which we are
            self._connection.execute(select(func.pg_advisory_xact_lock(_number_of(name))))

    def is_free(self, name: str) -> bool:
        """Lock a name unless another transaction holds it: then return False at once."""
        if not self._is_shared:
            return True
        return bool(self._connection.execute(select(func.pg_try_advisory_xact_lock(_number_of(name)))).scalar())

    def take_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Hold a name across transactions; return False where somebody else does. One's own is made longer."""
        lease = {"name": name, "owner": owner, "until": until, statements.NOW: now}
        return self._connection.execute(statements.take_lease(self._dialect), lease).first() is not None

    def give_lease(self, name: str, owner: str) -> None:
        """Let it go, if it is the owner's."""
        self._run(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def lock_request(self, request_id: str) -> Request:
        """Return the request, locked until the transaction ends. Raises UnknownRequest."""
        # SQLite has one writer, which we are; there FOR UPDATE is left out.
        return self._request(statements.locked_request(), request_id)

    def add_request(self, request: Request) -> None:
        """Insert it. Raises AlreadyOpen where one for this model and target has not ended."""
        if not self._add(requests, row_mapping.write(request), "model", "target"):
            raise AlreadyOpen(_in_the_way(request, self.open_request(request.model, request.target)))

    def save_request(self, request: Request) -> None:
        """Write its present state. Raises UnknownRequest."""
        if not self._set(requests, request.id, row_mapping.write(request)):
            self.request(request.id)

    def add_vote(self, vote: Vote) -> bool:
        """Insert it; return False where this person has voted on this request already."""
        return self._add(votes, row_mapping.write(vote), "request", "voter")

    def take_vote(self, request_id: str, voter: Person) -> bool:
        """Take the person's vote away, the audit keeps it; return False where there is none."""
        return self._run(delete(votes).where(votes.c.request == request_id, votes.c.voter == voter))

    def save_vote(self, vote: Vote) -> None:
        """Write its present state."""
        mine = and_(votes.c.request == vote.request, votes.c.voter == vote.voter)
        self._run(update(votes).where(mine).values(**row_mapping.write(vote)))

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert it."""
        self._run(freezes.insert().values(**row_mapping.write(freeze)))

    def save_freeze(self, freeze: Freeze) -> None:
        """Write its present state."""
        self._set(freezes, freeze.id, row_mapping.write(freeze))

    def add_hold(self, hold: Hold) -> bool:
        """Insert it, covering everything that waits now; return False where one is active."""
        self.lock("hold")
        if self.hold() is not None:
            return False
        self._connection.execute(holds.insert().values(**row_mapping.write(hold), **held_work.marks()))
        return True

    def save_hold(self, hold: Hold, *, widen: bool = False) -> None:
        """Write its present state. With `widen` it also covers everything that waits now."""
        more = held_work.marks() if widen else {}
        self._run(update(holds).where(holds.c.id == hold.id).values(**row_mapping.write(hold), **more))

    def drop_copies(self, why: str) -> None:
        """Take the tag updates that are held out of the queue; they're never written."""
        self._run(held_work.drop_copies().values(why=why))

    def add_bar(self, bar: Bar) -> bool:
        """Insert it; return False where it is there already."""
        return self._add(bars, row_mapping.write(bar), "id")

    def save_bar(self, bar: Bar) -> None:
        """Write its present state."""
        self._set(bars, bar.id, row_mapping.write(bar))

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert it; return False where the model has one of this name."""
        return self._add(monitors, row_mapping.write(monitor) | {"name": monitor.name}, "model", "name")

    def save_monitor(self, monitor: Monitor) -> None:
        """Write its present state."""
        self._set(monitors, monitor.id, row_mapping.write(monitor) | {"name": monitor.name})

    def save_standing(self, standing: Standing) -> None:
        """Write where a monitor stands now.

        Its slot never goes back: of two who write at once, a move and a check, one has not seen what the other wrote,
        and a slot that is done already can never be claimed again: nothing would be checked any more.
        """
        self.save_standings([standing])

    def save_standings(self, standings: Sequence[Standing]) -> None:
        """Write where monitors stand now: see above."""
        if standings:
            put = statements.put(base.standings, "monitor", "slot", self._dialect)
            self._connection.execute(put, [row_mapping.write(one) for one in standings])

    def claim_slots(self, slots: Mapping[tuple[str, int], datetime], owner: str, now: datetime) -> set[tuple[str, int]]:
        """Take checks, each until its time; return those that are neither done nor somebody else's."""
        claims = [
            {
                "monitor": monitor,
                "slot": slot,
                "at": now,
                "revision": 0,
                "points": 0,
                "claimed_by": owner,
                "claimed_until": until,
                statements.NOW: now,
            }
            for (monitor, slot), until in sorted(slots.items())
        ]
        if not claims:
            return set()
        taken = self._connection.execute(statements.claim_slots(self._dialect), claims)
        return {(row.monitor, row.slot) for row in taken}

    def finish_slots(self, checks: Sequence[Measurement], owner: str) -> set[tuple[str, int]]:
        """Write what claimed checks came to; return which of them were the owner's still. The others are left."""
        if not checks:
            return set()
        slots = [(one.monitor, one.slot) for one in checks]
        mine = {(row.monitor, row.slot) for row in self._connection.execute(statements.mine(), _held(slots, owner))}
        rest = [one for one in checks if (one.monitor, one.slot) in mine]
        if rest:
            ends = [
                {statements.KEY: one.monitor, statements.SLOT: one.slot} | row_mapping.write(one) | FREE for one in rest
            ]
            self._connection.execute(statements.end_slot(), ends)
        return mine

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        """Write monitors' baselines; each takes the place of its monitor's former one."""
        if baselines:
            table = base.own_baselines if own else base.baselines
            put = statements.put(table, "monitor", "made_at", self._dialect)
            self._connection.execute(put, [row_mapping.write(one) for one in baselines])

    def add_readings(self, pushed: Sequence[Pushed]) -> int:
        """Insert what was pushed, but for what is there already; return how many are new."""
        same = ("source", "model", "metric", "version", "at")
        return sum(self._add(readings, row_mapping.write(one), *same) for one in pushed)

    def add_call(self, call: Call) -> bool:
        """Remember what was answered; return False where this key has an answer already."""
        return self._add(calls, row_mapping.write(call), "client", "key")

    def sweep(self, *, measurements: datetime, readings: datetime) -> int:
        """Throw away checks, and readings and calls, that are older than that; return how many rows.

        Checks that a frozen baseline is made of stay, however old they are, until their monitor is removed.
        """
        baselines, checks, all_readings = base.baselines.c, base.measurements.c, base.readings.c
        removed = select(monitors.c.id).where(monitors.c.removed_at.is_not(None))
        for table in (base.baselines, base.own_baselines):
            self._run(delete(table).where(table.c.monitor.in_(removed)))
        is_needed = exists().where(
            baselines.monitor == checks.monitor, checks.at >= baselines.since, checks.at <= baselines.until
        )
        old = (
            delete(base.measurements).where(checks.at < measurements, ~is_needed),
            delete(base.readings).where(all_readings.received_at < readings),
            delete(calls).where(calls.c.at < readings),
        )
        return sum(self._connection.execute(one).rowcount for one in old)

    def add_incident(self, incident: Incident) -> bool:
        """Insert it; return False where one of this model, source and kind is open."""
        return self._add(incidents, row_mapping.write(incident), "model", "source", "kind")

    def save_incident(self, incident: Incident) -> None:
        """Write its present state."""
        self._set(incidents, incident.id, row_mapping.write(incident))

    def trip(self, breaker: Tripped) -> bool:
        """Trip a breaker; return False where it is tripped already."""
        return self._add(breakers, row_mapping.write(breaker), "model")

    def reset_breaker(self, model: str) -> bool:
        """Reset a breaker; return False where it is not tripped."""
        return self._run(delete(breakers).where(breakers.c.model == model))

    def save_serving(self, serving: Serving) -> bool:
        """Write what the serving side said; return False where the question had its end already."""
        row = row_mapping.write(serving)
        mine = and_(servings.c.move == serving.move, servings.c.state == ServingState.ASKED)
        return self._add(servings, row, "move") or self._run(update(servings).where(mine).values(**row))

    def claim_serving(self, serving: Serving, until: datetime) -> bool:
        """Take a due question for oneself until then; return False where somebody else has it, or it has its end."""
        free = and_(
            servings.c.move == serving.move,
            servings.c.state == ServingState.ASKED,
            servings.c.next_at == serving.next_at,
        )
        return self._run(update(servings).where(free).values(next_at=until))

    def add_move(self, move: Move) -> bool:
        """Insert it; return False where a move with this id is there already."""
        return self._add(moves, row_mapping.write(move), "id")

    def add_earlier(self, earlier: Sequence[Move]) -> None:
        """Insert moves (oldest first) that come before every move that is there: with numbers below theirs."""
        lowest = self._connection.execute(select(func.coalesce(func.min(moves.c.number), 1))).scalar_one()
        numbers = range(min(lowest, 1) - len(earlier), min(lowest, 1))
        rows_of = [{"number": number} | row_mapping.write(move) for number, move in zip(numbers, earlier, strict=True)]
        self._connection.execute(moves.insert(), rows_of)

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
        return None if row is None else self._read(Move, row)

    def begin_move(self, move: Move, now: datetime) -> bool:
        """Record that a claimed move is about to write to the registry; return False where it was taken over."""
        began = func.coalesce(moves.c.began_at, literal(now, moves.c.began_at.type))
        return self._run(update(moves).where(_is_claim(move)).values(began_at=began))

    def release_move(self, move: Move, not_before: datetime) -> bool:
        """Give a claimed move back as intended; return False where it was taken over since it was claimed."""
        given = update(moves).where(_is_claim(move)).values(state=MoveState.INTENDED, not_before=not_before, **FREE)
        return self._run(given)

    def trust(self, model: str, identities: Mapping[int, Identity], now: datetime) -> None:
        """Fill in what a model's versions are, where an older Registrar's moves and open requests don't tell."""
        for table, written, more in (
            (moves, moves.c.intended_at, {"trusted_at": now}),
            (requests, requests.c.opened_at, {}),
        ):
            unknown = and_(table.c.model == model, table.c.identity.is_(None))
            for version in self._connection.execute(select(table.c.version).where(unknown).distinct()).scalars():
                identity = identities.get(version)
                if identity is not None:
                    mine = and_(unknown, table.c.version == version, written >= (identity.created_at or _BEFORE_ALL))
                    self._run(update(table).where(mine).values(identity=identity, **more))

    def take_over_sources(self, model: str, identities: Mapping[int, Identity]) -> None:
        """Let the model's requests and moves name where the files of their versions are now."""
        kept = (
            (moves, "version", "identity"),
            (requests, "version", "identity"),
            (requests, "incumbent", "incumbent_identity"),
        )
        for table, number, name in kept:
            columns = (table.c.id, table.c[number].label("version"), table.c[name].label("identity"))
            known = select(*columns).where(table.c.model == model, table.c[name].is_not(None))
            for row in self._connection.execute(known).all():
                now = identities.get(row.version)
                if now is not None and row.identity.is_same_but_moved(now) and row.identity.source != now.source:
                    self._set(table, row.id, {name: replace(row.identity, source=now.source)})

    def finish_move(self, move: Move) -> None:
        """Write its end state and let go of the model.

        Raises KeyError for an unknown move, and AlreadyDecided where it has ended or was taken over since
        `move` was claimed: `attempts` tells, since every claim counts it up.
        """
        claim = {statements.KEY: move.id, statements.ATTEMPTS: move.attempts}
        values = row_mapping.write(move, but=frozenset({"began_at"}))
        ended = self._connection.execute(statements.end_move(), claim | values | FREE)
        if not ended.rowcount:
            now = self.move(move.id)
            raise AlreadyDecided(
                say("Move {id} was taken over and is {state} now.", id=Code(move.id), state=now.state.value)
            )

    def disown(self, owner: str) -> None:
        """End the leases of an owner that is known to be gone."""
        for table, is_at_work in _HELD:
            self._run(update(table).where(is_at_work, table.c.claimed_by == owner).values(**FREE))
        if checks := self._claimed_checks(measurements.c.number, measurements.c.claimed_by == owner):
            held = [{statements.KEY: number, statements.OWNER: owner} for number in checks]
            self._connection.execute(statements.free_slot(), held)
        self._run(delete(leases).where(leases.c.owner == owner))

    def owners(self) -> list[str]:
        """Return who holds anything now."""
        held = [select(table.c.claimed_by).where(holds, table.c.claimed_by.is_not(None)) for table, holds in _HELD]
        owners = {owner for query in (*held, select(leases.c.owner)) for owner in self._column(query)}
        return sorted(owners.union(self._claimed_checks(measurements.c.claimed_by)))

    def _claimed_checks(self, column: Column[Any], *holds: ColumnElement[bool]) -> list[Any]:
        """Return a column of the checks that somebody has claimed and is making.

        None on PostgreSQL: there another process may be making what this one has claimed, and a claim ends by itself.
        """
        return [] if self._is_shared else self._column(_under_way(column, *holds))

    def add_ask(self, ask: Ask) -> bool:
        """Insert it; return False where its caller has asked with this key before."""
        return self._add(asks, row_mapping.write(ask), "caller", "key")

    def claim_ask(self, ask_id: str, now: datetime, until: datetime) -> bool:
        """Take a waiting ask whose time has come for oneself until then; False where it's taken, or held."""
        free = and_(asks.c.id == ask_id, ASK_WAITS, has_come(asks.c.not_before, now), ~held_work.is_held(asks))
        return self._run(update(asks).where(free).values(not_before=until))

    def save_ask(self, ask: Ask) -> None:
        """Write its present state. Raises KeyError."""
        if not self._set(asks, ask.id, row_mapping.write(ask)):
            raise KeyError(ask.id)

    def save_look(self, look: Look) -> None:
        """Write down how the model looks now."""
        values = row_mapping.write(look)
        if not self._add(looks, values, "model"):
            self._run(update(looks).where(looks.c.model == look.model).values(**values))

    def forget_look(self, model: str) -> None:
        """Forget a model that the registry has no more."""
        self._run(delete(looks).where(looks.c.model == model))

    def add_finding(self, finding: Finding) -> bool:
        """Insert it; return False where it is there already."""
        return self._add(findings, row_mapping.write(finding), "id")

    def save_finding(self, finding: Finding) -> None:
        """Write its present state. Raises UnknownRequest."""
        if not self._set(findings, finding.id, row_mapping.write(finding)):
            self.finding(finding.id)

    def add_copy(self, copy: Copy) -> None:
        """Let something be written to a version; an id that is there already is left as it is."""
        row = row_mapping.write(copy, but=frozenset({"number"}))
        self._add(copies, row | {"is_done": False, "why": ""}, "id")

    def claim_copy(self, copy: Copy, now: datetime, until: datetime) -> bool:
        """Take a due row for oneself until then; return False where somebody else has, or it's held."""
        free = and_(copies.c.id == copy.id, COPY_WAITS, has_come(copies.c.not_before, now), ~held_work.is_held(copies))
        return self._run(update(copies).where(free).values(not_before=until))

    def copied(self, copy: Copy, *, why: str = "") -> None:
        """Take it out of the queue; `why` says why it was given up."""
        self._run(update(copies).where(copies.c.id == copy.id).values(is_done=True, why=why))

    def postpone_copy(self, copy: Copy, until: datetime, why: str) -> None:
        """Try it again at `until`."""
        later = {"not_before": until, "why": why, "attempts": copies.c.attempts + 1}
        self._run(update(copies).where(copies.c.id == copy.id).values(**later))

    def add_note(self, note: Note) -> None:
        """Put it into the outbox, from now unless it says since when; a key that is there already is left as it is."""
        row = row_mapping.write(note, but=frozenset({"number"}))
        row["created_at"] = note.created_at or datetime.now(UTC)
        self._add(notes, row | {"state": NoteState.WAITING, "why": ""}, "key")

    def claim_note(self, note: Note, owner: str, now: datetime, until: datetime) -> Note | None:
        """Take a note to deliver it until then, and remember that this has begun: a lost answer is looked for.

        Return it as it is to be delivered, or None where somebody else has taken or delivered it.
        """
        if not self._note(note, was_tried=True, attempts=note.attempts + 1, claimed_by=owner, claimed_until=until):
            return None
        return replace(note, attempts=note.attempts + 1, claimed_until=until)

    def delivered(self, note: Note, posting: Posting | None) -> bool:
        """Take it out of the queue, and remember where it stands: cards and notices by their lane, all else by key.

        Return False, as those below, where it was taken over since it was claimed: then nothing is written.
        """
        if not self._note(note, state=NoteState.DELIVERED, **FREE):
            return False
        if posting is not None:
            key = place_of(note)
            place = row_mapping.write(posting)
            if not self._add(postings, {"key": key, **place}, "key"):
                self._run(update(postings).where(postings.c.key == key).values(**place))
        return True

    def postpone(self, note: Note, until: datetime, why: str = "") -> bool:
        """Try it again at `until`; `was_tried` is taken from `note`. Without `why`, the last reason stays."""
        reason = {"why": why} if why else {}
        return self._note(note, not_before=until, was_tried=note.was_tried, **reason, **FREE)

    def drop(self, note: Note, why: str) -> bool:
        """Give it up: Slack will never take it."""
        return self._note(note, state=NoteState.DROPPED, why=why, **FREE)

    def take_turn(self, channel: str, pace: timedelta, now: datetime) -> datetime:
        """Take the turn to post in a channel if it has come; the next one is `pace` later. Return when it comes.

        One that is too far off was counted by a clock that was ahead, and would close the channel for as long.
        """
        self._add(turns, {"channel": channel, "next_at": now}, "channel")
        row = self._connection.execute(self._row(turns, "channel"), {statements.KEY: channel}).mappings().one()
        at: datetime = row["next_at"] if now < row["next_at"] <= now + TURN_MOST else now
        if at == now:
            self._run(update(turns).where(turns.c.channel == channel).values(next_at=at + pace))
        return at

    def rest(self, channel: str, until: datetime) -> None:
        """Postpone a channel's next turn to at least `until`."""
        self._run(update(turns).where(turns.c.channel == channel, turns.c.next_at < until).values(next_at=until))

    def append(self, event: Event) -> None:
        """Add an event to the audit chain. Raises ValueError or TypeError where its evidence is not JSON."""
        # What cannot be written down is refused here, where the caller can be seen.
        self._events.append(row_mapping.storable_event(event))

    def seal(self) -> list[Event]:
        """Chain the transaction's events, and return them. Everybody's queue here, so it is the last thing done."""
        events = self._events
        if not events:
            return []
        head = row_mapping.read(Head, self._connection.execute(statements.head()).mappings().one())
        added = []
        for event in events:
            added.append(row_mapping.audit_row(event, head))
            head = Head(added[-1]["number"], added[-1]["hash"])
        self._connection.execute(statements.append(), added)
        self._connection.execute(statements.move_head(), row_mapping.write(head))
        self._events = []
        return events

    def _row(self, table: Table, column: str) -> Select[Any]:
        """Return the select that locks what it reads: what is read to be changed is nobody else's meanwhile."""
        return statements.locked(table, column)

    def _note(self, note: Note, **values: Any) -> bool:
        """Change a note, unless it has its end or was claimed since it was read: `attempts` counts the claims."""
        ours = and_(notes.c.key == note.key, NOTE_WAITS, notes.c.attempts == note.attempts)
        return self._run(update(notes).where(ours).values(**values))

    def _set(self, table: Table, key: str, values: dict[str, Any]) -> bool:
        return self._connection.execute(statements.change(table), {statements.KEY: key, **values}).rowcount > 0

    def _add(self, table: Table, values: dict[str, Any], *unique: str) -> bool:
        insert = statements.add(table, unique, self._connection.dialect.name)
        return self._connection.execute(insert, values).first() is not None

    def _run(self, statement: Any) -> bool:
        return self._connection.execute(statement).rowcount > 0


def _held(slots: list[tuple[str, int]], owner: str) -> dict[str, Any]:
    return {statements.SLOT: slots, statements.OWNER: owner}


def _is_claim(move: Move) -> ColumnElement[bool]:
    """Return what is true while a move is claimed as `move` says: `attempts` counts the claims."""
    return and_(moves.c.id == move.id, moves.c.attempts == move.attempts, IS_EXECUTING)


def _number_of(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _in_the_way(asked: Request, there: Request | None) -> Say:
    if there is None:  # decided between our insert and our look
        return say(
            "A request for {model} in {target} was open until now; ask again.",
            model=Name(asked.model),
            target=asked.target,
        )
    if there.state is RequestState.PENDING:
        return say(
            "Request {id} for v{version} of {model} in {target} is still open: {approve}, or {cancel} first.",
            id=Code(there.id),
            version=there.version,
            model=Name(there.model),
            target=there.target,
            approve=Code(f"approve {there.id}"),
            cancel=Code(f"cancel {there.id}"),
        )
    return say(
        "Request {id} for v{version} of {model} in {target} is approved and being made; ask again after it.",
        id=Code(there.id),
        version=there.version,
        model=Name(there.model),
        target=there.target,
    )
