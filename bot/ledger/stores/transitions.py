"""Rows about transitions, rollback blocks, and serving checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.core.errors import AlreadyDecided
from bot.domain.core.sentence import Code, say
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger.stores import row_mapping, statements
from bot.ledger.stores.base import EPOCH, UNCLAIMED, SqlReadStore, SqlWriteStore, is_due
from bot.ledger.tables import IS_EXECUTING, IS_INTENDED, requests, rollback_blocks, serving_checks, transitions


class TransitionQueries(SqlReadStore):
    """Reads transitions, rollback blocks, and serving checks."""

    def transition(self, transition_id: str) -> Transition:
        """Return a transition. Raises KeyError if there is none with this id."""
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
        """Return a model's transitions, finished and unfinished, newest first."""
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
        """Return the first finished transition that put a version of the model into the stage, or None."""
        given = {statements.KEY: model, statements.STAGE: stage}
        rows = self._connection.execute(statements.select_first_transition_into(self._connection.dialect.name), given)
        row = rows.mappings().first()
        return None if row is None else self._to_domain(Transition, row)

    def production_entries(self, model: str, version: int) -> list[Transition]:
        """Return the finished transitions that put this version into Production, newest first."""
        query = select(transitions).where(
            transitions.c.model == model,
            transitions.c.version == version,
            transitions.c.target == Stage.PRODUCTION,
            transitions.c.state == TransitionState.DONE,
        )
        return self._list(Transition, query.order_by(transitions.c.number.desc()).limit(100))

    def models_with_transitions(self, states: Sequence[TransitionState]) -> list[str]:
        """Return the names of the models that have transitions in these states, sorted."""
        # Sorted here: the databases do not agree on the order of letters.
        return sorted(self._fetch_column(select(transitions.c.model).where(transitions.c.state.in_(states)).distinct()))

    def models_with_expired_transitions(self, now: datetime) -> list[str]:
        """Return the names of the models with an intended transition whose request has expired by `now`, sorted."""
        query = select(transitions.c.model).join(requests, requests.c.id == transitions.c.request).distinct()
        query = query.where(IS_INTENDED, transitions.c.began_at.is_(None), requests.c.expires_at <= now)
        return sorted(self._fetch_column(query))

    def rollbacks(self, since: datetime) -> list[Transition]:
        """Return the rollbacks that were intended at or after `since`, newest first."""
        query = select(transitions).where(
            transitions.c.kind == TransitionKind.ROLLBACK, transitions.c.intended_at >= since
        )
        return self._list(Transition, query.order_by(transitions.c.number.desc()))

    def rollback_blocks(self, model: str) -> list[RollbackBlock]:
        """Return the model's rollback blocks that nobody has cleared, oldest first."""
        query = select(rollback_blocks).where(rollback_blocks.c.model == model, rollback_blocks.c.cleared_at.is_(None))
        return self._list(RollbackBlock, query.order_by(rollback_blocks.c.number))

    def serving_check(self, transition_id: str) -> ServingCheck | None:
        """Return the serving check for a transition, or None."""
        return self._find(ServingCheck, statements.select_by_key(serving_checks, "move"), transition_id)

    def latest_serving_check(self, model: str) -> ServingCheck | None:
        """Return the model's latest serving check, or None."""
        query = (
            select(serving_checks)
            .where(serving_checks.c.model == model)
            .order_by(serving_checks.c.asked_at.desc())
            .limit(1)
        )
        return self._find(ServingCheck, query)

    def due_serving_checks(self, now: datetime) -> list[ServingCheck]:
        """Return the pending serving checks that are due at `now`, the longest overdue first."""
        due = select(serving_checks).where(
            serving_checks.c.state == ServingCheckState.PENDING, is_due(serving_checks.c.next_at, now)
        )
        return self._list(ServingCheck, due.order_by(serving_checks.c.next_at))


