"""Column types: a domain value goes in and comes back equal, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from bot.domain.core.actors import Actor, actor_id, parse_actor
from bot.domain.core.ci_run import CiRun, pack_ci_run
from bot.domain.core.sentence import Sentence, pack_sentence, unpack_sentence
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.promotions.request import RequestSnapshot, pack_snapshot, unpack_snapshot
from bot.domain.registry.model import Stage, VersionIdentity

if TYPE_CHECKING:
    from bot.domain.monitoring.rules.baselines import Baseline

E = TypeVar("E", bound=Enum)

# PostgreSQL's text can't hold NUL, and no database can hold half a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with characters that databases can't hold (NUL, lone surrogates) replaced by U+FFFD.

    They're replaced, not rejected, because even a refused command is recorded in the audit log as it was typed.
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
    """Text from people and from outside."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it can be stored."""
        return None if value is None else storable(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text."""
        return value


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, to the microsecond: sortable text in SQLite, a timestamptz in PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC. Raises ValueError for one without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without its zone: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class EnumByValue(TypeDecorator[E], Generic[E]):
    """A member of an enumeration, by its value."""

    impl = Text
    cache_ok = True

    def __init__(self, enum_type: type[E]) -> None:
        super().__init__()
        self.enum_type = enum_type

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        """Return its value."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        """Return the member. Raises ValueError for an unknown value."""
        return None if value is None else self.enum_type(value)


class ActorText(TypeDecorator[Actor]):
    """An actor, as the same text that the audit log has."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Actor | None, dialect: Dialect) -> str | None:
        """Return the actor as text."""
        return None if value is None else storable(actor_id(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Actor | None:
        """Return the actor."""
        return None if value is None else parse_actor(value)


class PlainJson(TypeDecorator[dict[str, Any]]):
    """Plain JSON data, the same text on both databases."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        """Return the data as text."""
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        """Return the data."""
        if value is None:
            return None
        data: dict[str, Any] = json.loads(value)
        return data


class SnapshotJson(TypeDecorator[RequestSnapshot]):
    """The snapshot that a request was opened with, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: RequestSnapshot | None, dialect: Dialect) -> str | None:
        """Return it as text."""
        if value is None:
            return None
        return dump_json(pack_snapshot(value) | ({"former": dict(value.former)} if value.former else {}))

    def process_result_value(self, value: str | None, dialect: Dialect) -> RequestSnapshot | None:
        """Return it."""
        return None if value is None else unpack_snapshot(json.loads(value))


class CiRunJson(TypeDecorator[CiRun]):
    """The CI run that a command came from, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: CiRun | None, dialect: Dialect) -> str | None:
        """Return it as text."""
        return None if value is None else dump_json(pack_ci_run(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> CiRun | None:
        """Return it."""
        return None if value is None else CiRun(**json.loads(value))


class StagesJson(TypeDecorator[dict[int, Stage]]):
    """The stage of each version of a model, as JSON: version numbers by stage."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[int, Stage] | None, dialect: Dialect) -> str | None:
        """Return the versions by stage, as text."""
        if value is None:
            return None
        return dump_json(
            {stage.value: sorted(number for number, current in value.items() if current is stage) for stage in Stage}
        )

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[int, Stage] | None:
        """Return the stage of each version."""
        if value is None:
            return None
        return {number: Stage(stage) for stage, numbers in json.loads(value).items() for number in numbers}


class IdentityJson(TypeDecorator[VersionIdentity]):
    """The identity of a version, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: VersionIdentity | None, dialect: Dialect) -> str | None:
        """Return it as text."""
        if value is None:
            return None
        return dump_json(
            {key: field.isoformat() if isinstance(field, datetime) else field for key, field in asdict(value).items()}
        )

    def process_result_value(self, value: str | None, dialect: Dialect) -> VersionIdentity | None:
        """Return it."""
        if value is None:
            return None
        data = json.loads(value)
        times = {key: datetime.fromisoformat(data[key]) for key in ("created_at", "model_created_at") if data[key]}
        return VersionIdentity(run_id=data["run_id"], source=data["source"], **times)


class VersionTextsJson(TypeDecorator[dict[int, str]]):
    """A short text for each version of a model, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[int, str] | None, dialect: Dialect) -> str | None:
        """Return them as text."""
        return None if value is None else dump_json({str(number): mark for number, mark in value.items()})

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[int, str] | None:
        """Return them by version."""
        return None if value is None else {int(number): mark for number, mark in json.loads(value).items()}


class IntegersJson(TypeDecorator[tuple[int, ...]]):
    """Version numbers, in order, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[int, ...] | None, dialect: Dialect) -> str | None:
        """Return them as text."""
        return None if value is None else dump_json(list(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[int, ...] | None:
        """Return them."""
        return None if value is None else tuple(json.loads(value))


class FloatsJson(TypeDecorator[tuple[float, ...]]):
    """A list of numbers as JSON; NaN and infinity, which JSON doesn't have, as strings."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, dialect: Dialect) -> str | None:
        """Return them as text."""
        return None if value is None else dump_json([number if isfinite(number) else str(number) for number in value])

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[float, ...] | None:
        """Return them."""
        return None if value is None else tuple(map(float, json.loads(value)))


class SentencesJson(TypeDecorator[tuple[Sentence, ...]]):
    """Sentences with their values, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Sentence, ...] | None, dialect: Dialect) -> str | None:
        """Return them as text."""
        return None if value is None else dump_json([pack_sentence(sentence) for sentence in value])

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Sentence, ...] | None:
        """Return them."""
        return None if value is None else tuple(unpack_sentence(sentence) for sentence in json.loads(value))


class SentenceJson(TypeDecorator[Sentence]):
    """A sentence with its values, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sentence | None, dialect: Dialect) -> str | None:
        """Return it as text."""
        return None if value is None else dump_json(pack_sentence(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Sentence | None:
        """Return it."""
        return None if value is None else unpack_sentence(json.loads(value))


class StringsJson(TypeDecorator[tuple[str, ...]]):
    """Strings, in order, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        """Return them as text."""
        return None if value is None else dump_json(list(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        """Return them."""
        return None if value is None else tuple(json.loads(value))


class BaselineJson(TypeDecorator["Baseline"]):
    """A baseline's summary, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Baseline | None, dialect: Dialect) -> str | None:
        """Return it as text."""
        from bot.domain.monitoring.rules.baselines import dump_baseline

        return None if value is None else dump_baseline(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Baseline | None:
        """Return it."""
        from bot.domain.monitoring.rules.baselines import load_baseline

        return None if value is None else load_baseline(value)


class MonitorRuleJson(TypeDecorator[MonitorConfig]):
    """A monitor's configuration, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: MonitorConfig | None, dialect: Dialect) -> str | None:
        """Return it as text."""
        return None if value is None else dump_json(value.model_dump(mode="json"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> MonitorConfig | None:
        """Return it."""
        return None if value is None else parse_monitor_rule(value)


@lru_cache(maxsize=4096)
def parse_monitor_rule(text: str) -> MonitorConfig:
    """Parse a monitor's configuration. Cached, since it hardly ever changes and is read at every check."""
    return MonitorConfig.model_validate_json(text)
