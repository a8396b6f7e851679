"""Differences between the rules of two policies for one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number, pluralize
from bot.domain.core.sentence import Code, Mention, Sentence, say
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
from bot.domain.policy.policy import ModelRules, Policy, TargetRule
from bot.domain.registry.metric_direction import direction_of
from bot.domain.registry.model import TARGET_STAGES


class ChangeKind(Enum):
    """What a policy change is about."""

    PATTERN = "pattern"  # a pattern was added, removed, or reordered
    STAGE = "stage"  # someone can approve for a stage where no one could before, or vice versa
    REQUIRED = "required"
    APPROVERS = "approvers"
    OWN_REQUESTS = "own requests"  # requester_may_approve
    EXPIRY = "expiry"
    GATES = "gates"
    OVERRIDE = "override"
    REVIEW = "review"
    ROLLBACK = "rollback"
    MONITORS = "monitors"
    FREEZE = "freeze"
    DIRECTIONS = "directions"
    ADMINS = "admins"
    OPERATORS = "operators"
    CLIENTS = "clients"
    SOURCES = "sources"
    LIMITS = "limits"  # max_auto
    ANCHOR = "anchor"
    SETTLE = "settle"
    OTHER = "other"  # channels, reminders, endpoints, probes: settings that grant nothing


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One difference between two policies: its path in the file, and a sentence that describes it."""

    path: str
    kind: ChangeKind
    loosens: bool
    sentence: Sentence

    def to_evidence(self) -> dict[str, object]:
        """Return it as plain JSON values, for the audit log."""
        return {"path": self.path, "kind": self.kind.value, "loosens": self.loosens, "says": str(self.sentence)}


@dataclass(frozen=True, slots=True)
class PolicySide:
    """One side of a comparison: a policy, and the pattern whose rules are compared."""

    policy: Policy
    pattern: str | None

    @property
    def rules(self) -> ModelRules:
        return ModelRules() if self.pattern is None else self.policy.models[self.pattern]

    def expand_roles(self, names: list[str]) -> frozenset[str]:
        return self.policy.expand_roles(names)


def model_rule_changes(old: PolicySide, new: PolicySide, path: str) -> Iterator[PolicyChange]:
    for stage in TARGET_STAGES:
        where = f"{path}.{stage.value.lower()}"
        yield from _stage_rule_changes(old, new, old.rules.rule(stage), new.rules.rule(stage), where)
    before, after = (side.expand_roles(side.rules.rollback_names) for side in (old, new))
    yield from people_changes(before, after, f"{path}.rollback", ChangeKind.ROLLBACK, "roll back")
    yield from _monitor_changes(old.rules, new.rules, path)
    yield from _freeze_window_changes(old, new, path)
    if old.rules.directions != new.rules.directions:
        yield PolicyChange(f"{path}.directions", ChangeKind.DIRECTIONS, False, say("changed"))
    if old.rules.channel != new.rules.channel:
        yield PolicyChange(f"{path}.channel", ChangeKind.OTHER, False, say("channel changed"))


def _stage_rule_changes(
    old: PolicySide, new: PolicySide, before: TargetRule | None, after: TargetRule | None, path: str
) -> Iterator[PolicyChange]:
    """Yield the changes to a stage's rule; if no one can approve, nothing else matters."""
    if after is None or not new.expand_roles(after.approvers):
        if before is not None and old.expand_roles(before.approvers):
            yield PolicyChange(path, ChangeKind.STAGE, False, say("no one can approve anymore"))
        return
    if before is None or not old.expand_roles(before.approvers):
        who = [Mention(user_id) for user_id in sorted(new.expand_roles(after.approvers))]
        yield PolicyChange(path, ChangeKind.STAGE, True, say("{who} can approve; no one could before", who=who))
        return
    yield from _approval_rule_changes(before, after, path)
    yield from _gate_changes(old, new, before, after, path)
    keys = (("approvers", ChangeKind.APPROVERS, "approve"), ("override", ChangeKind.OVERRIDE, "override failed gates"))
    for key, kind, can in keys:
        was, now = old.expand_roles(getattr(before, key)), new.expand_roles(getattr(after, key))
        yield from people_changes(was, now, f"{path}.{key}", kind, can)


def _approval_rule_changes(before: TargetRule, after: TargetRule, path: str) -> Iterator[PolicyChange]:
    can = "can approve" if after.requester_may_approve else "can no longer approve"
    changes = (
        (
            "required",
            ChangeKind.REQUIRED,
            after.required < before.required,
            _step(before.required, pluralize(after.required, "approval")),
        ),
        (
            "requester_may_approve",
            ChangeKind.OWN_REQUESTS,
            after.requester_may_approve,
            say("requesters {can} their own requests", can=can),
        ),
        (
            "expires_after",
            ChangeKind.EXPIRY,
            after.expires_after > before.expires_after,
            _step(format_duration(before.expires_after), format_duration(after.expires_after)),
        ),
        ("remind_after", ChangeKind.OTHER, False, say("reminders changed")),
        ("tell_approvers", ChangeKind.OTHER, False, _step(before.tell_approvers, after.tell_approvers)),
        (
            "review_within",
            ChangeKind.REVIEW,
            after.review_within > before.review_within,
            _step(format_duration(before.review_within), format_duration(after.review_within)),
        ),
    )
    for key, kind, loosens, sentence in changes:
        if getattr(before, key) != getattr(after, key):
            yield PolicyChange(f"{path}.{key}", kind, loosens, sentence)


def _step(old: object, new: object) -> Sentence:
    return say("{old} → {new}", old=old, new=new)


