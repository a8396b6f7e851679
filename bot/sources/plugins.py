"""Opens sources by type: built-in ones, and plugins with an entry point in the group `registrar.sources`."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from threading import Lock

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, sanitize_text, say, truncate
from bot.domain.monitoring.readings import Answer
from bot.domain.policy.policy import Policy, Source
from bot.ports import MetricSource, Query
from bot.sources import SourceDependencies, bool_option
from bot.sources.mlflow import open_mlflow
from bot.sources.prometheus import open_prometheus
from bot.sources.push import DEFAULT_RETENTION, open_push, retention_of

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "registrar.sources"

SourceOpener = Callable[[str, Source, SourceDependencies], MetricSource]

# A checkout that isn't installed has no entry points.
BUILT_IN_OPENERS: dict[str, SourceOpener] = {"push": open_push, "mlflow": open_mlflow, "prometheus": open_prometheus}


def open_source(
    name: str,
    source: Source,
    dependencies: SourceDependencies,
    *,
    plugins: Callable[[], Iterable[EntryPoint]] | None = None,
) -> MetricSource:
    """Open the source that the policy calls `name`.

    Raises Misconfigured for an unknown type, for wrong options, and for a plugin that fails.
    """
    opener = BUILT_IN_OPENERS.get(source.type)
    if opener:
        return opener(name, source, dependencies)
    entry_points_by_type = {
        entry_point.name: entry_point
        for entry_point in (plugins() if plugins else entry_points(group=ENTRY_POINT_GROUP))
    }
    if source.type not in entry_points_by_type:
        raise Misconfigured(_unknown_type(name, source.type, sorted({*entry_points_by_type, *BUILT_IN_OPENERS})))
    try:
        opened: MetricSource = entry_points_by_type[source.type].load()(name, source, dependencies)
    except Misconfigured:
        raise
    except Exception as error:  # a plugin can raise anything, but must affect only its own monitors
        raise Misconfigured(
            say(
                "{where}: can't open the plugin {type} ({error}: {why}).",
                where=Code(f"sources.{name}.type"),
                type=Code(source.type),
                error=type(error).__name__,
                why=truncate(sanitize_text(str(error)), 200),
            )
        ) from error
    return opened


def _unknown_type(name: str, kind: str, known_types: list[str]) -> Sentence:
    nearest = difflib.get_close_matches(kind, known_types, n=1)
    hint = f"Did you mean {nearest[0]}?" if nearest else f"Types: {', '.join(known_types)}."
    return say(
        "{where}: unknown type {type}. {hint}",
        where=Code(f"sources.{name}.type"),
        type=Code(truncate(sanitize_text(kind), 100)),
        hint=hint,
    )


class MetricSources:
    """The active policy's sources. Each is opened when it's first used, and again when its definition changes."""

    def __init__(self, policy: Callable[[], Policy], dependencies: SourceDependencies) -> None:
        self._policy = policy
        self._dependencies = dependencies
        self._opened: dict[str, tuple[Source, MetricSource]] = {}
        self._lock = Lock()

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer for each query, in order. Raises Misconfigured, and whatever the source raises."""
        answers = list(self._get(name).read(queries))
        if len(answers) != len(queries):
            raise Misconfigured(
                say(
                    "The source {name} returned {n} answers for {most} queries.",
                    name=Code(name),
                    n=len(answers),
                    most=len(queries),
                )
            )
        return answers

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the points that the source still has. Raises Misconfigured, and whatever the source raises."""
        return self._get(name).history(query, step)

    def retention(self) -> timedelta:
        """Return how long pushed readings are kept: the longest `keep` of any push source, or 35 days without one."""
        retentions = [
            retention_of(name, source) for name, source in self._policy().sources.items() if source.type == "push"
        ]
        return max(retentions, default=DEFAULT_RETENTION)

    def requires_signature(self, name: str) -> bool | None:
        """Return whether this source's pushed readings must be signed; None if it isn't a push source."""
        source = self._policy().source(name)
        return bool_option(name, source, "require_signature") if source and source.type == "push" else None

    def config_errors(self) -> list[str]:
        """Return the errors in the policy's sources, one sentence each, to show at startup."""
        errors = []
        for name in self._policy().sources:
            try:
                self._get(name)
            except Misconfigured as error:
                errors.append(str(error.sentence))
        return errors

    def close(self) -> None:
        """Close every source."""
        with self._lock:
            opened = list(self._opened.values())
            self._opened.clear()
        for _, source in opened:
            _close(source)

    def _get(self, name: str) -> MetricSource:
        definition = self._policy().source(name)
        with self._lock:
            current = self._opened.get(name)
        if current and current[0] == definition:
            return current[1]
        if definition is None:
            self._replace(name, None)
            raise Misconfigured(say("The policy has no source {name}.", name=Code(truncate(sanitize_text(name), 100))))
        opened = open_source(
            name, definition, self._dependencies
        )  # without the lock: a slow plugin must delay only its own monitors
        self._replace(name, (definition, opened))
        return opened

    def _replace(self, name: str, opened: tuple[Source, MetricSource] | None) -> None:
        with self._lock:
            before = self._opened.pop(name, None)
            if opened:
                self._opened[name] = opened
        if before:
            _close(before[1])


def _close(source: MetricSource) -> None:
    """Close a source if it has a `close` method; an error is only logged."""
    try:
        getattr(source, "close", lambda: None)()
    except Exception:
        log.exception("couldn't close a source")
