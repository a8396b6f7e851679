"""Stores for registry state: snapshots, drift notices, holds, and tag updates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, bindparam, cast, delete, func, not_, or_, select, union, update

from bot.domain.core.errors import UnknownRequest
from bot.domain.promotions.request import Request
from bot.domain.registry.model import TARGET_STAGES
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.transition import Transition
from bot.ledger.stores.base import KEY, OUTDATED_MESSAGE, SqlReadStore, SqlWriteStore, is_due, to_row, upsert
from bot.ledger.stores.held_work import CURRENT_EXTENT, IS_ACTIVE, IS_HELD, PENDING_ROWS, select_held
from bot.ledger.tables import (
    IS_OPEN,
    TAG_UPDATE_IS_WAITING,
    drift_notices,
    holds,
    monitors,
    queued_commands,
    registry_snapshots,
    requests,
    tag_updates,
    transitions,
)
from bot.ports.records import HeldWork, QueuedCommand, TagUpdate
from bot.ports.registry_state import RegistryStateReader, RegistryStateWriter

_PENDING = ((requests, IS_OPEN), (transitions, PENDING_ROWS[transitions]), (tag_updates, TAG_UPDATE_IS_WAITING))
_SELECT_ACTIVE_HOLD = select(holds).where(IS_ACTIVE).order_by(holds.c.number)
_SELECT_HELD_REQUEST = select(requests.c.id).where(requests.c.id == bindparam(KEY), IS_HELD[requests])
_SELECTS_OF_PENDING_WORK = [select(table.c.model).where(condition) for table, condition in _PENDING]
_SELECT_MODELS_WITH_PENDING_WORK = union(*_SELECTS_OF_PENDING_WORK)
# The text is compared, because parsing that of 10,000 models takes a hundred times as long.
_HAS_HOLDER = or_(
    *(not_(cast(registry_snapshots.c.stages, Text).like(f'%"{stage.value}":[]%')) for stage in TARGET_STAGES)
)
_SELECT_WATCHED_MODELS = union(
    *_SELECTS_OF_PENDING_WORK,
    select(monitors.c.model).where(monitors.c.removed_at.is_(None)),
    select(registry_snapshots.c.model).where(_HAS_HOLDER),
)
_NAMES = "names"  # a bound parameter
_NAMES_PER_STATEMENT = 1_000
_IS_NAMED = {
    table: table.c.model.in_(bindparam(_NAMES, expanding=True)) for table in (registry_snapshots, transitions, requests)
}
_SELECT_SNAPSHOTS = select(registry_snapshots).where(_IS_NAMED[registry_snapshots]).order_by(registry_snapshots.c.model)
_SELECT_MODELS_WITH_HISTORY = union(
    *(select(table.c.model).where(_IS_NAMED[table]) for table in (transitions, requests))
)


class RegistryStateQueries(SqlReadStore, RegistryStateReader):
    """Reads registry state; see the port."""

    def registry_snapshot(self, model: str) -> RegistrySnapshot | None:
        return self._find_by_key(RegistrySnapshot, registry_snapshots.c.model, model)

    def registry_snapshots(self, models: Collection[str] | None = None) -> dict[str, RegistrySnapshot]:
        if models is None:
            return {snapshot.model: snapshot for snapshot in self._list(RegistrySnapshot, select(registry_snapshots))}
        query = _SELECT_SNAPSHOTS.with_for_update(key_share=True) if self.locks_rows else _SELECT_SNAPSHOTS
        found = (self._list(RegistrySnapshot, query, {_NAMES: names}) for names in _split_names(models))
        return {snapshot.model: snapshot for snapshots in found for snapshot in snapshots}

    def watched_models(self) -> list[str]:
        return sorted(self._fetch_column(_SELECT_WATCHED_MODELS))

    def models_with_history(self, models: Collection[str]) -> set[str]:
        query = _SELECT_MODELS_WITH_HISTORY
        found = (self._connection.execute(query, {_NAMES: names}).scalars() for names in _split_names(models))
        return {model for names in found for model in names}

    def model_names(self) -> list[str]:
        model = registry_snapshots.c.model
        return sorted(self._fetch_column(select(model).where(model != REGISTRY_SEEN_KEY)))

    def model_with_other_case(self, name: str) -> str | None:
        model = registry_snapshots.c.model
        names = self._fetch_column(select(model).where(func.lower(model) == name.lower()))
        return None if name in names else min(names, default=None)

    def drift_notice(self, notice_id: str) -> DriftNotice:
        return self._get(DriftNotice, drift_notices.c.id, notice_id, UnknownRequest(OUTDATED_MESSAGE))

    def active_hold(self) -> Hold | None:
        return self._find(Hold, _SELECT_ACTIVE_HOLD)

    def holds(self, limit: int = 20) -> list[Hold]:
        return self._list(Hold, select(holds).order_by(holds.c.number.desc()).limit(limit))

    def held_work(self) -> HeldWork:
        return HeldWork(
            transitions=self._list(Transition, select_held(transitions)),
            commands=self._list(QueuedCommand, select_held(queued_commands)),
            requests=self._list(Request, select_held(requests)),
            tag_updates=self._list(TagUpdate, select_held(tag_updates)),
        )

    def is_request_held(self, request_id: str) -> bool:
        return bool(self._fetch_column(_SELECT_HELD_REQUEST, {KEY: request_id}))

    def models_with_pending_work(self) -> list[str]:
        return sorted(self._fetch_column(_SELECT_MODELS_WITH_PENDING_WORK))

    def due_tag_updates(self, now: datetime, limit: int = 100) -> list[TagUpdate]:
        first = (
            select(func.min(tag_updates.c.number))
            .where(TAG_UPDATE_IS_WAITING)
            .group_by(tag_updates.c.model, tag_updates.c.version)
        ).scalar_subquery()
        due = select(tag_updates).where(
            tag_updates.c.number.in_(first), is_due(tag_updates.c.not_before, now), ~IS_HELD[tag_updates]
        )
        return self._list(TagUpdate, due.order_by(tag_updates.c.number).limit(limit))

    def tag_updates(self, model: str, *, version: int | None = None, from_number: int = 0) -> list[TagUpdate]:
        number = tag_updates.c.number
        query = select(tag_updates).where(tag_updates.c.model == model, number >= from_number).order_by(number)
        return self._list(TagUpdate, query if version is None else query.where(tag_updates.c.version == version))

    def first_unwritten_tag_update(self, model: str) -> int:
        of_model = tag_updates.c.model == model
        first_waiting = select(func.min(tag_updates.c.number)).where(of_model, TAG_UPDATE_IS_WAITING).scalar_subquery()
        last = select(func.max(tag_updates.c.number)).where(of_model).scalar_subquery()
        return int(self._connection.execute(select(func.coalesce(first_waiting, last + 1, 0))).scalar_one())


class RegistryStateStore(SqlWriteStore, RegistryStateQueries, RegistryStateWriter):
    """Writes registry state; see the port."""

    def save_registry_snapshot(self, *snapshots: RegistrySnapshot) -> None:
        if snapshots:
            put = upsert(registry_snapshots, "model", None, self._dialect)
            self._connection.execute(put, [to_row(snapshot) for snapshot in snapshots])

    def delete_registry_snapshot(self, model: str) -> None:
        self._execute(delete(registry_snapshots).where(registry_snapshots.c.model == model))

    def add_drift_notice(self, notice: DriftNotice) -> bool:
        return self._insert(drift_notices, to_row(notice), "id")

    def save_drift_notice(self, notice: DriftNotice) -> None:
        if not self._update(drift_notices, notice.id, to_row(notice)):
            self.drift_notice(notice.id)

    def add_hold(self, hold: Hold) -> bool:
        self.lock("hold")
        if self.active_hold() is not None:
            return False
        self._execute(holds.insert().values(**to_row(hold), **CURRENT_EXTENT))
        return True

    def save_hold(self, hold: Hold, *, extend: bool = False) -> None:
        more = CURRENT_EXTENT if extend else {}
        self._execute(update(holds).where(holds.c.id == hold.id).values(**to_row(hold), **more))

    def discard_held_tag_updates(self, why: str) -> None:
        held = update(tag_updates).where(TAG_UPDATE_IS_WAITING, IS_HELD[tag_updates])
        self._execute(held.values(is_done=True, why=why))

    def add_tag_update(self, tag_update: TagUpdate) -> None:
        self._insert(tag_updates, to_row(tag_update, exclude="number") | {"is_done": False, "why": ""}, "id")

    def finish_tag_update(self, tag_update: TagUpdate, *, why: str = "") -> None:
        self._update(tag_updates, tag_update.id, {"is_done": True, "why": why})

    def postpone_tag_update(self, tag_update: TagUpdate, until: datetime, why: str) -> None:
        values: dict[str, Any] = {"not_before": until, "why": why, "attempts": tag_updates.c.attempts + 1}
        self._execute(update(tag_updates).where(tag_updates.c.id == tag_update.id).values(**values))


def _split_names(models: Collection[str]) -> Iterator[Sequence[str]]:
    """Yield the names in chunks small enough for one statement."""
    names = sorted(models)
    return (names[start : start + _NAMES_PER_STATEMENT] for start in range(0, len(names), _NAMES_PER_STATEMENT))
