"""A registry in memory that behaves like MLflow's: for tests, and for whoever wants to try something out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import RLock
from types import MappingProxyType

from bot.domain.errors import RegistryRefused, RegistryUnreachable
from bot.domain.registry import TARGETS, ModelInfo, Stage, VersionInfo
from bot.domain.text import Name, say
from bot.registry import unknown_model, unknown_version, unspeakable_model


@dataclass(slots=True)
class _Model:
    name: str
    description: str
    tags: Mapping[str, str]
    is_prompt: bool
    updated_at: datetime
    versions: dict[int, VersionInfo] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    highest: int = 0  # numbers of deleted versions never come back


class MemoryRegistry:
    """The port `Registry`, with what a test needs to prepare it and to make it fail.

    `down`: nothing is answered. `loses_answers`: what is asked is done, but the answer never comes.
    `delay`: how many seconds each answer takes; `wait` does the waiting.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.down = False
        self.loses_answers = False
        self.delay = 0.0
        self._now = now
        self._wait = wait
        self._lock = RLock()
        self._models: dict[str, _Model] = {}

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text` (any case), sorted by name."""
        with self._answering():
            return [_told(m) for name, m in sorted(self._models.items()) if _is_found(m, text.lower())]

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel."""
        with self._answering():
            return _told(self._find(name))

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version, newest number first; none for an unknown model."""
        with self._answering():
            if "'" in name and '"' in name:
                raise unspeakable_model(name)
            model = self._models.get(name)
            there = {} if model is None or model.is_prompt else model.versions
            return [there[number] for number in sorted(there, reverse=True)]

    def transition(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Move the version; with `archive_existing` whoever holds Staging or Production is archived."""
        with self._answering():
            model = self._find_with(name, version)
            if archive_existing and stage in TARGETS:
                _archive_holders(model, stage)
            model.versions[version] = replace(model.versions[version], stage=stage)
            model.updated_at = self._now()

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` name the version. Raises RegistryRefused for an alias that MLflow does not take."""
        with self._answering():
            model = self._find_with(name, version)
            if not re.fullmatch(r"[\w-]{1,255}", alias) or re.fullmatch(r"(?i)latest|v\d+", alias):
                raise RegistryRefused(say("The registry takes no alias {alias}.", alias=Name(alias)))
            model.aliases[alias] = version

    def add(
        self,
        name: str,
        *,
        versions: int | Sequence[Stage] = 0,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        prompt: bool = False,
    ) -> None:
        """Add a model with so many versions, or with one version in each of these stages, v1 first."""
        with self._lock:
            self._models[name] = _Model(name, description, MappingProxyType(dict(tags or {})), prompt, self._now())
            for stage in [Stage.NONE] * versions if isinstance(versions, int) else versions:
                self.add_version(name, stage=stage)

    def add_version(
        self,
        name: str,
        *,
        stage: Stage = Stage.NONE,
        run_id: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Add a version with the next number to a model that is there, and return the number."""
        with self._lock:
            model = self._models[name]
            model.highest += 1
            model.updated_at = self._now()
            model.versions[model.highest] = VersionInfo(
                model=name, version=model.highest, stage=stage, run_id=run_id, created_at=self._now(),
                description=description, tags=MappingProxyType(dict(tags or {})),
            )  # fmt: skip
            return model.highest

    def delete_version(self, name: str, version: int) -> None:
        """Take a version away; its aliases go with it, its number is never given again."""
        with self._lock:
            model = self._models[name]
            del model.versions[version]
            model.aliases = {alias: number for alias, number in model.aliases.items() if number != version}

    @contextmanager
    def _answering(self) -> Iterator[None]:
        if self.delay:
            self._wait(self.delay)
        if self.down:
            raise RegistryUnreachable("The registry does not answer.")
        with self._lock:
            yield
        if self.loses_answers:
            raise RegistryUnreachable("The registry did not answer in time.")

    def _find(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None or model.is_prompt:
            raise unknown_model(name)
        return model

    def _find_with(self, name: str, version: int) -> _Model:
        model = self._find(name)
        if version not in model.versions:
            raise unknown_version(name, version)
        return model


def _is_found(model: _Model, text: str) -> bool:
    return not model.is_prompt and text in model.name.lower()


def _archive_holders(model: _Model, stage: Stage) -> None:
    for number, version in model.versions.items():
        if version.stage is stage:
            model.versions[number] = replace(version, stage=Stage.ARCHIVED)


def _told(model: _Model) -> ModelInfo:
    return ModelInfo(
        name=model.name,
        description=model.description,
        latest={model.versions[number].stage: number for number in sorted(model.versions)},
        aliases=MappingProxyType(dict(model.aliases)),
        tags=model.tags,
        updated_at=model.updated_at,
    )
