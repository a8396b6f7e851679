"""Gates: checks that a version must pass before a promotion. Pure; a service reads the facts that they check."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isclose
from typing import Protocol

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_difference, format_number
from bot.domain.core.sentence import Code, Sentence, say, truncate
from bot.domain.policy.gate_config import (
    VALIDATION_PREFIX,
    CardGate,
    Gate,
    InStagingGate,
    MetricGate,
    NotBlockedGate,
    SemverGate,
    SignatureGate,
)
from bot.domain.promotions.file_gate import INTEGRITY_GATE, FileFacts, file_gate
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot
from bot.domain.registry.metric_direction import Direction, direction_of
from bot.domain.registry.model import Signature, Stage, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.registry.signature_changes import breaking_changes

SIGNATURE_GATE = "signature"
CARD_GATE = "metadata card"
SEMVER_GATE = "semver"
UNBLOCKED = "unblocked"  # the fact that a blocked version was unblocked after its gates were checked
NOT_BLOCKED_GATE = "not_blocked"  # the name of these gates' results
MAX_LISTED = 3  # breaking changes or changed metrics that one sentence names; the others are counted
RELATIVE_TOLERANCE = 1e-9  # of the bound: in floating point, 0.9 - 0.01 isn't quite 0.89


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """The facts that gates check. Metrics contain no NaN.

    `staged_since` is None if the version isn't in Staging. `missing` lists the model card's empty fields. Both are None
    if no gate checks them. `files` is None if the rule doesn't require unchanged files.
    """

    version: VersionInfo
    now: datetime
    missing: Sequence[str] | None = None
    incumbent: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    incumbent_metrics: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    directions: Mapping[str, Direction | str] = field(default_factory=dict)
    signature: Signature | None = None
    incumbent_signature: Signature | None = None
    staged_since: datetime | None = None
    block: RollbackBlock | None = None  # what blocks the version; also None without a ledger
    files: FileFacts | None = None
    has_mlmodel: bool = True  # whether the version has an MLmodel file, if a gate checks that


def check_gates(gates: Sequence[Gate], facts: GateFacts) -> tuple[GateResult, ...]:
    """Return each gate's result, in the order of the policy; a metric with two bounds has two results.

    A gate whose facts are missing fails. Without an incumbent, comparisons with it pass with a note, and so does a
    signature gate if the incumbent has no signature. A blocked version fails even without a gate for that.
    """
    results = [result for gate in gates for result in _CHECK_BY_GATE[type(gate)](gate, facts)]
    if facts.block and not any(isinstance(gate, NotBlockedGate) for gate in gates):
        results += _check_not_blocked(NotBlockedGate(not_blocked=True), facts)
    return (*results, *file_gate(facts.files))


class _GateCheck(Protocol):
    def __call__(self, gate: object, facts: GateFacts) -> list[GateResult]: ...


def _check_metric(gate: object, facts: GateFacts) -> list[GateResult]:
    assert isinstance(gate, MetricGate)
    value, note = _metric_value(gate.metric, facts)
    results = [
        _check_absolute_bound(gate.metric, f"{sign} {format_number(bound)}", value, note, bound, compare)
        for sign, bound, compare in (("≥", gate.at_least, operator.ge), ("≤", gate.at_most, operator.le))
        if bound is not None
    ]
    if gate.not_worse_than_incumbent_by is not None:
        results.append(_check_against_incumbent(gate.metric, gate.not_worse_than_incumbent_by, value, note, facts))
    return results


def _metric_value(metric: str, facts: GateFacts) -> tuple[float | None, str]:
    """Return the metric's value, and a note about its source if that isn't the run.

    The run's own metric takes precedence over a result that the requester reports.
    """
    if metric in facts.metrics:
        return facts.metrics[metric], ""
    name = metric.removeprefix(VALIDATION_PREFIX)
    return facts.validation.get(name), "reported by requester" if name in facts.validation else ""


def _check_absolute_bound(
    metric: str, bound: str, value: float | None, note: str, limit: float, is_within: Callable[[float, float], bool]
) -> GateResult:
    passed = value is not None and is_within(value, limit)
    shown = _format_value(value)
    if value is not None and not passed and shown == format_number(limit):
        shown = _format_exactly(value)  # 0.84996 shown as 0.85 would look like it meets the bound
    needed = None if passed or value is None else limit
    return GateResult(name=metric, bound=bound, value=shown, passed=passed, note=note, limit=needed)


def _check_against_incumbent(
    metric: str, margin: float, value: float | None, note: str, facts: GateFacts
) -> GateResult:
    sign = direction_of(metric.removeprefix(VALIDATION_PREFIX), facts.directions).sign
    bound = f"at most {format_number(margin)} worse than the incumbent"
    incumbent_value = facts.incumbent_metrics.get(metric)
    if facts.incumbent is None:
        return GateResult(
            name=metric,
            bound=bound,
            value=_format_value(value),
            passed=value is not None,
            note="no incumbent to compare with",
        )
    if value is None or incumbent_value is None:
        missing = f"v{facts.incumbent} has no value to compare with" if value is not None else note
        return GateResult(name=metric, bound=bound, value=_format_value(value), passed=False, note=missing)
    gap = (value - incumbent_value) * sign
    passed = gap >= -margin or isclose(
        gap, -margin, rel_tol=RELATIVE_TOLERANCE, abs_tol=RELATIVE_TOLERANCE * max(abs(value), abs(incumbent_value))
    )
    shown = f"{format_number(value)} ({format_difference(value - incumbent_value)} vs v{facts.incumbent})"
    needed = None if passed else incumbent_value - margin * sign
    return GateResult(name=metric, bound=bound, value=shown, passed=passed, note=note, limit=needed)


def _check_card(gate: object, facts: GateFacts) -> list[GateResult]:
    assert isinstance(gate, CardGate)
    missing = [name for name in gate.card if facts.missing is None or name in facts.missing]
    return [
        GateResult(
            name=CARD_GATE,
            bound=f"{', '.join(gate.card)} filled",
            passed=not missing,
            value=f"missing: {', '.join(missing)}" if missing else "filled",
        )
    ]


def _check_signature(gate: object, facts: GateFacts) -> list[GateResult]:
    passed, value, note = _signature_compatibility(facts)
    bound = "accepts what the incumbent accepts"
    return [GateResult(name=SIGNATURE_GATE, bound=bound, value=value, passed=passed, note=note)]


def _signature_compatibility(facts: GateFacts) -> tuple[bool, str, str]:
    if not facts.has_mlmodel:
        return False, "missing", "no MLmodel file"
    if facts.incumbent is None:
        return True, "compatible", "no incumbent to compare with"
    if facts.incumbent_signature is None:
        return True, "not compared", f"v{facts.incumbent} has no signature"
    if facts.signature is None:
        return False, "missing", f"v{facts.incumbent} has a signature"
    broken = [str(sentence) for sentence in breaking_changes(facts.signature, facts.incumbent_signature)]
    omitted = f" and {len(broken) - MAX_LISTED} more" if len(broken) > MAX_LISTED else ""
    return not broken, "; ".join(broken[:MAX_LISTED]) + omitted if broken else f"compatible with v{facts.incumbent}", ""


def _check_semver(gate: object, facts: GateFacts) -> list[GateResult]:
    semver = facts.version.semver
    return [GateResult(name=SEMVER_GATE, bound="set", value=semver or "missing", passed=bool(semver))]


def _check_not_blocked(gate: object, facts: GateFacts) -> list[GateResult]:
    assert isinstance(gate, NotBlockedGate)
    if not gate.not_blocked:
        return []
    block, value = facts.block, "not blocked"
    if block:
        value = f"rolled back on {block.at:%Y-%m-%d} ({truncate(block.reason, 200)})"
    if block and block.version != facts.version.version:
        value = f"registered from the same run as v{block.version}, which was {value}"
    return [GateResult(name=NOT_BLOCKED_GATE, bound="not blocked", value=value, passed=block is None)]


def _check_in_staging(gate: object, facts: GateFacts) -> list[GateResult]:
    assert isinstance(gate, InStagingGate)
    bound = f"at least {format_duration(gate.in_staging_for)}"
    if facts.version.stage is not Stage.STAGING or facts.staged_since is None:
        return [GateResult(name="time in Staging", bound=bound, value="not in Staging", passed=False)]
    spent = facts.now - facts.staged_since
    return [
        GateResult(
            name="time in Staging", bound=bound, value=format_duration(spent), passed=spent >= gate.in_staging_for
        )
    ]


_CHECK_BY_GATE: dict[type, _GateCheck] = {
    MetricGate: _check_metric,
    CardGate: _check_card,
    SignatureGate: _check_signature,
    SemverGate: _check_semver,
    NotBlockedGate: _check_not_blocked,
    InStagingGate: _check_in_staging,
}


def _format_value(value: float | None) -> str:
    return "missing" if value is None else format_number(value)


# -- changes since the request was opened ------------------------------------------------------------------------------


def decision_basis_change(request: Request, current: RequestSnapshot) -> Sentence | None:
    """Return which fact behind the decision has changed since the request was opened, or None.

    The facts are the policy's rule, the version's metrics, and its gates: a gate must not fail now unless its failure
    was overridden. `plan_transition` compares the stage and the incumbent.
    """
    if request.seen is None:  # opened by an older release, which recorded no snapshot
        return None
    if request.seen.rule != current.rule:
        return rule_changed_reason(request)
    if changed := _metric_changes(request.seen.metrics, current.metrics):
        version = Code(f"v{request.version}")
        return say("The metrics of {version} changed after the request: {what}.", version=version, what=changed)
    overridden_keys = {gate.key for gate in request.seen.failed_gates} if request.overridden_by else set()
    fresh = [gate for gate in current.failed_gates if gate.key not in overridden_keys]
    return say("A gate no longer passes: {gate}.", gate=describe_gate_result(fresh[0])) if fresh else None


def rule_changed_reason(request: Request) -> Sentence:
    """Return why a request is outdated: its policy rule has changed."""
    return say("The policy rule for {stage} changed after the request.", stage=request.target)


def describe_gate_result(result: GateResult) -> Sentence:
    """Return a gate's result as a sentence, such as `accuracy is 0.83, required: ≥ 0.85`."""
    if result.name == NOT_BLOCKED_GATE:
        return say("it was {value}", value=truncate(result.value, 300))
    if result.name == INTEGRITY_GATE:
        return say("{value}", value=truncate(result.value, 300))
    note = say(" ({note})", note=result.note) if result.note else ""
    return say(
        "{name} is {value}, required: {bound}{note}",
        name=Code(truncate(result.name, 80)),
        value=truncate(result.value, 300),
        bound=result.bound,
        note=note,
    )


