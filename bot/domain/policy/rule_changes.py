"""Differences between the rules of two policies for one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from urllib.parse import urlsplit

from pydantic import BaseModel

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Code, Mention, Sentence, say, truncate
from bot.domain.policy.gate_config import (
    INTEGRITY_LEVELS,
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
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import TARGET_STAGES

MAX_VALUE_LENGTH = 40  # characters of a setting's value in a message


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
    LIMITS = "limits"  # max_auto, quotas
    ANCHOR = "anchor"
    AUDIT_STREAM = "audit stream"
    SETTLE = "settle"
    OTHER = "other"  # channels, reminders, endpoints, probes: settings that grant nothing


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One difference between two policies: its path in the file, and a sentence that describes it.

    `place` names the part of the file in messages; it's None for the file as a whole.
    """

    path: str
    kind: ChangeKind
    loosens: bool
    sentence: Sentence
    place: Sentence | None = None

    def to_evidence(self) -> dict[str, object]:
        """Return the change as plain JSON values, for the audit log."""
        return {"path": self.path, "kind": self.kind.value, "loosens": self.loosens, "says": str(self.sentence)}


@dataclass(frozen=True, slots=True)
class ChangeTarget:
    """A part of the policy file: its path, and its name in messages."""

    path: str
    name: Sentence

    def change(self, key: str, kind: ChangeKind, loosens: bool, sentence: Sentence) -> PolicyChange:
        return PolicyChange(f"{self.path}.{key}", kind, loosens, sentence, self.name)


@dataclass(frozen=True, slots=True)
class PolicySide:
    """One side of a comparison: a policy, and the pattern whose rules are compared."""

    policy: Policy
    pattern: str | None

    @property
    def rules(self) -> ModelRules:
        return ModelRules() if self.pattern is None else self.policy.models[self.pattern]


def model_rule_changes(old: PolicySide, new: PolicySide, path: str) -> Iterator[PolicyChange]:
    models = ChangeTarget(path, say("{pattern}", pattern=Code(new.pattern or "")))
    for stage in TARGET_STAGES:
        name = say("{stage} of {pattern}", stage=stage, pattern=Code(new.pattern or ""))
        place = ChangeTarget(f"{path}.{stage.value.lower()}", name)
        yield from _stage_rule_changes(old, new, old.rules.rule(stage), new.rules.rule(stage), place)
    before, after = (side.policy.expand_roles(side.rules.rollback_names) for side in (old, new))
    for loosens, sentence in people_changes(before, after, "people who can roll back"):
        yield models.change("rollback", ChangeKind.ROLLBACK, loosens, sentence)
    yield from _monitor_changes(old.rules, new.rules, models)
    yield from _freeze_window_changes(old, new, models)
    for sentence in metric_changes(old.rules, new.rules):
        yield models.change("metrics", ChangeKind.DIRECTIONS, False, sentence)
    if old.rules.on_call != new.rules.on_call:
        yield models.change("on_call", ChangeKind.OTHER, False, on_call_change(old.rules.on_call, new.rules.on_call))
    if old.rules.channel != new.rules.channel:
        words = say("channel {step}", step=_step(old.rules.channel or "none", new.rules.channel or "none"))
        yield models.change("channel", ChangeKind.OTHER, False, words)


def _stage_rule_changes(
    old: PolicySide, new: PolicySide, before: TargetRule | None, after: TargetRule | None, place: ChangeTarget
) -> Iterator[PolicyChange]:
    """Yield the changes to a stage's rule; if either side has no approvers, only the change in approvers matters."""
    was, now = (
        side.policy.expand_roles(rule.approvers if rule else []) for side, rule in ((old, before), (new, after))
    )
    if not was or not now or before is None or after is None:
        if was or now:
            people = [[Mention(user_id) for user_id in sorted(ids)] or "no one" for ids in (was, now)]
            words = say("approvers: {step}", step=_step(*people))
            yield PolicyChange(place.path, ChangeKind.STAGE, bool(now), words, place.name)
        return
    yield from _approval_rule_changes(before, after, place)
    yield from _gate_changes(old, new, before, after, place)
    keys = (
        ("approvers", ChangeKind.APPROVERS, "approvers"),
        ("override", ChangeKind.OVERRIDE, "people who can override gates"),
    )
    for key, kind, whom in keys:
        was, now = old.policy.expand_roles(getattr(before, key)), new.policy.expand_roles(getattr(after, key))
        for loosens, sentence in people_changes(was, now, whom):
            yield place.change(key, kind, loosens, sentence)


