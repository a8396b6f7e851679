"""Sentences about comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan

from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, join_with_conjunction, say, truncate
from bot.domain.registry.comparison import NO_METRICS, BestVersion, Comparison
from bot.domain.registry.metric_catalog import MINUS, ChangeOutcome, MetricCatalog, MetricChange
from bot.domain.registry.metric_direction import Direction
from bot.domain.registry.model import Stage

MAX_NAMED_METRICS = 3  # metrics named in one clause; the rest are counted


def summarize_comparison(comparison: Comparison) -> Sentence:
    """Return a sentence that compares the newest version with Production, by the metrics that differ most.

    Differences are the version's value minus Production's, as in `deltas`, whichever direction is better. Blocked
    versions are named at the end.
    """
    blocked = [why for _, why in sorted(comparison.blocked.items(), reverse=True)]
    omitted = (
        [say("{n} more are blocked.", n=len(blocked) - MAX_NAMED_METRICS)] if len(blocked) > MAX_NAMED_METRICS else []
    )
    return join_sentences([_summarize_newest(comparison), *blocked[:MAX_NAMED_METRICS], *omitted], " ")


def _summarize_newest(comparison: Comparison) -> Sentence:
    if comparison.frame.empty:
        return say("{model} has no versions to compare.", model=Name(comparison.model))
    if not comparison.best:
        return say(NO_METRICS)
    if len(comparison.frame) == 1:
        return _describe_only_version(comparison)
    if comparison.incumbent is None:
        return say("Nothing is in Production. {winners}", winners=_best_per_metric(comparison))
    return _compare_with_production(comparison, comparison.incumbent)


def describe_best_version(best: BestVersion) -> Sentence:
    """Return a sentence that names the best version by a metric, with its stage, value, margin, and run."""
    return say(
        "{v} ({stage}) has the {end} {metric}: {value}{lead}.{gap}{run}{blocked}",
        v=_version_label(best.version),
        stage="no stage" if best.stage is Stage.NONE else best.stage,
        end="highest" if best.direction is Direction.HIGHER else "lowest",
        metric=_metric_name(best.metric),
        value=best.catalog.format_value(best.metric, best.value),
        lead=_describe_lead(best),
        gap=_describe_missing_rivals(best),
        run=say(" Run {run}.", run=Code(best.run_id)) if best.run_id else "",
        blocked=say(" {why}", why=best.blocked) if best.blocked else "",
    )


# -- the newest against Production -------------------------------------------------------------------------------------


def _compare_with_production(comparison: Comparison, incumbent: int) -> Sentence:
    row = next(row for row, version in enumerate(comparison.versions) if version != incumbent)
    rival = say("Production {v}", v=_version_label(incumbent))
    if not _has_any_metric(comparison, comparison.versions.index(incumbent)):
        return say("{rival} has no metrics. {winners}", rival=rival, winners=_best_per_metric(comparison))
    if row == 0:
        return _compare_row(comparison, row, rival)
    return say("{rival} is the newest version. {duel}", rival=rival, duel=_compare_row(comparison, row, say("it")))


def _compare_row(comparison: Comparison, row: int, rival: Sentence) -> Sentence:
    v = _version_label(comparison.versions[row])
    if not _has_any_metric(comparison, row):
        return say("{v} has no metrics to compare with {rival}.", v=v, rival=rival)
    verdict = _describe_differences(comparison, row, v, rival)
    lost, unknown = _missing_metrics(comparison, row)
    for metrics, owner in ((lost, v), (unknown, rival)):
        if metrics:
            verdict = say(
                "{before} {metrics} {be} missing for {whose}.",
                before=verdict,
                whose=owner,
                metrics=_list_metrics(metrics, _metric_name),
                be="is" if len(metrics) == 1 else "are",
            )
    return verdict


def _describe_differences(comparison: Comparison, row: int, version_label: Code, rival: Sentence) -> Sentence:
    text: Sentence | None = None
    changes = comparison.changes_in_row(row)
    for outcome, metrics in _metrics_by_outcome(changes).items():
        if metrics:
            items = _list_metrics(metrics, lambda metric: _describe_change(changes[metric], comparison.catalog))
            template = _LATER_CLAUSES[outcome] if text else _FIRST_CLAUSES[outcome]
            text = say(template, before=text, v=version_label, rival=rival, items=items)
    if text is None:
        return say("{v} and {rival} have no metrics in common.", v=version_label, rival=rival)
    return say("{text}.", text=text)


_FIRST_CLAUSES = {
    ChangeOutcome.BETTER: "{v} beats {rival}: {items}",
    ChangeOutcome.WORSE: "{v} is worse than {rival}: {items}",
    ChangeOutcome.NOISE: "{v} differs from {rival} only within noise: {items}",
    ChangeOutcome.SAME: "{v} matches {rival} on {items}",
}
_LATER_CLAUSES = {
    ChangeOutcome.WORSE: "{before}; worse: {items}",
    ChangeOutcome.NOISE: "{before}; within noise: {items}",
    ChangeOutcome.SAME: "{before}; same: {items}",
}  # better always comes first


def _metrics_by_outcome(changes: Mapping[str, MetricChange]) -> dict[ChangeOutcome, list[str]]:
    """Return the metrics that both versions have, by outcome, with the largest relative difference first."""
    outcomes: dict[ChangeOutcome, list[str]] = {outcome: [] for outcome in _FIRST_CLAUSES}
    for metric in sorted(changes, key=lambda metric: -_relative_size(changes[metric])):
        outcomes[changes[metric].outcome].append(metric)
    return outcomes


def _relative_size(change: MetricChange) -> float:
    """Return the difference relative to the larger of the two values, so a zero doesn't make it infinite."""
    return abs(change.difference) / max(abs(change.value), abs(change.was)) if change.difference else 0.0


