"""Rows about monitors, checks, baselines, readings, and incidents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, and_, delete, exists, select, tuple_

from bot.domain.core.errors import UnknownRequest
from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, MonitorState
from bot.domain.monitoring.readings import CheckValue, Measurement, PushedReading, RecordedCheck
from bot.ledger import tables
from bot.ledger.stores import row_mapping, statements
from bot.ledger.stores.base import UNCLAIMED, SqlReadStore, SqlWriteStore, is_due
from bot.ledger.tables import (
    baselines,
    idempotent_calls,
    incidents,
    measurements,
    monitor_states,
    monitors,
    own_baselines,
    readings,
    tripped_breakers,
)
from bot.ports import CheckBatch


class MonitoringQueries(SqlReadStore):
    """Reads monitors, checks, baselines, readings, and incidents."""

    def monitors(self, model: str | None = None) -> list[Monitor]:
        """Return the monitors that haven't been removed, by model and name."""
        query = select(monitors).where(monitors.c.removed_at.is_(None))
        if model is not None:
            query = query.where(monitors.c.model == model)
        return sorted(self._list(Monitor, query), key=lambda monitor: (monitor.model, monitor.name))

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor, even a removed one. Raises UnknownRequest if there is none with this id."""
        if monitor := self._find(Monitor, self._select_by_key(monitors, "id"), monitor_id):
            return monitor
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def monitor_states(self) -> dict[str, MonitorState]:
        """Return the state of every monitor, by monitor id."""
        return {state.monitor: state for state in self._list(MonitorState, select(monitor_states))}

    def monitor_state(self, monitor_id: str) -> MonitorState:
        """Return a monitor's state; the initial one if it was never checked."""
        return self._find(
            MonitorState, statements.select_by_key(monitor_states, "monitor"), monitor_id
        ) or MonitorState(monitor=monitor_id)

    def due_monitors(self, now: datetime, limit: int = 1000) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors whose check is due at `now`, the longest overdue first, with their states."""
        query = (
            _monitors_with_states()
            .where(monitors.c.removed_at.is_(None), ~monitors.c.is_paused, is_due(monitor_states.c.next_at, now))
            .where(~exists().where(_IS_NEXT_SLOT, measurements.c.claimed_until >= now))
            .limit(limit)
        )
        return [self._to_monitor_with_state(row) for row in self._fetch_rows(query)]

    def claimed_monitors(self, batch: CheckBatch, now: datetime) -> list[tuple[Monitor, MonitorState]]:
        """Return the monitors in a batch whose claims haven't expired by `now`, with their states."""
        query = (
            _monitors_with_states()
            .join(measurements, _IS_NEXT_SLOT)
            .where(tuple_(measurements.c.monitor, measurements.c.slot).in_(batch.slots))
            .where(measurements.c.claimed_by == batch.owner, measurements.c.claimed_until > now)
        )
        return [self._to_monitor_with_state(row) for row in self._fetch_rows(query)]

    def measurements(
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        transition_id: str | None = None,
        from_revision: int = 1,
        limit: int = 100,
    ) -> list[Measurement]:
        """Return a monitor's finished checks, newest first."""
        query = select(measurements).where(
            measurements.c.monitor == monitor_id,
            measurements.c.outcome.is_not(None),
            measurements.c.revision >= from_revision,
        )
        if since is not None:
            query = query.where(measurements.c.at > since)
        if transition_id is not None:
            query = query.where(measurements.c.move == transition_id)
        return self._list(Measurement, query.order_by(measurements.c.slot.desc()).limit(limit))

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
        """Return the values that a monitor measured after `since` and up to `until`, oldest first."""
        query = select(measurements.c.at, measurements.c.value, measurements.c.total).where(
            measurements.c.monitor == monitor.id,
            measurements.c.at > since,
            measurements.c.at <= until,
            measurements.c.value.is_not(None),
            measurements.c.revision >= monitor.measured_from,
        )
        if transition_id is not None:
            query = query.where(measurements.c.move == transition_id)
        if except_transition_id is not None:
            query = query.where(measurements.c.move != except_transition_id)
        if except_versions:
            query = query.where(measurements.c.version.not_in(list(except_versions)))
        return [(at, value, total) for at, value, total in self._connection.execute(query.order_by(measurements.c.at))]

    def checks(self, monitor: Monitor, *, since: datetime, until: datetime) -> list[RecordedCheck]:
        """Return a monitor's finished checks after `since` and up to `until`, oldest first."""
        columns = measurements.c
        query = select(
            columns.at, columns.move, columns.version, columns.outcome, columns.value, columns.points, columns.total
        ).where(
            columns.monitor == monitor.id,
            columns.at > since,
            columns.at <= until,
            columns.outcome.is_not(None),
            columns.revision >= monitor.measured_from,
        )
        return [RecordedCheck(*row) for row in self._connection.execute(query.order_by(columns.at))]

    def baselines(self, monitor_ids: Collection[str], *, own: bool = False) -> dict[str, FrozenBaseline]:
        """Return the frozen baselines of these monitors, by monitor id."""
        table = own_baselines if own else baselines
        rows = self._list(FrozenBaseline, select(table).where(table.c.monitor.in_(monitor_ids)))
        return {baseline.monitor: baseline for baseline in rows}

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[PushedReading]:
        """Return the readings that were pushed to a source, oldest first."""
        query = select(readings).where(
            readings.c.source == source,
            tuple_(readings.c.model, readings.c.metric).in_(metrics),
            readings.c.at > since,
            readings.c.at <= until,
        )
        return self._list(PushedReading, query.order_by(readings.c.at, readings.c.number))

    def incident(self, incident_id: str) -> Incident:
        """Return an incident. Raises UnknownRequest if there is none with this id."""
        if incident := self._find(Incident, self._select_by_key(incidents, "id"), incident_id):
            return incident
        raise UnknownRequest("This message is from another time; nothing was changed.")

    def incidents(self, *, model: str | None = None, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first."""
        query = select(incidents).order_by(incidents.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(incidents.c.model == model)
        if open_only:
            query = query.where(incidents.c.resolved_at.is_(None))
        return self._list(Incident, query)

    def tripped_breakers(self) -> list[TrippedBreaker]:
        """Return the tripped circuit breakers, by model."""
        return sorted(self._list(TrippedBreaker, select(tripped_breakers)), key=lambda breaker: breaker.model)

    def _to_monitor_with_state(self, row: RowMapping) -> tuple[Monitor, MonitorState]:
        state = {field.name: row[field.name] for field in fields(MonitorState) if field.name != "revision"}
        return self._to_domain(Monitor, row), MonitorState(**state, revision=row["judged_revision"])


class MonitoringStore(SqlWriteStore, MonitoringQueries):
    """Writes monitors, checks, baselines, readings, and incidents."""

    def add_monitor(self, monitor: Monitor) -> bool:
        """Insert a monitor; return False if the model has one with this name."""
        return self._insert(monitors, row_mapping.to_row(monitor) | {"name": monitor.name}, "model", "name")

    def save_monitor(self, monitor: Monitor) -> None:
        """Write the monitor's current state."""
        self._update(monitors, monitor.id, row_mapping.to_row(monitor) | {"name": monitor.name})

    def save_monitor_states(self, states: Sequence[MonitorState]) -> None:
        """Insert or update the states of monitors; a state's slot never decreases.

        A transition and a check can write at once, without having seen each other's state. If the slot went back to one
        that is finished, it could never be claimed again, and the monitor would stop being checked.
        """
        if states:
            put = statements.upsert(tables.monitor_states, "monitor", "slot", self._dialect)
            self._connection.execute(put, [row_mapping.to_row(state) for state in states])

    def save_monitor_state(self, state: MonitorState) -> None:
        """Insert or update a monitor's state; its slot never decreases."""
        self.save_monitor_states([state])

    def claim_slots(self, slots: Mapping[tuple[str, int], datetime], owner: str, now: datetime) -> set[tuple[str, int]]:
        """Claim checks; return those that are neither finished nor claimed by another owner."""
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
        """Write the results of claimed checks; return those that `owner` still held."""
        if not checks:
            return set()
        slots = [(check.monitor, check.slot) for check in checks]
        held = {
            (row.monitor, row.slot)
            for row in self._connection.execute(statements.select_claimed_slots(), _slot_parameters(slots, owner))
        }
        to_write = [check for check in checks if (check.monitor, check.slot) in held]
        if to_write:
            values = [
                {statements.KEY: check.monitor, statements.SLOT: check.slot} | row_mapping.to_row(check) | UNCLAIMED
                for check in to_write
            ]
            self._connection.execute(statements.finish_slot(), values)
        return held

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        """Insert or replace the frozen baselines of monitors."""
        if baselines:
            table = tables.own_baselines if own else tables.baselines
            put = statements.upsert(table, "monitor", "made_at", self._dialect)
            self._connection.execute(put, [row_mapping.to_row(baseline) for baseline in baselines])

    def add_readings(self, pushed: Sequence[PushedReading]) -> int:
        """Insert the readings that aren't there yet; return how many are new."""
        unique_columns = ("source", "model", "metric", "version", "at")
        return sum(self._insert(readings, row_mapping.to_row(reading), *unique_columns) for reading in pushed)

    def purge(self, *, measurements_before: datetime, readings_before: datetime) -> int:
        """Delete old checks, readings, and idempotent calls; return how many rows were deleted."""
        baselines, checks, all_readings = tables.baselines.c, tables.measurements.c, tables.readings.c
        removed = select(monitors.c.id).where(monitors.c.removed_at.is_not(None))
        for table in (tables.baselines, tables.own_baselines):
            self._execute(delete(table).where(table.c.monitor.in_(removed)))
        is_needed = exists().where(
            baselines.monitor == checks.monitor, checks.at >= baselines.since, checks.at <= baselines.until
        )
        statements_to_run = (
            delete(tables.measurements).where(checks.at < measurements_before, ~is_needed),
            delete(tables.readings).where(all_readings.received_at < readings_before),
            delete(idempotent_calls).where(idempotent_calls.c.at < readings_before),
        )
        return sum(self._connection.execute(statement).rowcount for statement in statements_to_run)

    def add_incident(self, incident: Incident) -> bool:
        """Insert an incident; return False if one for this model, source, and kind is open."""
        return self._insert(incidents, row_mapping.to_row(incident), "model", "source", "kind")

    def save_incident(self, incident: Incident) -> None:
        """Write the incident's current state."""
        self._update(incidents, incident.id, row_mapping.to_row(incident))

    def trip_breaker(self, breaker: TrippedBreaker) -> bool:
        """Trip a model's circuit breaker; return False if it's already tripped."""
        return self._insert(tripped_breakers, row_mapping.to_row(breaker), "model")

    def reset_breaker(self, model: str) -> bool:
        """Reset a model's circuit breaker; return False if it isn't tripped."""
        return self._execute(delete(tripped_breakers).where(tripped_breakers.c.model == model))


_IS_NEXT_SLOT = and_(measurements.c.monitor == monitors.c.id, measurements.c.slot == monitor_states.c.slot + 1)


def _monitors_with_states() -> Select[Any]:
    """Return the select of monitors and their states, the longest overdue first.

    Both tables have a column `revision`: the monitor's current one, and the one that its state was computed with.
    """
    own_columns = [column for column in monitor_states.c if column.name not in monitors.c]
    query = select(monitors, *own_columns, monitor_states.c.revision.label("judged_revision"))
    joined = query.join(monitor_states, monitor_states.c.monitor == monitors.c.id)
    return joined.order_by(monitor_states.c.next_at, monitors.c.number)


def _slot_parameters(slots: list[tuple[str, int]], owner: str) -> dict[str, Any]:
    return {statements.SLOT: slots, statements.OWNER: owner}
