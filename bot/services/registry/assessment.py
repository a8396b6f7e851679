"""Assess a registry: read its models, versions, and what's in Production. Changes nothing and needs no ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from bot.domain.core.errors import FilesUnreachable, RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Name, Sentence, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.gates import GateFacts
from bot.domain.promotions.holder_gates import check_holder
from bot.domain.registry.assessment import (
    HolderGates,
    ProductionHolder,
    RegistryAssessment,
    find_holder_problems,
    find_model_problems,
    sort_problems,
    versions_in_production,
)
from bot.domain.registry.model import ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo
from bot.domain.registry.model_card import ModelCard
from bot.domain.transitions.model_card_sources import ModelCardSources, fill_model_card
from bot.ports import ExperimentTracker, ListsAllVersions, ModelRegistry
from bot.services.core.context import CHALLENGER, CHAMPION

_THREADS = 4  # parallel requests: more would slow the registry down for everyone else
_MAX_UNREACHABLE = 8  # versions whose files don't respond; after that, no more files are read
_STAGE_BY_ALIAS = {CHAMPION: Stage.PRODUCTION, CHALLENGER: Stage.STAGING}
_NOT_READ = say("No files were read, so signatures are unknown.")
_GAVE_UP = say("Their storage isn't responding.")
T = TypeVar("T")
VersionFiles = ModelPackage | Sentence | None  # a sentence says why they weren't read


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAssessor:
    """Reads and assesses a registry.

    `policy`, if given, is the policy whose Production gates the versions in Production are checked against. Without
    `reads_files`, signatures are unknown. `show_progress` is called with a text at each step; `now` is the current
    time.
    """

    registry: ModelRegistry
    tracker: ExperimentTracker
    now: datetime
    policy: Policy | None = None
    reads_files: bool = True
    show_progress: Callable[[str], object] = field(default=lambda text: None)

    def assess(self) -> RegistryAssessment:
        """Return the assessment. Raises RegistryUnreachable and RegistryRefused.

        Takes one request per 1,000 models, one per 5,000 versions, one per 1,000 runs of versions in Production, one
        for the experiments, and a few for the files of each version in Production. If the registry can't list all
        versions at once, listing them takes one request per model instead.
        """
        self.show_progress("Reading models…")
        models = {model.name: model for model in self.registry.models()}
        versions = self._versions(models)
        held = [
            (version, by_alias)
            for name, model in models.items()
            for found, by_alias in [versions_in_production(model, versions[name], CHAMPION)]
            for version in found
        ]
        self.show_progress("Reading runs…")
        run_ids = dict.fromkeys(version.run_id for version, _ in held if version.run_id)
        runs = self.tracker.runs(list(run_ids)) if run_ids else {}
        files = self._files([version for version, _ in held])
        holders = tuple(
            self._holder(models[version.model], version, runs.get(version.run_id or ""), found, by_alias=by_alias)
            for (version, by_alias), found in zip(held, files, strict=True)
        )
        problems = [one for holder in holders for one in find_holder_problems(holder)]
        for name, model in models.items():
            problems += find_model_problems(model, versions[name], _STAGE_BY_ALIAS)
        return RegistryAssessment(
            models=len(models),
            versions=sum(map(len, versions.values())),
            holders=holders,
            problems=sort_problems(problems),
            unread=_unread_reasons(zip((version for version, _ in held), files, strict=True))
            if self.reads_files
            else (_NOT_READ,),
        )

    def _versions(self, names: Iterable[str]) -> Mapping[str, Sequence[VersionInfo]]:
        """Return the versions of each of these models, without versions of anything that isn't a model."""
        by_model: dict[str, list[VersionInfo]] = {name: [] for name in names}
        self.show_progress("Reading versions…")
        for version in self._all_versions(list(by_model)):
            if version.model in by_model:
                by_model[version.model].append(version)
        return by_model

    def _all_versions(self, names: Sequence[str]) -> Iterable[VersionInfo]:
        if isinstance(self.registry, ListsAllVersions):
            try:
                return self.registry.all_versions()
            except RegistryRefused:  # such as Unity Catalog
                pass
        listed = self._in_threads(self.registry.versions, names, "Reading versions of models…")
        return [version for versions in listed for version in versions]

    def _files(self, versions: Sequence[VersionInfo]) -> list[VersionFiles]:
        """Return each version's package (None if it has none), or why its files weren't read."""
        if not self.reads_files:
            return [_NOT_READ for _ in versions]
        unreachable: list[VersionInfo] = []
        return self._in_threads(partial(self._read_files, unreachable), versions, "Reading files…")

    def _read_files(self, unreachable: list[VersionInfo], version: VersionInfo) -> VersionFiles:
        if len(unreachable) >= _MAX_UNREACHABLE:
            return _GAVE_UP
        try:
            return self.tracker.package(version)
        except FilesUnreachable as error:
            unreachable.append(version)
            return error.sentence
        except RegistryUnreachable:
            raise
        except RegistrarError as error:
            return error.sentence

    def _in_threads(self, read: Callable[[Any], T], items: Sequence[Any], progress: str) -> list[T]:
        results: list[T] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for result in pool.map(read, items):
                results.append(result)
                self.show_progress(f"{progress} {len(results):,} of {len(items):,}")
        return results

    def _holder(
        self, model: ModelInfo, version: VersionInfo, run: RunInfo | None, files: VersionFiles, *, by_alias: bool
    ) -> ProductionHolder:
        is_read, package = (False, None) if isinstance(files, Sentence) else (True, files)
        card = fill_model_card(ModelCardSources(version=version, model=model, run=run, package=package))
        return ProductionHolder(
            version=version,
            by_alias=by_alias,
            run=run,
            card=card,
            has_signature=bool(package and package.signature) if is_read else None,
            gates=self._check_gates(version, card, package, is_read=is_read),
        )

    def _check_gates(
        self, version: VersionInfo, card: ModelCard, package: ModelPackage | None, *, is_read: bool
    ) -> HolderGates | None:
        if self.policy is None:
            return None
        facts = GateFacts(
            version=version,
            now=self.now,
            missing=card.missing(),
            metrics=card.metrics,
            directions=self.policy.metrics_for(version.model).directions,
            signature=package.signature if package else None,
            has_mlmodel=package is not None,
        )
        return check_holder(self.policy.rules_for(version.model).production, facts, are_files_read=is_read)


def _unread_reasons(files: Iterable[tuple[VersionInfo, VersionFiles]]) -> tuple[Sentence, ...]:
    """Return why files weren't read, the most frequent reason first, each with an example."""
    examples: dict[str, VersionInfo] = {}
    counts: Counter[str] = Counter()
    for version, found in files:
        if isinstance(found, Sentence):
            counts[str(found)] += 1
            examples.setdefault(str(found), version)
    return tuple(
        say(
            "The files of {n} weren't read, such as {model} {v}. {reason}.",
            n=pluralize(count, "version"),
            model=Name(examples[reason].model),
            v=f"v{examples[reason].version}",
            reason=reason.rstrip("."),
        )
        for reason, count in counts.most_common()
    )
