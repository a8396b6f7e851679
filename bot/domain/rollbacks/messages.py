"""Messages about rollbacks and blocked versions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bot.domain.core.actors import Actor, Automation, format_actor
from bot.domain.core.sentence import Code, Name, Sentence, ended_with_period, join_sentences, say
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.registry.model import product
from bot.domain.registry.rollback_block import unblock_command
from bot.domain.rollbacks.rollback import TargetRefusal
from bot.domain.transitions.transition import Transition, TransitionState

MAY_NOT_LOAD = "{v} of {model} may not load: {why}. If you know better: {how}"
LOADABILITY_UNKNOWN = "Whether {v} of {model} loads cannot be told now. {why} If you know that it does: {how}"
NEVER_SERVED = (
    "{v} of {model} has never been in Production, so a rollback can't put it there. To request a promotion: {promote}"
)
ANOTHER_VERSION = (
    "{v} of {model} isn't the version that was in Production: it was replaced since. To request a promotion: {promote}"
)
BLOCKED = "{v} of {model} was rolled back as bad, so it's blocked. Unblock it with {unblock} or request it: {promote}"
LOADABILITY_UNKNOWN_TO_MONITOR = (
    "Whether {v} of {model} loads cannot be told now. {why} It is looked at again with each check, and gone back to "
    "once it is known to load."
)


def actor_label(actor: Actor) -> object:
    """Return who rolled back, as a value for a sentence."""
    return "the monitor" if isinstance(actor, Automation) else format_actor(actor)


def describe_version_change(transition: Transition) -> Sentence:
    """Return what a rollback changes: `v7 → v6`."""
    old = Code(f"v{transition.expected_incumbent}") if transition.expected_incumbent is not None else "nothing"
    return say("{old} → {new}", old=old, new=Code(f"v{transition.version}"))


def rollback_started_announcement(transition: Transition) -> Sentence:
    """Return the thread's first line: from, to, who, why."""
    forced = " Forced: what stood against it is in the audit." if transition.is_forced else ""
    return say(
        "Rolling back {step} in Production, by {who}: {why}" + forced,
        step=describe_version_change(transition),
        who=actor_label(transition.actor),
        why=ended_with_period(transition.reason),
    )


def rollback_done_announcement(transition: Transition, alias: str) -> Sentence:
    """Return the thread's line once the rollback was read back."""
    warnings = say(" {why}", why=transition.why) if transition.why else say("")
    return say(
        "Moved and read back from {product}: {v} is in Production, {alias} names it.{mind}",
        v=Code(f"v{transition.version}"),
        alias=Code(f"@{alias}"),
        mind=warnings,
    )


def version_blocked_announcement(transition: Transition) -> Sentence:
    """Return the line about the version that left Production."""
    return say(
        "{old} is blocked: rollbacks and requests refuse it until someone unblocks it: {how}",
        old=Code(f"v{transition.expected_incumbent}"),
        how=unblock_command(transition.model, transition.expected_incumbent),
    )


def tags_written_announcement() -> Sentence:
    """Return the line about the tags."""
    return say("Tags are written in {product}.")


def rollback_waiting_announcement() -> Sentence:
    """Return the line about a registry that can't be reached."""
    return say("{product} does not answer. The rollback is made as soon as it is back; nobody has to do anything.")


def rollback_failed_announcement(transition: Transition) -> Sentence:
    """Return the line about a failed rollback, and what to do."""
    how = Code(f'/model rollback {transition.model} {transition.version} --reason "…"')
    if transition.state is TransitionState.STALE:
        return say(
            "Nothing was moved. {why} Look at it again: {show}",
            why=transition.why,
            show=Code(f"/model show {transition.model}"),
        )
    return say(
        "Nothing was moved: {product} refused. {why} When that is mended, try again: {how}", why=transition.why, how=how
    )


