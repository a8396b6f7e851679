"""What an edit of the policy file changes, and whether it loosens a rule. Pure.

Patterns compete, so effective rules are compared: the rule before and the rule after for every two patterns between
which a model's name can pass. Roles count as the ids behind them. What can't be compared for certain loosens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import counted, number
from bot.domain.core.sentence import Code, Mention, Say, joined, say
from bot.domain.policy.model_patterns import covers, is_plain, share_a_name
from bot.domain.policy.policy import (
    ApiClient,
    CardGate,
    Gate,
    InStagingGate,
    MetricGate,
    ModelRules,
    NotBlockedGate,
    Policy,
    SemverGate,
    SignatureGate,
    TargetRule,
)
from bot.domain.promotions.gates import VALIDATION
from bot.domain.registry.metric_direction import direction_of
from bot.domain.registry.model import TARGETS

QUIET = timedelta(seconds=2)  # how long the file must stay unchanged before any edit applies
LINES_MOST = 10  # lines about changes in one message; the rest is counted
PATHS_MOST = 3  # places in the file that one line names


class ChangeKind(Enum):
    """What a change is about."""

    PATTERN = "pattern"  # a pattern was added, removed or reordered
    STAGE = "stage"  # a stage has a rule where nobody could approve before, or the other way round
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
    OTHER = "other"  # channels, reminders, endpoints, probes: what gives nobody a right


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two policies: its place in the file, and what it is in words."""

    path: str
    kind: ChangeKind
    loosens: bool
    says: Say

    def evidence(self) -> dict[str, object]:
        """Return it as plain JSON values, for the audit."""
        return {"path": self.path, "kind": self.kind.value, "loosens": self.loosens, "says": str(self.says)}


class EditState(Enum):
    """Why the policy in force isn't the one on disk."""

    SETTLING = "settling"  # the edit waits until the file has been unchanged for long enough
    BROKEN = "broken"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FileEdit:
    """The policy file where it isn't the policy in force; `applies_at` is there where the edit is settling."""

    state: EditState
    applies_at: datetime | None = None


def policy_changes(before: Policy, after: Policy) -> list[Change]:
    """Return every difference that matters, those that loosen a rule first."""
    found = [*_of_the_file(before, after), *_of_patterns(before, after)]
    for one, other in _passing(before, after):
        changes = _of_rules(_Side(before, one), _Side(after, other), f"models.{other}")
        found += [change for change in changes if change.loosens or one == other]
    once = {(change.path, change.kind, str(change.says)): change for change in found}
    return sorted(once.values(), key=lambda change: not change.loosens)


def loosens(changes: Iterable[Change]) -> bool:
    """Tell whether any of the changes loosens a rule."""
    return any(change.loosens for change in changes)


def waits(changes: Iterable[Change], in_force: Policy) -> timedelta:
    """Return how long the file must stay unchanged before these changes apply to the policy in force."""
    return max(QUIET, in_force.edits.settle) if loosens(changes) else QUIET


def change_lines(changes: Iterable[Change]) -> Say:
    """Return the changes as a list, what is said of several places in one line."""
    places: dict[tuple[ChangeKind, str], tuple[Say, list[str]]] = {}
    for change in changes:
        places.setdefault((change.kind, str(change.says)), (change.says, []))[1].append(change.path)
    lines = [say("• {paths}: {says}", paths=_paths(paths), says=says) for says, paths in places.values()]
    if more := len(lines) - LINES_MOST:
        lines = [*lines[:LINES_MOST], say("• and {n}", n=counted(more, "more change"))] if more > 0 else lines
    return joined(lines, "\n") if lines else say("• No rule changes.")


def edit_words(edit: FileEdit, revision: str, now: datetime) -> Say:
    """Return why the policy file isn't the policy in force, which is `revision`."""
    old = Code(revision or "none")
    if edit.state is EditState.MISSING:
        return say("The policy file is missing or can't be read. Revision {old} stays in force.", old=old)
    if edit.state is EditState.BROKEN:
        return say("The policy file has errors. Revision {old} stays in force.", old=old)
    if edit.applies_at is None or edit.applies_at <= now:
        return say(
            "The policy file changed; the edit applies in a moment. Until then, revision {old} is in force.", old=old
        )
    return say(
        "The policy file changed; the edit applies at {when} (in {left}) unless the file changes again. "
        "Until then, revision {old} is in force.",
        when=edit.applies_at,
        left=show_duration(edit.applies_at - now),
        old=old,
    )


def _paths(paths: list[str]) -> list[object]:
    more = len(paths) - PATHS_MOST
    return [*(Code(path) for path in paths[:PATHS_MOST]), *([counted(more, "more place")] if more > 0 else [])]


