"""Check whether a rollback target is likely to load."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from bot.domain.core.errors import FilesUnreachable, RegistrarError, UnknownVersion, Unreachable
from bot.domain.core.sentence import Sentence, say
from bot.domain.integrity.digest import digest_id
from bot.domain.integrity.messages import name_files
from bot.domain.registry.signature_changes import incompatibility_reason
from bot.domain.rollbacks import messages as words
from bot.services.core.context import Context

CACHE_TTL = timedelta(minutes=10)  # runs and files of versions rarely change


class RollbackCandidate(NamedTuple):
    """A version that Production could be rolled back to, and the incumbent."""

    model: str
    target: int
    incumbent: int | None

    @property
    def version(self) -> tuple[str, int]:
        """The target's model and version number."""
        return self.model, self.target


@dataclass(frozen=True, slots=True)
class LoadabilityReport:
    """Results of checks, by model and version.

    `not_loadable` says why a version might not load, and `unknown` why that can't be checked now.
    """

    loadable: set[tuple[str, int]] = field(default_factory=set)
    not_loadable: dict[tuple[str, int], Sentence] = field(default_factory=dict)
    unknown: dict[tuple[str, int], Sentence] = field(default_factory=dict)


class LoadabilityChecks:
    """Checks runs, MLmodel files, and signatures, without unpickling anything. Results are cached for CACHE_TTL."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cache: dict[tuple[str, int, int | None], tuple[datetime, tuple[Sentence, ...]]] = {}
        self._lock = threading.Lock()

    def problems(self, model: str, target: int, incumbent: int | None) -> tuple[Sentence, ...]:
        """Return why `target` might not load in place of `incumbent`; empty if nothing was found.

        For example, its run or MLmodel file is missing, its files are known to have changed, or the incumbent's callers
        can't call it. Raises UnknownVersion, RegistryUnreachable, and FilesUnreachable if only the files are
        unavailable.
        """
        cached = self.cached_problems(model, target, incumbent)
        if cached is not None:
            return cached
        reasons, now = tuple(self._find_problems(model, target, incumbent)), self._context.clock.now()
        with self._lock:
            self._cache[model, target, incumbent] = (now, reasons)
        return reasons

    def check_candidates(self, candidates: Iterable[RollbackCandidate]) -> LoadabilityReport:
        """Check several candidates. Once the registry doesn't respond for one, use only the cache for the rest."""
        report, outage = LoadabilityReport(), None
        for candidate in candidates:
            if outage is not None and self.cached_problems(*candidate) is None:
                report.unknown[candidate.version] = words.loadability_unknown_to_monitor_reason(
                    *candidate.version, outage
                )
                continue
            try:
                reasons = self.problems(*candidate)
            except Unreachable as error:
                outage = outage if isinstance(error, FilesUnreachable) else error.sentence
                report.unknown[candidate.version] = words.loadability_unknown_to_monitor_reason(
                    *candidate.version, error.sentence
                )
                continue
            except RegistrarError as error:
                reasons = (error.sentence,)
            if reasons:
                report.not_loadable[candidate.version] = words.may_not_load_refusal(*candidate.version, reasons)
            else:
                report.loadable.add(candidate.version)
        return report

    def cached_problems(self, model: str, target: int, incumbent: int | None) -> tuple[Sentence, ...] | None:
        """Return the cached problems, or None if there is no fresh result."""
        with self._lock:
            checked_at, problems = self._cache.get((model, target, incumbent), (None, None))
        is_fresh = checked_at is not None and timedelta() <= self._context.clock.now() - checked_at < CACHE_TTL
        return problems if is_fresh else None

    def _find_problems(self, model: str, target: int, incumbent: int | None) -> list[Sentence]:
        registry, reasons, package = self._context.registry, list[Sentence](), None
        version = registry.version(model, target)
        if version.run_id:
            run = self._context.tracker.runs([version.run_id]).get(version.run_id)
            if run is None or run.is_deleted:
                reasons.append(say("its run is gone"))
        with self._context.ledger.read() as reader:
            digest = reader.digest(digest_id(version))
        if digest is not None and digest.changed:
            reasons.append(say("its files changed after they were recorded: {files}", files=name_files(digest.changed)))
        target_package = self._context.package(version)
        with suppress(UnknownVersion):
            package = self._context.package(registry.version(model, incumbent)) if incumbent is not None else None
        incompatibility = incompatibility_reason(target_package, package)
        return [*reasons, incompatibility] if incompatibility else reasons
