"""The verdict: a one-line summary of what decides a request. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.domain.core.actors import format_actor
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, join_sentences, say, truncate
from bot.domain.policy.gate_config import VALIDATION_PREFIX
from bot.domain.promotions.file_gate import INTEGRITY_GATE
from bot.domain.promotions.gates import CARD_GATE, NOT_BLOCKED_GATE, SEMVER_GATE, SIGNATURE_GATE
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot
from bot.domain.registry.metric_catalog import ChangeOutcome, MetricCatalog, MetricChange
from bot.domain.registry.signature_changes import CallerEffect

MAX_KEY_METRICS = 4  # metrics that decide; the others are in the details
MAX_CHANGES = 3  # metrics that the verdict names if there's nothing against the request, else one less
MAX_FAILED_GATES = 2  # failed gates that the verdict names
MAX_NAME_LENGTH = 40  # characters of a metric or gate
_SELF_EXPLANATORY_GATES = frozenset({CARD_GATE, SEMVER_GATE, SIGNATURE_GATE})  # the value says what's wrong


def verdict(request: Request, metrics: MetricCatalog) -> Sentence:
    """Return a request's verdict: anything against it first, then its gates, then changes in key metrics.

    For example: `✅ 3 of 3 gates pass · f1 +2.9% · latency_ms −21%`. It starts with ✅ only if the request has gates
    and nothing counts against it.
    """
    seen = request.seen
    if seen is None:
        return say("⚠️ No gate results: an older release opened this request")
    changes = key_changes(seen, metrics)
    worse = [change for change in changes if change.outcome is ChangeOutcome.WORSE]
    doubts = [*_breaking(seen), *_inflated_results(seen, metrics)]
    is_good = not (seen.failed_gates or worse or doubts) and bool(seen.gates)
    parts = [
        *_failed_gates(request, seen, metrics),
        *doubts,
        *_passed_gates(seen),
        *_metric_changes(request, seen, changes, metrics, MAX_CHANGES if is_good else MAX_CHANGES - 1),
    ]
    return say("✅ {facts}", facts=join_sentences(parts, " · ")) if is_good else join_sentences(parts, " · ")


def _failed_gates(request: Request, seen: RequestSnapshot, metrics: MetricCatalog) -> Iterator[Sentence]:
    """Yield a sentence that names the failed gates and what they need; nothing if none failed."""
    failed = sorted(seen.failed_gates, key=lambda gate: gate.name != NOT_BLOCKED_GATE)
    if not failed:
        return
    named = [_failed_gate(gate, seen, metrics) for gate in failed[:MAX_FAILED_GATES]]
    named += [say("{n} more", n=len(failed) - MAX_FAILED_GATES)] if len(failed) > MAX_FAILED_GATES else []
    yield say(
        "{sign} {n} of {counted} {fail}{override}: {gates}",
        sign="❌" if request.overridden_by is None else "🔶",
        n=len(failed),
        counted=pluralize(len(seen.gates), "gate"),
        fail="fails" if len(failed) == 1 else "fail",
        override=say(", overridden by {who}", who=format_actor(request.overridden_by)) if request.overridden_by else "",
        gates=join_sentences(named, "; "),
    )


def _failed_gate(gate: GateResult, seen: RequestSnapshot, metrics: MetricCatalog) -> Sentence:
    name, value = truncate(gate.name, MAX_NAME_LENGTH), truncate(gate.value, 80)
    if gate.name == NOT_BLOCKED_GATE:
        return say("blocked, {value}", value=truncate(gate.value, 120))
    if gate.name == INTEGRITY_GATE:
        return say("{value}", value=truncate(gate.value, 120))
    if gate.name in _SELF_EXPLANATORY_GATES:
        return say("{gate}: {value}", gate=name, value=value)
    if miss := gate_miss(gate, seen, metrics):
        shown, limit = (
            metrics.format_value(gate.name, miss.value, miss.was),
            metrics.format_value(gate.name, miss.was, miss.value),
        )
        if shown != limit:  # the policy's decimals can hide a small difference
            return say(
                "{metric} {value}, needs {sign} {limit}{noise}",
                metric=name,
                value=shown,
                sign="≥" if miss.difference < 0 else "≤",
                limit=limit,
                noise=say(" (the miss is within noise)") if miss.outcome is ChangeOutcome.NOISE else "",
            )
    return say("{gate} {value}, needs {bound}", gate=name, value=value, bound=truncate(gate.bound, 80))


def gate_miss(gate: GateResult, seen: RequestSnapshot, metrics: MetricCatalog) -> MetricChange | None:
    """Return a failed metric gate's value compared with the gate's limit, or None if either is unknown."""
    if gate.limit is None:
        return None
    reported = {VALIDATION_PREFIX + name: value for name, value in seen.validation.items()}
    return metrics.compare(gate.name, {**seen.validation, **reported, **seen.metrics}, {gate.name: gate.limit})


def _passed_gates(seen: RequestSnapshot) -> Iterator[Sentence]:
    if not seen.gates:
        yield say("no gates")
    elif not seen.failed_gates:
        counted = pluralize(len(seen.gates), "gate")
        reported = sum(is_reported(gate, seen) for gate in seen.gates)
        basis = "a reported value" if reported == 1 else "reported values"
        note = say(" ({n} based on {basis})", n=reported, basis=basis) if reported else ""
        passes = "passes" if len(seen.gates) == 1 else "pass"
        yield say("{n} of {counted} {passes}{note}", n=len(seen.gates), counted=counted, passes=passes, note=note)


def is_reported(gate: GateResult, seen: RequestSnapshot) -> bool:
    """Return whether a gate's value was reported by the requester, not measured by the run."""
    return gate.name not in seen.metrics and gate.name.removeprefix(VALIDATION_PREFIX) in seen.validation


