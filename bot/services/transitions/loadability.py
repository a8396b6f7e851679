"""Whether a version may load that Production could go back to: what is looked at before every rollback."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from bot.domain.core.errors import FilesUnreachable, RegistrarError, UnknownVersion, Unreachable
from bot.domain.core.sentence import Say, say
from bot.domain.registry.model import Package
from bot.domain.registry.signature_changes import misfit
from bot.domain.rollbacks import messages as words
from bot.services.core.context import Context

KNOWN_FOR = timedelta(minutes=10)  # what was found of a version's run and files; neither changes often


@dataclass(frozen=True, slots=True)
class _Found:
    at: datetime
    reasons: tuple[Say, ...]


class WayBack(NamedTuple):
    """A version that Production could go back to, and the one that serves now."""

    model: str
    target: int
    incumbent: int | None

    @property
    def version(self) -> tuple[str, int]:
        """The version to go back to, by model and number."""
        return self.model, self.target


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at several came to, by model and version.

    `unfit` tells why a version may not load, and `unknown` why that cannot be told now; `fit` are the others.
    """

    fit: set[tuple[str, int]] = field(default_factory=set)
    unfit: dict[tuple[str, int], Say] = field(default_factory=dict)
    unknown: dict[tuple[str, int], Say] = field(default_factory=dict)


class Fitness:
    """Looks at runs, MLmodel files and signatures. Nothing is unpickled. What was found is known for ten minutes."""

    def __init__(self, context: Context) -> None:
        self._it = context
        self._found: dict[tuple[str, int, int | None], _Found] = {}
        self._lock = threading.Lock()

    def against(self, model: str, target: int, incumbent: int | None) -> tuple[Say, ...]:
        """Return why a version may not load in the incumbent's place; nothing where nothing stands against it.

        Its run or its MLmodel is gone, or the incumbent's callers can't call it. Raises UnknownVersion for one that is
        not there, RegistryUnreachable, and FilesUnreachable where the registry answers and the files do not.
        """
        known = self.known(model, target, incumbent)
        if known is not None:
            return known
        reasons, now = tuple(self._reasons(model, target, incumbent)), self._it.clock.now()
        with self._lock:
            self._found[model, target, incumbent] = _Found(now, reasons)
        return reasons

    def look(self, ways: Iterable[WayBack]) -> Looked:
        """Return which versions may load. A registry that does not answer is not asked again for each of many."""
        found, away = Looked(), None
        for way in ways:
            if away is not None and self.known(*way) is None:
                found.unknown[way.version] = words.cannot_be_told(*way.version, away)
                continue
            try:
                reasons = self.against(*way)
            except Unreachable as error:
                away = away if isinstance(error, FilesUnreachable) else error.sentence
                found.unknown[way.version] = words.cannot_be_told(*way.version, error.sentence)
                continue
            except RegistrarError as error:
                reasons = (error.sentence,)
            if reasons:
                found.unfit[way.version] = words.unfit(*way.version, reasons)
            else:
                found.fit.add(way.version)
        return found

    def known(self, model: str, target: int, incumbent: int | None) -> tuple[Say, ...] | None:
        """Return what was found lately, without a look; None where nobody has looked."""
        with self._lock:
            known = self._found.get((model, target, incumbent))
        is_fresh = known is not None and timedelta() <= self._it.clock.now() - known.at < KNOWN_FOR
        return known.reasons if known is not None and is_fresh else None

    def _reasons(self, model: str, target: int, incumbent: int | None) -> list[Say]:
        version = self._it.registry.version(model, target)
        reasons = []
        if version.run_id and not self._has_run(version.run_id):
            reasons.append(say("its run is gone"))
        unfit = misfit(self._it.package(version), self._package_of(model, incumbent))
        return [*reasons, unfit] if unfit else reasons

    def _has_run(self, run_id: str) -> bool:
        run = self._it.registry.runs([run_id]).get(run_id)
        return run is not None and not run.is_deleted

    def _package_of(self, model: str, version: int | None) -> Package | None:
        if version is None:
            return None
        try:
            return self._it.package(self._it.registry.version(model, version))
        except UnknownVersion:
            return None
