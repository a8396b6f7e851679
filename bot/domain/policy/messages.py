"""Messages about rules and freezes: the same in Slack and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Channel, Code, Mention, Name, Sentence, ended_with_period, join_sentences, say
from bot.domain.policy.freezes import Freeze, unfreeze_command
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
from bot.domain.registry.model import TARGET_STAGES, Stage


def describe_rules(policy: Policy, model: str, revision: str) -> list[Sentence]:
    """Return the rules for a model, a sentence or two for each; showing them notifies nobody."""
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
    for stage in reversed(TARGET_STAGES):
        lines += _describe_stage_rule(policy, stage, rules.rule(stage))
    lines.append(_describe_rollback_rule(policy, rules))
    return lines + [_describe_freeze_window(window) for window in policy.windows_for(model)]


def describe_gate(gate: Gate) -> Sentence:
    """Return what a gate requires."""
    match gate:
        case MetricGate():
            return _describe_metric_gate(gate)
        case CardGate():
            return say("the metadata card has {fields}", fields=[Code(name) for name in gate.card])
        case SignatureGate():
            return say("the signature accepts what the incumbent's accepts")
        case SemverGate():
            return say("the semver is set")
        case NotBlockedGate():
            return say("the version isn't blocked" if gate.not_blocked else "a blocked version passes")
        case InStagingGate():
            return say("in Staging for {time} at least", time=format_duration(gate.in_staging_for))


def _describe_metric_gate(gate: MetricGate) -> Sentence:
    name, bounds = Code(gate.metric), []
    if gate.at_least is not None:
        bounds.append(say("{name} ≥ {bound}", name=name, bound=format_number(gate.at_least)))
    if gate.at_most is not None:
        bounds.append(say("{name} ≤ {bound}", name=name, bound=format_number(gate.at_most)))
    if gate.not_worse_than_incumbent_by is not None:
        bounds.append(
            say(
                "{name} at most {bound} worse than the incumbent's",
                name=name,
                bound=format_number(gate.not_worse_than_incumbent_by),
            )
        )
    return join_sentences(bounds, " and ")


def _describe_stage_rule(policy: Policy, stage: Stage, rule: TargetRule | None) -> list[Sentence]:
    if rule is None or not rule.approvers:
        return [say("{stage}: the policy names nobody who may decide.", stage=stage)]
    lines = [
        say(
            "{stage}: {n} of {who} {has} to approve; whoever asks {may}. A request lives {time}{reminders}. {told}",
            stage=stage,
            n="one" if rule.required == 1 else rule.required,
            who=_format_people(policy, rule.approvers),
            has="has" if rule.required == 1 else "have",
            time=format_duration(rule.expires_after),
            may="may be among them" if rule.requester_may_approve else "is not among them",
            reminders=f", with a reminder after {format_duration(rule.remind_after)}" if rule.remind_after else "",
            told=_NOTIFICATION_SENTENCES[rule.tell_approvers],
        )
    ]
    if rule.gates:
        lines.append(
            say(
                "{stage} has gates: {gates}.",
                stage=stage,
                gates=join_sentences([describe_gate(gate) for gate in rule.gates], "; "),
            )
        )
        lines.append(_describe_override(policy, stage, rule))
    return lines


_NOTIFICATION_SENTENCES = {
    "mention": "Approvers are mentioned on its card.",
    "direct": "Approvers get a direct message.",
    "none": "Approvers aren't notified.",
}


def _describe_override(policy: Policy, stage: Stage, rule: TargetRule) -> Sentence:
    if not rule.override:
        return say("Nobody can let a failed gate of {stage} pass.", stage=stage)
    return say(
        "A failed gate of {stage} can be let pass, with a reason, by {who}.",
        stage=stage,
        who=_format_people(policy, rule.override),
    )


def _describe_rollback_rule(policy: Policy, rules: ModelRules) -> Sentence:
    names = dict.fromkeys([*rules.rollback_names, *({Policy.ADMIN_ROLE} & policy.roles.keys())])
    people = _format_people(policy, list(names))
    if not people:
        return say("The policy names nobody who can roll back, freeze, repair, or archive.")
    return say("Rolling back, freezing, repairing, and archiving is for {who}.", who=people)


def _describe_freeze_window(window: FreezeWindow) -> Sentence:
    return say(
        "Nothing moves in Production for {time} from {cron} ({zone}) on{why}.",
        time=format_duration(window.lasts),
        cron=Code(window.cron),
        zone=window.zone,
        why=f": {window.reason.rstrip('.')}" if window.reason else "",
    )


def _format_people(policy: Policy, names: Sequence[str]) -> list[object]:
    """Return roles with the people in them, and ids as mentions."""
    labels: list[object] = []
    for name in names:
        member_ids = policy.roles.get(name)
        labels += (
            [Mention(name)]
            if member_ids is None
            else [
                say(
                    "{role} ({who})",
                    role=Code(name),
                    who=[Mention(member_id) for member_id in member_ids] or ["nobody"],
                )
            ]
        )
    return labels


def freeze_announcement(freeze: Freeze) -> Sentence:
    """Return the channels' message about a freeze."""
    until = say(" until {when}", when=freeze.until) if freeze.until else say("")
    return say(
        "❄️ {who} froze Production of {what}{until}: {why} Nothing moves there. To lift it: {lift}",
        who=format_actor(freeze.by),
        what=_frozen_models(freeze),
        until=until,
        why=ended_with_period(freeze.reason),
        lift=unfreeze_command(freeze.model),
    )


def freeze_confirmation(freeze: Freeze) -> Sentence:
    """Return the answer to the person who froze Production."""
    return say(
        "Production of {what} is frozen, and the channel is told. To lift it: {lift}",
        what=_frozen_models(freeze),
        lift=unfreeze_command(freeze.model),
    )


def unfreeze_announcement(freeze: Freeze, by: Actor, reason: str) -> Sentence:
    """Return the channels' message about an unfreeze."""
    return say(
        "{who} lifted the freeze of Production of {what}{why}",
        who=format_actor(by),
        what=_frozen_models(freeze),
        why=say(": {reason}", reason=ended_with_period(reason)) if reason else ".",
    )


def _frozen_models(freeze: Freeze) -> object:
    return Name(freeze.model) if freeze.model else "every model"
