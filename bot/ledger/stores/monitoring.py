"""Stores for monitors, checks, baselines, readings, and incidents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, exists, or_, select, tuple_, update

from bot.domain.core.errors import UnknownRequest
from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, MonitorState
from bot.domain.monitoring.readings import CheckValue, Measurement, PushedReading, RecordedCheck
from bot.ledger import tables
from bot.ledger.stores.base import (
    INSERTS,
    KEY,
    NOW,
    OUTDATED_MESSAGE,
    UNCLAIMED,
    SqlReadStore,
    SqlWriteStore,
    is_due,
    row_loader,
    select_by_key,
    to_row,
    upsert,
)
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
    used_nonces,
)
from bot.ports.monitoring import MonitoringReader, MonitoringWriter
from bot.ports.records import CheckBatch, Claim

SLOT = "b_slot"  # a bound parameter; no column has this name
_SELECT_MONITORS = select(monitors).where(monitors.c.removed_at.is_(None))
_SELECT_MONITORS_OF_MODEL = _SELECT_MONITORS.where(monitors.c.model == bindparam(KEY))
_FINISH_CHECK = update(measurements).where(
    measurements.c.monitor == bindparam(KEY), measurements.c.slot == bindparam(SLOT)
)


class MonitoringQueries(SqlReadStore, MonitoringReader):
    """Reads monitors, checks, baselines, readings, and incidents; see the port."""

    def monitors(self, model: str | None = None) -> list[Monitor]:
        query = _SELECT_MONITORS if model is None else _SELECT_MONITORS_OF_MODEL
        found = self._list(Monitor, query, {} if model is None else {KEY: model})
        return sorted(found, key=lambda monitor: (monitor.model, monitor.name))

    def monitor(self, monitor_id: str) -> Monitor:
        return self._get(Monitor, monitors.c.id, monitor_id, UnknownRequest(OUTDATED_MESSAGE))

    def monitor_states(self) -> dict[str, MonitorState]:
        return {state.monitor: state for state in self._list(MonitorState, select(monitor_states))}

    def monitor_state(self, monitor_id: str) -> MonitorState:
        stored = self._find(MonitorState, select_by_key(monitor_states.c.monitor), {KEY: monitor_id})
        return stored or MonitorState(monitor=monitor_id)

    def due_monitors(self, now: datetime, limit: int = 1000) -> list[tuple[Monitor, MonitorState]]:
        query = (
            _monitors_with_states()
            .where(monitors.c.removed_at.is_(None), ~monitors.c.is_paused, is_due(monitor_states.c.next_at, now))
            .where(~exists().where(_IS_NEXT_SLOT, measurements.c.claimed_until >= now))
            .limit(limit)
        )
        return self._fetch_with_states(query)

    def claimed_monitors(self, batch: CheckBatch, now: datetime) -> list[tuple[Monitor, MonitorState]]:
        query = (
            _monitors_with_states()
            .join(measurements, _IS_NEXT_SLOT)
            .where(tuple_(measurements.c.monitor, measurements.c.slot).in_(batch.slots))
            .where(measurements.c.claimed_by == batch.owner, measurements.c.claimed_until > now)
        )
        return self._fetch_with_states(query)

    def measurements(
        self,
        monitor_id: str,
        *,
        since: datetime | None = None,
        from_revision: int = 1,
        limit: int = 100,
    ) -> list[Measurement]:
        columns = measurements.c
        query = select(measurements).where(
            columns.monitor == monitor_id, columns.outcome.is_not(None), columns.revision >= from_revision
        )
        if since is not None:
            query = query.where(columns.at > since)
        return self._list(Measurement, query.order_by(columns.slot.desc()).limit(limit))

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
        table = own_baselines if own else baselines
        rows = self._list(FrozenBaseline, select(table).where(table.c.monitor.in_(monitor_ids)))
        return {baseline.monitor: baseline for baseline in rows}

    def readings(
        self, source: str, metrics: Collection[tuple[str, str]], *, since: datetime, until: datetime
    ) -> list[PushedReading]:
        query = select(readings).where(
            readings.c.source == source,
            tuple_(readings.c.model, readings.c.metric).in_(metrics),
            readings.c.at > since,
            readings.c.at <= until,
        )
        return self._list(PushedReading, query.order_by(readings.c.at, readings.c.number))

    def incident(self, incident_id: str) -> Incident:
        return self._get(Incident, incidents.c.id, incident_id, UnknownRequest(OUTDATED_MESSAGE))

    def incidents(self, *, model: str | None = None, open_only: bool = False, limit: int = 100) -> list[Incident]:
        query = select(incidents).order_by(incidents.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(incidents.c.model == model)
        if open_only:
            query = query.where(incidents.c.resolved_at.is_(None))
        return self._list(Incident, query)

    def tripped_breakers(self) -> list[TrippedBreaker]:
        return sorted(self._list(TrippedBreaker, select(tripped_breakers)), key=lambda breaker: breaker.model)

    def _fetch_with_states(self, query: Any) -> list[tuple[Monitor, MonitorState]]:
        result = self._connection.execute(query)
        monitor, state = row_loader(Monitor, result, self._operator_ids), row_loader(MonitorState, result)
        return [(monitor(row), replace(state(row), revision=row.judged_revision)) for row in result]


class MonitoringStore(SqlWriteStore, MonitoringQueries, MonitoringWriter):
    """Writes monitors, checks, baselines, readings, and incidents; see the port."""

    def add_monitor(self, monitor: Monitor) -> bool:
        return self._insert(monitors, to_row(monitor) | {"name": monitor.name}, "model", "name")

    def save_monitor(self, monitor: Monitor) -> None:
        self._update(monitors, monitor.id, to_row(monitor) | {"name": monitor.name})

    def save_monitor_state(self, *states: MonitorState) -> None:
        # A transition and a check can write at the same time, without seeing each other's state. If the slot decreased
        # to a finished one, it could never be claimed again, and the monitor's checks would stop.
        if states:
            put = upsert(tables.monitor_states, "monitor", "slot", self._dialect)
            self._connection.execute(put, [to_row(state) for state in states])

    def claim_slots(self, claims: Mapping[tuple[str, int], Claim]) -> set[tuple[str, int]]:
        new = {"revision": 0, "points": 0}
        rows = [
            {"monitor": monitor, "slot": slot, "at": claim.now, NOW: claim.now}
            | {"claimed_by": claim.owner, "claimed_until": claim.until, **new}
            for (monitor, slot), claim in sorted(claims.items(), key=lambda pair: pair[0])
        ]
        taken = self._connection.execute(_claim_slots(self._dialect), rows) if rows else ()
        return {(row.monitor, row.slot) for row in taken}

    def finish_slots(self, checks: Sequence[Measurement], owner: str) -> set[tuple[str, int]]:
        slot = tuple_(measurements.c.monitor, measurements.c.slot)
        is_held = (measurements.c.outcome.is_(None), measurements.c.claimed_by == owner)
        query = select(measurements.c.monitor, measurements.c.slot).where(
            slot.in_([(check.monitor, check.slot) for check in checks]), *is_held
        )
        rows = self._connection.execute(query.order_by(measurements.c.monitor).with_for_update()) if checks else ()
        held = {(row.monitor, row.slot) for row in rows}
        values = [
            {KEY: check.monitor, SLOT: check.slot} | to_row(check) | UNCLAIMED
            for check in checks
            if (check.monitor, check.slot) in held
        ]
        if values:
            self._connection.execute(_FINISH_CHECK, values)
        return held

    def save_baselines(self, baselines: Sequence[FrozenBaseline], *, own: bool = False) -> None:
        if baselines:
            put = upsert(own_baselines if own else tables.baselines, "monitor", "made_at", self._dialect)
            self._connection.execute(put, [to_row(baseline) for baseline in baselines])

    def add_readings(self, pushed: Sequence[PushedReading]) -> int:
        unique_columns = ("source", "model", "metric", "version", "at")
        return sum(self._insert(readings, to_row(reading), *unique_columns) for reading in pushed)

    def purge(self, *, measurements_before: datetime, readings_before: datetime, now: datetime) -> int:
        frozen, checks = baselines.c, measurements.c
        removed = select(monitors.c.id).where(monitors.c.removed_at.is_not(None))
        for table in (baselines, own_baselines):
            self._execute(delete(table).where(table.c.monitor.in_(removed)))
        is_needed = exists().where(
            frozen.monitor == checks.monitor, checks.at >= frozen.since, checks.at <= frozen.until
        )
        statements = (
            delete(measurements).where(checks.at < measurements_before, ~is_needed),
            delete(readings).where(readings.c.received_at < readings_before),
            delete(idempotent_calls).where(idempotent_calls.c.at < readings_before),
            delete(used_nonces).where(used_nonces.c.expires_at < now),
        )
        return sum(self._connection.execute(statement).rowcount for statement in statements)

    def add_incident(self, incident: Incident) -> bool:
        return self._insert(incidents, to_row(incident), "model", "source", "kind")

    def save_incident(self, incident: Incident) -> None:
        self._update(incidents, incident.id, to_row(incident))

    def trip_breaker(self, breaker: TrippedBreaker) -> bool:
        return self._insert(tripped_breakers, to_row(breaker), "model")

    def reset_breaker(self, model: str) -> bool:
        return self._execute(delete(tripped_breakers).where(tripped_breakers.c.model == model))


_IS_NEXT_SLOT = and_(measurements.c.monitor == monitors.c.id, measurements.c.slot == monitor_states.c.slot + 1)


def _monitors_with_states() -> Select[Any]:
    """Return the SELECT for monitors and their states, longest overdue first.

    Both tables have a `revision` column: the monitor's current revision, and the one that its state was computed with.
    """
    own_columns = [column for column in monitor_states.c if column.name not in monitors.c]
    query = select(monitors, *own_columns, monitor_states.c.revision.label("judged_revision"))
    joined = query.join(monitor_states, monitor_states.c.monitor == monitors.c.id)
    return joined.order_by(monitor_states.c.next_at, monitors.c.number)


@cache
def _claim_slots(dialect: str) -> Any:
    """Return the INSERT that claims checks, including those whose claim has expired by :b_now.

    It returns a row for each check that was free.
    """
    insert: Any = INSERTS[dialect](measurements)
    until = measurements.c.claimed_until
    expired = and_(measurements.c.outcome.is_(None), or_(until.is_(None), until < bindparam(NOW, type_=until.type)))
    claim = {name: insert.excluded[name] for name in ("claimed_by", "claimed_until")}
    return insert.on_conflict_do_update(
        index_elements=[measurements.c.monitor, measurements.c.slot], set_=claim, where=expired
    ).returning(measurements.c.monitor, measurements.c.slot)
