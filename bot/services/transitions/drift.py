"""Poll the registry for changes by others, since MLflow keeps no history."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from bot.domain.core.errors import RegistrarError, RegistryRefused, UnknownModel, Unreachable
from bot.domain.registry.model import ModelInfo
from bot.domain.transitions import drift
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, RegistrySnapshot
from bot.domain.transitions.polling import MAX_SINGLE_READS, PollCursor, is_listing_cheaper
from bot.domain.transitions.restores import Discrepancy, Hold, HoldKind
from bot.ports import ListsChanges, OutboxMessage
from bot.services.core.context import Context
from bot.services.registry.announcements import shared_announcements
from bot.services.transitions.drift_records import DriftRecorder, KnownState, ModelReading
from bot.services.transitions.restores import open_hold

log = logging.getLogger(__name__)

MODELS_PER_TRANSACTION = 100
SNAPSHOTS_PER_READ = 500


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The models that are new or differ from their last snapshots, and those snapshots by name."""

    changed: Sequence[ModelInfo]
    snapshots: Mapping[str, RegistrySnapshot]
    has_unchanged_files: bool  # of a model that didn't change

    @property
    def moved(self) -> list[ModelInfo]:
        """The models that differ only in the location of their files."""
        return [
            model
            for model in self.changed
            if (snapshot := self.snapshots.get(model.name)) and snapshot.has_moved_files(model)
        ]


@dataclass(frozen=True, slots=True)
class _SingleReads:
    """Models read individually, and the names of those that don't exist or that the registry refused to return."""

    models: list[ModelInfo]
    gone: set[str]
    refused: set[str]


