"""What people are told about rollbacks and blocked versions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bot.domain.core.actors import Actor, Automation, shown
from bot.domain.core.sentence import Code, Name, Say, ended_with_period, joined, say
from bot.domain.policy.freezes import Frozen
from bot.domain.registry.rollback_block import unblock_hint
from bot.domain.rollbacks.rollback import NotATarget
from bot.domain.transitions.transition import Move, MoveState

UNFIT = "{v} of {model} may not load: {why}. If you know better: {how}"
NOT_LOOKED_AT = "Whether {v} of {model} loads cannot be told now. {why} If you know that it does: {how}"
NEVER_SERVED = (
    "{v} of {model} has never been in Production, so a rollback can't put it there. To request a promotion: {promote}"
)
ANOTHER_VERSION = (
    "{v} of {model} isn't the version that was in Production: it was replaced since. To request a promotion: {promote}"
)
BLOCKED = "{v} of {model} was rolled back as bad, so it's blocked. Unblock it with {unblock} or request it: {promote}"
CANNOT_BE_TOLD = (
    "Whether {v} of {model} loads cannot be told now. {why} It is looked at again with each check, and gone back to "
    "once it is known to load."
)


def by(actor: Actor) -> object:
    """Return who rolled back, as a value of a sentence."""
    return "the monitor" if isinstance(actor, Automation) else shown(actor)


def step(move: Move) -> Say:
    """Return what a rollback changes: `v7 → v6`."""
    old = Code(f"v{move.expected_incumbent}") if move.expected_incumbent is not None else "nothing"
    return say("{old} → {new}", old=old, new=Code(f"v{move.version}"))


def begun(move: Move) -> Say:
    """Return the first line of the thread: from, to, who, why."""
    forced = " Forced: what stood against it is in the audit." if move.is_forced else ""
    return say(
        "Rolling back {step} in Production, by {who}: {why}" + forced,
        step=step(move),
        who=by(move.actor),
        why=ended_with_period(move.reason),
    )


def moved(move: Move, alias: str) -> Say:
    """Return the line of the thread after the move was read back."""
    mind = say(" {why}", why=move.why) if move.why else say("")
    return say(
        "Moved and read back from MLflow: {v} is in Production, {alias} names it.{mind}",
        v=Code(f"v{move.version}"),
        alias=Code(f"@{alias}"),
        mind=mind,
    )


def barred(move: Move) -> Say:
    """Return the line about the version that was taken out."""
    return say(
        "{old} is blocked: rollbacks and requests refuse it until someone unblocks it: {how}",
        old=Code(f"v{move.expected_incumbent}"),
        how=unblock_hint(move.model, move.expected_incumbent),
    )


def tags_written() -> Say:
    """Return the line about the tags."""
    return say("Tags are written in MLflow.")


def waiting() -> Say:
    """Return the line that tells of a registry which is away."""
    return say("MLflow does not answer. The rollback is made as soon as it is back; nobody has to do anything.")


def not_made(move: Move) -> Say:
    """Return the line of a rollback that came to nothing, and what to do."""
    how = Code(f'/model rollback {move.model} {move.version} --reason "…"')
    if move.state is MoveState.STALE:
        return say(
            "Nothing was moved. {why} Look at it again: {show}", why=move.why, show=Code(f"/model show {move.model}")
        )
    return say("Nothing was moved: MLflow refused. {why} When that is mended, try again: {how}", why=move.why, how=how)


def answer(move: Move) -> Say:
    """Return what whoever rolled back hears."""
    model = Name(move.model)
    if move.state is MoveState.DONE:
        return say("Rolled back: {model} {step} in Production, read back from MLflow.", model=model, step=step(move))
    if move.state in {MoveState.STALE, MoveState.FAILED}:
        return say("{model} was not rolled back. {why}", model=model, why=move.why)
    return say("The rollback of {model} is written down, and made as soon as MLflow answers.", model=model)


def under_way() -> Say:
    """Return what somebody hears who pressed the button of a rollback."""
    return say("Rolling back. The thread tells when it is done.")


def title(move: Move) -> str:
    """Return the head of the channel's message; the model's name is put before it."""
    old = f"v{move.expected_incumbent}" if move.expected_incumbent is not None else "nothing"
    return {
        MoveState.DONE: f"rolled back from {old} to v{move.version}",
        MoveState.STALE: f"not rolled back from {old}",
        MoveState.FAILED: f"not rolled back from {old}: MLflow refused",
    }.get(move.state, f"rolling back from {old} to v{move.version}")


def unfit(model: str, version: int, reasons: Sequence[Say]) -> Say:
    """Return why a version is not gone back to just like that, and how it is all the same."""
    return say(
        UNFIT,
        v=Code(f"v{version}"),
        model=Name(model),
        why=joined(reasons, "; "),
        how=Code(f'/model rollback {model} {version} --force --reason "…"'),
    )


_WHY = {
    NotATarget.NEVER_SERVED: NEVER_SERVED,
    NotATarget.ANOTHER_VERSION: ANOTHER_VERSION,
    NotATarget.BLOCKED: BLOCKED,
}


def not_a_target(model: str, version: int, why: NotATarget) -> Say:
    """Return why a version can't be rolled back to, and the command that requests its promotion."""
    name = shlex.quote(model)
    return say(
        _WHY[why],
        v=Code(f"v{version}"),
        model=Name(model),
        promote=Code(f'/model promote {name} {version} production --reason "…"'),
        unblock=unblock_hint(model, version),
    )


def frozen(stop: Frozen) -> Say:
    """Return what the channel reads when a person rolls back while Production is frozen."""
    return say("{why} Rollbacks by people still go through.", why=stop.why)


def cannot_be_told(model: str, version: int, why: Say) -> Say:
    """Return why a monitor does not go back to a version yet."""
    return say(CANNOT_BE_TOLD, v=Code(f"v{version}"), model=Name(model), why=why)


def not_looked_at(model: str, version: int, why: Say) -> Say:
    """Return what somebody hears who rolls back while the version's files are away."""
    return say(
        NOT_LOOKED_AT,
        v=Code(f"v{version}"),
        model=Name(model),
        why=why,
        how=Code(f'/model rollback {model} {version} --force --reason "…"'),
    )


def nothing_before(model: str) -> Say:
    """Return what somebody hears who wants to go back where nothing good served before."""
    return say(
        "{model} has no version to go back to: Registrar knows of no earlier Production version that isn't blocked. "
        "To request a promotion: {how}",
        model=Name(model),
        how=Code(f'/model promote {shlex.quote(model)} VERSION production --reason "…"'),
    )


def cleared(model: str, version: int, who: Actor, reason: str) -> Say:
    """Return what the channel hears when someone unblocks a version."""
    return say(
        "{who} unblocked {v} of {model}: {why}",
        who=shown(who),
        v=Code(f"v{version}"),
        model=Name(model),
        why=ended_with_period(reason),
    )


def not_barred(model: str, version: int) -> Say:
    """Return the refusal to unblock a version that isn't blocked."""
    return say("{v} of {model} isn't blocked, so nothing was changed.", v=Code(f"v{version}"), model=Name(model))
