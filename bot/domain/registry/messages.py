"""What a person would say of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

from bot.domain.core.numbers import delta, number
from bot.domain.core.sentence import Code, Name, Say, joined, say, short
from bot.domain.registry.comparison import NO_METRICS, Best, Comparison
from bot.domain.registry.metric_direction import Direction
from bot.domain.registry.model import Stage

NAMED = 3  # metrics named in one clause; of more, the rest is counted


def sentence(comparison: Comparison) -> Say:
    """Return how the newest version does against Production; of many metrics those that differ most.

    Differences are the version's value minus Production's, as in the deltas, whichever way is better. Blocked versions
    are named at the end.
    """
    blocked = [why for _, why in sorted(comparison.blocked.items(), reverse=True)]
    more = [say("{n} more are blocked.", n=len(blocked) - NAMED)] if len(blocked) > NAMED else []
    return joined([_compared(comparison), *blocked[:NAMED], *more], " ")


def _compared(comparison: Comparison) -> Say:
    if comparison.frame.empty:
        return say("There are no versions of {model} to compare.", model=Name(comparison.model))
    if not comparison.best:
        return say(NO_METRICS)
    if len(comparison.frame) == 1:
        return _alone(comparison)
    if comparison.incumbent is None:
        return say("Nothing is in Production. {winners}", winners=_winners(comparison))
    return _against(comparison, comparison.incumbent)


def best_sentence(best: Best) -> Say:
    """Return who wins a metric: its stage, value and lead, and its run."""
    return say(
        "{v} ({stage}) has the {end} {metric}: {value}{lead}.{gap}{run}{blocked}",
        v=_v(best.version),
        stage="no stage" if best.stage is Stage.NONE else best.stage,
        end="highest" if best.direction is Direction.HIGHER else "lowest",
        metric=_metric(best.metric),
        value=number(best.value),
        lead=_lead(best),
        gap=_gap(best),
        run=say(" Run {run}.", run=Code(best.run_id)) if best.run_id else "",
        blocked=say(" {why}", why=best.blocked) if best.blocked else "",
    )


# -- the newest against Production -------------------------------------------------------------------------------------


def _against(comparison: Comparison, incumbent: int) -> Say:
    row = next(row for row, version in enumerate(comparison.versions) if version != incumbent)
    rival = say("Production {v}", v=_v(incumbent))
    if not _has_any(comparison, comparison.versions.index(incumbent)):
        return say("{rival} has no metrics. {winners}", rival=rival, winners=_winners(comparison))
    if row == 0:
        return _duel(comparison, row, rival)
    return say("{rival} is the newest. {duel}", rival=rival, duel=_duel(comparison, row, say("it")))


def _duel(comparison: Comparison, row: int, rival: Say) -> Say:
    v = _v(comparison.versions[row])
    if not _has_any(comparison, row):
        return say("{v} has no metrics to compare with {rival}.", v=v, rival=rival)
    verdict = _verdict(comparison, row, v, rival)
    lost, unknown = _missing(comparison, row)
    for metrics, whose in ((lost, v), (unknown, rival)):
        if metrics:
            verdict = say(
                "{before} {metrics} {be} missing for {whose}.",
                before=verdict,
                whose=whose,
                metrics=_listed(metrics, _metric),
                be="is" if len(metrics) == 1 else "are",
            )
    return verdict


def _verdict(comparison: Comparison, row: int, v: Code, rival: Say) -> Say:
    text: Say | None = None
    gaps = comparison.gaps(row)
    for side, metrics in _sides(comparison, row).items():
        if metrics:
            items = _listed(metrics, lambda metric: _by(metric, gaps[metric]))
            template = _LATER[side] if text else _FIRST[side]
            text = say(template, before=text, v=v, rival=rival, items=items)
    if text is None:
        return say("{v} and {rival} have no metric in common.", v=v, rival=rival)
    return say("{text}.", text=text)


_FIRST = {
    "better": "{v} beats {rival} on {items}",
    "worse": "{v} is worse than {rival} on {items}",
    "same": "{v} is the same as {rival} on {items}",
}
_LATER = {"worse": "{before}; worse on {items}", "same": "{before}; the same on {items}"}  # better always comes first


def _sides(comparison: Comparison, row: int) -> dict[str, list[str]]:
    """Return the metrics that both have, by how the row does on them; what differs most, for its size, first."""
    sides: dict[str, list[str]] = {"better": [], "worse": [], "same": []}
    gaps, values = comparison.gaps(row), comparison.row(row)
    for metric in sorted(gaps, key=lambda metric: -_weight(gaps[metric], values[metric])):
        gain = gaps[metric] * comparison.directions[metric].sign
        if not isnan(gain):
            sides["better" if gain > 0 else "worse" if gain < 0 else "same"].append(metric)
    return sides


def _weight(gap: float, value: float) -> float:
    """Return a difference relative to the larger of the two values, so that a zero makes nothing infinite."""
    return abs(gap) / max(abs(value), abs(value - gap)) if abs(gap) > 0 else 0.0


def _by(metric: str, gap: float) -> Say | Code:
    return say("{metric} by {gap}", metric=_metric(metric), gap=delta(gap)) if gap else _metric(metric)


def _missing(comparison: Comparison, row: int) -> tuple[list[str], list[str]]:
    """Return the metrics that the row lacks, and those that it has and the incumbent lacks; none that nobody has."""
    here, gaps = comparison.row(row), comparison.gaps(row)
    lost = [metric for metric in comparison.best if isnan(here[metric])]
    return lost, [metric for metric in comparison.best if isnan(gaps[metric]) and not isnan(here[metric])]


def _has_any(comparison: Comparison, row: int) -> bool:
    return not all(isnan(value) for value in comparison.row(row).values())


# -- without a rival ---------------------------------------------------------------------------------------------------


def _winners(comparison: Comparison) -> Say:
    def one(metric: str) -> Say:
        version = comparison.best[metric]
        value = comparison.values(metric)[comparison.versions.index(version)]
        return say("{metric}: {v} ({value})", metric=_metric(metric), v=_v(version), value=number(value))

    return say("Best on {items}.", items=_listed(list(comparison.best), one))


def _alone(comparison: Comparison) -> Say:
    def one(metric: str) -> Say:
        return say("{metric} {value}", metric=_metric(metric), value=number(comparison.values(metric)[0]))

    template = "{v} is the only version here, and not in Production: {items}."
    if comparison.incumbent is not None:
        template = "Production {v} is the only version here: {items}."
    return say(template, v=_v(comparison.versions[0]), items=_listed(list(comparison.best), one))


# -- the best ----------------------------------------------------------------------------------------------------------


def _lead(best: Best) -> Say | str:
    if best.runner_up is None or best.lead is None:
        return ""
    ahead = _ahead(best.lead, _rival(best, best.runner_up))
    if best.margin is None or best.incumbent is None or best.incumbent == best.runner_up:
        return say(", {ahead}", ahead=ahead)
    return say(", {ahead} and {margin}", ahead=ahead, margin=_ahead(best.margin, _rival(best, best.incumbent)))


def _ahead(lead: float, rival: Say) -> Say:
    if lead == 0:
        return say("level with {rival}", rival=rival)
    return say("{lead} ahead of {rival}", lead=number(lead), rival=rival)


def _rival(best: Best, version: int) -> Say:
    return say("{v} in Production" if version == best.incumbent else "{v}", v=_v(version))


def _gap(best: Best) -> Say | str:
    if best.runner_up is None:
        return " No other version has a value."
    if best.incumbent is not None and best.margin is None and best.version != best.incumbent:
        return say(" {v} in Production has no value.", v=_v(best.incumbent))
    return ""


# -- building blocks ---------------------------------------------------------------------------------------------------


def _listed(metrics: Sequence[str], show: Callable[[str], object]) -> Say:
    """Return `a`, `a and b`, `a, b and c`, or `a, b, c and 4 more`."""
    more = len(metrics) - NAMED
    shown: list[object] = [show(metric) for metric in metrics[:NAMED]] + ([f"{more} more"] if more > 0 else [])
    if len(shown) == 1:
        return say("{it}", it=shown[0])
    return say("{some} and {last}", some=shown[:-1], last=shown[-1])


def _metric(metric: str) -> Code:
    return Code(short(metric, 60))


def _v(version: int) -> Code:
    return Code(f"v{version}")
