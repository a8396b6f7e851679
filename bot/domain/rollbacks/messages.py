"""Messages about rollbacks and blocked versions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.sentence import Code, MessageLink, Name, Sentence, ended_with_period, join_sentences, say
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.registry.model import product
from bot.domain.registry.rollback_block import unblock_command
from bot.domain.rollbacks.rollback_targets import TargetRefusal
from bot.domain.transitions.transition import Transition, TransitionState

MAY_NOT_LOAD = "{v} of {model} might not load: {why}. To roll back to it anyway: {how}"
LOADABILITY_UNKNOWN = "Can't check whether {v} of {model} loads. {why} To roll back to it anyway: {how}"
NEVER_SERVED = (
    "{v} of {model} has never been in Production, so you can't roll back to it. To request a promotion: {promote}"
)
ANOTHER_VERSION = (
    "{v} of {model} isn't the same version that was in Production; it was replaced later. "
    "To request a promotion: {promote}"
)
BLOCKED = "{v} of {model} is blocked: it was rolled back. Unblock it with {unblock}, or request a promotion: {promote}"
LOADABILITY_UNKNOWN_TO_MONITOR = (
    "Can't check whether {v} of {model} loads. {why} The monitor checks again each time it runs, and rolls back once "
    "the version is known to load."
)


def describe_version_change(transition: Transition) -> Sentence:
    """Return what a rollback changes: `v7 → v6`."""
    old = Code(f"v{transition.expected_incumbent}") if transition.expected_incumbent is not None else "nothing"
    return say("{old} → {new}", old=old, new=Code(f"v{transition.version}"))


def not_in_production_refusal(model: str, version: int) -> Sentence:
    """Return the refusal to roll back a version from its card, because it isn't in Production anymore."""
    return say(
        "{v} of {model} isn't in Production anymore, so nothing changed. To see what is: {history}",
        v=Code(f"v{version}"),
        model=Name(model),
        history=Code(f"/model history {shlex.quote(model)}"),
    )


def rollback_started_announcement(transition: Transition, freeze: ActiveFreeze | None) -> Sentence:
    """Return the message that announces a manual rollback in an incident's thread.

    `freeze` is the active freeze, if any.
    """
    return say(
        "{who} is rolling back {step} in Production.{frozen}",
        step=describe_version_change(transition),
        who=format_actor(transition.actor),
        frozen=say(" {why}", why=rollback_despite_freeze_notice(freeze)) if freeze else "",
    )


def blocked_version_notice(transition: Transition) -> Sentence:
    """Return the line that says the version that left Production is blocked, and how to unblock it."""
    return say(
        "{old} is blocked from rollbacks and requests until unblocked: {how}",
        old=Code(f"v{transition.expected_incumbent}"),
        how=unblock_command(transition.model, transition.expected_incumbent),
    )


FORCED = say("Forced: the audit log says why it might not load.")


def rollback_failed_announcement(transition: Transition) -> Sentence:
    """Return the line that says why a rollback failed, and what to do next."""
    how = Code(f'/model rollback {transition.model} {transition.version} --reason "…"')
    if transition.state is TransitionState.STALE:
        return say(
            "Nothing changed. {why} Check the model: {show}",
            why=transition.why,
            show=Code(f"/model show {transition.model}"),
        )
    return say(
        "Nothing changed: {product} rejected this. {why} Once that's fixed, try again: {how}",
        why=transition.why,
        how=how,
    )


def rollback_confirmation(transition: Transition) -> Sentence:
    """Return the answer to the person who rolled back."""
    model = Name(transition.model)
    if transition.state is TransitionState.DONE:
        return say(
            "Rolled back {model} {step} in Production, verified in {product}.",
            model=model,
            step=describe_version_change(transition),
        )
    if transition.state in {TransitionState.STALE, TransitionState.FAILED}:
        return say("{model} wasn't rolled back. {why}", model=model, why=transition.why)
    return say("The rollback of {model} is queued. It runs as soon as {product} responds.", model=model)


def already_in_progress_refusal(progress: MessageLink) -> Sentence:
    """Return the refusal to roll back while another rollback is in progress."""
    return say("A rollback is already in progress. {progress}.", progress=progress)


def rollback_started_notice() -> Sentence:
    """Return the answer to the person who clicked a rollback button."""
    return say("Rolling back. The incident's message shows the progress.")


def rollback_title(transition: Transition) -> str:
    """Return the channel message's heading, without the model's name, which precedes it."""
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
    """Return why a version can't be a rollback target, and the command that requests its promotion."""
    name = shlex.quote(model)
    return say(
        _REFUSALS[why],
        v=Code(f"v{version}"),
        model=Name(model),
        promote=Code(f'/model promote {name} {version} production --reason "…"'),
        unblock=unblock_command(model, version),
    )


def rollback_despite_freeze_notice(active_freeze: ActiveFreeze) -> Sentence:
    """Return the notice for when a person rolls back while Production is frozen."""
    return say("{why} People can still roll back.", why=active_freeze.description)


def loadability_unknown_to_monitor_reason(model: str, version: int, why: Sentence) -> Sentence:
    """Return why a monitor hasn't rolled back to a version yet: it can't check whether the version loads."""
    return say(LOADABILITY_UNKNOWN_TO_MONITOR, v=Code(f"v{version}"), model=Name(model), why=why)


def loadability_unknown_refusal(model: str, version: int, why: Sentence) -> Sentence:
    """Return the refusal to roll back to a version whose files can't be read."""
    return say(
        LOADABILITY_UNKNOWN,
        v=Code(f"v{version}"),
        model=Name(model),
        why=why,
        how=Code(f'/model rollback {model} {version} --force --reason "…"'),
    )


def no_rollback_target_refusal(model: str) -> Sentence:
    """Return the refusal to roll back when no earlier version can be the target."""
    return say(
        "{model} has no version to roll back to: there's no earlier Production version that isn't blocked. "
        "To request a promotion: {how}",
        model=Name(model),
        how=Code(f'/model promote {shlex.quote(model)} VERSION production --reason "…"'),
    )


def unblock_announcement(model: str, version: int, who: Actor, reason: str) -> Sentence:
    """Return the channel message about an unblocked version."""
    return say(
        "{who} unblocked {v} of {model}: {why}",
        who=format_actor(who),
        v=Code(f"v{version}"),
        model=Name(model),
        why=ended_with_period(reason),
    )


def not_blocked_refusal(model: str, version: int) -> Sentence:
    """Return the refusal to unblock a version that isn't blocked."""
    return say("{v} of {model} isn't blocked, so nothing changed.", v=Code(f"v{version}"), model=Name(model))
