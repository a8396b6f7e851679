"""TODO bot.domain.transitions.messages"""

from __future__ import annotations

from bot.domain.core.actors import format_actor
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.transitions.transition import Transition, TransitionState


def staging_empty_announcement() -> Sentence:
    """Return the news that a promotion took the only version out of Staging."""
    return say("Staging is empty now.")


def alias_refused_notice(alias: str, why: Sentence) -> Sentence:
    """Return what is told of a move whose alias MLflow did not take."""
    return say("The stage has moved, but MLflow refused the alias {alias}. {why}", alias=Code(alias), why=why)


def observed_transition_announcement(transition: Transition) -> Sentence:
    """Return what the poll found."""
    return say(
        "Found in MLflow: {v} is in {stage}. Nobody asked Registrar for it.",
        v=Code(f"v{transition.version}"),
        stage=transition.target,
    )


def archive_announcement(transition: Transition) -> Sentence:
    """Return what the channel hears of a version that was taken aside."""
    if transition.reason:
        return say(
            "{who} archived {v} of {model}: {why}",
            who=format_actor(transition.actor),
            v=Code(f"v{transition.version}"),
            model=Name(transition.model),
            why=transition.reason,
        )
    return say(
        "{who} archived {v} of {model}.",
        who=format_actor(transition.actor),
        v=Code(f"v{transition.version}"),
        model=Name(transition.model),
    )


def archive_confirmation(transition: Transition) -> Sentence:
    """Return what somebody hears who had a version archived."""
    v, model = Code(f"v{transition.version}"), Name(transition.model)
    if transition.state is TransitionState.DONE:
        return say("{v} of {model} is archived, read back from MLflow.", v=v, model=model)
    if transition.state in {TransitionState.STALE, TransitionState.FAILED}:
        return say("{v} of {model} was not archived. {why}", v=v, model=model, why=transition.why)
    return say("{v} of {model} is archived as soon as MLflow answers; nobody has to do anything.", v=v, model=model)


def archive_question(model: str, version: int | str) -> Sentence:
    """Return the question before a version is taken aside."""
    return say(
        "Archive {v} of {model}? It leaves its stage; its files stay, and it can be promoted again.",
        v=Code(version),
        model=Name(model),
    )


def repair_announcement(transition: Transition) -> Sentence:
    """Return what the thread of a finding hears after somebody pressed its button."""
    who, v = format_actor(transition.actor), Code(f"v{transition.version}")
    if transition.state is TransitionState.DONE:
        return say(
            "{who} mended it: {v} is the one version in {stage}, read back from MLflow.",
            who=who,
            v=v,
            stage=transition.target,
        )
    return say("{who} tried to mend it, and nothing was changed. {why}", who=who, why=transition.why)


def repair_started_notice() -> Sentence:
    """Return what whoever pressed the button hears."""
    return say("Mending it. The thread tells when it is done.")


def not_archived_confirmation() -> Sentence:
    """Return what somebody hears who was asked whether to archive a version, and said no."""
    return say("Kept as it is; nothing was changed.")