def _breaking(seen: RequestSnapshot) -> list[Sentence]:
    return [say("⚠️ breaks callers")] if seen.callers.sentences(CallerEffect.BREAKS) else []


def _inflated_results(seen: RequestSnapshot, metrics: MetricCatalog) -> list[Sentence]:
    return [
        say(
            "⚠️ {metric} reported as {value}, measured {measured}",
            metric=truncate(result.name, MAX_NAME_LENGTH),
            value=metrics.format_value(result.name, result.value, result.was),
            measured=metrics.format_value(result.name, result.was, result.value),
        )
        for result in reported_results(seen, metrics)
        if result.outcome is ChangeOutcome.BETTER
    ][:1]


def reported_results(seen: RequestSnapshot, metrics: MetricCatalog) -> list[MetricChange]:
    """Return the requester's results for metrics that the run also measured, compared with the run's values."""
    changes = [metrics.compare(name, {**seen.metrics, **seen.validation}, seen.metrics) for name in seen.validation]
    return [change for change in changes if change]


def _metric_changes(
    request: Request, seen: RequestSnapshot, changes: Sequence[MetricChange], metrics: MetricCatalog, limit: int
) -> Iterator[Sentence]:
    """Yield the changes in up to `limit` key metrics: worse, better, within noise, then unchanged.

    If there's nothing to compare, yield a note that says why.
    """
    if not seen.metrics:
        yield say("⚠️ no metrics logged")
    elif request.incumbent is None:
        yield say("first version in {stage}", stage=request.target)
    elif not changes:
        yield say("⚠️ no key metrics in common with {v}", v=Code(f"v{request.incumbent}"))
    by_outcome = sorted(changes, key=lambda change: _ORDER.index(change.outcome))
    for change in by_outcome[:limit]:
        yield say(
            _CHANGE_TEMPLATES[change.outcome],
            metric=truncate(change.name, MAX_NAME_LENGTH),
            percent=metrics.format_change(change),
        )


_CHANGE_TEMPLATES = {
    ChangeOutcome.WORSE: "⚠️ {metric} {percent}, worse",
    ChangeOutcome.BETTER: "{metric} {percent}",
    ChangeOutcome.NOISE: "{metric} {percent}, within noise",
    ChangeOutcome.SAME: "{metric} unchanged",
}
_ORDER = list(_CHANGE_TEMPLATES)


def key_changes(seen: RequestSnapshot, metrics: MetricCatalog) -> list[MetricChange]:
    """Return the changes in the metrics that matter most, most important first."""
    names = by_importance(seen, metrics)[:MAX_KEY_METRICS]
    return [change for name in names if (change := metrics.compare(name, seen.metrics, seen.against))]


def by_importance(seen: RequestSnapshot, metrics: MetricCatalog) -> list[str]:
    """Return metric names: those with gates or in the policy first, then the rest by relative change, largest first."""
    gated = [gate.name for gate in seen.gates]
    first = {name.casefold() for name in (*gated, *metrics.settings)}
    return sorted(
        metrics.by_importance(seen.metrics, gated),
        key=lambda name: (False, 0.0) if name.casefold() in first else (True, -_relative_change(name, seen, metrics)),
    )


def _relative_change(name: str, seen: RequestSnapshot, metrics: MetricCatalog) -> float:
    """Return a metric's change as a fraction of the incumbent's value; -1 if there's nothing to compare with.

    The fraction has no sign. It's 0 if the change is within noise, and infinite if the incumbent's value is 0.
    """
    change = metrics.compare(name, seen.metrics, seen.against)
    if change is None:
        return -1.0
    if change.outcome in {ChangeOutcome.SAME, ChangeOutcome.NOISE}:
        return 0.0
    return abs(change.difference / change.was) if change.was else float("inf")
