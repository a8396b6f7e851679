"""Rows about the state of the registry: snapshots, drift notices, holds, and tag updates."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, func, select, update

from bot.domain.core.errors import UnknownRequest
from bot.domain.promotions.request import Request
from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.transition import Transition
from bot.ledger.stores import held_work, row_mapping
from bot.ledger.stores.base import SqlReadStore, SqlWriteStore, is_due
from bot.ledger.tables import (
    TAG_UPDATE_IS_WAITING,
    drift_notices,
    holds,
    queued_commands,
    registry_snapshots,
    requests,
    tag_updates,
    transitions,
)
from bot.ports import HeldWork, QueuedCommand, TagUpdate


class RegistryStateQueries(SqlReadStore):
    """Reads the state of the registry: snapshots, drift notices, holds, and tag updates."""

    def registry_snapshot(self, model: str) -> RegistrySnapshot | None:
        """Return what the registry held for the model when it was last read, or None."""
        return self._find(RegistrySnapshot, self._select_by_key(registry_snapshots, "model"), model)

    def registry_snapshots(self) -> dict[str, RegistrySnapshot]:
        """Return the latest snapshot of every model, by model name."""
        return {snapshot.model: snapshot for snapshot in self._list(RegistrySnapshot, select(registry_snapshots))}

    def model_with_other_case(self, name: str) -> str | None:
        """Return a model that has this name in a different letter case, or None."""
        names = self._fetch_column(
            select(registry_snapshots.c.model).where(func.lower(registry_snapshots.c.model) == name.lower())
        )
        return None if name in names else min(names, default=None)

    def drift_notice(self, notice_id: str) -> DriftNotice:
        """Return a drift notice. Raises UnknownRequest if there is none with this id."""
        if notice := self._find(DriftNotice, self._select_by_key(drift_notices, "id"), notice_id):
            return notice
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def active_hold(self) -> Hold | None:
        """Return the active hold, or None."""
        return self._find(Hold, select(holds).where(held_work.IS_ACTIVE).order_by(holds.c.number))

    def holds(self, limit: int = 20) -> list[Hold]:
        """Return holds, newest first, including lifted ones."""
        return self._list(Hold, select(holds).order_by(holds.c.number.desc()).limit(limit))

    def held_work(self) -> HeldWork:
        """Return the unfinished work that the active hold covers."""
        return HeldWork(
            transitions=self._list(Transition, held_work.select_held(transitions)),
            commands=self._list(QueuedCommand, held_work.select_held(queued_commands)),
            requests=self._list(Request, held_work.select_held(requests)),
            tag_updates=self._list(TagUpdate, held_work.select_held(tag_updates)),
        )

    def is_request_held(self, request_id: str) -> bool:
        """Return whether the active hold covers a request."""
        query = select(requests.c.id).where(requests.c.id == request_id, held_work.is_held(requests))
        return bool(self._fetch_column(query))

    def models_with_pending_work(self) -> list[str]:
        """Return the names of the models with pending work, sorted."""
        return sorted(self._fetch_column(held_work.select_models_with_pending_work()))

    def due_tag_updates(self, now: datetime, limit: int = 100) -> list[TagUpdate]:
        """Return the tag updates that are due at `now`: for each version, at most its oldest unwritten one."""
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
        """Return the model's tag updates, written or not, oldest first."""
        query = (
            select(tag_updates)
            .where(tag_updates.c.model == model, tag_updates.c.number >= from_number)
            .order_by(tag_updates.c.number)
        )
        return self._list(TagUpdate, query if version is None else query.where(tag_updates.c.version == version))

    def first_unwritten_tag_update(self, model: str) -> int:
        """Return the number of the model's first tag update that isn't written yet."""
        of_model = tag_updates.c.model == model
        first_waiting = select(func.min(tag_updates.c.number)).where(of_model, TAG_UPDATE_IS_WAITING).scalar_subquery()
        last = select(func.max(tag_updates.c.number)).where(of_model).scalar_subquery()
        return self._fetch_int(select(func.coalesce(first_waiting, last + 1, 0)))


class RegistryStateStore(SqlWriteStore, RegistryStateQueries):
    """Writes the state of the registry: snapshots, drift notices, holds, and tag updates."""

    def save_registry_snapshot(self, snapshot: RegistrySnapshot) -> None:
        """Insert or replace a model's snapshot."""
        values = row_mapping.to_row(snapshot)
        if not self._insert(registry_snapshots, values, "model"):
            self._execute(
                update(registry_snapshots).where(registry_snapshots.c.model == snapshot.model).values(**values)
            )

    def delete_registry_snapshot(self, model: str) -> None:
        """Delete the snapshot of a model that the registry no longer has."""
        self._execute(delete(registry_snapshots).where(registry_snapshots.c.model == model))

    def add_drift_notice(self, notice: DriftNotice) -> bool:
        """Insert a drift notice; return False if its id is already there."""
        return self._insert(drift_notices, row_mapping.to_row(notice), "id")

    def save_drift_notice(self, notice: DriftNotice) -> None:
        """Write the notice's current state. Raises UnknownRequest if it was never added."""
        if not self._update(drift_notices, notice.id, row_mapping.to_row(notice)):
            self.drift_notice(notice.id)

    def add_hold(self, hold: Hold) -> bool:
        """Insert a hold that covers all work pending now; return False if one is active."""
        self.lock("hold")
        if self.active_hold() is not None:
            return False
        self._connection.execute(holds.insert().values(**row_mapping.to_row(hold), **held_work.current_extent()))
        return True

    def save_hold(self, hold: Hold, *, extend: bool = False) -> None:
        """Write the hold's current state."""
        more = held_work.current_extent() if extend else {}
        self._execute(update(holds).where(holds.c.id == hold.id).values(**row_mapping.to_row(hold), **more))

    def discard_held_tag_updates(self, why: str) -> None:
        """Take the held tag updates off the queue; they're never written."""
        self._execute(held_work.discard_held_tag_updates().values(why=why))

    def add_tag_update(self, tag_update: TagUpdate) -> None:
        """Queue a tag update; one whose id is already there is left as it is."""
        row = row_mapping.to_row(tag_update, exclude=frozenset({"number"}))
        self._insert(tag_updates, row | {"is_done": False, "why": ""}, "id")

    def claim_tag_update(self, tag_update: TagUpdate, now: datetime, until: datetime) -> bool:
        """Claim a tag update that is due at `now`, until `until`."""
        is_free = and_(
            tag_updates.c.id == tag_update.id,
            TAG_UPDATE_IS_WAITING,
            is_due(tag_updates.c.not_before, now),
            ~held_work.is_held(tag_updates),
        )
        return self._execute(update(tag_updates).where(is_free).values(not_before=until))

    def finish_tag_update(self, tag_update: TagUpdate, *, why: str = "") -> None:
        """Take a tag update off the queue."""
        self._execute(update(tag_updates).where(tag_updates.c.id == tag_update.id).values(is_done=True, why=why))

    def postpone_tag_update(self, tag_update: TagUpdate, until: datetime, why: str) -> None:
        """Count a failed attempt, and try the tag update again at `until`."""
        values = {"not_before": until, "why": why, "attempts": tag_updates.c.attempts + 1}
        self._execute(update(tag_updates).where(tag_updates.c.id == tag_update.id).values(**values))