class DriftDetector:
    """Finds new versions, and changes that weren't made through Registrar.

    `monotonic` returns seconds from a clock that's never set back.
    """

    def __init__(self, context: Context, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._recorder = DriftRecorder(context)
        self._monotonic = monotonic
        self._cursor: PollCursor | None = None  # None: the next poll is a sweep

    def poll(self) -> int:
        """Compare models with their last snapshots; return how many had changes to record.

        Every ten minutes, and after a failed poll, this compares all models, with one request per page of models. In
        between, it compares the models that were updated, with one request, and those that have pending work, a
        monitor, or a version in Staging or Production, with one request each, because moving an alias doesn't count as
        an update. If a registry is so small that listing all models is cheaper, it does that instead. Each model that
        changed takes one more request.
        """
        at = self._monotonic()
        cursor, self._cursor = self._cursor, None
        count = self._poll_changes(cursor, at) if cursor else None
        return self._sweep(at) if count is None else count

    def _sweep(self, at: float) -> int:
        with self._context.ledger.read() as reader:
            known_names = reader.model_names()
            is_first = reader.registry_snapshot(REGISTRY_SEEN_KEY) is None
        models = self._context.registry.models()
        # While pages are listed, a deletion shifts them, so a model can be missing that still exists.
        missing = self._read_models(set(known_names) - {model.name for model in models})
        models = [*models, *missing.models]
        comparison = self._compare(models)
        changed = comparison.changed
        is_migrated = not comparison.has_unchanged_files and drift.is_registry_migrated(comparison.snapshots, changed)
        if is_migrated:
            moved = comparison.moved
            self._report_migration(moved)
            moved_names = {model.name for model in moved}
            changed = [model for model in changed if model.name not in moved_names]
        count, unrecorded = self._check(changed, len(models), is_first_poll=is_first)
        count += is_migrated + self._record_deleted(missing.gone)
        if is_first:
            with self._context.ledger.write() as tx:
                tx.save_registry_snapshot(RegistrySnapshot(model=REGISTRY_SEEN_KEY, at=self._context.clock.now()))
        self._cursor = PollCursor.after_sweep(models, at, unrecorded | missing.refused)
        return count

    def _poll_changes(self, cursor: PollCursor, at: float) -> int | None:
        """Compare updated models, and those whose aliases matter; return how many changed, or None to compare all."""
        registry, since = self._context.registry, cursor.since
        if since is None or not isinstance(registry, ListsChanges):
            return None
        with self._context.ledger.read() as reader:
            watched = {*reader.watched_models(), *cursor.unrecorded}
        if cursor.needs_sweep(at, len(watched)):
            return None
        try:
            models = {model.name: model for model in registry.recently_updated(since)}
        except RegistryRefused:
            return None
        read = self._read_models(watched - models.keys())
        models |= {model.name: model for model in read.models}
        comparison = self._compare(list(models.values()))
        if comparison.moved:  # perhaps the files of the whole registry moved
            return None
        count, unrecorded = self._check(comparison.changed, cursor.models, is_first_poll=False)
        count += self._record_deleted(read.gone)
        self._cursor = cursor.after_poll(models.values(), at, unrecorded | read.refused)
        return count

    def _read_models(self, names: set[str]) -> _SingleReads:
        models: list[ModelInfo] = []
        gone, refused = set[str](), set[str]()
        for name in sorted(names):
            try:
                models.append(self._context.registry.model(name))
            except UnknownModel:
                gone.add(name)
            except RegistryRefused as error:
                log.warning("can't check %s: %s", name, error)
                refused.add(name)
        return _SingleReads(models, gone, refused)

    def _compare(self, models: Sequence[ModelInfo]) -> _Comparison:
        changed: list[ModelInfo] = []
        snapshots: dict[str, RegistrySnapshot] = {}
        has_unchanged_files = False
        for start in range(0, len(models), SNAPSHOTS_PER_READ):
            part = models[start : start + SNAPSHOTS_PER_READ]
            with self._context.ledger.read() as reader:
                known = reader.registry_snapshots([model.name for model in part])
            for model in part:
                snapshot = known.get(model.name)
                if snapshot and snapshot.matches_summary(model):
                    has_unchanged_files = has_unchanged_files or bool(model.identities)
                    continue
                changed.append(model)
                if snapshot:
                    snapshots[model.name] = snapshot
        return _Comparison(changed, snapshots, has_unchanged_files)

    def _report_migration(self, moved: Sequence[ModelInfo]) -> None:
        """Hold pending work, and report once that all sources changed; an admin decides whether to accept that."""
        line = drift.registry_migrated_line(moved)
        key = f"sources:{moved[0].name}:{next(iter(moved[0].identities.values())).fingerprint}"
        with self._context.ledger.write() as tx:
            hold = tx.active_hold()
            if hold is None or key not in hold.keys:
                open_hold(
                    tx,
                    self._context,
                    HoldKind.REGISTRY_MIGRATED,
                    [Discrepancy(key=key, kind=HoldKind.REGISTRY_MIGRATED, sentence=line)],
                )

    def check_model(self, name: str) -> bool:
        """Check one model now, for example after a webhook, and return whether it changed.

        Relies only on what the registry returns, not on the webhook. Skips unknown models and prompts. Raises
        Unreachable.
        """
        try:
            model = self._context.registry.model(name)
        except UnknownModel:
            return False
        with self._context.ledger.read() as reader:
            is_first = reader.registry_snapshot(REGISTRY_SEEN_KEY) is None
        count, _ = self._check([model], 1, is_first_poll=is_first)
        return bool(count)

    def _check(
        self, models: Sequence[ModelInfo], registered: int, *, is_first_poll: bool
    ) -> tuple[int, frozenset[str]]:
        """Check these models, out of `registered` in total; return how many changed, and which ones to recheck."""
        names = [model.name for model in models]
        known, hold = self._recorder.known_states(names, is_first_poll=is_first_poll)
        # Nothing is recorded during a transition, so that a later poll finds the model again.
        due = [model for model in models if (it := known[model.name]).is_baseline or not it.has_transition_in_progress]
        shared = shared_announcements(
            self._context, [model for model in due if known[model.name].has_new_versions(model)]
        )
        readings, news = self._read_versions(due, known, registered), dict[str, bool]()
        while batch := list(islice(readings, MODELS_PER_TRANSACTION)):
            news |= self._record(batch, hold, shared)
        return sum(news.values()), frozenset(names) - news.keys()

    def _read_versions(
        self, models: Sequence[ModelInfo], known: Mapping[str, KnownState], registered: int
    ) -> Iterator[ModelReading]:
        """Yield the models with their versions. Log and skip those that the registry refuses to return."""
        registry, missing = self._context.registry, {model.name: model for model in models}
        is_worth_listing = len(models) > MAX_SINGLE_READS and is_listing_cheaper(len(models), registered)
        if is_worth_listing and isinstance(registry, ListsChanges):
            with suppress(RegistryRefused):
                for name, versions in registry.versions_by_model():
                    if model := missing.pop(name, None):
                        yield ModelReading(known[name], model, versions)
        for name, model in missing.items():
            try:
                versions = registry.versions(name)
            except Unreachable:
                raise
            except RegistrarError as error:
                log.warning("can't check %s: %s", name, error)
                continue
            yield ModelReading(known[name], model, versions)

    def _record(
        self, readings: Sequence[ModelReading], hold: Hold | None, shared: Mapping[str, OutboxMessage]
    ) -> dict[str, bool]:
        """Record the readings, and log those that can't be recorded. Return what `DriftRecorder.record` returns."""
        try:
            return self._recorder.record(readings, hold, shared)
        except Unreachable:
            raise
        except RegistrarError as error:
            if len(readings) > 1:
                parts = [self._record([reading], hold, shared) for reading in readings]
                return {name: has_news for part in parts for name, has_news in part.items()}
            log.warning("can't check %s: %s", readings[0].name, error)
            return {}

    def _record_deleted(self, names: set[str]) -> int:
        """Report the models that the registry doesn't have anymore; return how many were reported."""
        if not names:
            return 0
        with self._context.ledger.read() as reader:
            snapshots = reader.registry_snapshots(names)
        return sum(map(self._recorder.record_deleted, snapshots.values()))
