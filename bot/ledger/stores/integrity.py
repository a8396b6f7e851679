"""Stores for digests and passports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, or_, select

from bot.domain.integrity.digest import DigestState, VersionDigest
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.passport_status import PASSPORT_KINDS
from bot.domain.transitions.transition import Transition, TransitionState
from bot.ledger.stores.base import SqlReadStore, SqlWriteStore, to_row
from bot.ledger.tables import IS_CHANGED, digests, is_in, passports, registry_snapshots, transitions
from bot.ports.integrity import DigestReader, DigestWriter


class DigestQueries(SqlReadStore, DigestReader):
    """Reads digests and passports; see the ports."""

    def digest(self, digest_id: str) -> VersionDigest | None:
        return self._find_by_key(VersionDigest, digests.c.id, digest_id)

    def digests_of(self, model: str, version: int) -> list[VersionDigest]:
        query = select(digests).where(digests.c.model == model, digests.c.version == version)
        return self._list(VersionDigest, query.order_by(digests.c.number.desc()))

    def due_digest(self, now: datetime) -> VersionDigest | None:
        due = select(digests).where(digests.c.due_at <= now)
        return self._find(VersionDigest, due.order_by(digests.c.due_at).limit(1))

    def times_of_digests(self) -> dict[str, datetime | None]:
        times = func.coalesce(digests.c.due_at, digests.c.compared_at, digests.c.recorded_at)
        return {row[0]: row[1] for row in self._connection.execute(select(digests.c.id, times))}

    def changed_digests(self) -> list[VersionDigest]:
        return self._list(VersionDigest, select(digests).where(IS_CHANGED))

    def passport(self, move: str) -> Passport | None:
        query = select(passports).where(passports.c.move == move)
        return self._find(Passport, query.order_by(passports.c.number.desc()).limit(1))

    def passports(self, model: str, version: int) -> list[Passport]:
        query = select(passports).where(passports.c.model == model, passports.c.version == version)
        return self._list(Passport, query.order_by(passports.c.number.desc()))

    def unexpired_passports(self, now: datetime, model: str | None = None) -> list[Passport]:
        columns = [column for column in passports.c if column is not passports.c.envelope]
        query = select(*columns, literal("").label("envelope")).where(_is_unexpired(now, model))
        # Plus 0, or else SQLite would read all rows in order, including the expired ones.
        return self._list(Passport, query.order_by(passports.c.number + 0))

    def changes_since_passports(self, now: datetime, model: str | None = None) -> list[Transition]:
        certified = transitions.alias("certified")
        first = (
            select(certified.c.model, func.min(certified.c.number).label("number"))
            .join(passports, passports.c.move == certified.c.id)
            .where(_is_unexpired(now, model))
            .group_by(certified.c.model)
            .subquery("first")
        )
        is_later = and_(transitions.c.model == first.c.model, transitions.c.number >= first.c.number)
        query = select(transitions).join(first, is_later).where(is_in(transitions.c.state, TransitionState.DONE))
        return self._list(Transition, query.order_by(transitions.c.number))

    def transitions_to_certify(self, key: str, issued_since: datetime, valid_until: datetime) -> list[Transition]:
        return [
            transition
            for stage in TARGET_STAGES
            for transition in self._list(Transition, _latest_uncertified(stage, key, issued_since, valid_until))
        ]


def _is_unexpired(now: datetime, model: str | None) -> ColumnElement[bool]:
    """Return the condition that a passport hasn't expired by `now` and, if `model` is given, is for that model."""
    is_unexpired = passports.c.expires_at > now
    return is_unexpired if model is None else and_(is_unexpired, passports.c.model == model)


def _latest_uncertified(stage: Stage, key: str, issued_since: datetime, valid_until: datetime) -> Select[Any]:
    """Return the SELECT behind `transitions_to_certify` for one stage; it reads a few index rows per model.

    A repair, or a change made outside Registrar, doesn't replace the transition before it here.
    """
    entries, kinds = transitions.alias("entries"), list(PASSPORT_KINDS)
    latest = (
        select(func.max(entries.c.number))
        .where(entries.c.model == registry_snapshots.c.model, entries.c.target == stage, entries.c.kind.in_(kinds))
        .where(is_in(entries.c.state, TransitionState.DONE))
        .correlate(registry_snapshots)
        .scalar_subquery()
    )
    is_recorded = exists().where(
        digests.c.model == transitions.c.model,
        digests.c.version == transitions.c.version,
        digests.c.state == DigestState.RECORDED,
    )
    is_certified = exists().where(
        passports.c.move == transitions.c.id,
        passports.c.expires_at > valid_until,
        or_(passports.c.key == key, passports.c.issued_at >= issued_since),
    )
    query = select(transitions).select_from(registry_snapshots.join(transitions, transitions.c.number == latest))
    return query.where(is_recorded, ~is_certified)


class DigestStore(SqlWriteStore, DigestQueries, DigestWriter):
    """Writes digests and passports; see the ports."""

    def add_digest(self, digest: VersionDigest) -> bool:
        return self._insert(digests, to_row(digest), "id")

    def save_digest(self, digest: VersionDigest) -> None:
        self._update(digests, digest.id, to_row(digest))

    def add_passport(self, passport: Passport) -> bool:
        return self._insert(passports, to_row(passport), "id")
