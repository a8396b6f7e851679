"""The choices in a form's menus, from the ledger and from recent registry reads.

Nothing here waits for the registry, except `refresh`, which runs after Slack's request is acknowledged.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.commands.base import is_version_ref
from bot.domain.core.errors import BadInput, RegistrarError, UnknownModel, UnknownVersion
from bot.domain.policy.gate_config import VALIDATION_PREFIX, MetricGate
from bot.domain.registry.menu_options import Choice, best_by_metric, matching_choices, version_choices
from bot.domain.registry.model import (
    ModelInfo,
    Stage,
    VersionInfo,
    VersionRef,
    check_model_name,
    resolve_version,
)
from bot.domain.rollbacks.rollback_targets import is_still_there, rollback_targets, serving_periods
from bot.domain.transitions.drift import RegistrySnapshot
from bot.ports import LedgerReader
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries

FRESH_FOR = timedelta(seconds=5)  # until the registry is read again
RELIABLE_FOR = timedelta(minutes=1)  # how long it can tell that a version doesn't exist
MAX_MODELS = 100  # that are remembered
MAX_RUNS = 100  # newest versions whose metrics are read
MAX_TRANSITIONS = 400  # transitions of Production to search for versions that served

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentRead:
    """What the registry said about a model at `at`: the model and its versions, newest first, or that it's unknown."""

    at: datetime
    model: ModelInfo | None = None
    versions: Sequence[VersionInfo] = ()
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # by version
    unknown: UnknownModel | None = None