# -- which rules to compare ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Side:
    """A policy before or after, and what it says of the names that one of its patterns holds for."""

    policy: Policy
    pattern: str | None

    @property
    def rules(self) -> ModelRules:
        return ModelRules() if self.pattern is None else self.policy.models[self.pattern]

    def ids(self, names: list[str]) -> frozenset[str]:
        return self.policy.ids(names)


def _of_patterns(before: Policy, after: Policy) -> Iterator[Change]:
    for pattern in after.models:
        if pattern not in before.models:
            yield Change(f"models.{pattern}", ChangeKind.PATTERN, False, say("new pattern"))
    for pattern in before.models:
        if pattern not in after.models:
            yield Change(f"models.{pattern}", ChangeKind.PATTERN, False, say("pattern removed"))


def _passing(before: Policy, after: Policy) -> Iterator[tuple[str | None, str]]:
    """Yield the patterns that can hold for the same name, one before and one after; None where none held before.

    Names that no pattern holds for afterward are left out: nobody can promote those.
    """
    for new in after.models:
        for old in before.models:
            if old == new or _can_pass(before, after, old, new):
                yield old, new
        if new not in before.models and not any(covers(wide, new) for wide in before.models):
            yield None, new


def _can_pass(before: Policy, after: Policy, old: str, new: str) -> bool:
    """Tell whether there can be a name for which `old` held and `new` holds now."""
    if new in before.models and not _beats(before, old, new):
        return False
    if old in after.models and not _beats(after, new, old):
        return False
    if not share_a_name(old, new):
        return False
    return not (_is_hidden(before, old, new) or _is_hidden(after, new, old))


def _is_hidden(policy: Policy, pattern: str, other: str) -> bool:
    """Tell whether a third pattern wins over `pattern` for every name that it shares with `other`."""
    return any(
        _beats(policy, third, pattern) and (covers(third, other) or covers(third, pattern))
        for third in policy.models
        if third != pattern
    )


def _beats(policy: Policy, one: str, other: str) -> bool:
    """Tell whether `one` wins over `other` for the names that both match."""
    if is_plain(one) != is_plain(other):
        return is_plain(one)
    order = list(policy.models)
    return (len(one), order.index(other)) > (len(other), order.index(one))


# -- one model's rules -----------------------------------------------------------------------------------------------


def _of_rules(old: _Side, new: _Side, path: str) -> Iterator[Change]:
    for stage in TARGETS:
        where = f"{path}.{stage.value.lower()}"
        yield from _of_stage(old, new, old.rules.rule(stage), new.rules.rule(stage), where)
    before, after = (side.ids(_who_rolls_back(side.rules)) for side in (old, new))
    yield from _gained_and_lost(before, after, f"{path}.rollback", ChangeKind.ROLLBACK, "roll back")
    yield from _of_monitors(old.rules, new.rules, path)
    yield from _of_windows(old, new, path)
    if old.rules.directions != new.rules.directions:
        yield Change(f"{path}.directions", ChangeKind.DIRECTIONS, False, say("changed"))
    if old.rules.channel != new.rules.channel:
        yield Change(f"{path}.channel", ChangeKind.OTHER, False, say("channel changed"))


def _of_stage(
    old: _Side, new: _Side, before: TargetRule | None, after: TargetRule | None, path: str
) -> Iterator[Change]:
    """Yield what changes about moving into a stage; where nobody can approve, nothing else matters."""
    if after is None or not new.ids(after.approvers):
        if before is not None and old.ids(before.approvers):
            yield Change(path, ChangeKind.STAGE, False, say("nobody can approve any more"))
        return
    if before is None or not old.ids(before.approvers):
        who = [Mention(one) for one in sorted(new.ids(after.approvers))]
        yield Change(path, ChangeKind.STAGE, True, say("{who} can approve; nobody could before", who=who))
        return
    yield from _of_approvals(before, after, path)
    yield from _of_gates(old, new, before, after, path)
    for key, kind, can in (
        ("approvers", ChangeKind.APPROVERS, "approve"),
        ("override", ChangeKind.OVERRIDE, "override failed gates"),
    ):
        was, now = old.ids(getattr(before, key)), new.ids(getattr(after, key))
        yield from _gained_and_lost(was, now, f"{path}.{key}", kind, can)


