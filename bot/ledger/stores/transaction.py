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

from bot.domain.audit.events import ChainHead, Event
from bot.domain.core.actors import Person
from bot.domain.core.errors import AlreadyDecided, AlreadyOpen
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Measurement, PushedReading
from bot.domain.monitoring.state import MonitorState
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionState
from bot.ledger.stores import held_work, row_mapping, statements
from bot.ledger.stores.reader import NO_OPERATOR_IDS, SqlLedgerReader, is_due, message_ref_key
from bot.ledger.tables import base
from bot.ledger.tables.base import (
    COMMAND_IS_WAITING,
    IS_EXECUTING,
    MESSAGE_IS_WAITING,
    TAG_UPDATE_IS_WAITING,
    MessageState,
    channel_turns,
    drift_notices,
    freezes,
    holds,
    idempotent_calls,
    incidents,
    leases,
    measurements,
    message_refs,
    monitor_states,
    monitors,
    outbox_messages,
    queued_commands,
    readings,
    registry_snapshots,
    requests,
    rollback_blocks,
    serving_checks,
    tag_updates,
    transitions,
    tripped_breakers,
    votes,
)
from bot.ports import IdempotentCall, MessageRef, OutboxMessage, QueuedCommand, TagUpdate

UNCLAIMED = {"claimed_by": None, "claimed_until": None}
MAX_CHANNEL_DELAY = timedelta(minutes=2)  # a channel's next turn is never further away: the longest pace is a minute
_CLAIMABLE = (
    (transitions, IS_EXECUTING),
    (outbox_messages, MESSAGE_IS_WAITING),
)  # what is held, and while what is true of it


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _claimed_checks(column: Column[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the select of a column of the checks that somebody has claimed: of each monitor only its next.

    Asked for one by one: SQLite would rather look through all checks that there ever were.
    """
    is_next = (measurements.c.monitor == monitor_states.c.monitor, measurements.c.slot == monitor_states.c.slot + 1)
    is_claimed = (measurements.c.outcome.is_(None), measurements.c.claimed_by.is_not(None))
    claimed = select(column).where(*is_next, *is_claimed, *conditions).correlate(monitor_states).scalar_subquery()
    return select(claimed).where(monitor_states.c.next_at > _EPOCH, claimed.is_not(None))


class SqlLedgerTransaction(SqlLedgerReader):
    """`bot.ports.Writing` on one connection. The ledger calls `seal` right before it commits."""

    def __init__(self, connection: Connection, operators: Mapping[str, str] = NO_OPERATOR_IDS) -> None:
        super().__init__(connection, operators)
        self._pending_events: list[Event] = []
        self._dialect = connection.dialect.name
        self._is_postgres = self._dialect == "postgresql"

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name; they go one after the other from here to their ends."""
        if self._is_postgres:  # SQLite has one writer, which we are
            self._connection.execute(select(func.pg_advisory_xact_lock(_advisory_lock_id(name))))

    def try_lock(self, name: str) -> bool:
        """Lock a name unless another transaction holds it: then return False at once."""
        if not self._is_postgres:
            return True
        return bool(self._connection.execute(select(func.pg_try_advisory_xact_lock(_advisory_lock_id(name)))).scalar())

    def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Hold a name across transactions; return False where somebody else does. One's own is made longer."""
        lease = {"name": name, "owner": owner, "until": until, statements.NOW: now}
        return self._connection.execute(statements.acquire_lease(self._dialect), lease).first() is not None

    def release_lease(self, name: str, owner: str) -> None:
        """Let it go, if it is the owner's."""
        self._execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def lock_request(self, request_id: str) -> Request:
        """Return the request, locked until the transaction ends. Raises UnknownRequest."""
        # SQLite has one writer, which we are; there FOR UPDATE is left out.
        return self._get_request(statements.select_request_for_update(), request_id)

    def add_request(self, request: Request) -> None:
        """Insert it. Raises AlreadyOpen where one for this model and target has not ended."""
        if not self._insert(requests, row_mapping.to_row(request), "model", "target"):
            raise AlreadyOpen(_open_request_message(request, self.open_request(request.model, request.target)))

    def save_request(self, request: Request) -> None:
        """Write its present state. Raises UnknownRequest."""
        if not self._update(requests, request.id, row_mapping.to_row(request)):
            self.request(request.id)

    def add_vote(self, vote: Vote) -> bool:
        """Insert it; return False where this person has voted on this request already."""
        return self._insert(votes, row_mapping.to_row(vote), "request", "voter")

    def delete_vote(self, request_id: str, voter: Person) -> bool:
        """Take the person's vote away, the audit keeps it; return False where there is none."""
        return self._execute(delete(votes).where(votes.c.request == request_id, votes.c.voter == voter))

    def save_vote(self, vote: Vote) -> None:
        """Write its present state."""
        mine = and_(votes.c.request == vote.request, votes.c.voter == vote.voter)
        self._execute(update(votes).where(mine).values(**row_mapping.to_row(vote)))

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert it."""
        self._execute(freezes.insert().values(**row_mapping.to_row(freeze)))

    def save_freeze(self, freeze: Freeze) -> None:
        """Write its present state."""
        self._update(freezes, freeze.id, row_mapping.to_row(freeze))

    def add_hold(self, hold: Hold) -> bool:
        """Insert it, covering everything that waits now; return False where one is active."""
        self.lock("hold")
        if self.active_hold() is not None:
            return False
        self._connection.execute(holds.insert().values(**row_mapping.to_row(hold), **held_work.current_extent()))
        return True

    def save_hold(self, hold: Hold, *, extend: bool = False) -> None:
        """Write its present state. With `widen` it also covers everything that waits now."""
        more = held_work.current_extent() if extend else {}
        self._execute(update(holds).where(holds.c.id == hold.id).values(**row_mapping.to_row(hold), **more))

    def discard_held_tag_updates(self, why: str) -> None:
        """Take the tag updates that are held out of the queue; they're never written."""
        self._execute(held_work.discard_held_tag_updates().values(why=why))

    def add_rollback_block(self, block: RollbackBlock) -> bool:
        """Insert it; return False where it is there already."""
        return self._insert(rollback_blocks, row_mapping.to_row(block), "id")

    def save_rollback_block(self, block: RollbackBlock) -> None:
        """Write its present state."""
        self._update(rollback_blocks, block.id, row_mapping.to_row(block))

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert it; return False where the model has one of this name."""
        return self._insert(monitors, row_mapping.to_row(monitor) | {"name": monitor.name}, "model", "name")

    def save_monitor(self, monitor: Monitor) -> None:
        """Write its present state."""
        self._update(monitors, monitor.id, row_mapping.to_row(monitor) | {"name": monitor.name})

    def save_monitor_state(self, state: MonitorState) -> None:
        """Write where a monitor stands now.

        Its slot never goes back: of two who write at once, a move and a check, one has not seen what the other wrote,
        and a slot that is done already can never be claimed again: nothing would be checked any more.
        """
        self.save_monitor_states([state])

    def save_monitor_states(self, states: Sequence[MonitorState]) -> None:
        """Write where monitors stand now: see above."""
        if states:
            put = statements.upsert(base.monitor_states, "monitor", "slot", self._dialect)
            self._connection.execute(put, [row_mapping.to_row(one) for one in states])

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
        mine = {
            (row.monitor, row.slot)
            for row in self._connection.execute(statements.select_claimed_slots(), _slot_parameters(slots, owner))
        }
        rest = [one for one in checks if (one.monitor, one.slot) in mine]
        if rest:
            ends = [
                {statements.KEY: one.monitor, statements.SLOT: one.slot} | row_mapping.to_row(one) | UNCLAIMED
                for one in rest
            ]
            self._connection.execute(statements.finish_slot(), ends)
        return mine

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        """Write monitors' baselines; each takes the place of its monitor's former one."""
        if baselines:
            table = base.own_baselines if own else base.baselines
            put = statements.upsert(table, "monitor", "made_at", self._dialect)
            self._connection.execute(put, [row_mapping.to_row(one) for one in baselines])

    def add_readings(self, pushed: Sequence[PushedReading]) -> int:
        """Insert what was pushed, but for what is there already; return how many are new."""
        same = ("source", "model", "metric", "version", "at")
        return sum(self._insert(readings, row_mapping.to_row(one), *same) for one in pushed)

    def add_idempotent_call(self, call: IdempotentCall) -> bool:
        """Remember what was answered; return False where this key has an answer already."""
        return self._insert(idempotent_calls, row_mapping.to_row(call), "client", "key")

    def purge(self, *, measurements_before: datetime, readings_before: datetime) -> int:
        """Throw away checks, and readings and calls, that are older than that; return how many rows.

        Checks that a frozen baseline is made of stay, however old they are, until their monitor is removed.
        """
        baselines, checks, all_readings = base.baselines.c, base.measurements.c, base.readings.c
        removed = select(monitors.c.id).where(monitors.c.removed_at.is_not(None))
        for table in (base.baselines, base.own_baselines):
            self._execute(delete(table).where(table.c.monitor.in_(removed)))
        is_needed = exists().where(
            baselines.monitor == checks.monitor, checks.at >= baselines.since, checks.at <= baselines.until
        )
        old = (
            delete(base.measurements).where(checks.at < measurements_before, ~is_needed),
            delete(base.readings).where(all_readings.received_at < readings_before),
            delete(idempotent_calls).where(idempotent_calls.c.at < readings_before),
        )
        return sum(self._connection.execute(one).rowcount for one in old)

    def add_incident(self, incident: Incident) -> bool:
        """Insert it; return False where one of this model, source and kind is open."""
        return self._insert(incidents, row_mapping.to_row(incident), "model", "source", "kind")

    def save_incident(self, incident: Incident) -> None:
        """Write its present state."""
        self._update(incidents, incident.id, row_mapping.to_row(incident))

    def trip_breaker(self, breaker: TrippedBreaker) -> bool:
        """Trip a breaker; return False where it is tripped already."""
        return self._insert(tripped_breakers, row_mapping.to_row(breaker), "model")

    def reset_breaker(self, model: str) -> bool:
        """Reset a breaker; return False where it is not tripped."""
        return self._execute(delete(tripped_breakers).where(tripped_breakers.c.model == model))

    def save_serving_check(self, check: ServingCheck) -> bool:
        """Write what the serving side said; return False where the question had its end already."""
        row = row_mapping.to_row(check)
        mine = and_(serving_checks.c.move == check.move, serving_checks.c.state == ServingCheckState.PENDING)
        return self._insert(serving_checks, row, "move") or self._execute(
            update(serving_checks).where(mine).values(**row)
        )

    def claim_serving_check(self, check: ServingCheck, until: datetime) -> bool:
        """Take a due question for oneself until then; return False where somebody else has it, or it has its end."""
        free = and_(
            serving_checks.c.move == check.move,
            serving_checks.c.state == ServingCheckState.PENDING,
            serving_checks.c.next_at == check.next_at,
        )
        return self._execute(update(serving_checks).where(free).values(next_at=until))

    def add_transition(self, transition: Transition) -> bool:
        """Insert it; return False where a move with this id is there already."""
        return self._insert(transitions, row_mapping.to_row(transition), "id")

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        """Insert moves (oldest first) that come before every move that is there: with numbers below theirs."""
        lowest = self._connection.execute(select(func.coalesce(func.min(transitions.c.number), 1))).scalar_one()
        numbers = range(min(lowest, 1) - len(earlier), min(lowest, 1))
        rows_of = [{"number": number} | row_mapping.to_row(move) for number, move in zip(numbers, earlier, strict=True)]
        self._connection.execute(transitions.insert(), rows_of)

    def claim_transition(self, model: str, owner: str, now: datetime, until: datetime) -> Transition | None:
        """Take the model's oldest move that is intended and due, or executing with a lease that is over.

        Return it as executing, or None where there is none or somebody holds the model.
        """
        claim = {statements.KEY: model, statements.NOW: now, "claimed_by": owner, "claimed_until": until}
        try:
            # On PostgreSQL a failed statement ends its transaction, unless it has a savepoint of its own.
            with self._connection.begin_nested():
                row = self._connection.execute(statements.claim_transition(), claim).mappings().first()
        except IntegrityError:  # one executing move a model: somebody took another one at this moment
            return None
        return None if row is None else self._to_domain(Transition, row)

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        """Record that a claimed move is about to write to the registry; return False where it was taken over."""
        began = func.coalesce(transitions.c.began_at, literal(now, transitions.c.began_at.type))
        return self._execute(update(transitions).where(_is_claimed_as(transition)).values(began_at=began))

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        """Give a claimed move back as intended; return False where it was taken over since it was claimed."""
        given = (
            update(transitions)
            .where(_is_claimed_as(transition))
            .values(state=TransitionState.INTENDED, not_before=not_before, **UNCLAIMED)
        )
        return self._execute(given)

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        """Fill in what a model's versions are, where an older Registrar's moves and open requests don't tell."""
        for table, written, more in (
            (transitions, transitions.c.intended_at, {"trusted_at": now}),
            (requests, requests.c.opened_at, {}),
        ):
            unknown = and_(table.c.model == model, table.c.identity.is_(None))
            for version in self._connection.execute(select(table.c.version).where(unknown).distinct()).scalars():
                identity = identities.get(version)
                if identity is not None:
                    mine = and_(unknown, table.c.version == version, written >= (identity.created_at or _EPOCH))
                    self._execute(update(table).where(mine).values(identity=identity, **more))

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        """Let the model's requests and moves name where the files of their versions are now."""
        kept = (
            (transitions, "version", "identity"),
            (requests, "version", "identity"),
            (requests, "incumbent", "incumbent_identity"),
        )
        for table, number, name in kept:
            columns = (table.c.id, table.c[number].label("version"), table.c[name].label("identity"))
            known = select(*columns).where(table.c.model == model, table.c[name].is_not(None))
            for row in self._connection.execute(known).all():
                now = identities.get(row.version)
                if now is not None and row.identity.is_same_but_moved(now) and row.identity.source != now.source:
                    self._update(table, row.id, {name: replace(row.identity, source=now.source)})

    def finish_transition(self, transition: Transition) -> None:
        """Write its end state and let go of the model.

        Raises KeyError for an unknown move, and AlreadyDecided where it has ended or was taken over since
        `move` was claimed: `attempts` tells, since every claim counts it up.
        """
        claim = {statements.KEY: transition.id, statements.ATTEMPTS: transition.attempts}
        values = row_mapping.to_row(transition, exclude=frozenset({"began_at"}))
        ended = self._connection.execute(statements.finish_transition(), claim | values | UNCLAIMED)
        if not ended.rowcount:
            now = self.transition(transition.id)
            raise AlreadyDecided(
                say("Move {id} was taken over and is {state} now.", id=Code(transition.id), state=now.state.value)
            )

    def release_leases(self, owner: str) -> None:
        """End the leases of an owner that is known to be gone."""
        for table, is_at_work in _CLAIMABLE:
            self._execute(update(table).where(is_at_work, table.c.claimed_by == owner).values(**UNCLAIMED))
        if checks := self._fetch_claimed_checks(measurements.c.number, measurements.c.claimed_by == owner):
            held = [{statements.KEY: number, statements.OWNER: owner} for number in checks]
            self._connection.execute(statements.release_slot(), held)
        self._execute(delete(leases).where(leases.c.owner == owner))

    def lease_owners(self) -> list[str]:
        """Return who holds anything now."""
        held = [select(table.c.claimed_by).where(holds, table.c.claimed_by.is_not(None)) for table, holds in _CLAIMABLE]
        owners = {owner for query in (*held, select(leases.c.owner)) for owner in self._fetch_column(query)}
        return sorted(owners.union(self._fetch_claimed_checks(measurements.c.claimed_by)))

    def _fetch_claimed_checks(self, column: Column[Any], *conditions: ColumnElement[bool]) -> list[Any]:
        """Return a column of the checks that somebody has claimed and is making.

        None on PostgreSQL: there another process may be making what this one has claimed, and a claim ends by itself.
        """
        return [] if self._is_postgres else self._fetch_column(_claimed_checks(column, *conditions))

    def add_queued_command(self, command: QueuedCommand) -> bool:
        """Insert it; return False where its caller has asked with this key before."""
        return self._insert(queued_commands, row_mapping.to_row(command), "caller", "key")

    def claim_queued_command(self, command_id: str, now: datetime, until: datetime) -> bool:
        """Take a waiting ask whose time has come for oneself until then; False where it's taken, or held."""
        free = and_(
            queued_commands.c.id == command_id,
            COMMAND_IS_WAITING,
            is_due(queued_commands.c.not_before, now),
            ~held_work.is_held(queued_commands),
        )
        return self._execute(update(queued_commands).where(free).values(not_before=until))

    def save_queued_command(self, command: QueuedCommand) -> None:
        """Write its present state. Raises KeyError."""
        if not self._update(queued_commands, command.id, row_mapping.to_row(command)):
            raise KeyError(command.id)

    def save_registry_snapshot(self, snapshot: RegistrySnapshot) -> None:
        """Write down how the model looks now."""
        values = row_mapping.to_row(snapshot)
        if not self._insert(registry_snapshots, values, "model"):
            self._execute(
                update(registry_snapshots).where(registry_snapshots.c.model == snapshot.model).values(**values)
            )

    def delete_registry_snapshot(self, model: str) -> None:
        """Forget a model that the registry has no more."""
        self._execute(delete(registry_snapshots).where(registry_snapshots.c.model == model))

    def add_drift_notice(self, notice: DriftNotice) -> bool:
        """Insert it; return False where it is there already."""
        return self._insert(drift_notices, row_mapping.to_row(notice), "id")

    def save_drift_notice(self, notice: DriftNotice) -> None:
        """Write its present state. Raises UnknownRequest."""
        if not self._update(drift_notices, notice.id, row_mapping.to_row(notice)):
            self.drift_notice(notice.id)

    def add_tag_update(self, tag_update: TagUpdate) -> None:
        """Let something be written to a version; an id that is there already is left as it is."""
        row = row_mapping.to_row(tag_update, exclude=frozenset({"number"}))
        self._insert(tag_updates, row | {"is_done": False, "why": ""}, "id")

    def claim_tag_update(self, tag_update: TagUpdate, now: datetime, until: datetime) -> bool:
        """Take a due row for oneself until then; return False where somebody else has, or it's held."""
        free = and_(
            tag_updates.c.id == tag_update.id,
            TAG_UPDATE_IS_WAITING,
            is_due(tag_updates.c.not_before, now),
            ~held_work.is_held(tag_updates),
        )
        return self._execute(update(tag_updates).where(free).values(not_before=until))

    def finish_tag_update(self, tag_update: TagUpdate, *, why: str = "") -> None:
        """Take it out of the queue; `why` says why it was given up."""
        self._execute(update(tag_updates).where(tag_updates.c.id == tag_update.id).values(is_done=True, why=why))

    def postpone_tag_update(self, tag_update: TagUpdate, until: datetime, why: str) -> None:
        """Try it again at `until`."""
        later = {"not_before": until, "why": why, "attempts": tag_updates.c.attempts + 1}
        self._execute(update(tag_updates).where(tag_updates.c.id == tag_update.id).values(**later))

    def add_message(self, message: OutboxMessage) -> None:
        """Put it into the outbox, from now unless it says since when; a key that is there already is left as it is."""
        row = row_mapping.to_row(message, exclude=frozenset({"number"}))
        row["created_at"] = message.created_at or datetime.now(UTC)
        self._insert(outbox_messages, row | {"state": MessageState.WAITING, "why": ""}, "key")

    def claim_message(self, message: OutboxMessage, owner: str, now: datetime, until: datetime) -> OutboxMessage | None:
        """Take a note to deliver it until then, and remember that this has begun: a lost answer is looked for.

        Return it as it is to be delivered, or None where somebody else has taken or delivered it.
        """
        if not self._update_message(
            message, was_tried=True, attempts=message.attempts + 1, claimed_by=owner, claimed_until=until
        ):
            return None
        return replace(message, attempts=message.attempts + 1, claimed_until=until)

    def mark_delivered(self, message: OutboxMessage, ref: MessageRef | None) -> bool:
        """Take it out of the queue, and remember where it stands: cards and notices by their lane, all else by key.

        Return False, as those below, where it was taken over since it was claimed: then nothing is written.
        """
        if not self._update_message(message, state=MessageState.DELIVERED, **UNCLAIMED):
            return False
        if ref is not None:
            key = message_ref_key(message)
            place = row_mapping.to_row(ref)
            if not self._insert(message_refs, {"key": key, **place}, "key"):
                self._execute(update(message_refs).where(message_refs.c.key == key).values(**place))
        return True

    def postpone_message(self, message: OutboxMessage, until: datetime, why: str = "") -> bool:
        """Try it again at `until`; `was_tried` is taken from `note`. Without `why`, the last reason stays."""
        reason = {"why": why} if why else {}
        return self._update_message(message, not_before=until, was_tried=message.was_tried, **reason, **UNCLAIMED)

    def discard_message(self, message: OutboxMessage, why: str) -> bool:
        """Give it up: Slack will never take it."""
        return self._update_message(message, state=MessageState.DROPPED, why=why, **UNCLAIMED)

    def take_channel_turn(self, channel: str, min_interval: timedelta, now: datetime) -> datetime:
        """Take the turn to post in a channel if it has come; the next one is `pace` later. Return when it comes.

        One that is too far off was counted by a clock that was ahead, and would close the channel for as long.
        """
        self._insert(channel_turns, {"channel": channel, "next_at": now}, "channel")
        row = (
            self._connection.execute(self._select_by_key(channel_turns, "channel"), {statements.KEY: channel})
            .mappings()
            .one()
        )
        at: datetime = row["next_at"] if now < row["next_at"] <= now + MAX_CHANNEL_DELAY else now
        if at == now:
            self._execute(
                update(channel_turns).where(channel_turns.c.channel == channel).values(next_at=at + min_interval)
            )
        return at

    def delay_channel(self, channel: str, until: datetime) -> None:
        """Postpone a channel's next turn to at least `until`."""
        self._execute(
            update(channel_turns)
            .where(channel_turns.c.channel == channel, channel_turns.c.next_at < until)
            .values(next_at=until)
        )

    def add_audit_event(self, event: Event) -> None:
        """Add an event to the audit chain. Raises ValueError or TypeError where its evidence is not JSON."""
        # What cannot be written down is refused here, where the caller can be seen.
        self._pending_events.append(row_mapping.storable_event(event))

    def append_audit(self) -> list[Event]:
        """Chain the transaction's events, and return them. Everybody's queue here, so it is the last thing done."""
        events = self._pending_events
        if not events:
            return []
        head = row_mapping.from_row(
            ChainHead, self._connection.execute(statements.select_head_for_update()).mappings().one()
        )
        added = []
        for event in events:
            added.append(row_mapping.to_audit_row(event, head))
            head = ChainHead(added[-1]["number"], added[-1]["hash"])
        self._connection.execute(statements.insert_events(), added)
        self._connection.execute(statements.update_head(), row_mapping.to_row(head))
        self._pending_events = []
        return events

    def _select_by_key(self, table: Table, column: str) -> Select[Any]:
        """Return the select that locks what it reads: what is read to be changed is nobody else's meanwhile."""
        return statements.select_for_update(table, column)

    def _update_message(self, message: OutboxMessage, **values: Any) -> bool:
        """Change a note, unless it has its end or was claimed since it was read: `attempts` counts the claims."""
        ours = and_(
            outbox_messages.c.key == message.key, MESSAGE_IS_WAITING, outbox_messages.c.attempts == message.attempts
        )
        return self._execute(update(outbox_messages).where(ours).values(**values))

    def _update(self, table: Table, key: str, values: dict[str, Any]) -> bool:
        return self._connection.execute(statements.update_by_id(table), {statements.KEY: key, **values}).rowcount > 0

    def _insert(self, table: Table, values: dict[str, Any], *unique: str) -> bool:
        insert = statements.insert_unless_present(table, unique, self._connection.dialect.name)
        return self._connection.execute(insert, values).first() is not None

    def _execute(self, statement: Any) -> bool:
        return self._connection.execute(statement).rowcount > 0


def _slot_parameters(slots: list[tuple[str, int]], owner: str) -> dict[str, Any]:
    return {statements.SLOT: slots, statements.OWNER: owner}


def _is_claimed_as(transition: Transition) -> ColumnElement[bool]:
    """Return what is true while a move is claimed as `move` says: `attempts` counts the claims."""
    return and_(transitions.c.id == transition.id, transitions.c.attempts == transition.attempts, IS_EXECUTING)


def _advisory_lock_id(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _open_request_message(new: Request, existing: Request | None) -> Sentence:
    if existing is None:  # decided between our insert and our look
        return say(
            "A request for {model} in {target} was open until now; ask again.",
            model=Name(new.model),
            target=new.target,
        )
    if existing.state is RequestState.PENDING:
        return say(
            "Request {id} for v{version} of {model} in {target} is still open: {approve}, or {cancel} first.",
            id=Code(existing.id),
            version=existing.version,
            model=Name(existing.model),
            target=existing.target,
            approve=Code(f"approve {existing.id}"),
            cancel=Code(f"cancel {existing.id}"),
        )
    return say(
        "Request {id} for v{version} of {model} in {target} is approved and being made; ask again after it.",
        id=Code(existing.id),
        version=existing.version,
        model=Name(existing.model),
        target=existing.target,
    )
