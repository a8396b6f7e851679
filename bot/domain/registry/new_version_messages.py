"""The announcement of a new version."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, join_sentences, say, truncate
from bot.domain.registry.metric_catalog import ChangeOutcome, MetricCatalog
from bot.domain.registry.model import VersionInfo

MAX_MODELS = 10  # named in one message; the others are counted
MAX_METRICS = 4  # of a new version, the most important ones


def describe_new_version(version: VersionInfo) -> list[Sentence]:
    """Return lines about a new version: its semver, run, and description, if known."""
    lines = []
    if version.semver:
        lines.append(say("Semver {semver}", semver=Code(version.semver)))
    if version.run_id:
        lines.append(say("Run {run}", run=Code(version.run_id)))
    if version.description.strip():
        lines.append(say("{text}", text=truncate(version.description.strip(), 500)))
    return lines


def list_new_versions(newest: Mapping[str, int]) -> Sentence:
    """Return the message about new versions of many models; `newest` has each model's newest version number."""
    shown = [Code(f"{truncate(name, 60)} v{number}") for name, number in [*newest.items()][:MAX_MODELS]]
    more = [f"{len(newest) - MAX_MODELS} more"] if len(newest) > MAX_MODELS else []
    return say("{n} have new versions: {versions}.", n=pluralize(len(newest), "model"), versions=[*shown, *more])


def describe_new_metrics(
    catalog: MetricCatalog, metrics: Mapping[str, float], incumbent: int | None, incumbent_metrics: Mapping[str, float]
) -> Sentence | None:
    """Return a new version's most important metrics, compared with the incumbent's; None if it has no metrics.

    `incumbent` is the version in Production, or None.
    """
    names = catalog.by_importance(metrics)[:MAX_METRICS]
    if not names:
        return None
    shown = join_sentences([_describe_metric(catalog, name, metrics, incumbent_metrics) for name in names], ", ")
    if incumbent is None or not incumbent_metrics.keys() & {*names}:
        return shown
    return say("Compared with {v} in Production: {metrics}", v=Code(f"v{incumbent}"), metrics=shown)


def _describe_metric(
    catalog: MetricCatalog, name: str, metrics: Mapping[str, float], incumbent_metrics: Mapping[str, float]
) -> Sentence:
    value, change = metrics[name], catalog.compare(name, metrics, incumbent_metrics)
    text = catalog.format_value(name, value, change.was if change else None)
    if change is None:
        return say("{metric} {value}", metric=Code(truncate(name, 60)), value=text)
    outcome = change.outcome.value
    if change.outcome in {ChangeOutcome.BETTER, ChangeOutcome.WORSE}:
        outcome = f"{catalog.format_change(change)}, {outcome}"
    return say("{metric} {value} ({outcome})", metric=Code(truncate(name, 60)), value=text, outcome=outcome)
