"""Where monitors get their metrics: pushed readings, MLflow, Prometheus, or a plugin. All sources pass contract.py.

Plugins import the names in `__all__` from `registrar.plugins` (docs/how-to/write-a-source.md). These names aren't
renamed or removed without a deprecation period.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.readings import Answer, CheckOutcome, CountPoint, Point
from bot.domain.policy.policy import Source
from bot.ports import ExperimentTracker, Ledger, MetricSource, ModelRegistry, Query

__all__ = [
    "Answer",
    "CheckOutcome",
    "MetricSource",
    "Misconfigured",
    "Query",
    "Source",
    "SourceDependencies",
    "Unreachable",
    "bool_option",
    "check_options",
    "error_answer",
    "join_counts",
    "say",
    "wrong_option",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDependencies:
    """What a source can use. Read secrets such as tokens from `environ`."""

    ledger: Ledger
    registry: ModelRegistry
    tracker: ExperimentTracker
    environ: Mapping[str, str]


class RegistryWithTracker:
    """A `ModelRegistry` that also has the methods for runs and metrics that plugins written for 0.2 call."""

    def __init__(self, registry: ModelRegistry, tracker: ExperimentTracker) -> None:
        self._ports = (registry, tracker)

    def __getattr__(self, name: str) -> Any:
        return getattr(next((port for port in self._ports if hasattr(port, name)), self._ports[0]), name)


def error_answer(why: Sentence) -> Answer:
    """Return the answer for a failed source or an invalid query. `why` is shown to people."""
    return Answer(outcome=CheckOutcome.ERROR, why=why)


def join_counts(counts: Iterable[Point | CountPoint], totals: Iterable[Point | CountPoint]) -> list[CountPoint]:
    """Return a (time, count, total) point for each time that both series have."""
    total_at = {at: total for at, total, *_ in totals}
    return [(at, value, total_at[at]) for at, value, *_ in counts if at in total_at]


def check_options(name: str, source: Source, known_keys: Collection[str]) -> None:
    """Raise Misconfigured for an option that isn't in `known_keys`; the error suggests the closest known key."""
    options = {**source.options, **({} if source.url is None else {"url": source.url})}
    for key in options:
        if key not in known_keys:
            nearest = difflib.get_close_matches(str(key), known_keys, n=1, cutoff=0.5)
            hint = f"Did you mean {nearest[0]}?" if nearest else f"Known keys: {', '.join(['type', *known_keys])}."
            raise Misconfigured(say("{where}: unknown key. {hint}", where=Code(f"sources.{name}.{key}"), hint=hint))


def wrong_option(name: str, key: str, why: str) -> Misconfigured:
    """Return the error for the option `key` of the source `name`. `why` continues a sentence, such as "must be …"."""
    return Misconfigured(say("{where}: {why}", where=Code(f"sources.{name}.{key}"), why=why))


def bool_option(name: str, source: Source, key: str) -> bool:
    """Return the option `key`, a boolean that defaults to false. Raises Misconfigured for any other value."""
    value = source.options.get(key, False)
    if not isinstance(value, bool):
        raise wrong_option(name, key, "must be true or false.")
    return value


def other_version_serves(version: int, holder: int | None, model: str) -> Sentence:
    """Return why there's no data for `version`: the registry has a different version in Production, or none."""
    if holder is None:
        return say("The registry has no version of {model} in Production.", model=Name(model))
    return say(
        "The registry has v{holder} of {model} in Production, not v{version}.",
        holder=holder,
        model=Name(model),
        version=version,
    )
