"""The progress line of a promotion or rollback. Its message shows the line and is edited when the line changes."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState


def progress_line(transition: Transition, serving: ServingCheck | None = None) -> Sentence:
    """Return the steps so far, and the next one: `✓ Approved · ✓ Moved · ✓ Verified in MLflow · …`.

    `serving` is the check that the endpoint serves the version; None if the policy names no endpoint to ask. If the
    transition has to wait, the line says what it's waiting for.
    """
    steps = [say("✓ Approved")] if transition.kind is TransitionKind.PROMOTION else []
    match transition.state:
        case TransitionState.DONE:
            steps += [say("✓ Moved"), say("✓ Verified in {product}")]
            steps += [_serving_step(serving)] if serving else []
        case TransitionState.STALE | TransitionState.FAILED:
            steps.append(say("✗ Not moved"))
        case _:
            steps.append(say("⏳ {why}", why=transition.why) if transition.why else say("⏳ Moving"))
    return join_sentences(steps, "  ·  ")


def _serving_step(serving: ServingCheck) -> Sentence:
    match serving.state:
        case ServingCheckState.PENDING:
            return say("⏳ Waiting for the endpoint to report {v}", v=Code(f"v{serving.version}"))
        case ServingCheckState.CONFIRMED:
            return say("✓ Serving since {at}", at=serving.confirmed_at)
        case ServingCheckState.TIMED_OUT if serving.seen:
            return say("⚠️ Not confirmed: the endpoint last reported {seen}", seen=Code(serving.seen))
        case ServingCheckState.TIMED_OUT:
            return say("⚠️ Not confirmed by the endpoint")
        case ServingCheckState.SUPERSEDED:
            return say("Production has changed again")


def waiting_for_registry(transition: Transition) -> Sentence:
    """Return why a transition is waiting: the registry isn't responding."""
    if transition.kind is TransitionKind.ROLLBACK:
        return say("{product} isn't responding. I'll roll back as soon as it does. No action needed.")
    return say("{product} isn't responding. I'll promote the version as soon as it does. No action needed.")


def waiting_for_freeze(freeze_description: Sentence) -> Sentence:
    """Return why an approved transition is waiting: Production is frozen."""
    return say("{why} I'll promote the version when the freeze ends.", why=freeze_description)


# Slack can't confirm that the people who approved can still approve.
WAITING_FOR_SLACK = say(
    "Slack can't confirm the approvers right now. I'll promote the version as soon as it can. No action needed."
)
# An error of Registrar's own interrupted the transition.
RETRIED_AFTER_ERROR = say("An internal error interrupted this. I'll retry it automatically. No action needed.")
