"""Sources by their type: ours, and those that other packages bring by the entry points `registrar.sources`."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from threading import Lock

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Say, clean, say, short
from bot.domain.monitoring.readings import Answer
from bot.domain.policy.policy import Policy, Source
from bot.ports import MetricSource, Query
from bot.sources import Parts
from bot.sources.mlflow import open_mlflow
from bot.sources.prometheus import open_prometheus
from bot.sources.push import KEPT, keep_of, open_push, wants_signature

log = logging.getLogger(__name__)

GROUP = "registrar.sources"

Opener = Callable[[str, Source, Parts], MetricSource]

# A checkout that was not installed has no entry points.
OURS: dict[str, Opener] = {"push": open_push, "mlflow": open_mlflow, "prometheus": open_prometheus}


def open_source(
    name: str, source: Source, parts: Parts, *, plugins: Callable[[], Iterable[EntryPoint]] | None = None
) -> MetricSource:
    """Return the source that the policy calls `name`.

    Raises Misconfigured for a type that nobody brings, for options that are wrong, and for a plug-in that fails.
    """
    opener = OURS.get(source.type)
    if opener:
        return opener(name, source, parts)
    found = {one.name: one for one in (plugins() if plugins else entry_points(group=GROUP))}
    if source.type not in found:
        raise Misconfigured(_unknown_type(name, source.type, sorted({*found, *OURS})))
    try:
        made: MetricSource = found[source.type].load()(name, source, parts)
    except Misconfigured:
        raise
    except Exception as error:  # another's code: whatever it raises, only its own monitors may feel it
        raise Misconfigured(
            say(
                "{where}: the plug-in {type} cannot be used ({error}: {why}).",
                where=Code(f"sources.{name}.type"),
                type=Code(source.type),
                error=type(error).__name__,
                why=short(clean(str(error)), 200),
            )
        ) from error
    return made


def _unknown_type(name: str, kind: str, known: list[str]) -> Say:
    near = difflib.get_close_matches(kind, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"types are: {', '.join(known)}."
    return say(
        "{where}: there is no type {type}; {hint}",
        where=Code(f"sources.{name}.type"),
        type=Code(short(clean(kind), 100)),
        hint=hint,
    )


class Sources:
    """The sources of the policy that holds, each opened when it is asked first, and anew when its words change."""

    def __init__(self, policy: Callable[[], Policy], parts: Parts) -> None:
        self._policy = policy
        self._parts = parts
        self._open: dict[str, tuple[Source, MetricSource]] = {}
        self._lock = Lock()

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order. Raises Misconfigured, and what the source raises."""
        answers = list(self._source(name).read(queries))
        if len(answers) != len(queries):
            raise Misconfigured(
                say(
                    "The source {name} gave {n} answers to {most} questions.",
                    name=Code(name),
                    n=len(answers),
                    most=len(queries),
                )
            )
        return answers

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return what the source still knows. Raises Misconfigured, and what the source raises."""
        return self._source(name).history(query, step)

    def keep(self) -> timedelta:
        """Return how long pushed readings are kept: the longest that a push source names, else 35 days."""
        named = [keep_of(name, one) for name, one in self._policy().sources.items() if one.type == "push"]
        return max(named, default=KEPT)

    def takes(self, name: str) -> bool | None:
        """Tell whether pushed readings of this source have to be signed; None where it is no push source."""
        source = self._policy().source(name)
        return wants_signature(name, source) if source and source.type == "push" else None

    def faults(self) -> list[str]:
        """Return what is wrong with the sources that the policy names, each a sentence: for whoever starts the bot."""
        found = []
        for name in self._policy().sources:
            try:
                self._source(name)
            except Misconfigured as error:
                found.append(str(error.sentence))
        return found

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            opened = list(self._open.values())
            self._open.clear()
        for _, source in opened:
            _close(source)

    def _source(self, name: str) -> MetricSource:
        wanted = self._policy().source(name)
        with self._lock:
            known = self._open.get(name)
        if known and known[0] == wanted:
            return known[1]
        if wanted is None:
            self._put(name, None)
            raise Misconfigured(say("The policy has no source {name}.", name=Code(short(clean(name), 100))))
        made = open_source(name, wanted, self._parts)  # not under the lock: a plug-in may take long, and only its own
        self._put(name, (wanted, made))
        return made

    def _put(self, name: str, opened: tuple[Source, MetricSource] | None) -> None:
        with self._lock:
            before = self._open.pop(name, None)
            if opened:
                self._open[name] = opened
        if before:
            _close(before[1])


def _close(source: MetricSource) -> None:
    """Close a source that has something to let go of; what a plug-in does wrong there is logged."""
    try:
        getattr(source, "close", lambda: None)()
    except Exception:
        log.exception("a source could not be closed")
