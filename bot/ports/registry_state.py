"""Ledger ports for registry state: snapshots, drift notices, holds, and tag updates."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.ports.records import HeldWork, TagUpdate


class RegistryStateReader(Protocol):
    """Reads registry state from the ledger: snapshots, drift notices, holds, and tag updates."""

    def registry_snapshot(self, model: str) -> RegistrySnapshot | None:
        """Return the model's registry snapshot, taken when the model was last read, or None."""

    def registry_snapshots(self, models: Collection[str] | None = None) -> dict[str, RegistrySnapshot]:
        """Return the latest snapshot of every model, by model name. `models`: only these models; None means all."""

    def model_names(self) -> list[str]:
        """Return the names of the models with a snapshot, sorted."""

    def watched_models(self) -> list[str]:
        """Return the names of the models whose aliases matter to people, sorted.

        Those are the models with pending work, a monitor, or a version in Staging or Production.
        """

    def models_with_history(self, models: Collection[str]) -> set[str]:
        """Return the subset of `models` that have transitions or requests, finished or not."""

    def model_with_other_case(self, name: str) -> str | None:
        """Return the name of a model that differs from `name` only in case, or None.

        Also None if a model has exactly this name. Considers only models with a snapshot.
        """

    def drift_notice(self, notice_id: str) -> DriftNotice:
        """Return a drift notice. Raises UnknownRequest if none has this ID."""

    def active_hold(self) -> Hold | None:
        """Return the active hold, or None."""

    def holds(self, limit: int = 20) -> list[Hold]:
        """Return holds, newest first, including lifted ones. `limit`: the maximum number to return."""

    def held_work(self) -> HeldWork:
        """Return the unfinished work that the active hold covers.

        A hold covers everything that was pending when it was added or last extended.
        """

    def is_request_held(self, request_id: str) -> bool:
        """Return whether the active hold covers a request."""

    def models_with_pending_work(self) -> list[str]:
        """Return the names of the models with pending work, sorted.

        Pending work is an open request, an unfinished transition, or a tag update that isn't written yet.
        """

    def due_tag_updates(self, now: datetime, limit: int = 100) -> list[TagUpdate]:
        """Return the tag updates that are due at `now`: for each version, at most its oldest unwritten one.

        While that one is postponed or held, the version's later ones wait, so that they're written in order. `limit`:
        the maximum number to return.
        """

    def tag_updates(self, model: str, *, version: int | None = None, from_number: int = 0) -> list[TagUpdate]:
        """Return the model's tag updates, written or not, oldest first.

        `version`: only those for this version. `from_number`: only those with this number or higher.
        """

    def first_unwritten_tag_update(self, model: str) -> int:
        """Return the number of the model's first unwritten tag update.

        If all are written, returns the number after the last one, or 0 if the model has none.
        """


class RegistryStateWriter(RegistryStateReader, Protocol):
    """Changes registry state in the ledger: snapshots, drift notices, holds, and tag updates."""

    def save_registry_snapshot(self, *snapshots: RegistrySnapshot) -> None:
        """Insert snapshots, replacing earlier ones of the same models."""

    def delete_registry_snapshot(self, model: str) -> None:
        """Delete the snapshot of a model that the registry no longer has."""

    def add_drift_notice(self, notice: DriftNotice) -> bool:
        """Insert a drift notice; return False if its ID already exists."""

    def save_drift_notice(self, notice: DriftNotice) -> None:
        """Write the notice's current state. Raises UnknownRequest if it was never added."""

    def add_hold(self, hold: Hold) -> bool:
        """Insert a hold that covers all work pending now; return False if another hold is active."""

    def save_hold(self, hold: Hold, *, extend: bool = False) -> None:
        """Write the hold's current state. `extend`: also cover all work that is pending now."""

    def discard_held_tag_updates(self, why: str) -> None:
        """Remove the held tag updates from the queue, so that they're never written.

        `why`: the reason to record with each of them.
        """

    def add_tag_update(self, tag_update: TagUpdate) -> None:
        """Queue a tag update; do nothing if its ID already exists."""

    def finish_tag_update(self, tag_update: TagUpdate, *, why: str = "") -> None:
        """Remove a tag update from the queue. `why`: why it was given up; empty if it was written."""

    def postpone_tag_update(self, tag_update: TagUpdate, until: datetime, why: str) -> None:
        """Count a failed attempt, and postpone the tag update until `until`. `why`: what went wrong."""
