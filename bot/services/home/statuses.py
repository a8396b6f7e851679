"""Read model statuses for Home and for `status`. It only needs the ledger, so it works while MLflow is down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bot.domain.commands.registry import ShowStatus
from bot.domain.monitoring.incident import Incident, IncidentStatus
from bot.domain.monitoring.model_status import ModelStatus, problems_first, stage_holders
from bot.domain.monitoring.monitor import MonitorState
from bot.domain.monitoring.monitor_overview import MonitorRow, worst_first
from bot.domain.policy.freezes import Freeze, active_freeze
from bot.domain.promotions.request import OPEN_STATES
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, RegistrySnapshot
from bot.ports import LedgerReader
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context
from bot.services.monitoring.monitor_lookup import check_model_known

MAX_INCIDENTS = 1000  # open incidents that are read; more than a registry has at once


class ModelStatuses:
    """Reads what's in Production and Staging, with monitors, incidents, and freezes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> QueryHandlers:
        """Return the handler for `status`."""
        return {ShowStatus: self._show}

    def _show(self, command: ShowStatus) -> list[ModelStatus]:
        """Return one model's full status, or the status of each model in Production or Staging.

        Raises UnknownModel, which suggests the nearest name.
        """
        with self._context.ledger.read() as reader:
            freezes = reader.freezes()
            if command.model is None:
                return self.read_all(reader, freezes, reader.incidents(open_only=True, limit=MAX_INCIDENTS))
            return [self._read_one(reader, command.model, freezes)]

    def read_all(
        self, reader: LedgerReader, freezes: Iterable[Freeze], incidents: Iterable[Incident]
    ) -> list[ModelStatus]:
        """Return the status of every model with a version in Production or Staging, models with problems first.

        The number of queries doesn't depend on the number of models. `freezes` are the ones to show, and `incidents`
        are all open incidents.
        """
        snapshots = {name: seen for name, seen in reader.registry_snapshots().items() if name != REGISTRY_SEEN_KEY}
        statuses = self._read(reader, snapshots, freezes, incidents)
        return problems_first(status for status in statuses if status.production or status.staging)

    def _read_one(self, reader: LedgerReader, model: str, freezes: Iterable[Freeze]) -> ModelStatus:
        snapshot = reader.registry_snapshot(model)
        if snapshot is None:
            check_model_known(reader, model)
            return ModelStatus(model=model)
        incidents = reader.incidents(model=model, open_only=True)
        [status] = self._read(reader, {model: snapshot}, freezes, incidents)
        blocks = blocks_by_version(reader, model, dict.fromkeys(snapshot.stages))
        return replace(
            status,
            requests=tuple(reader.requests(model=model, states=OPEN_STATES)),
            blocks=tuple(blocks[number] for number in sorted(blocks)),
        )

    def _read(
        self,
        reader: LedgerReader,
        snapshots: Mapping[str, RegistrySnapshot],
        freezes: Iterable[Freeze],
        incidents: Iterable[Incident],
    ) -> list[ModelStatus]:
        now, policy, freezes = self._context.clock.now(), self._context.policy, list(freezes)
        production = reader.latest_entries(Stage.PRODUCTION, list(snapshots))
        staging = reader.latest_entries(Stage.STAGING, list(snapshots))
        checks = reader.serving_checks([entry.transition.id for entry in production.values()])
        monitors = _monitors_by_model(reader, next(iter(snapshots)) if len(snapshots) == 1 else None)
        incidents_by_model = defaultdict(list)
        for incident in incidents:
            if incident.doing is not IncidentStatus.LOGGED:  # a dry run alerts no one
                incidents_by_model[incident.model].append(incident)
        statuses = []
        for name, snapshot in snapshots.items():
            holders = stage_holders(snapshot.holders(Stage.PRODUCTION), snapshot, production.get(name))
            promoted = {holder.version for holder in holders}
            waiting = [number for number in snapshot.holders(Stage.STAGING) if number not in promoted]
            entry = production.get(name)
            statuses.append(
                ModelStatus(
                    model=name,
                    production=holders,
                    staging=stage_holders(waiting, snapshot, staging.get(name)),
                    serving=checks.get(entry.transition.id) if entry and holders[:1] and holders[0].entry else None,
                    freeze=active_freeze(name, freezes, policy, now),
                    monitors=monitors.get(name, ()),
                    incidents=tuple(incidents_by_model[name]),
                )
            )
        return statuses


def _monitors_by_model(reader: LedgerReader, model: str | None) -> Mapping[str, tuple[MonitorRow, ...]]:
    """Return each model's monitors with their states, worst first. If `model` is given, read only that model's."""
    states, rows = reader.monitor_states(), defaultdict(list)
    for monitor in reader.monitors(model):
        rows[monitor.model].append(MonitorRow(monitor, states.get(monitor.id) or MonitorState(monitor=monitor.id)))
    return {name: tuple(worst_first(found)) for name, found in rows.items()}