def with_unblocked_version(snapshot: RequestSnapshot) -> RequestSnapshot:
    """Return the snapshot with its gate `not_blocked` passed, because its version was unblocked."""
    return replace(
        snapshot,
        facts={**snapshot.facts, UNBLOCKED: True},
        gates=tuple(
            replace(gate, passed=True, value="unblocked") if gate.name == NOT_BLOCKED_GATE else gate
            for gate in snapshot.gates
        ),
    )


def summarize_gates(version: VersionInfo, target: Stage, snapshot: RequestSnapshot) -> Sentence:
    """Return a sentence that says how many of a stage's gates a version fails."""
    failed, all_of_them = len(snapshot.failed_gates), len(snapshot.gates)
    if not snapshot.gates:
        template = "The policy has no gates for {model} {v} → {target}."
    elif not failed:
        template = (
            "{model} {v} → {target}: the gate passed."
            if all_of_them == 1
            else "{model} {v} → {target}: all {all} gates passed."
        )
    elif all_of_them == 1:
        template = "{model} {v} → {target}: the gate failed."
    else:
        template = "{model} {v} → {target}: {failed} of {all} gates failed."
    return say(
        template,
        model=Code(truncate(version.model, 120)),
        v=Code(f"v{version.version}"),
        target=target,
        failed=failed,
        all=all_of_them,
    )


def _metric_changes(old: Mapping[str, float], new: Mapping[str, float]) -> list[Sentence]:
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    sentences = [
        say(
            "{name} was {was} and is {now}",
            name=Code(truncate(name, 80)),
            was=_format_exactly(old.get(name)),
            now=_format_exactly(new.get(name)),
        )
        for name in names[:MAX_LISTED]
    ]
    return sentences + ([say("{n} more", n=len(names) - MAX_LISTED)] if len(names) > MAX_LISTED else [])


def _format_exactly(value: float | None) -> str:
    return "missing" if value is None else f"{value:.10g}"
