"""Column types that store domain values and load equal ones back, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from bot.domain.audit.events import encode_json
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

Convert = Callable[[Any], Any]

# PostgreSQL's text can't hold NUL, and no database can hold half a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_parse_json: Convert = TypeAdapter(Any).validate_json  # several times as fast as json.loads


def storable(text: str) -> str:
    """Return the text with characters that databases can't hold (NUL, lone surrogates) replaced by U+FFFD.

    They're replaced instead of rejected, because the audit log records even refused commands as they were typed.
    """
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


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
    text = encode_json(value)
    return text if is_storable_json(text) else encode_json(storable_data(value))


def is_storable_json(text: str) -> bool:
    """Return whether JSON is certain to contain only characters that databases can hold."""
    return text.isascii() and r"\u0000" not in text


class StorableText(TypeDecorator[str]):
    """Text from people and other outside sources."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Convert:
        """Return a function that replaces characters that databases can't hold."""
        return _unless_none(storable)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, to the microsecond: sortable text in SQLite, a timestamptz in PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Convert:
        """Return a function that converts a time to UTC. It raises ValueError for a time without a zone."""
        return _unless_none(_sqlite_text if dialect.name == "sqlite" else _in_utc)

    def result_processor(self, dialect: Dialect, coltype: object) -> Convert:
        """Return a function that converts a stored time to a time in UTC."""
        return _unless_none(_parse_sqlite_text if dialect.name == "sqlite" else _in_utc)


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"time without a time zone: {time!r}")
    return time.astimezone(UTC)


def _sqlite_text(time: datetime) -> str:
    return _in_utc(time).replace(tzinfo=None).isoformat(" ", "microseconds")


def _parse_sqlite_text(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class MappedText(TypeDecorator[Any]):
    """A domain value as text: `dump` turns the value into text, and `load` turns text into the value.

    `cached`: how many loaded values to cache, because the same texts are read often; only for immutable values.
    """

    impl = Text
    cache_ok = True

    def __init__(self, dump: Callable[[Any], str], load: Callable[[str], Any], *, cached: int = 0) -> None:
        super().__init__()
        self.dump, self.load = dump, load  # SQLAlchemy's statement cache tells types apart by these
        self._load = lru_cache(cached)(_unless_none(load)) if cached else _unless_none(load)

    def bind_processor(self, dialect: Dialect) -> Convert:
        """Return a function that converts a value to text."""
        return _unless_none(self.dump)

    def result_processor(self, dialect: Dialect, coltype: object) -> Convert:
        """Return a function that converts text to the value."""
        return self._load


def _unless_none(convert: Convert) -> Convert:
    """Return a function that passes None through and applies `convert` to any other value."""
    return lambda value: None if value is None else convert(value)


def json_text(dump: Callable[[Any], Any], load: Callable[[Any], Any], *, cached: int = 0) -> MappedText:
    """Return the type for a column that stores a domain value as JSON, with the same text on both databases.

    `dump` returns plain data, and `load` accepts it.
    """
    return MappedText(lambda value: dump_json(dump(value)), lambda text: load(_parse_json(text)), cached=cached)


def enum_text(enum_type: type[Enum]) -> MappedText:
    """Return the type for a column that stores the members of an enumeration by their values."""
    return MappedText(attrgetter("_value_"), enum_type, cached=len(enum_type))


def _dump_snapshot(snapshot: RequestSnapshot) -> dict[str, Any]:
    stored_only = {"former": dict(snapshot.former), "facts": dict(snapshot.facts)}
    return pack_snapshot(snapshot) | {key: value for key, value in stored_only.items() if value}


def _dump_stages(stages: Mapping[int, Stage]) -> dict[str, list[int]]:
    return {stage.value: sorted(number for number, current in stages.items() if current is stage) for stage in Stage}


def _load_stages(data: Mapping[str, list[int]]) -> dict[int, Stage]:
    return {number: stage for name, numbers in data.items() for stage in [Stage(name)] for number in numbers}


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


CACHED = 4096  # values of a column
# The same text that the audit log has.
ActorText = MappedText(lambda actor: storable(actor_id(actor)), parse_actor)
PlainJson = json_text(dict, dict)
TupleJson = json_text(list, tuple)
# JSON has no NaN or infinity, so they're strings.
FloatsJson = json_text(
    lambda numbers: [number if isfinite(number) else str(number) for number in numbers],
    lambda data: tuple(map(float, data)),
)
SentenceJson = json_text(pack_sentence, unpack_sentence)
SentencesJson = json_text(
    lambda sentences: [pack_sentence(sentence) for sentence in sentences],
    lambda data: tuple(unpack_sentence(sentence) for sentence in data),
)
SnapshotJson = json_text(_dump_snapshot, unpack_snapshot)
CiRunJson = json_text(pack_ci_run, lambda data: CiRun(**data))
AgentJson = json_text(pack_agent, unpack_agent)
StagesJson = json_text(_dump_stages, _load_stages)  # by stage, the numbers of the versions
IdentityJson = json_text(_dump_identity, _load_identity, cached=CACHED)
ManifestJson = json_text(FileManifest.predicate, parse_manifest)
VersionTextsJson = json_text(
    lambda texts: {str(number): text for number, text in texts.items()},
    lambda data: {int(number): text for number, text in data.items()},
)
BaselineJson = MappedText(_dump_baseline, _load_baseline)
MonitorRuleJson = MappedText(
    lambda rule: dump_json(rule.model_dump(mode="json")), MonitorConfig.model_validate_json, cached=CACHED
)