def people_changes(
    before: frozenset[str], after: frozenset[str], path: str, kind: ChangeKind, ability: str
) -> Iterator[PolicyChange]:
    for people, loosens, can in ((after - before, True, "can"), (before - after, False, "can no longer")):
        if who := [Mention(user_id) for user_id in sorted(people)]:
            yield PolicyChange(path, kind, loosens, say("{who} {can} {what}", who=who, can=can, what=ability))


@dataclass(frozen=True, slots=True)
class _GateDemand:
    """What gates require of one thing. A larger `strength` is stricter; `bound` is the text."""

    strength: float
    bound: str


def _gate_changes(
    old: PolicySide, new: PolicySide, before: TargetRule, after: TargetRule, path: str
) -> Iterator[PolicyChange]:
    """Compare what all gates require together, bound by bound."""
    was, now = _gate_demands(old, before), _gate_demands(new, after)
    for key in [*was, *(key for key in now if key not in was)]:
        old_demand, new_demand = was.get(key), now.get(key)
        if old_demand != new_demand:
            words = say(
                "{gate}: {old} → {new}",
                gate=key,
                old=old_demand.bound if old_demand else "no gate",
                new=new_demand.bound if new_demand else "no gate",
            )
            is_weaker = new_demand is None or (old_demand is not None and new_demand.strength < old_demand.strength)
            yield PolicyChange(f"{path}.gates", ChangeKind.GATES, is_weaker, words)


def _gate_demands(side: PolicySide, rule: TargetRule) -> dict[str, _GateDemand]:
    """Return what a rule's gates require together; blocked versions are refused unless a gate allows them."""
    is_said = any(isinstance(gate, NotBlockedGate) for gate in rule.gates)
    demands: dict[str, _GateDemand] = {} if is_said else {_BLOCKED_VERSIONS_KEY: _GateDemand(1, "refused")}
    for gate in rule.gates:
        for key, demand in _demands_of_gate(side, gate):
            demands[key] = max(demand, demands.get(key, demand), key=lambda candidate: candidate.strength)
    return demands


_BLOCKED_VERSIONS_KEY = "blocked versions"


def _demands_of_gate(side: PolicySide, gate: Gate) -> Iterator[tuple[str, _GateDemand]]:
    match gate:
        case MetricGate():
            yield from _metric_demands(gate, side.policy.directions | side.rules.directions)
        case CardGate():
            yield from ((f"card field {name}", _GateDemand(1, "required")) for name in gate.card)
        case SignatureGate():
            yield "signature", _GateDemand(1, gate.signature)
        case SemverGate():
            yield "semver", _GateDemand(1, gate.semver)
        case NotBlockedGate():
            yield _BLOCKED_VERSIONS_KEY, _GateDemand(gate.not_blocked, "refused" if gate.not_blocked else "allowed")
        case InStagingGate():
            span = gate.in_staging_for
            yield "time in Staging", _GateDemand(span.total_seconds(), format_duration(span))


def _metric_demands(gate: MetricGate, directions: Mapping[str, str]) -> Iterator[tuple[str, _GateDemand]]:
    """Yield a metric's bounds. The direction is part of the key because it changes a bound's meaning."""
    if (lower_bound := gate.at_least) is not None:
        yield f"{gate.metric} at least", _GateDemand(lower_bound, format_number(lower_bound))
    if (upper_bound := gate.at_most) is not None:
        yield f"{gate.metric} at most", _GateDemand(-upper_bound, format_number(upper_bound))
    if (margin := gate.not_worse_than_incumbent_by) is not None:
        direction = direction_of(gate.metric.removeprefix(VALIDATION_PREFIX), directions).value
        yield (
            f"{gate.metric} worse than the incumbent ({direction} is better)",
            _GateDemand(-margin, f"≤ {format_number(margin)}"),
        )


def _monitor_changes(old: ModelRules, new: ModelRules, path: str) -> Iterator[PolicyChange]:
    """Yield changed monitors; any change to a monitor that then rolls back automatically counts as loosening."""
    before = {monitor.name: monitor for monitor in old.monitors}
    after = {monitor.name: monitor for monitor in new.monitors}
    where = f"{path}.monitors"
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name), after.get(name)
        if was != now:
            loosens = now is not None and now.action == "auto"
            did = "removed" if now is None else "added" if was is None else "changed"
            words = "has a new rule and rolls back automatically" if loosens else did
            sentence = say("{name} {did}", name=Code(name), did=words)
            yield PolicyChange(where, ChangeKind.MONITORS, loosens, sentence)


def _freeze_window_changes(old: PolicySide, new: PolicySide, path: str) -> Iterator[PolicyChange]:
    """Yield changed freeze windows, including those for the whole file; a shorter one counts as loosening."""
    before, after = _freeze_window_durations(old), _freeze_window_durations(new)
    for cron, time_zone in [*before, *(key for key in after if key not in before)]:
        was, now = before.get((cron, time_zone)), after.get((cron, time_zone))
        if was == now:
            continue
        words = say(
            "{cron} ({zone}): {old} → {new}",
            cron=Code(cron),
            zone=time_zone,
            old=format_duration(was) if was else "none",
            new=format_duration(now) if now else "none",
        )
        yield PolicyChange(f"{path}.freeze", ChangeKind.FREEZE, was is not None and (now is None or now < was), words)


def _freeze_window_durations(side: PolicySide) -> dict[tuple[str, str], timedelta]:
    durations: dict[tuple[str, str], timedelta] = {}
    for window in [*side.policy.freeze, *side.rules.freeze]:
        key = (window.cron, window.zone)
        durations[key] = max(window.lasts, durations.get(key, window.lasts))
    return durations