def _approval_rule_changes(before: TargetRule, after: TargetRule, place: ChangeTarget) -> Iterator[PolicyChange]:
    is_checked_less = INTEGRITY_LEVELS.index(after.integrity) < INTEGRITY_LEVELS.index(before.integrity)
    changes = (
        ("required", ChangeKind.REQUIRED, after.required < before.required, "approvals"),
        ("requester_may_approve", ChangeKind.OWN_REQUESTS, after.requester_may_approve, "approving your own request"),
        ("expires_after", ChangeKind.EXPIRY, after.expires_after > before.expires_after, "requests expire after"),
        ("integrity", ChangeKind.GATES, is_checked_less, "integrity of files"),
        ("remind_after", ChangeKind.OTHER, False, "approvers are reminded after"),
        ("tell_approvers", ChangeKind.OTHER, False, "how approvers are notified:"),
        (
            "review_within",
            ChangeKind.REVIEW,
            after.review_within > before.review_within,
            "break-glass promotions are reviewed within",
        ),
    )
    for key, kind, loosens, what in changes:
        was, now = getattr(before, key), getattr(after, key)
        if was != now:
            yield place.change(key, kind, loosens, say("{what} {step}", what=what, step=_value_step(key, was, now)))


def _step(old: object, new: object) -> Sentence:
    return say("{old} → {new}", old=old, new=new)


def people_changes(before: frozenset[str], after: frozenset[str], whom: str) -> Iterator[tuple[bool, Sentence]]:
    """Yield a sentence for the people added and one for those removed, each with whether it loosens a rule."""
    for people, loosens, did in ((after - before, True, "added"), (before - after, False, "removed")):
        if who := [Mention(user_id) for user_id in sorted(people)]:
            yield loosens, say("{whom}: {did} {who}", whom=whom, did=did, who=who)


# -- settings ----------------------------------------------------------------------------------------------------------


def metric_changes(old: ModelRules | Policy, new: ModelRules | Policy) -> Iterator[Sentence]:
    """Yield a sentence for each difference between metric settings."""
    for name in sorted({*old.directions, *new.directions}):
        was, now = old.directions.get(name), new.directions.get(name)
        if was != now:
            step = _step(was or "inferred from its name", now or "inferred from its name")
            yield say("better direction of {name}: {step}", name=Code(name), step=step)
    for name, sentence in changed_settings(old.metrics, new.metrics):
        yield say("metric {name} {change}", name=Code(name), change=sentence)


def on_call_change(old: list[str] | None, new: list[str] | None) -> Sentence:
    """Return how the people mentioned in alerts differ; a list is None if the pattern has none of its own."""
    return say("alerts mention {step}", step=_value_step("on_call", old, new))


def changed_settings(
    old: Mapping[str, BaseModel | None], new: Mapping[str, BaseModel | None]
) -> Iterator[tuple[str, Sentence]]:
    """Yield each name whose settings differ, with a sentence that describes the change."""
    for name in [*old, *(name for name in new if name not in old)]:
        was, now = old.get(name), new.get(name)
        if was != now:
            yield name, _describe_settings_change(was, now)


def _describe_settings_change(was: BaseModel | None, now: BaseModel | None) -> Sentence:
    if now is None:
        return say("removed")
    fields = [*type(now).model_fields, *(now.model_extra or {}), *((was and was.model_extra) or {})]
    if was is None:
        given = [
            say("{key} {value}", key=key, value=_value_text(key, getattr(now, key, None)))
            for key in fields
            if key in now.model_fields_set
        ]
        return say("added: {given}", given=given) if given else say("added")
    steps = [
        say("{key} {step}", key=key, step=_value_step(key, getattr(was, key, None), getattr(now, key, None)))
        for key in dict.fromkeys(fields)
        if getattr(was, key, None) != getattr(now, key, None)
    ]
    return say("{steps}", steps=steps)


def _value_step(key: str, old: object, new: object) -> Sentence:
    was, now = _value_text(key, old), _value_text(key, new)
    return say("changed") if was == now else _step(was, now)


def _value_text(key: str, value: object) -> str:
    """Return a setting's value, shortened; for a URL, only the host, since the rest can contain a token."""
    match value:
        case None | "" | [] | {}:
            return "none"
        case bool():
            return "on" if value else "off"
        case timedelta():
            return format_duration(value)
        case float():
            return format_number(value)
        case list() | tuple():
            return truncate(", ".join(map(str, value)), MAX_VALUE_LENGTH)
        case str() if "url" in key:
            return urlsplit(value).hostname or "set"
        case int() | str():
            return truncate(str(value), MAX_VALUE_LENGTH)
    return "set"


