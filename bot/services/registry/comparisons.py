"""Compare any number of versions with a few registry requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bot.domain.commands.registry import Compare, FindBest
from bot.domain.policy.gate_config import MetricGate
from bot.domain.policy.policy import ModelRules
from bot.domain.registry.model import TARGET_STAGES, ModelInfo, RunInfo, Stage, VersionInfo, VersionRef, resolve_version
from bot.domain.registry.rollback_block import block_reason
from bot.services.core.blocked_versions import blocks_for_display
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries

if TYPE_CHECKING:  # pandas is loaded only for comparisons
    from bot.domain.registry import comparison
    from bot.domain.registry.comparison import Comparison

MAX_CACHED_RUNS = 20_000  # runs; about 1 KB each with 30 metrics


class Comparisons:
    """Compares versions by their runs' metrics.

    The metrics of finished runs are cached. They're reread only for versions in Staging and Production, whose runs can
    still log new ones.
    """

    def __init__(self, context: Context, queries: RegistryQueries) -> None:
        self._context = context
        self._queries = queries
        self._run_cache = _RunCache(MAX_CACHED_RUNS)

    def handlers(self) -> QueryHandlers:
        """Return the handlers for `compare` and `best`."""
        return {Compare: self.compare, FindBest: self.best}

    def compare(self, command: Compare) -> Comparison:
        """Compare the given versions, or all of them, with the one in Production.

        Raises UnknownModel, UnknownVersion, and BadInput if none of them has a requested metric.
        """
        versions = self._fetch_versions(command.model)
        chosen = self._select_versions(command.model, command.versions, versions) if command.versions else versions
        return self._compare(command.model, chosen[: command.last], versions, command.metrics or None)

    def best(self, command: FindBest) -> comparison.BestVersion:
        """Return the best version by one metric. Raises UnknownModel, and BadInput if no version has the metric."""
        from bot.domain.registry import comparison

        versions = self._fetch_versions(command.model)
        compared = self._compare(command.model, versions, versions, None)
        return comparison.best_version(compared, command.metric, lowest=command.lowest or None)

    def _fetch_versions(self, model: str) -> list[VersionInfo]:
        """Return the model's versions, newest first. Makes one request, or a few more if there are no versions."""
        versions = self._context.registry.versions(model)
        if versions and versions[0].model == model:
            return versions
        return self._queries.model_and_versions(model)[1]

    def _select_versions(
        self, model: str, refs: Sequence[VersionRef], versions: Sequence[VersionInfo]
    ) -> list[VersionInfo]:
        """Return the versions that `refs` name, newest first. Aliases take one more request."""
        needs_aliases = any(ref.kind == "alias" for ref in refs)
        about = self._context.registry.model(model) if needs_aliases else ModelInfo(name=model)
        found = {one.version: one for one in (resolve_version(ref, about, versions) for ref in refs)}
        return [found[number] for number in sorted(found, reverse=True)]

    def _compare(
        self, model: str, chosen: Sequence[VersionInfo], versions: Sequence[VersionInfo], metrics: Sequence[str] | None
    ) -> Comparison:
        from bot.domain.registry import comparison

        incumbent = next((version for version in versions if version.stage is Stage.PRODUCTION), None)
        policy = self._context.policy
        needed = [*chosen, *([incumbent] if incumbent and incumbent not in chosen else [])]
        return comparison.compare_versions(
            model,
            needed,
            self._fetch_runs(needed),
            metrics=metrics,
            incumbent=incumbent,
            catalog=policy.metrics_for(model),
            gated=_gated_metrics(policy.rules_for(model)),
            blocked={number: block_reason(one) for number, one in blocks_for_display(self._context, needed).items()},
        )

    def _fetch_runs(self, versions: Iterable[VersionInfo]) -> dict[str, RunInfo]:
        """Return the runs of these versions, by ID."""
        wanted = {version.run_id: version for version in versions if version.run_id}
        known = self._run_cache.get(run_id for run_id, one in wanted.items() if one.stage not in TARGET_STAGES)
        missing = [run_id for run_id in wanted if run_id not in known]
        read = self._context.tracker.runs(missing) if missing else {}
        self._run_cache.put(run for run in read.values() if run.is_finished)
        return known | read


def _gated_metrics(rules: ModelRules) -> list[str]:
    """Return the metrics that a model's gates check, those for Production first."""
    stage_rules = [rule for stage in reversed(TARGET_STAGES) if (rule := rules.rule(stage))]
    return [gate.metric for rule in stage_rules for gate in rule.gates if isinstance(gate, MetricGate)]


class _RunCache:
    """A thread-safe cache of the most recently used runs."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._runs: OrderedDict[str, RunInfo] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, ids: Iterable[str]) -> dict[str, RunInfo]:
        """Return the cached runs among those with the given IDs, by ID."""
        with self._lock:
            found = {run_id: self._runs[run_id] for run_id in ids if run_id in self._runs}
            for run_id in found:
                self._runs.move_to_end(run_id)
        return found

    def put(self, runs: Iterable[RunInfo]) -> None:
        """Cache runs and evict the least recently used ones."""
        with self._lock:
            self._runs.update((run.id, run) for run in runs)
            while len(self._runs) > self._max_size:
                self._runs.popitem(last=False)
