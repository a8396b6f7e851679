"""The part of the ledger about monitors, checks, baselines, readings, and incidents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckValue, Measurement, PushedReading, RecordedCheck
from bot.domain.monitoring.state import MonitorState
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.ports.records import CheckBatch


class MonitoringReader(Protocol):
    """Reads monitors, checks, baselines, readings, and incidents."""

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that are not removed, by model and name."""
        ...

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, a removed one too. Raises UnknownRequest."""
        ...

    def monitor_states(self) -> dict[str, MonitorState]:
        """Return where the monitors stand, by their ids."""
        ...

    def monitor_state(self, monitor_id: str) -> MonitorState:
        """Return where a monitor stands; one that was never checked at its beginning."""
        ...

    def due_monitors(self, now: datetime, limit: int = 1000) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors whose check is due, the longest due first; neither paused nor removed ones.

        One that somebody is checking at this moment is none of them.
        """
        ...

    def claimed_monitors(self, batch: CheckBatch, now: datetime) -> list[tuple[Monitor, MonitorState]]:
        """Return those of a batch whose claim holds, the longest due first."""
        ...

    def measurements(
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        transition_id: str | None = None,
        from_revision: int = 1,
        limit: int = 100,
    ) -> list[Measurement]:
        """Return the finished checks of a monitor, newest first.

        Those of one term only, where `move` names it; by this revision of it or a later one.
        """
        ...

    def series(
        self,
        monitor: Monitor,
        *,
        since: datetime,
        until: datetime,
        transition_id: str | None = None,
        except_transition_id: str | None = None,
        except_versions: Collection[int] = (),
    ) -> list[CheckValue]:
        """Return the values of a monitor's checks after `since` and up to `until`, oldest first, with their totals.

        None of before it was changed to measure something else. Those of one term, where `move` names it; those of
        every other term, where `but` does; never of the versions in `without`.
        """
        ...

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[RecordedCheck]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first.

        None of before it was changed to measure something else.
        """
        ...

    def baselines(self, monitor_ids: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the baselines that monitors have, by their ids; of which term, and by which rule, they say themselves.

        They're those of before the terms; where `own`, those of the versions' own days.
        """
        ...

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[PushedReading]:
        """Return what was pushed of metrics (model and name), after `since` and up to `until`, oldest first.

        The times are the readings' own.
        """
        ...

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest."""
        ...

    def incidents(self, *, model: str | None = None, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first; open ones only, where `is_open`."""
        ...

    def tripped_breakers(self) -> list[TrippedBreaker]:
        """Return the breakers that are tripped."""
        ...


class MonitoringWriter(MonitoringReader, Protocol):
    """Changes monitors, checks, baselines, readings, and incidents."""

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert it; return False where the model has one of this name."""
        ...

    def save_monitor(self, monitor: Monitor) -> None:
        """Write its present state."""
        ...

    def save_monitor_states(self, states: Sequence[MonitorState]) -> None:
        """Write where monitors stand now."""
        ...

    def save_monitor_state(self, state: MonitorState) -> None:
        """Write where a monitor stands now."""
        ...

    def claim_slots(self, slots: Mapping[tuple[str, int], datetime], owner: str, now: datetime) -> set[tuple[str, int]]:
        """Take checks, each until its time; return those that are neither done nor somebody else's."""
        ...

    def finish_slots(self, checks: Sequence[Measurement], owner: str) -> set[tuple[str, int]]:
        """Write what claimed checks came to; return which of them were the owner's still. The others are left."""
        ...

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        """Write monitors' baselines; each takes the place of its monitor's former one.

        They're those of before the terms; where `own`, those of the versions' own days.
        """
        ...

    def add_readings(self, pushed: Sequence[PushedReading]) -> int:
        """Insert what was pushed, but for what is there already; return how many are new."""
        ...

    def purge(self, *, measurements_before: datetime, readings_before: datetime) -> int:
        """Throw away checks, and readings and calls, that are older than that; return how many rows.

        Checks that a frozen baseline is made of stay, however old they are, until their monitor is removed.
        """
        ...

    def add_incident(self, incident: Incident) -> bool:
        """Insert it; return False where one of this model, source and kind is open."""
        ...

    def save_incident(self, incident: Incident) -> None:
        """Write its present state."""
        ...

    def trip_breaker(self, breaker: TrippedBreaker) -> bool:
        """Trip a breaker; return False where it is tripped already."""
        ...

    def reset_breaker(self, model: str) -> bool:
        """Reset a breaker; return False where it is not tripped."""
        ...
