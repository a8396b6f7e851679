"""TODO bot.domain.transitions.messages"""

from __future__ import annotations

from bot.domain.core.actors import shown
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.transitions.transition import Move, MoveState


def staging_is_empty() -> Say:
    """Return the news that a promotion took the only version out of Staging."""
    return say("Staging is empty now.")


def alias_refused(alias: str, why: Say) -> Say:
    """Return what is told of a move whose alias MLflow did not take."""
    return say("The stage has moved, but MLflow refused the alias {alias}. {why}", alias=Code(alias), why=why)


def observed(move: Move) -> Say:
    """Return what the poll found."""
    return say(
        "Found in MLflow: {v} is in {stage}. Nobody asked Registrar for it.",
        v=Code(f"v{move.version}"),
        stage=move.target,
    )


def archived(move: Move) -> Say:
    """Return what the channel hears of a version that was taken aside."""
    if move.reason:
        return say(
            "{who} archived {v} of {model}: {why}",
            who=shown(move.actor),
            v=Code(f"v{move.version}"),
            model=Name(move.model),
            why=move.reason,
        )
    return say(
        "{who} archived {v} of {model}.", who=shown(move.actor), v=Code(f"v{move.version}"), model=Name(move.model)
    )


def archiving_ended(move: Move) -> Say:
    """Return what somebody hears who had a version archived."""
    v, model = Code(f"v{move.version}"), Name(move.model)
    if move.state is MoveState.DONE:
        return say("{v} of {model} is archived, read back from MLflow.", v=v, model=model)
    if move.state in {MoveState.STALE, MoveState.FAILED}:
        return say("{v} of {model} was not archived. {why}", v=v, model=model, why=move.why)
    return say("{v} of {model} is archived as soon as MLflow answers; nobody has to do anything.", v=v, model=model)


def archive_question(model: str, version: int | str) -> Say:
    """Return the question before a version is taken aside."""
    return say(
        "Archive {v} of {model}? It leaves its stage; its files stay, and it can be promoted again.",
        v=Code(version),
        model=Name(model),
    )


def mended(move: Move) -> Say:
    """Return what the thread of a finding hears after somebody pressed its button."""
    who, v = shown(move.actor), Code(f"v{move.version}")
    if move.state is MoveState.DONE:
        return say(
            "{who} mended it: {v} is the one version in {stage}, read back from MLflow.",
            who=who,
            v=v,
            stage=move.target,
        )
    return say("{who} tried to mend it, and nothing was changed. {why}", who=who, why=move.why)


def mending() -> Say:
    """Return what whoever pressed the button hears."""
    return say("Mending it. The thread tells when it is done.")


def kept() -> Say:
    """Return what somebody hears who was asked whether to archive a version, and said no."""
    return say("Kept as it is; nothing was changed.")