@dataclass(frozen=True, slots=True)
class _GateDemand:
    """One requirement of a rule's gates. A larger `strength` is stricter; `bound` is its text in messages."""

    strength: float
    bound: str


def _gate_changes(
    old: PolicySide, new: PolicySide, before: TargetRule, after: TargetRule, place: ChangeTarget
) -> Iterator[PolicyChange]:
    """Yield the changes in what all gates together require, bound by bound."""
    was, now = _gate_demands(old, before), _gate_demands(new, after)
    for key in [*was, *(key for key in now if key not in was)]:
        old_demand, new_demand = was.get(key), now.get(key)
        if old_demand != new_demand:
            is_weaker = new_demand is None or (old_demand is not None and new_demand.strength < old_demand.strength)
            sentence = _describe_gate_change(key, old_demand, new_demand)
            yield place.change("gates", ChangeKind.GATES, is_weaker, sentence)


def _describe_gate_change(gate: str, old: _GateDemand | None, new: _GateDemand | None) -> Sentence:
    if old and new:
        return say("gate {gate} {step}", gate=gate, step=_step(old.bound, new.bound))
    demand = old or new
    bound = f" {demand.bound}" if demand and demand.bound else ""
    return say("gate {gate}{bound} {did}", gate=gate, bound=bound, did="added" if new else "removed")


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
            yield from _metric_demands(gate, side.policy.metrics_under(side.rules))
        case CardGate():
            yield from ((f"card field {name}", _GateDemand(1, "")) for name in gate.card)
        case SignatureGate():
            yield "signature", _GateDemand(1, gate.signature)
        case SemverGate():
            yield "semver", _GateDemand(1, gate.semver)
        case NotBlockedGate():
            yield _BLOCKED_VERSIONS_KEY, _GateDemand(gate.not_blocked, "refused" if gate.not_blocked else "allowed")
        case InStagingGate():
            span = gate.in_staging_for
            yield "time in Staging", _GateDemand(span.total_seconds(), format_duration(span))


def _metric_demands(gate: MetricGate, metrics: MetricCatalog) -> Iterator[tuple[str, _GateDemand]]:
    """Yield a metric's bounds. The direction is part of the key because it changes a bound's meaning."""
    if (lower_bound := gate.at_least) is not None:
        yield f"{gate.metric} ≥", _GateDemand(lower_bound, format_number(lower_bound))
    if (upper_bound := gate.at_most) is not None:
        yield f"{gate.metric} ≤", _GateDemand(-upper_bound, format_number(upper_bound))
    if (margin := gate.not_worse_than_incumbent_by) is not None:
        direction = metrics.direction(gate.metric.removeprefix(VALIDATION_PREFIX)).value
        yield (
            f"{gate.metric} ({direction} is better) worse than Production by at most",
            _GateDemand(-margin, format_number(margin)),
        )


def _monitor_changes(old: ModelRules, new: ModelRules, place: ChangeTarget) -> Iterator[PolicyChange]:
    """Yield changed monitors; any change counts as loosening if the monitor then rolls back automatically."""
    before = {monitor.name: monitor for monitor in old.monitors}
    after = {monitor.name: monitor for monitor in new.monitors}
    for name, change in changed_settings(before, after):
        loosens = name in after and after[name].action == "auto"
        warning = " (rolls back automatically)" if loosens else ""
        sentence = say("monitor {name} {change}{warning}", name=Code(name), change=change, warning=warning)
        yield place.change("monitors", ChangeKind.MONITORS, loosens, sentence)


def _freeze_window_changes(old: PolicySide, new: PolicySide, place: ChangeTarget) -> Iterator[PolicyChange]:
    """Yield changed freeze windows, including those for all models; removing or shortening one counts as loosening."""
    before, after = _freeze_window_durations(old), _freeze_window_durations(new)
    for cron, time_zone in [*before, *(key for key in after if key not in before)]:
        was, now = before.get((cron, time_zone)), after.get((cron, time_zone))
        if was == now:
            continue
        words = say(
            "freeze {cron} ({zone}) {old} → {new}",
            cron=Code(cron),
            zone=time_zone,
            old=format_duration(was) if was else "none",
            new=format_duration(now) if now else "none",
        )
        yield place.change("freeze", ChangeKind.FREEZE, was is not None and (now is None or now < was), words)


def _freeze_window_durations(side: PolicySide) -> dict[tuple[str, str], timedelta]:
    durations: dict[tuple[str, str], timedelta] = {}
    for window in [*side.policy.freeze, *side.rules.freeze]:
        key = (window.cron, window.zone)
        durations[key] = max(window.lasts, durations.get(key, window.lasts))
    return durations