def _describe_change(change: MetricChange, catalog: MetricCatalog) -> Sentence | Code:
    """Return a metric and its change: `latency_ms 4 ms higher (+11%)`."""
    if not change.difference:
        return _metric_name(change.name)
    shown = catalog.format_difference(change)  # without a sign if it rounds to zero
    return say(
        "{metric} {size} {way}{percent}",
        metric=_metric_name(change.name),
        size=shown[1:] if shown[0] in f"+{MINUS}" else "slightly",
        way="higher" if change.difference > 0 else "lower",
        percent=f" ({change.percent})" if change.percent else "",
    )


def _missing_metrics(comparison: Comparison, row: int) -> tuple[list[str], list[str]]:
    """Return the shown metrics that the row lacks, and those that it has but the incumbent lacks."""
    values, gaps = comparison.metrics_in_row(row), comparison.differences_in_row(row)
    lost = [metric for metric in comparison.shown_metrics if isnan(values[metric])]
    return lost, [metric for metric in comparison.shown_metrics if isnan(gaps[metric]) and not isnan(values[metric])]


def _has_any_metric(comparison: Comparison, row: int) -> bool:
    return not all(isnan(value) for value in comparison.metrics_in_row(row).values())


# -- without a rival ---------------------------------------------------------------------------------------------------


def _best_per_metric(comparison: Comparison) -> Sentence:
    def one(metric: str) -> Sentence:
        version = comparison.best[metric]
        value = comparison.metric_values(metric)[comparison.versions.index(version)]
        return say(
            "{metric} {v} ({value})",
            metric=_metric_name(metric),
            v=_version_label(version),
            value=comparison.catalog.format_value(metric, float(value)),
        )

    return say("Best version per metric: {items}.", items=_list_metrics(comparison.shown_metrics, one))


def _describe_only_version(comparison: Comparison) -> Sentence:
    def one(metric: str) -> Sentence:
        return say(
            "{metric} {value}",
            metric=_metric_name(metric),
            value=comparison.catalog.format_value(metric, float(comparison.metric_values(metric)[0])),
        )

    template = "{v} is the only version compared, and it isn't in Production: {items}."
    if comparison.incumbent is not None:
        template = "Production {v} is the only version compared: {items}."
    return say(template, v=_version_label(comparison.versions[0]), items=_list_metrics(comparison.shown_metrics, one))


# -- the best ----------------------------------------------------------------------------------------------------------


def _describe_lead(best: BestVersion) -> Sentence | str:
    if best.runner_up is None or best.lead is None:
        return ""
    ahead = _describe_distance(best, best.lead, _rival_label(best, best.runner_up))
    if best.margin is None or best.incumbent is None or best.incumbent == best.runner_up:
        return say(", {ahead}", ahead=ahead)
    return say(
        ", {ahead} and {margin}",
        ahead=ahead,
        margin=_describe_distance(best, best.margin, _rival_label(best, best.incumbent)),
    )


def _describe_distance(best: BestVersion, lead: float, rival: Sentence) -> Sentence:
    if lead == 0:
        return say("tied with {rival}", rival=rival)
    return say("{lead} ahead of {rival}", lead=best.catalog.format_value(best.metric, lead), rival=rival)


def _rival_label(best: BestVersion, version: int) -> Sentence:
    return say("{v} in Production" if version == best.incumbent else "{v}", v=_version_label(version))


def _describe_missing_rivals(best: BestVersion) -> Sentence | str:
    if best.runner_up is None:
        return " No other version has a value."
    if best.incumbent is not None and best.margin is None and best.version != best.incumbent:
        return say(" {v} in Production has no value.", v=_version_label(best.incumbent))
    return ""


# -- building blocks ---------------------------------------------------------------------------------------------------


def _list_metrics(metrics: Sequence[str], format_metric: Callable[[str], object]) -> Sentence:
    """Return the metrics as text: `a`, `a and b`, `a, b, and c`, or `a, b, c, and 4 more`."""
    omitted = len(metrics) - MAX_NAMED_METRICS
    listed: list[object] = [format_metric(metric) for metric in metrics[:MAX_NAMED_METRICS]] + (
        [f"{omitted} more"] if omitted > 0 else []
    )
    return join_with_conjunction(listed, "and")


def _metric_name(metric: str) -> Code:
    return Code(truncate(metric, 60))


def _version_label(version: int) -> Code:
    return Code(f"v{version}")