def _of_approvals(before: TargetRule, after: TargetRule, path: str) -> Iterator[Change]:
    if before.required != after.required:
        words = say("{old} → {new}", old=before.required, new=counted(after.required, "approval"))
        yield Change(f"{path}.required", ChangeKind.REQUIRED, after.required < before.required, words)
    if before.requester_may_approve != after.requester_may_approve:
        may = after.requester_may_approve
        words = (
            say("requesters can approve their own requests")
            if may
            else say("requesters can no longer approve their own requests")
        )
        yield Change(f"{path}.requester_may_approve", ChangeKind.OWN_REQUESTS, may, words)
    if before.expires_after != after.expires_after:
        words = say("{old} → {new}", old=show_duration(before.expires_after), new=show_duration(after.expires_after))
        yield Change(f"{path}.expires_after", ChangeKind.EXPIRY, after.expires_after > before.expires_after, words)
    if before.remind_after != after.remind_after:
        yield Change(f"{path}.remind_after", ChangeKind.OTHER, False, say("reminders changed"))
    if before.tell_approvers != after.tell_approvers:
        words = say("{old} → {new}", old=before.tell_approvers, new=after.tell_approvers)
        yield Change(f"{path}.tell_approvers", ChangeKind.OTHER, False, words)
    if before.review_within != after.review_within:
        words = say("{old} → {new}", old=show_duration(before.review_within), new=show_duration(after.review_within))
        is_longer = after.review_within > before.review_within
        yield Change(f"{path}.review_within", ChangeKind.REVIEW, is_longer, words)


def _who_rolls_back(rules: ModelRules) -> list[str]:
    return rules.rollback.by if rules.rollback else rules.production.approvers if rules.production else []


def _gained_and_lost(
    before: frozenset[str], after: frozenset[str], path: str, kind: ChangeKind, can: str
) -> Iterator[Change]:
    if gained := [Mention(one) for one in sorted(after - before)]:
        yield Change(path, kind, True, say("{who} can {what}", who=gained, what=can))
    if lost := [Mention(one) for one in sorted(before - after)]:
        yield Change(path, kind, False, say("{who} can no longer {what}", who=lost, what=can))


# -- gates -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Demand:
    """What gates demand of one thing: a number that grows with how much is demanded, and the bound in words."""

    strength: float
    shown: str


def _of_gates(old: _Side, new: _Side, before: TargetRule, after: TargetRule, path: str) -> Iterator[Change]:
    """Compare what the gates demand together, bound by bound: all of them have to pass."""
    was, now = _demands(old, before), _demands(new, after)
    for key in [*was, *(key for key in now if key not in was)]:
        one, other = was.get(key), now.get(key)
        if one != other:
            words = say(
                "{gate}: {old} → {new}",
                gate=key,
                old=one.shown if one else "no gate",
                new=other.shown if other else "no gate",
            )
            is_weaker = other is None or (one is not None and other.strength < one.strength)
            yield Change(f"{path}.gates", ChangeKind.GATES, is_weaker, words)


def _demands(side: _Side, rule: TargetRule) -> dict[str, _Demand]:
    """Return what the gates of a rule demand together; blocked versions are refused where no gate is about them."""
    is_said = any(isinstance(gate, NotBlockedGate) for gate in rule.gates)
    found: dict[str, _Demand] = {} if is_said else {_BLOCKED: _Demand(1, "refused")}
    for gate in rule.gates:
        for key, demand in _each_demand(side, gate):
            found[key] = max(demand, found.get(key, demand), key=lambda one: one.strength)
    return found


_BLOCKED = "blocked versions"


def _each_demand(side: _Side, gate: Gate) -> Iterator[tuple[str, _Demand]]:
    match gate:
        case MetricGate():
            yield from _of_metric(gate, side.policy.directions | side.rules.directions)
        case CardGate():
            yield from ((f"card field {name}", _Demand(1, "required")) for name in gate.card)
        case SignatureGate():
            yield "signature", _Demand(1, gate.signature)
        case SemverGate():
            yield "semver", _Demand(1, gate.semver)
        case NotBlockedGate():
            yield _BLOCKED, _Demand(gate.not_blocked, "refused" if gate.not_blocked else "allowed")
        case InStagingGate():
            span = gate.in_staging_for
            yield "time in Staging", _Demand(span.total_seconds(), show_duration(span))


def _of_metric(gate: MetricGate, directions: Mapping[str, str]) -> Iterator[tuple[str, _Demand]]:
    """Yield a metric's bounds. Which way it is better counts: the other way round, a bound demands something else."""
    if (least := gate.at_least) is not None:
        yield f"{gate.metric} at least", _Demand(least, number(least))
    if (most := gate.at_most) is not None:
        yield f"{gate.metric} at most", _Demand(-most, number(most))
    if (margin := gate.not_worse_than_incumbent_by) is not None:
        better = direction_of(gate.metric.removeprefix(VALIDATION), directions).value
        yield f"{gate.metric} worse than the incumbent ({better} is better)", _Demand(-margin, f"≤ {number(margin)}")


# -- what acts or stops without a person -------------------------------------------------------------------------------


