"""Messages about archiving, repairs, and rejected aliases."""

from __future__ import annotations

from bot.domain.core.actors import format_actor
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.transitions.transition import Transition, TransitionState

# That a promotion took the only version out of Staging.
STAGING_EMPTY = say("Staging is empty now.")


def alias_refused_notice(alias: str, why: Sentence) -> Sentence:
    """Return the notice that MLflow rejected a transition's alias."""
    return say("The stage changed, but {product} rejected the alias {alias}. {why}", alias=Code(alias), why=why)


def archive_announcement(transition: Transition) -> Sentence:
    """Return the channel message about an archived version."""
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
    """Return the answer to the person who archived a version."""
    v, model = Code(f"v{transition.version}"), Name(transition.model)
    if transition.state is TransitionState.DONE:
        return say("Archived {v} of {model}, verified in {product}.", v=v, model=model)
    if transition.state in {TransitionState.STALE, TransitionState.FAILED}:
        return say("{v} of {model} wasn't archived. {why}", v=v, model=model, why=transition.why)
    return say("{v} of {model} will be archived as soon as {product} responds. No action needed.", v=v, model=model)


def archive_question(model: str, version: int | str) -> Sentence:
    """Return the question to ask before archiving a version."""
    return say(
        "Archive {v} of {model}? It leaves its stage, but its files stay, and it can be promoted again.",
        v=Code(version),
        model=Name(model),
    )


def repair_failure(transition: Transition) -> Sentence:
    """Return the message that reports a failed repair in a drift notice's thread."""
    actor = format_actor(transition.actor)
    return say("{who} tried to repair this, but nothing changed. {why}", who=actor, why=transition.why)


def repair_started_notice() -> Sentence:
    """Return the answer to the person who clicked the repair button."""
    return say("Repairing. I'll edit the message once it's verified in {product}.")


def not_archived_confirmation() -> Sentence:
    """Return the answer to the person who decided not to archive."""
    return say("Not archived. Nothing changed.")
