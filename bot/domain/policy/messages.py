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
    """Return the rules for a model, in one or two sentences each; showing them notifies no one."""
    rules, pattern = policy.rules_for(model), policy.pattern_for(model)
    if pattern is None:
        return [
            say(
                "No policy rule matches {model}, so no one can promote it. Add a matching pattern to {file}.",
                model=Name(model),
                file=Code("registrar.yml"),
            )
        ]
    lines = [
        say(
            "Policy for {model} (rule {pattern}, revision {revision}). Channel: {channel}.",
            model=Name(model),
            pattern=Code(pattern),
            revision=Code(revision or "none"),
            channel=Channel(policy.channel_for(model)),
        )
    ]
    for stage in reversed(TARGET_STAGES):
        lines += _describe_stage_rule(policy, stage, rules.rule(stage))
    lines.append(_describe_rollback_rule(policy, rules))
    if on_call := policy.on_call_for(model):
        lines.append(say("Alerts mention {who}.", who=_format_people(policy, on_call)))
    return lines + [_describe_freeze_window(window) for window in policy.windows_for(model)]


def describe_gate(gate: Gate) -> Sentence:
    """Return what a gate requires."""
    match gate:
        case MetricGate():
            return _describe_metric_gate(gate)
        case CardGate():
            return say("the metadata card has {fields}", fields=[Code(name) for name in gate.card])
        case SignatureGate():
            return say("the signature is compatible with current Production")
        case SemverGate():
            return say("the semver is set")
        case NotBlockedGate():
            return say("the version isn't blocked" if gate.not_blocked else "blocked versions are allowed")
        case InStagingGate():
            return say("in Staging for at least {time}", time=format_duration(gate.in_staging_for))


def _describe_metric_gate(gate: MetricGate) -> Sentence:
    name, bounds = Code(gate.metric), []
    if gate.at_least is not None:
        bounds.append(say("{name} ≥ {bound}", name=name, bound=format_number(gate.at_least)))
    if gate.at_most is not None:
        bounds.append(say("{name} ≤ {bound}", name=name, bound=format_number(gate.at_most)))
    if gate.not_worse_than_incumbent_by is not None:
        bounds.append(
            say(
                "{name} at most {bound} worse than current Production",
                name=name,
                bound=format_number(gate.not_worse_than_incumbent_by),
            )
        )
    return join_sentences(bounds, " and ")


def _describe_stage_rule(policy: Policy, stage: Stage, rule: TargetRule | None) -> list[Sentence]:
    if rule is None or not rule.approvers:
        return [say("{stage}: the policy lists no approvers.", stage=stage)]
    lines = [
        say(
            "{stage}: {n} of {who} must approve; requesters {can} approve their own requests. "
            "Requests expire after {time}{reminders}. {told}",
            stage=stage,
            n=rule.required,
            who=_format_people(policy, rule.approvers),
            time=format_duration(rule.expires_after),
            can="can" if rule.requester_may_approve else "can't",
            reminders=f", with a reminder after {format_duration(rule.remind_after)}" if rule.remind_after else "",
            told=_NOTIFICATION_SENTENCES[rule.tell_approvers],
        )
    ]
    if rule.gates:
        lines.append(
            say(
                "{stage} gates: {gates}.",
                stage=stage,
                gates=join_sentences([describe_gate(gate) for gate in rule.gates], "; "),
            )
        )
        lines.append(_describe_override(policy, stage, rule))
    if rule.integrity == "required":
        lines.append(say("{stage} files must be the ones that were recorded.", stage=stage))
    return lines


_NOTIFICATION_SENTENCES = {
    "mention": "Approvers are mentioned on the request card.",
    "direct": "Approvers get a direct message.",
    "none": "Approvers aren't notified.",
}


def _describe_override(policy: Policy, stage: Stage, rule: TargetRule) -> Sentence:
    if not rule.override:
        return say("No one can override a failed {stage} gate.", stage=stage)
    return say(
        "{who} can override a failed {stage} gate by giving a reason.",
        stage=stage,
        who=_format_people(policy, rule.override),
    )


def _describe_rollback_rule(policy: Policy, rules: ModelRules) -> Sentence:
    names = dict.fromkeys([*rules.rollback_names, *({Policy.ADMIN_ROLE} & policy.roles.keys())])
    people = _format_people(policy, list(names))
    if not people:
        return say("The policy lists no one who can roll back, freeze, repair, or archive.")
    return say("{who} can roll back, freeze, repair, and archive.", who=people)


def _describe_freeze_window(window: FreezeWindow) -> Sentence:
    return say(
        "Production is frozen for {time} starting at {cron} ({zone}){why}.",
        time=format_duration(window.lasts),
        cron=Code(window.cron),
        zone=window.zone,
        why=f": {window.reason.rstrip('.')}" if window.reason else "",
    )


def _format_people(policy: Policy, names: Sequence[str]) -> list[object]:
    """Return roles with the people in them, and IDs as mentions."""
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
                    who=[Mention(member_id) for member_id in member_ids] or ["no one"],
                )
            ]
        )
    return labels


def freeze_announcement(freeze: Freeze) -> Sentence:
    """Return the message that announces a freeze in the channels."""
    until = say(" until {when}", when=freeze.until) if freeze.until else say("")
    return say(
        "❄️ {who} froze {what}{until}: {why} No version can enter or leave Production. To unfreeze: {lift}",
        who=format_actor(freeze.by),
        what=_frozen_models(freeze),
        until=until,
        why=ended_with_period(freeze.reason),
        lift=unfreeze_command(freeze.model),
    )


def freeze_confirmation(freeze: Freeze) -> Sentence:
    """Return the answer to the person who froze Production."""
    return say(
        "Froze {what} and announced it in the channel. To unfreeze: {lift}",
        what=_frozen_models(freeze),
        lift=unfreeze_command(freeze.model),
    )


def unfreeze_announcement(freeze: Freeze, by: Actor, reason: str) -> Sentence:
    """Return the message that announces the end of a freeze in the channels."""
    return say(
        "{who} unfroze {what}{why}",
        who=format_actor(by),
        what=_frozen_models(freeze),
        why=say(": {reason}", reason=ended_with_period(reason)) if reason else ".",
    )


def _frozen_models(freeze: Freeze) -> object:
    return Name(freeze.model) if freeze.model else "all models"