class TransitionStore(SqlWriteStore, TransitionQueries):
    """Writes transitions, rollback blocks, and serving checks."""

    def add_transition(self, transition: Transition) -> bool:
        """Insert a transition; return False if its id is already there."""
        return self._insert(transitions, row_mapping.to_row(transition), "id")

    def prepend_transitions(self, earlier: Sequence[Transition]) -> None:
        """Insert transitions before every transition in the ledger.

        They get numbers below the lowest one.
        """
        lowest = self._connection.execute(select(func.coalesce(func.min(transitions.c.number), 1))).scalar_one()
        numbers = range(min(lowest, 1) - len(earlier), min(lowest, 1))
        rows = [
            {"number": number} | row_mapping.to_row(transition)
            for number, transition in zip(numbers, earlier, strict=True)
        ]
        self._connection.execute(transitions.insert(), rows)

    def claim_transition(self, model: str, owner: str, now: datetime, until: datetime) -> Transition | None:
        """Claim the model's next transition and return it as executing, or None."""
        claim = {statements.KEY: model, statements.NOW: now, "claimed_by": owner, "claimed_until": until}
        try:
            # On PostgreSQL a failed statement aborts the transaction unless it runs in a savepoint.
            with self._connection.begin_nested():
                row = self._connection.execute(statements.claim_transition(), claim).mappings().first()
        except IntegrityError:  # only one can execute per model, and another was claimed at this moment
            return None
        return None if row is None else self._to_domain(Transition, row)

    def begin_transition(self, transition: Transition, now: datetime) -> bool:
        """Record that a claimed transition is about to write to the registry."""
        began = func.coalesce(transitions.c.began_at, literal(now, transitions.c.began_at.type))
        return self._execute(update(transitions).where(_is_claimed_as(transition)).values(began_at=began))

    def release_transition(self, transition: Transition, not_before: datetime) -> bool:
        """Give a claimed transition back as intended, to be tried again at `not_before`."""
        given = (
            update(transitions)
            .where(_is_claimed_as(transition))
            .values(state=TransitionState.INTENDED, not_before=not_before, **UNCLAIMED)
        )
        return self._execute(given)

    def finish_transition(self, transition: Transition) -> None:
        """Write a transition's final state and release its model.

        Raises KeyError if there is no such transition, and AlreadyDecided if it has ended or was claimed again:
        `attempts` counts the claims.
        """
        claim = {statements.KEY: transition.id, statements.ATTEMPTS: transition.attempts}
        values = row_mapping.to_row(transition, exclude=frozenset({"began_at"}))
        ended = self._connection.execute(statements.finish_transition(), claim | values | UNCLAIMED)
        if not ended.rowcount:
            now = self.transition(transition.id)
            raise AlreadyDecided(
                say("Move {id} was taken over and is {state} now.", id=Code(transition.id), state=now.state.value)
            )

    def backfill_identities(self, model: str, identities: Mapping[int, VersionIdentity], now: datetime) -> None:
        """Fill in the version identities that an older release didn't record."""
        for table, written_at, extra_values in (
            (transitions, transitions.c.intended_at, {"trusted_at": now}),
            (requests, requests.c.opened_at, {}),
        ):
            without_identity = and_(table.c.model == model, table.c.identity.is_(None))
            for version in self._connection.execute(
                select(table.c.version).where(without_identity).distinct()
            ).scalars():
                identity = identities.get(version)
                if identity is not None:
                    condition = and_(
                        without_identity, table.c.version == version, written_at >= (identity.created_at or EPOCH)
                    )
                    self._execute(update(table).where(condition).values(identity=identity, **extra_values))

    def update_sources(self, model: str, identities: Mapping[int, VersionIdentity]) -> None:
        """Update where the files of the model's versions are, in its requests and transitions."""
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
        """Insert a rollback block; return False if its id is already there."""
        return self._insert(rollback_blocks, row_mapping.to_row(block), "id")

    def save_rollback_block(self, block: RollbackBlock) -> None:
        """Write the block's current state."""
        self._update(rollback_blocks, block.id, row_mapping.to_row(block))

    def save_serving_check(self, check: ServingCheck) -> bool:
        """Insert or update a serving check; return False if it has already ended."""
        row = row_mapping.to_row(check)
        is_pending = and_(serving_checks.c.move == check.move, serving_checks.c.state == ServingCheckState.PENDING)
        return self._insert(serving_checks, row, "move") or self._execute(
            update(serving_checks).where(is_pending).values(**row)
        )

    def claim_serving_check(self, check: ServingCheck, until: datetime) -> bool:
        """Claim a due serving check until `until`."""
        is_free = and_(
            serving_checks.c.move == check.move,
            serving_checks.c.state == ServingCheckState.PENDING,
            serving_checks.c.next_at == check.next_at,
        )
        return self._execute(update(serving_checks).where(is_free).values(next_at=until))


def _is_claimed_as(transition: Transition) -> ColumnElement[bool]:
    """Return the condition that this claim on the transition still holds: `attempts` counts the claims."""
    return and_(transitions.c.id == transition.id, transitions.c.attempts == transition.attempts, IS_EXECUTING)
