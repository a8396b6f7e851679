"""The part of the ledger about the state of the registry: snapshots, drift notices, holds, and tag updates."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.ports.records import HeldWork, TagUpdate


class RegistryStateReader(Protocol):
    """Reads the state of the registry: snapshots, drift notices, holds, and tag updates."""

    def registry_snapshot(self, model: str) -> RegistrySnapshot | None:
        """Return how the model looked when the registry was read last."""
        ...

    def registry_snapshots(self) -> dict[str, RegistrySnapshot]:
        """Return how every model looked, by its name."""
        ...

    def model_with_other_case(self, name: str) -> str | None:
        """Return the model that the poll has seen by this name in another letter case, and not in this one."""
        ...

    def drift_notice(self, notice_id: str) -> DriftNotice:
        """Return a finding. Raises UnknownRequest."""
        ...

    def active_hold(self) -> Hold | None:
        """Return the active hold."""
        ...

    def holds(self, limit: int = 20) -> list[Hold]:
        """Return holds, newest first; lifted ones too."""
        ...

    def held_work(self) -> HeldWork:
        """Return what the active hold covers: everything that waited when it was opened or widened."""
        ...

    def is_request_held(self, request_id: str) -> bool:
        """Tell whether the active hold covers a request."""
        ...

    def models_with_pending_work(self) -> list[str]:
        """Return the models that have open requests, unfinished moves, or tags still to be written."""
        ...

    def due_tag_updates(self, now: datetime, limit: int = 100) -> list[TagUpdate]:
        """Return what has to be written to versions: of each version that which comes first, if it is due.

        A version whose first one is held waits with all that came later: the order stays.
        """
        ...

    def tag_updates(self, model: str, *, version: int | None = None, from_number: int = 0) -> list[TagUpdate]:
        """Return what was ever to be written to the model's versions, or to one, written or not, oldest first.

        From the number `since` on.
        """
        ...

    def first_unwritten_tag_update(self, model: str) -> int:
        """Return the number of the first copy that isn't written to the model's versions yet, else of the next one."""
        ...


class RegistryStateWriter(RegistryStateReader, Protocol):
    """Changes the state of the registry: snapshots, drift notices, holds, and tag updates."""

    def save_registry_snapshot(self, snapshot: RegistrySnapshot) -> None:
        """Write down how the model looks now."""
        ...

    def delete_registry_snapshot(self, model: str) -> None:
        """Forget a model that the registry has no more."""
        ...

    def add_drift_notice(self, notice: DriftNotice) -> bool:
        """Insert it; return False where it is there already."""
        ...

    def save_drift_notice(self, notice: DriftNotice) -> None:
        """Write its present state."""
        ...

    def add_hold(self, hold: Hold) -> bool:
        """Insert it, covering everything that waits now; return False where one is active."""
        ...

    def save_hold(self, hold: Hold, *, extend: bool = False) -> None:
        """Write its present state. With `widen` it also covers everything that waits now."""
        ...

    def discard_held_tag_updates(self, why: str) -> None:
        """Take the tag updates that are held out of the queue; they're never written."""
        ...

    def add_tag_update(self, tag_update: TagUpdate) -> None:
        """Let something be written to a version; an id that is there already is left as it is."""
        ...

    def claim_tag_update(self, tag_update: TagUpdate, now: datetime, until: datetime) -> bool:
        """Take a due row for oneself until then; return False where somebody else has, or it's held."""
        ...

    def finish_tag_update(self, tag_update: TagUpdate, *, why: str = "") -> None:
        """Take it out of the queue; `why` says why it was given up."""
        ...

    def postpone_tag_update(self, tag_update: TagUpdate, until: datetime, why: str) -> None:
        """Try it again at `until`."""
        ...
