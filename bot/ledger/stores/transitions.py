"""Stores for transitions, rollback blocks, and serving checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Integer,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.exc import IntegrityError

from bot.domain.core.errors import AlreadyDecided
from bot.domain.core.sentence import Code, say
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import (
    UNFINISHED_STATES,
    StageEntry,
    Transition,
    TransitionKind,
    TransitionState,
)
from bot.ledger.stores.base import (
    EPOCH,
    KEY,
    MAX_NUMBER,
    NOW,
    UNCLAIMED,
    SqlReadStore,
    SqlWriteStore,
    is_due,
    row_loader,
    select_by_key,
    to_row,
)
from bot.ledger.stores.held_work import IS_HELD
from bot.ledger.tables import (
    IS_EXECUTING,
    IS_INTENDED,
    is_in,
    registry_snapshots,
    requests,
    rollback_blocks,
    serving_checks,
    transitions,
)
from bot.ports.records import Claim
from bot.ports.transitions import TransitionReader, TransitionWriter

STAGE, LIMIT, BEFORE, UNTIL, ATTEMPTS = "b_stage", "b_most", "b_before", "b_until", "b_attempts"
CONTEXT_ROWS = 50  # transitions after :b_until that are returned too, to show what followed
# A claim is still valid if there was no later one; `attempts` counts claims.
_IS_CLAIMED_AS = and_(transitions.c.id == bindparam(KEY), transitions.c.attempts == bindparam(ATTEMPTS))
_SELECT_MODELS_IN_STATES = (
    select(transitions.c.model).where(transitions.c.state.in_(bindparam(KEY, expanding=True))).distinct()
)
_SELECT_BLOCKS = (
    select(rollback_blocks).where(rollback_blocks.c.cleared_at.is_(None)).order_by(rollback_blocks.c.number)
)
_SELECT_BLOCKS_OF_MODEL = _SELECT_BLOCKS.where(rollback_blocks.c.model == bindparam(KEY))
_FINISH = update(transitions).where(_IS_CLAIMED_AS, transitions.c.state.in_(UNFINISHED_STATES))


class TransitionQueries(SqlReadStore, TransitionReader):
    """Reads transitions, rollback blocks, and serving checks; see the port."""

    def transition(self, transition_id: str) -> Transition:
        return self._get(Transition, transitions.c.id, transition_id)

    def transitions(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        before_id: str | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> list[Transition]:
        optional = {STAGE: stage, BEFORE: before_id, UNTIL: until}
        given = {name: value for name, value in optional.items() if value is not None}
        query = select_transitions(self._dialect, frozenset(given))
        return self._list(Transition, query, {KEY: model, LIMIT: limit} | given)

    def first_transition(self, model: str, stage: Stage) -> Transition | None:
        return self._find(Transition, _select_first_into_stage(self._dialect), {KEY: model, STAGE: stage})

    def latest_entries(self, stage: Stage, models: Collection[str]) -> dict[str, StageEntry]:
        result = self._connection.execute(_SELECT_LATEST_ENTRIES, {STAGE: stage, KEY: list(models)})
        load = row_loader(Transition, result, self._operator_ids)
        return {row.model: StageEntry(transition=load(row), semver=row.requested_semver) for row in result}

    def production_entries(self, model: str, version: int) -> list[Transition]:
        query = select(transitions).where(
            transitions.c.model == model,
            transitions.c.version == version,
            transitions.c.target == Stage.PRODUCTION,
            transitions.c.state == TransitionState.DONE,
        )
        return self._list(Transition, query.order_by(transitions.c.number.desc()).limit(100))

    def production_transitions(self) -> Iterator[Transition]:
        left = and_(transitions.c.kind == TransitionKind.OBSERVED, transitions.c.from_stage == Stage.PRODUCTION)
        query = select(transitions).where(
            transitions.c.state == TransitionState.DONE, or_(transitions.c.target == Stage.PRODUCTION, left)
        )
        result = self._connection.execute(query.order_by(transitions.c.number), execution_options={"yield_per": 1000})
        return map(row_loader(Transition, result, self._operator_ids), result)

    def models_with_transitions(self, states: Sequence[TransitionState]) -> list[str]:
        # Sorted here, because the databases sort letters differently.
        return sorted(self._fetch_column(_SELECT_MODELS_IN_STATES, {KEY: list(states)}))

    def models_with_expired_transitions(self, now: datetime) -> list[str]:
        query = select(transitions.c.model).join(requests, requests.c.id == transitions.c.request).distinct()
        query = query.where(IS_INTENDED, transitions.c.began_at.is_(None), requests.c.expires_at <= now)
        return sorted(self._fetch_column(query))

    def rollbacks(self, since: datetime) -> list[Transition]:
        query = select(transitions).where(
            transitions.c.kind == TransitionKind.ROLLBACK, transitions.c.intended_at >= since
        )
        return self._list(Transition, query.order_by(transitions.c.number.desc()))

    def rollback_blocks(self, model: str | None) -> list[RollbackBlock]:
        query = _SELECT_BLOCKS if model is None else _SELECT_BLOCKS_OF_MODEL
        return self._list(RollbackBlock, query, {} if model is None else {KEY: model})

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        return self._find(ServingCheck, select_by_key(serving_checks.c.move), {KEY: transition_id})

    def serving_checks(self, transition_ids: Collection[str]) -> dict[str, ServingCheck]:
        found = self._list(ServingCheck, select(serving_checks).where(serving_checks.c.move.in_(transition_ids)))
        return {check.move: check for check in found}

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        query = select(serving_checks).where(serving_checks.c.model == model)
        return self._find(ServingCheck, query.order_by(serving_checks.c.asked_at.desc()).limit(1))

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        due = select(serving_checks).where(
            serving_checks.c.state == ServingCheckState.PENDING, is_due(serving_checks.c.next_at, now)
        )
        return self._list(ServingCheck, due.order_by(serving_checks.c.next_at))


class TransitionStore(SqlWriteStore, TransitionQueries, TransitionWriter):
    """Writes transitions, rollback blocks, and serving checks; see the port."""

    def add_transition(self, transition: Transition) -> bool:
        """Insert a transition; return False if its ID already exists."""
        return self._insert(transitions, to_row(transition), "id")

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        lowest = self._connection.execute(select(func.coalesce(func.min(transitions.c.number), 1))).scalar_one()
        first = min(lowest, 1) - len(earlier)
        rows = [{"number": first + index} | to_row(transition) for index, transition in enumerate(earlier)]
        self._connection.execute(transitions.insert(), rows)

    def claim_transition(self, model: str, claim: Claim) -> Transition | None:
        values = {KEY: model, NOW: claim.now, "claimed_by": claim.owner, "claimed_until": claim.until}
        try:
            # On PostgreSQL, a failed statement aborts the transaction unless it runs in a savepoint.
            with self._connection.begin_nested():
                return self._find(Transition, _CLAIM, values)
        except IntegrityError:  # only one per model can execute, and another was just claimed
            return None

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        began = func.coalesce(transitions.c.began_at, literal(now, transitions.c.began_at.type))
        return self._update_claimed(transition, began_at=began)

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        changes = {"state": TransitionState.INTENDED, "why": transition.why, "not_before": not_before}
        return self._update_claimed(transition, **changes, **UNCLAIMED)

    def finish_transition(self, transition: Transition) -> None:
        values = {KEY: transition.id, ATTEMPTS: transition.attempts} | to_row(transition, exclude="began_at")
        if not self._execute(_FINISH, values | UNCLAIMED):
            now = self.transition(transition.id)
            raise AlreadyDecided(
                say(
                    "Another process took over transition {id}; it's now {state}.",
                    id=Code(transition.id),
                    state=now.state.value,
                )
            )

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        for table, written_at, extra_values in (
            (transitions, transitions.c.intended_at, {"trusted_at": now}),
            (requests, requests.c.opened_at, {}),
        ):
            without_identity = and_(table.c.model == model, table.c.identity.is_(None))
            for version in self._fetch_column(select(table.c.version).where(without_identity).distinct()):
                if identity := identities.get(version):
                    condition = and_(
                        without_identity, table.c.version == version, written_at >= (identity.created_at or EPOCH)
                    )
                    self._execute(update(table).where(condition).values(identity=identity, **extra_values))

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        identity_columns = (
            (transitions, "version", "identity"),
            (requests, "version", "identity"),
            (requests, "incumbent", "incumbent_identity"),
        )
        for table, version_column, identity_column in identity_columns:
            columns = (table.c.id, table.c[version_column].label("version"), table.c[identity_column].label("identity"))
            query = select(*columns).where(table.c.model == model, table.c[identity_column].is_not(None))
            for row in self._connection.execute(query).all():
                new = identities.get(row.version)
                if new is not None and row.identity.is_same_ignoring_source(new) and row.identity.source != new.source:
                    self._update(table, row.id, {identity_column: replace(row.identity, source=new.source)})

    def add_rollback_block(self, block: RollbackBlock) -> bool:
        return self._insert(rollback_blocks, to_row(block), "id")

    def save_rollback_block(self, block: RollbackBlock) -> None:
        self._update(rollback_blocks, block.id, to_row(block))

    def save_serving_check(self, check: ServingCheck) -> bool:
        row = to_row(check)
        is_pending = and_(serving_checks.c.move == check.move, serving_checks.c.state == ServingCheckState.PENDING)
        return self._insert(serving_checks, row, "move") or self._execute(
            update(serving_checks).where(is_pending).values(**row)
        )

    def _update_claimed(self, transition: Transition, **values: Any) -> bool:
        """Update an executing transition unless it was claimed again; `attempts` counts the claims."""
        is_ours = and_(transitions.c.id == transition.id, transitions.c.attempts == transition.attempts, IS_EXECUTING)
        return self._execute(update(transitions).where(is_ours).values(**values))


@cache
def select_transitions(dialect: str, given: frozenset[str]) -> Select[Any]:
    """Return the SELECT for the :b_most newest transitions of model :b_key.

    Parameters in `given` narrow it to transitions into or out of :b_stage, before the transition :b_before, or until
    shortly after :b_until.
    """
    query = select(transitions)
    if STAGE in given:
        query = query.where(or_(transitions.c.target == bindparam(STAGE), transitions.c.from_stage == bindparam(STAGE)))
    if BEFORE in given:
        other = transitions.alias("other")
        before = select(other.c.number).where(other.c.id == bindparam(BEFORE))
        query = query.where(transitions.c.number < before.scalar_subquery())
    if UNTIL in given:
        later = transitions.alias("later")
        following = select(later.c.number).where(
            later.c.model == bindparam(KEY), later.c.intended_at > bindparam(UNTIL)
        )
        context = following.order_by(later.c.intended_at, later.c.number).limit(CONTEXT_ROWS).subquery("near")
        last = select(func.max(context.c.number)).scalar_subquery()
        query = query.where(transitions.c.number <= func.coalesce(last, MAX_NUMBER))
    return _in_order(query, dialect, newest=True).limit(bindparam(LIMIT, type_=Integer))


@cache
def _select_first_into_stage(dialect: str) -> Select[Any]:
    """Return the SELECT for the first transition that put a version of model :b_key into :b_stage."""
    is_into_stage = and_(transitions.c.target == bindparam(STAGE), is_in(transitions.c.state, TransitionState.DONE))
    return _in_order(select(transitions).where(is_into_stage), dialect, newest=False).limit(1)


def _in_order(query: Select[Any], dialect: str, *, newest: bool) -> Select[Any]:
    """Return the query limited to model :b_key and ordered by transition number, which an index provides."""
    model, columns = transitions.c.model, [transitions.c.model, transitions.c.number]
    value = bindparam(KEY, type_=Text)
    # Not an equality, for which PostgreSQL would scan the primary key, through the transitions of all models.
    query = query.where(model == any_(array([value])) if dialect == "postgresql" else model == value)
    return query.order_by(*([column.desc() for column in columns] if newest else columns))


def _claim() -> Any:
    """Return the UPDATE that claims model :b_key's oldest transition that's due or has an expired lease at :b_now.

    It claims nothing while another of the model's transitions is executing, and never claims one that's held.
    """
    other, now = transitions.alias("other"), bindparam(NOW, type_=transitions.c.not_before.type)
    is_taken = exists().where(other.c.model == bindparam(KEY), is_in(other.c.state, TransitionState.EXECUTING))
    due = and_(IS_INTENDED, or_(transitions.c.not_before.is_(None), transitions.c.not_before <= now), ~is_taken)
    expired = and_(IS_EXECUTING, or_(transitions.c.claimed_until.is_(None), transitions.c.claimed_until <= now))
    first = (
        select(transitions.c.number)
        .where(transitions.c.model == bindparam(KEY), or_(due, expired), ~IS_HELD[transitions])
        .order_by(transitions.c.number)
        .limit(1)
        .with_for_update()
        .correlate(None)
        .scalar_subquery()
    )
    claim: dict[str, Any] = {name: bindparam(name) for name in ("claimed_by", "claimed_until")}
    return (
        update(transitions)
        .where(transitions.c.number == first)
        .values(state=TransitionState.EXECUTING, attempts=transitions.c.attempts + 1, not_before=None, **claim)
        .returning(transitions)
    )


def _select_latest_entries() -> Select[Any]:
    """Return the SELECT for each model's latest finished transition into :b_stage, with its version's semver.

    The models are those in :b_key. For each one, it reads one index row.
    """
    other, model = transitions.alias("other"), registry_snapshots.c.model
    latest = (
        select(other.c.number)
        .where(other.c.model == model, other.c.target == bindparam(STAGE), is_in(other.c.state, TransitionState.DONE))
        .order_by(other.c.intended_at.desc(), other.c.number.desc())
        .limit(1)
        .correlate(registry_snapshots)
        .scalar_subquery()
    )
    semver = (
        select(requests.c.semver)
        .where(requests.c.model == transitions.c.model, requests.c.version == transitions.c.version)
        .where(requests.c.semver.is_not(None))
        .order_by(requests.c.opened_at.desc(), requests.c.number.desc())
        .limit(1)
        .correlate(transitions)
        .scalar_subquery()
    )
    entries = registry_snapshots.join(transitions, transitions.c.number == latest)
    query = select(transitions, semver.label("requested_semver")).select_from(entries)
    return query.where(model.in_(bindparam(KEY, expanding=True)))


_CLAIM = _claim()
_SELECT_LATEST_ENTRIES = _select_latest_entries()
