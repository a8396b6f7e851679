"""Where measurements come from: pushed to us, MLflow, Prometheus. New kinds are plug-ins; all pass contract.py."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.readings import Answer, CheckOutcome, CountPoint, Point
from bot.domain.policy.policy import Source
from bot.ports import Ledger, ModelRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDependencies:
    """What a source may be made with. `environ` is where tokens are read from."""

    ledger: Ledger
    registry: ModelRegistry
    environ: Mapping[str, str]


def error_answer(why: Sentence) -> Answer:
    """Return the answer of a source that failed, or of a query that is wrong."""
    return Answer(outcome=CheckOutcome.ERROR, why=why)


def join_counts(counts: Iterable[Point | CountPoint], totals: Iterable[Point | CountPoint]) -> list[CountPoint]:
    """Return time, count, and total for each time that both series have."""
    out_of = {at: figure for at, figure, *_ in totals}
    return [(at, figure, out_of[at]) for at, figure, *_ in counts if at in out_of]


def check_options(name: str, source: Source, known_keys: Collection[str]) -> None:
    """Raise Misconfigured for a key that a source of this type does not have, naming its place and the nearest one."""
    given = {**source.options, **({} if source.url is None else {"url": source.url})}
    for key in given:
        if key not in known_keys:
            near = difflib.get_close_matches(str(key), known_keys, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(['type', *known_keys])}."
            raise Misconfigured(say("{where}: unknown key; {hint}", where=Code(f"sources.{name}.{key}"), hint=hint))


def wrong_option(name: str, key: str, why: str) -> Misconfigured:
    """Return the error of an option that is there, and wrong; `why` is ours."""
    return Misconfigured(say("{where}: {why}", where=Code(f"sources.{name}.{key}"), why=why))


def bool_option(name: str, source: Source, key: str) -> bool:
    """Return an option that is true or false; false where it is left out. Raises Misconfigured."""
    value = source.options.get(key, False)
    if not isinstance(value, bool):
        raise wrong_option(name, key, "must be true or false.")
    return value


def other_version_serves(version: int, holder: int | None, model: str) -> Sentence:
    """Return why there is nothing to say of `version`: the registry has another one in Production, or none."""
    if holder is None:
        return say("The registry has nothing of {model} in Production.", model=Name(model))
    return say(
        "The registry has v{holder} of {model} in Production, and not v{version}.",
        holder=holder,
        model=Name(model),
        version=version,
    )