class Suggestions:
    """Suggests models, versions, and metrics that match what someone has typed so far."""

    def __init__(self, context: Context, queries: RegistryQueries) -> None:
        self._context = context
        self._queries = queries
        self._recent: dict[str, RecentRead] = {}  # by model; the latest one is the last
        self._in_progress: set[str] = set()
        self._lock = threading.Lock()

    def models(self, typed: str) -> list[Choice]:
        """Return the models that match what was typed. Raises LedgerUnavailable."""
        with self._context.ledger.read() as reader:
            names = reader.model_names()
        return matching_choices([Choice(name, name) for name in names], typed, _is_model_name)

    def versions(self, model: str, typed: str, target: Stage) -> list[Choice]:
        """Return the model's versions that match what was typed, newest first.

        `target` is the stage whose first metric gate decides which version is marked as best. Raises LedgerUnavailable.
        """
        with self._context.ledger.read() as reader:
            versions = self._versions(model, reader.registry_snapshot(model))
            choices = self._version_choices(reader, model, versions, self._best_notes(model, target))
        return matching_choices(choices, typed, is_version_ref)

    def rollback_targets(self, model: str, typed: str) -> list[Choice]:
        """Return the rollback targets that match what was typed, the one that served most recently first.

        Raises LedgerUnavailable.
        """
        with self._context.ledger.read() as reader:
            snapshot = reader.registry_snapshot(model)
            periods = serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
            blocked = {block.version for block in reader.rollback_blocks(model)}
            default = dict.fromkeys(rollback_targets(periods, blocked, snapshot)[:1], "previous good version")
            versions = {version.version: version for version in self._versions(model, snapshot)}
            ended = [period for period in periods if period.until and is_still_there(period.started_by, snapshot)]
            serving = {period.version for period in periods[:1] if period.until is None}
            numbers = dict.fromkeys(period.version for period in ended if period.version not in blocked | serving)
            served = [versions[number] for number in numbers if number in versions]
            choices = self._version_choices(reader, model, served, default)
        return matching_choices(choices, typed, is_version_ref)

    def metrics(self, model: str, typed: str) -> list[Choice]:
        """Return the matching metrics that the model's runs logged, its gates check, or its monitors read."""
        recent = self._recent.get(model)
        logged = sorted({name for metrics in recent.metrics.values() for name in metrics}) if recent else []
        with self._context.ledger.read() as reader:
            monitored = [monitor.rule.query for monitor in reader.monitors() if monitor.model == model]
        names = dict.fromkeys([*self._gated_metrics(model, Stage.PRODUCTION), *logged, *monitored])
        return matching_choices([Choice(name, name) for name in names], typed, lambda text: True)

    def check(self, model: str, ref: VersionRef) -> None:
        """Raise UnknownModel or UnknownVersion if a registry read in the last minute showed that it doesn't exist.

        Doesn't read the registry.
        """
        recent = self._recent.get(model)
        if recent is None or self._context.clock.now() - recent.at > RELIABLE_FOR:
            return
        if recent.unknown is not None:
            raise recent.unknown
        assert recent.model is not None
        try:
            resolve_version(ref, recent.model, recent.versions)
        except UnknownVersion as error:
            error.field = "version"
            raise

    def refresh(self, model: str) -> None:
        """Read a model's versions and their metrics with up to four requests, at most once every 5 seconds.

        Does nothing while the registry is known to be unavailable.
        """
        with self._lock:
            recent = self._recent.get(model)
            is_fresh = recent is not None and self._context.clock.now() - recent.at < FRESH_FOR
            if is_fresh or model in self._in_progress or self._context.availability.is_unavailable:
                return
            self._in_progress.add(model)
        try:
            read = self._read(model)
            with self._lock:
                self._recent.pop(model, None)
                self._recent[model] = read
                if len(self._recent) > MAX_MODELS:
                    del self._recent[next(iter(self._recent))]
        except RegistrarError as error:
            log.info("can't read %s for suggestions: %s", model, error)
        finally:
            with self._lock:
                self._in_progress.discard(model)

    def _read(self, name: str) -> RecentRead:
        at = self._context.clock.now()
        try:
            model, versions = self._queries.model_and_versions(name)
        except UnknownModel as error:
            return RecentRead(at=at, unknown=error)
        by_run = {version.run_id: version.version for version in versions[:MAX_RUNS] if version.run_id}
        try:
            runs = self._context.tracker.runs(list(by_run))
        except RegistrarError:  # the versions are worth more than their metrics
            runs = {}
        metrics = {by_run[run_id]: run.metrics for run_id, run in runs.items()}
        return RecentRead(at=at, model=model, versions=versions, metrics=metrics)

    def _versions(self, model: str, snapshot: RegistrySnapshot | None) -> list[VersionInfo]:
        """Return the versions from the last registry read, newest first, updated from the snapshot if it's newer."""
        recent = self._recent.get(model)
        known = {version.version: version for version in recent.versions} if recent else {}
        if snapshot and (recent is None or snapshot.at > recent.at):
            known = {
                number: replace(known.get(number) or VersionInfo(model=model, version=number, stage=stage), stage=stage)
                for number, stage in snapshot.stages.items()
            }
        return [known[number] for number in sorted(known, reverse=True)]

    def _version_choices(
        self, reader: LedgerReader, model: str, versions: Sequence[VersionInfo], notes: Mapping[int, str]
    ) -> list[Choice]:
        # A version that's only in the snapshot has no run or source to compare: then its number decides.
        identities = {one.version: one.identity() if one.run_id or one.source else None for one in versions}
        blocks = blocks_by_version(reader, model, identities)
        return version_choices(versions, blocks, notes, self._context.clock.now())

    def _best_notes(self, model: str, target: Stage) -> dict[int, str]:
        """Return a note for the best version, by number; empty if it isn't known.

        The versions are compared by the first metric that a gate checks or, if there isn't one, the first that the
        policy lists.
        """
        recent, catalog = self._recent.get(model), self._context.policy.metrics_for(model)
        metric = next(iter([*self._gated_metrics(model, target), *catalog.settings]), None)
        if recent is None or metric is None:
            return {}
        best = best_by_metric(metric, catalog.direction(metric), recent.metrics)
        return {} if best is None else {best: f"★ best {metric}"}

    def _gated_metrics(self, model: str, target: Stage) -> list[str]:
        rule = self._context.policy.rules_for(model).rule(target)
        gates = [gate for gate in rule.gates if isinstance(gate, MetricGate)] if rule else []
        return [gate.metric for gate in gates if not gate.metric.startswith(VALIDATION_PREFIX)]


def _is_model_name(text: str) -> bool:
    try:
        check_model_name(text)
    except BadInput:
        return False
    return True
