"""Comparing versions: a few requests of the registry, whatever their number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bot.domain.commands.queries import Best, Compare
from bot.domain.registry.model import TARGETS, ModelInfo, RunInfo, Stage, VersionInfo, VersionRef, find_version
from bot.domain.registry.rollback_block import blocked
from bot.services.core.blocked_versions import blocks_now
from bot.services.core.context import Context
from bot.services.registry.queries import Lookups

if TYPE_CHECKING:  # pandas is for those who compare
    from bot.domain.registry import comparison
    from bot.domain.registry.comparison import Comparison

REMEMBERED = 20_000  # runs; about a kilobyte each with thirty metrics


class Comparisons:
    """Compares versions by the metrics of their runs.

    Metrics of finished runs hardly change: they are remembered, and asked for again only of the versions in Staging
    and Production, whose runs may go on being measured.
    """

    def __init__(self, context: Context, lookups: Lookups) -> None:
        self._it = context
        self._lookups = lookups
        self._runs = _Remembered(REMEMBERED)

    def compare(self, command: Compare) -> Comparison:
        """Compare the versions that the command names, or all, with the one in Production.

        Raises UnknownModel, UnknownVersion, and BadInput for a metric that none of them has.
        """
        versions = self._versions(command.model)
        chosen = self._chosen(command.model, command.versions, versions) if command.versions else versions
        return self._compare(command.model, chosen[: command.last], versions, command.metrics or None)

    def best(self, command: Best) -> comparison.Best:
        """Find the version that is best by one metric. Raises UnknownModel, and BadInput where nothing has a value."""
        from bot.domain.registry import comparison

        versions = self._versions(command.model)
        compared = self._compare(command.model, versions, versions, None)
        return comparison.best(compared, command.metric, lowest=command.lowest or None)

    def _versions(self, model: str) -> list[VersionInfo]:
        """Return the versions, newest first: one request, and another one only for a model without any."""
        found = self._it.registry.versions(model)
        if found and found[0].model == model:
            return found
        return self._lookups.model_and_versions(model)[1]

    def _chosen(self, model: str, refs: Sequence[VersionRef], versions: Sequence[VersionInfo]) -> list[VersionInfo]:
        """Return the versions that are named, newest first. An alias costs one request more."""
        needs_aliases = any(ref.kind == "alias" for ref in refs)
        about = self._it.registry.model(model) if needs_aliases else ModelInfo(name=model)
        found = {one.version: one for one in (find_version(ref, about, versions) for ref in refs)}
        return [found[number] for number in sorted(found, reverse=True)]

    def _compare(
        self, model: str, chosen: Sequence[VersionInfo], versions: Sequence[VersionInfo], metrics: Sequence[str] | None
    ) -> Comparison:
        from bot.domain.registry import comparison

        incumbent = next((one for one in versions if one.stage is Stage.PRODUCTION), None)
        needed = [*chosen, *([incumbent] if incumbent and incumbent not in chosen else [])]
        return comparison.compare(
            model,
            needed,
            self._read(needed),
            metrics=metrics,
            incumbent=incumbent,
            directions=self._it.policy.directions_for(model),
            blocked={number: blocked(one) for number, one in blocks_now(self._it, needed).items()},
        )

    def _read(self, versions: Iterable[VersionInfo]) -> dict[str, RunInfo]:
        """Return the runs of these versions, by id."""
        wanted = {one.run_id: one for one in versions if one.run_id}
        known = self._runs.get(run_id for run_id, one in wanted.items() if one.stage not in TARGETS)
        missing = [run_id for run_id in wanted if run_id not in known]
        read = self._it.registry.runs(missing) if missing else {}
        self._runs.put(run for run in read.values() if run.is_finished)
        return known | read


class _Remembered:
    """The runs that were used last, for several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._runs: OrderedDict[str, RunInfo] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, ids: Iterable[str]) -> dict[str, RunInfo]:
        """Return those of the runs that are known."""
        with self._lock:
            found = {run_id: self._runs[run_id] for run_id in ids if run_id in self._runs}
            for run_id in found:
                self._runs.move_to_end(run_id)
        return found

    def put(self, runs: Iterable[RunInfo]) -> None:
        """Remember the runs; those that were not used for longest go."""
        with self._lock:
            self._runs.update((run.id, run) for run in runs)
            while len(self._runs) > self._most:
                self._runs.popitem(last=False)
