"""Column types that store a domain value and load it back equal, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from bot.domain.core.actors import actor_id, parse_actor
from bot.domain.core.agent import pack_agent, unpack_agent
from bot.domain.core.ci_run import CiRun, pack_ci_run
from bot.domain.core.sentence import pack_sentence, unpack_sentence
from bot.domain.integrity.manifest import FileManifest, parse_manifest
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.promotions.request import RequestSnapshot, pack_snapshot, unpack_snapshot
from bot.domain.registry.model import Stage, VersionIdentity

if TYPE_CHECKING:
    from bot.domain.monitoring.rules.baselines import Baseline

# PostgreSQL's text can't hold NUL, and no database can hold half a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with characters that databases can't hold (NUL, lone surrogates) replaced by U+FFFD.

    They're replaced instead of rejected, because the audit log records even refused commands as they were typed.
    """
    return _UNSTORABLE.sub("\ufffd", text)


def storable_data(value: Any) -> Any:
    """Return JSON data with `storable` applied to all strings, including keys."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable_data(key): storable_data(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable_data(inner) for inner in value]
    return value


def dump_json(value: Any) -> str:
    """Return plain JSON data as text. Raises ValueError for NaN, and TypeError for anything that isn't JSON."""
    return json.dumps(storable_data(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class StorableText(TypeDecorator[str]):
    """Text from people and other outside sources."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it can be stored."""
        return None if value is None else storable(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, to the microsecond: sortable text in SQLite, a timestamptz in PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC. Raises ValueError for one without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time without a time zone: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class MappedText(TypeDecorator[Any]):
    """A domain value as text: `dump` turns the value into text, and `load` turns text into the value."""

    impl = Text
    cache_ok = True

    def __init__(self, dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> None:
        super().__init__()
        self.dump, self.load = dump, load  # SQLAlchemy's statement cache tells types apart by these

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the value as text."""
        return None if value is None else self.dump(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value."""
        return None if value is None else self.load(value)


class Json(MappedText):
    """A domain value as JSON, the same text on both databases: `dump` returns plain data, and `load` takes it."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the value as JSON."""
        return None if value is None else dump_json(self.dump(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value."""
        return None if value is None else self.load(json.loads(value))


def enum_text(enum_type: type[Enum]) -> MappedText:
    """Return the type of a column with members of an enumeration, by their values."""
    return MappedText(_value_of, enum_type)


_value_of = attrgetter("value")


def _dump_snapshot(snapshot: RequestSnapshot) -> dict[str, Any]:
    stored_only = {"former": dict(snapshot.former), "facts": dict(snapshot.facts)}
    return pack_snapshot(snapshot) | {key: value for key, value in stored_only.items() if value}


def _dump_stages(stages: Mapping[int, Stage]) -> dict[str, list[int]]:
    return {stage.value: sorted(number for number, current in stages.items() if current is stage) for stage in Stage}


def _load_stages(data: Mapping[str, list[int]]) -> dict[int, Stage]:
    return {number: Stage(stage) for stage, numbers in data.items() for number in numbers}


def _dump_identity(identity: VersionIdentity) -> dict[str, Any]:
    return {key: field.isoformat() if isinstance(field, datetime) else field for key, field in asdict(identity).items()}


def _load_identity(data: Mapping[str, Any]) -> VersionIdentity:
    times = {key: datetime.fromisoformat(data[key]) for key in ("created_at", "model_created_at") if data[key]}
    return VersionIdentity(run_id=data["run_id"], source=data["source"], **times)


def _dump_baseline(baseline: Baseline) -> str:
    from bot.domain.monitoring.rules.baselines import dump_baseline

    return dump_baseline(baseline)


def _load_baseline(text: str) -> Baseline:
    from bot.domain.monitoring.rules.baselines import load_baseline

    return load_baseline(text)


@lru_cache(maxsize=4096)
def _load_monitor_rule(text: str) -> MonitorConfig:
    """Parse a monitor's configuration. Cached, since every check reads it and it rarely changes."""
    return MonitorConfig.model_validate_json(text)


ActorText = MappedText(lambda actor: storable(actor_id(actor)), parse_actor)  # the same text that the audit log has
PlainJson = Json(dict, dict)
TupleJson = Json(list, tuple)
# JSON has no NaN or infinity, so they're strings.
FloatsJson = Json(
    lambda numbers: [number if isfinite(number) else str(number) for number in numbers],
    lambda data: tuple(map(float, data)),
)
SentenceJson = Json(pack_sentence, unpack_sentence)
SentencesJson = Json(
    lambda sentences: [pack_sentence(sentence) for sentence in sentences],
    lambda data: tuple(unpack_sentence(sentence) for sentence in data),
)
SnapshotJson = Json(_dump_snapshot, unpack_snapshot)
CiRunJson = Json(pack_ci_run, lambda data: CiRun(**data))
AgentJson = Json(pack_agent, unpack_agent)
StagesJson = Json(_dump_stages, _load_stages)  # by stage, the numbers of the versions
IdentityJson = Json(_dump_identity, _load_identity)
ManifestJson = Json(FileManifest.predicate, parse_manifest)
VersionTextsJson = Json(
    lambda texts: {str(number): text for number, text in texts.items()},
    lambda data: {int(number): text for number, text in data.items()},
)
BaselineJson = MappedText(_dump_baseline, _load_baseline)
MonitorRuleJson = MappedText(lambda rule: dump_json(rule.model_dump(mode="json")), _load_monitor_rule)