def _of_monitors(old: ModelRules, new: ModelRules, path: str) -> Iterator[Change]:
    """Yield changed monitors; any change of one that rolls back automatically afterward loosens."""
    before = {one.name: one for one in old.monitors}
    after = {one.name: one for one in new.monitors}
    where = f"{path}.monitors"
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if now is None:
            yield Change(where, ChangeKind.MONITORS, False, say("{name} removed", name=Code(name)))
        elif now.action == "auto":
            words = say("{name} rolls back automatically by a new rule", name=Code(name))
            yield Change(where, ChangeKind.MONITORS, True, words)
        else:
            words = say("{name} {did}", name=Code(name), did="added" if was is None else "changed")
            yield Change(where, ChangeKind.MONITORS, False, words)


def _of_windows(old: _Side, new: _Side, path: str) -> Iterator[Change]:
    """Yield freeze windows, the file's own included: each must stay at least as long to loosen nothing."""
    before, after = _windows(old), _windows(new)
    for cron, zone in [*before, *(key for key in after if key not in before)]:
        was, now = before.get((cron, zone)), after.get((cron, zone))
        if was == now:
            continue
        words = say(
            "{cron} ({zone}): {old} → {new}",
            cron=Code(cron),
            zone=zone,
            old=show_duration(was) if was else "none",
            new=show_duration(now) if now else "none",
        )
        yield Change(f"{path}.freeze", ChangeKind.FREEZE, was is not None and (now is None or now < was), words)


def _windows(side: _Side) -> dict[tuple[str, str], timedelta]:
    found: dict[tuple[str, str], timedelta] = {}
    for window in [*side.policy.freeze, *side.rules.freeze]:
        key = (window.cron, window.zone)
        found[key] = max(window.lasts, found.get(key, window.lasts))
    return found


# -- the rest of the file --------------------------------------------------------------------------------------------


def _of_the_file(before: Policy, after: Policy) -> Iterator[Change]:
    was, now = (frozenset(one.roles.get(Policy.ADMIN, [])) for one in (before, after))
    yield from _gained_and_lost(was, now, f"roles.{Policy.ADMIN}", ChangeKind.ADMINS, "do what admins can")
    yield from _of_operators(before, after)
    yield from _of_clients(before, after)
    yield from _of_sources(before, after)
    if before.edits.settle != after.edits.settle:
        old, new = before.edits.settle, after.edits.settle
        words = say("{old} → {new}", old=show_duration(old), new=show_duration(new))
        yield Change("policy.settle", ChangeKind.SETTLE, new < old, words)
    if before.max_auto != after.max_auto:
        words = say("{old} → {new} in 24 hours", old=before.max_auto, new=counted(after.max_auto, "automatic rollback"))
        yield Change("max_auto", ChangeKind.LIMITS, after.max_auto > before.max_auto, words)
    if before.anchor != after.anchor:
        yield Change("anchor", ChangeKind.ANCHOR, before.anchor is not None, say("changed"))
    if before.directions != after.directions:
        yield Change("directions", ChangeKind.DIRECTIONS, False, say("changed"))
    for key in ("channel", "notify", "serving"):
        if getattr(before, key) != getattr(after, key):
            yield Change(key, ChangeKind.OTHER, False, say("changed"))


def _of_operators(before: Policy, after: Policy) -> Iterator[Change]:
    """Yield changed operators. Losing one loosens too: it says whose requests a terminal's requests are."""
    for name in sorted({*before.operators, *after.operators}):
        was, now = before.operators.get(name), after.operators.get(name)
        if was != now:
            words = say("{old} → {new}", old=Mention(was) if was else "nobody", new=Mention(now) if now else "nobody")
            yield Change(f"operators.{name}", ChangeKind.OPERATORS, True, words)


def _of_clients(before: Policy, after: Policy) -> Iterator[Change]:
    for name in sorted({*before.clients, *after.clients}):
        was, now = before.clients.get(name), after.clients.get(name)
        if was == now:
            continue
        words = (
            say("client removed") if now is None else say("client can {may}", may=", ".join(now.may) or "do nothing")
        )
        yield Change(f"clients.{name}", ChangeKind.CLIENTS, now is not None and not _is_narrower(now, was), words)


def _is_narrower(now: ApiClient, was: ApiClient | None) -> bool:
    """Tell whether a client can do nothing new, and with the same token."""
    if was is None:
        return not now.may
    if not set(now.may) <= set(was.may):
        return False
    is_within = all(any(one == wide or covers(wide, one) for wide in was.models) for one in now.models)
    return is_within and (now.token_env, now.token_file) == (was.token_env, was.token_file)


def _of_sources(before: Policy, after: Policy) -> Iterator[Change]:
    """Yield changed sources: automatic rollbacks go by their figures, so that only a new one loosens nothing."""
    for name in sorted({*before.sources, *after.sources}):
        was, now = before.source(name), after.source(name)
        if was != now:
            yield Change(f"sources.{name}", ChangeKind.SOURCES, was is not None and now is not None, say("changed"))
