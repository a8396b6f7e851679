"""What the policy says of a model, in words: the same in Slack and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.core.actors import Actor, shown
from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import number
from bot.domain.core.sentence import Channel, Code, Mention, Name, Say, ended_with_period, joined, say
from bot.domain.policy.freezes import Freeze, unfreeze_hint
from bot.domain.policy.gate_config import (
    CardGate,
    Gate,
    InStagingGate,
    MetricGate,
    NotBlockedGate,
    SemverGate,
    SignatureGate,
)
from bot.domain.policy.policy import FreezeWindow, ModelRules, Policy, TargetRule
from bot.domain.registry.model import TARGETS, Stage


def what_holds(policy: Policy, model: str, revision: str) -> list[Say]:
    """Return what holds for a model, a sentence or two for each matter; none of it pings anybody when it is shown."""
    rules, pattern = policy.rules_for(model), policy.pattern_for(model)
    if pattern is None:
        return [
            say(
                "The policy says nothing of {model}, so nobody can promote it. Add a pattern that matches it to "
                "{file}.",
                model=Name(model),
                file=Code("registrar.yml"),
            )
        ]
    lines = [
        say(
            "For {model} the pattern {pattern} holds (policy {revision}); its channel is {channel}.",
            model=Name(model),
            pattern=Code(pattern),
            revision=Code(revision or "not from a file"),
            channel=Channel(policy.channel_for(model)),
        )
    ]
    for stage in reversed(TARGETS):
        lines += _stage(policy, stage, rules.rule(stage))
    lines.append(_rollback(policy, rules))
    return lines + [_window(window) for window in policy.windows_for(model)]


def gate_words(gate: Gate) -> Say:
    """Return what a gate asks for."""
    match gate:
        case MetricGate():
            return _metric(gate)
        case CardGate():
            return say("the metadata card has {fields}", fields=[Code(name) for name in gate.card])
        case SignatureGate():
            return say("the signature accepts what the incumbent's accepts")
        case SemverGate():
            return say("the semver is set")
        case NotBlockedGate():
            return say("the version isn't blocked" if gate.not_blocked else "a blocked version passes")
        case InStagingGate():
            return say("in Staging for {time} at least", time=show_duration(gate.in_staging_for))


def _metric(gate: MetricGate) -> Say:
    name, bounds = Code(gate.metric), []
    if gate.at_least is not None:
        bounds.append(say("{name} ≥ {bound}", name=name, bound=number(gate.at_least)))
    if gate.at_most is not None:
        bounds.append(say("{name} ≤ {bound}", name=name, bound=number(gate.at_most)))
    if gate.not_worse_than_incumbent_by is not None:
        bounds.append(
            say(
                "{name} at most {bound} worse than the incumbent's",
                name=name,
                bound=number(gate.not_worse_than_incumbent_by),
            )
        )
    return joined(bounds, " and ")


def _stage(policy: Policy, stage: Stage, rule: TargetRule | None) -> list[Say]:
    if rule is None or not rule.approvers:
        return [say("{stage}: the policy names nobody who may decide.", stage=stage)]
    lines = [
        say(
            "{stage}: {n} of {who} {has} to approve; whoever asks {may}. A request lives {time}{reminders}. {told}",
            stage=stage,
            n="one" if rule.required == 1 else rule.required,
            who=_people(policy, rule.approvers),
            has="has" if rule.required == 1 else "have",
            time=show_duration(rule.expires_after),
            may="may be among them" if rule.requester_may_approve else "is not among them",
            reminders=f", with a reminder after {show_duration(rule.remind_after)}" if rule.remind_after else "",
            told=_TOLD[rule.tell_approvers],
        )
    ]
    if rule.gates:
        lines.append(
            say(
                "{stage} has gates: {gates}.",
                stage=stage,
                gates=joined([gate_words(gate) for gate in rule.gates], "; "),
            )
        )
        lines.append(_override(policy, stage, rule))
    return lines


_TOLD = {
    "mention": "Approvers are mentioned on its card.",
    "direct": "Approvers get a direct message.",
    "none": "Approvers aren't notified.",
}


def _override(policy: Policy, stage: Stage, rule: TargetRule) -> Say:
    if not rule.override:
        return say("Nobody can let a failed gate of {stage} pass.", stage=stage)
    return say(
        "A failed gate of {stage} can be let pass, with a reason, by {who}.",
        stage=stage,
        who=_people(policy, rule.override),
    )


def _rollback(policy: Policy, rules: ModelRules) -> Say:
    names = rules.rollback.by if rules.rollback else rules.production.approvers if rules.production else []
    who = _people(policy, list(dict.fromkeys([*names, *({Policy.ADMIN} & policy.roles.keys())])))
    if not who:
        return say("The policy names nobody who can roll back, freeze, repair, or archive.")
    return say("Rolling back, freezing, repairing, and archiving is for {who}.", who=who)


def _window(window: FreezeWindow) -> Say:
    return say(
        "Nothing moves in Production for {time} from {cron} ({zone}) on{why}.",
        time=show_duration(window.lasts),
        cron=Code(window.cron),
        zone=window.zone,
        why=f": {window.reason.rstrip('.')}" if window.reason else "",
    )


def _people(policy: Policy, names: Sequence[str]) -> list[object]:
    """Return roles by name with who is behind them, and ids as mentions."""
    found: list[object] = []
    for name in names:
        behind = policy.roles.get(name)
        found += (
            [Mention(name)]
            if behind is None
            else [say("{role} ({who})", role=Code(name), who=[Mention(one) for one in behind] or ["nobody"])]
        )
    return found


def froze(freeze: Freeze) -> Say:
    """Return what channels hear of a freeze."""
    until = say(" until {when}", when=freeze.until) if freeze.until else say("")
    return say(
        "❄️ {who} froze Production of {what}{until}: {why} Nothing moves there. To lift it: {lift}",
        who=shown(freeze.by),
        what=_frozen_thing(freeze),
        until=until,
        why=ended_with_period(freeze.reason),
        lift=unfreeze_hint(freeze.model),
    )


def frozen_by_you(freeze: Freeze) -> Say:
    """Return the answer to whoever froze Production."""
    return say(
        "Production of {what} is frozen, and the channel is told. To lift it: {lift}",
        what=_frozen_thing(freeze),
        lift=unfreeze_hint(freeze.model),
    )


def unfroze(freeze: Freeze, by: Actor, reason: str) -> Say:
    """Return what channels hear of a freeze that was lifted."""
    return say(
        "{who} lifted the freeze of Production of {what}{why}",
        who=shown(by),
        what=_frozen_thing(freeze),
        why=say(": {reason}", reason=ended_with_period(reason)) if reason else ".",
    )


def _frozen_thing(freeze: Freeze) -> object:
    return Name(freeze.model) if freeze.model else "every model"
