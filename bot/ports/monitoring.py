"""Ledger ports for monitors, checks, baselines, readings, and incidents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, MonitorState
from bot.domain.monitoring.readings import CheckValue, Measurement, PushedReading, RecordedCheck
from bot.ports.records import CheckBatch, Claim


class MonitoringReader(Protocol):
    """Reads monitors, checks, baselines, readings, and incidents."""

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that haven't been removed, sorted by model and name.

        `model`: only this model's monitors; None means any.
        """

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, even a removed one. Raises UnknownRequest if none has this ID."""

    def monitor_states(self) -> dict[str, MonitorState]:
        """Return the state of every monitor, by monitor ID."""

    def monitor_state(self, monitor_id: str) -> MonitorState:
        """Return a monitor's state, or the initial state if it has never been checked."""

    def due_monitors(self, now: datetime, limit: int = 1000) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors with a check due at `now`, longest overdue first, with their states.

        Paused and removed monitors are left out, and so are those that a process is checking. `limit`: the maximum
        number to return.
        """

    def claimed_monitors(self, batch: CheckBatch, now: datetime) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors in a batch whose claims haven't expired by `now`, with their states.

        The longest-overdue ones come first.
        """

    def measurements(
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        from_revision: int = 1,
        limit: int = 100,
    ) -> list[Measurement]:
        """Return a monitor's finished checks, newest first.

        `since`: only checks after this time. `from_revision`: only checks by this revision of the monitor or a later
        one. `limit`: the maximum number to return.
        """

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
        """Return the values that a monitor measured after `since` and up to `until`, oldest first.

        Each comes with its time and total. Values from before the last change in what the monitor measures are left
        out. `transition_id`: only values in the term that this transition began. `except_transition_id`: only values
        outside the term that this transition began. `except_versions`: versions to leave out.
        """

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[RecordedCheck]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first.

        Checks from before the last change in what the monitor measures are left out.
        """

    def baselines(self, monitor_ids: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the frozen baselines of these monitors, by monitor ID.

        Each baseline identifies its term and the settings that it depends on. `own`: return the baselines taken from
        the versions' own days in Production, not those from before their terms.
        """

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[PushedReading]:
        """Return the readings that were pushed to a source, oldest first.

        `metrics`: the metrics to return, as pairs of model and metric name. `since`, `until`: only readings whose own
        time (not the time of receipt) is after `since` and no later than `until`.
        """

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest if none has this ID."""

    def incidents(self, *, model: str | None = None, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first.

        `model`: only this model's incidents; None means any. `open_only`: leave out resolved ones. `limit`: the maximum
        number to return.
        """

    def tripped_breakers(self) -> list[TrippedBreaker]:
        """Return the tripped circuit breakers, sorted by model."""


class MonitoringWriter(MonitoringReader, Protocol):
    """Changes monitors, checks, baselines, readings, and incidents."""

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert a monitor; return False if the model already has one with this name."""

    def save_monitor(self, monitor: Monitor) -> None:
        """Write the monitor's current state."""

    def save_monitor_state(self, *states: MonitorState) -> None:
        """Insert or update monitor states; never decrease a state's slot."""

    def claim_slots(self, claims: Mapping[tuple[str, int], Claim]) -> set[tuple[str, int]]:
        """Claim the checks that are neither finished nor currently claimed; return them.

        `claims`: the claims by check, a pair of monitor ID and slot. A claim that has expired is taken over.
        """

    def finish_slots(self, checks: Sequence[Measurement], owner: str) -> set[tuple[str, int]]:
        """Write the results of the checks that `owner` still has claimed; return those checks.

        Checks are identified by monitor ID and slot. All other results are dropped.
        """

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        """Insert or replace the frozen baselines of monitors.

        `own`: they were taken from the versions' own days in Production, not from before their terms.
        """

    def add_readings(self, pushed: Sequence[PushedReading]) -> int:
        """Insert the new readings; return how many there were.

        Readings with the same source, model, metric, version, and time count as the same.
        """

    def purge(self, *, measurements_before: datetime, readings_before: datetime, now: datetime) -> int:
        """Delete old checks, readings, and idempotent calls, and expired nonces; return how many were deleted.

        `measurements_before`: delete checks from before this time, except those that a frozen baseline was taken from,
        which stay until their monitor is removed. `readings_before`: delete readings and calls that were received
        before this time. `now`: delete nonces that expired before this time.
        """

    def add_incident(self, incident: Incident) -> bool:
        """Insert an incident; return False if one for this model, source, and kind is already open."""

    def save_incident(self, incident: Incident) -> None:
        """Write the incident's current state."""

    def trip_breaker(self, breaker: TrippedBreaker) -> bool:
        """Trip a model's circuit breaker; return False if it's already tripped."""

    def reset_breaker(self, model: str) -> bool:
        """Reset a model's circuit breaker; return False if it isn't tripped."""