def rollback_confirmation(transition: Transition) -> Sentence:
    """Return the answer to the person who rolled back."""
    model = Name(transition.model)
    if transition.state is TransitionState.DONE:
        return say(
            "Rolled back: {model} {step} in Production, read back from {product}.",
            model=model,
            step=describe_version_change(transition),
        )
    if transition.state in {TransitionState.STALE, TransitionState.FAILED}:
        return say("{model} was not rolled back. {why}", model=model, why=transition.why)
    return say("The rollback of {model} is written down, and made as soon as {product} answers.", model=model)


def rollback_started_notice() -> Sentence:
    """Return the answer to the person who pressed a rollback's button."""
    return say("Rolling back. The thread tells when it is done.")


def rollback_title(transition: Transition) -> str:
    """Return the heading of the channel's message; the model's name goes before it."""
    old = f"v{transition.expected_incumbent}" if transition.expected_incumbent is not None else "nothing"
    return {
        TransitionState.DONE: f"rolled back from {old} to v{transition.version}",
        TransitionState.STALE: f"not rolled back from {old}",
        TransitionState.FAILED: f"not rolled back from {old}: {product().name} refused",
    }.get(transition.state, f"rolling back from {old} to v{transition.version}")


def may_not_load_refusal(model: str, version: int, reasons: Sequence[Sentence]) -> Sentence:
    """Return why a version might not load, and how to roll back to it anyway."""
    return say(
        MAY_NOT_LOAD,
        v=Code(f"v{version}"),
        model=Name(model),
        why=join_sentences(reasons, "; "),
        how=Code(f'/model rollback {model} {version} --force --reason "…"'),
    )


_REFUSALS = {
    TargetRefusal.NEVER_SERVED: NEVER_SERVED,
    TargetRefusal.ANOTHER_VERSION: ANOTHER_VERSION,
    TargetRefusal.BLOCKED: BLOCKED,
}


def not_a_target_refusal(model: str, version: int, why: TargetRefusal) -> Sentence:
    """Return why a version can't be rolled back to, and the command that requests its promotion."""
    name = shlex.quote(model)
    return say(
        _REFUSALS[why],
        v=Code(f"v{version}"),
        model=Name(model),
        promote=Code(f'/model promote {name} {version} production --reason "…"'),
        unblock=unblock_command(model, version),
    )


def rollback_despite_freeze_notice(active_freeze: ActiveFreeze) -> Sentence:
    """Return the channel's message when a person rolls back while Production is frozen."""
    return say("{why} Rollbacks by people still go through.", why=active_freeze.description)


def loadability_unknown_to_monitor_reason(model: str, version: int, why: Sentence) -> Sentence:
    """Return why a monitor doesn't roll back to a version yet."""
    return say(LOADABILITY_UNKNOWN_TO_MONITOR, v=Code(f"v{version}"), model=Name(model), why=why)


def loadability_unknown_refusal(model: str, version: int, why: Sentence) -> Sentence:
    """Return the refusal of a rollback while the version's files can't be read."""
    return say(
        LOADABILITY_UNKNOWN,
        v=Code(f"v{version}"),
        model=Name(model),
        why=why,
        how=Code(f'/model rollback {model} {version} --force --reason "…"'),
    )


def no_rollback_target_refusal(model: str) -> Sentence:
    """Return the refusal of a rollback if no good version served before."""
    return say(
        "{model} has no version to go back to: Registrar knows of no earlier Production version that isn't blocked. "
        "To request a promotion: {how}",
        model=Name(model),
        how=Code(f'/model promote {shlex.quote(model)} VERSION production --reason "…"'),
    )


def unblock_announcement(model: str, version: int, who: Actor, reason: str) -> Sentence:
    """Return the channel's message about an unblocked version."""
    return say(
        "{who} unblocked {v} of {model}: {why}",
        who=format_actor(who),
        v=Code(f"v{version}"),
        model=Name(model),
        why=ended_with_period(reason),
    )


def not_blocked_refusal(model: str, version: int) -> Sentence:
    """Return the refusal to unblock a version that isn't blocked."""
    return say("{v} of {model} isn't blocked, so nothing was changed.", v=Code(f"v{version}"), model=Name(model))
