"""Messages about serving and webhooks in a transition's thread."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.transitions.serving_check import ServingCheck, ServingReport
from bot.domain.transitions.transition import Transition, TransitionKind


def serving_pending_announcement(transition: Transition) -> Sentence:
    """Return the message posted right after the transition."""
    subject = "Registry restored to {v}" if transition.kind is TransitionKind.ROLLBACK else "Registry updated to {v}"
    return say(subject + ". Waiting for the endpoint to report it.", v=Code(f"v{transition.version}"))


def serving_confirmed_announcement(check: ServingCheck) -> Sentence:
    """Return the message for when serving is confirmed."""
    return say("Serving {v} since {at}.", v=Code(f"v{check.version}"), at=check.confirmed_at)


def serving_superseded_announcement(check: ServingCheck) -> Sentence:
    """Return the message for when Production changes again before serving is confirmed."""
    return say(
        "Production changed again before the endpoint reported {v}. I stopped checking for it.",
        v=Code(f"v{check.version}"),
    )


def serving_timed_out_announcement(check: ServingCheck, report: ServingReport) -> Sentence:
    """Return the message for when the check times out: what the endpoint reports instead, and what to do."""
    v = Code(f"v{check.version}")
    span = format_duration((check.deadline or check.asked_at) - check.asked_at)
    if report.version is None:
        return say(
            "Can't confirm that {v} is serving: the endpoint reported no version for {span} ({why}). The registry "
            "has {v}; check {key} in the policy and the endpoint itself.",
            v=v,
            span=span,
            why=report.summary,
            key=Code("serving"),
        )
    return say(
        "The registry has {v}, but {span} after the transition the endpoint still reports {seen}. Reload {model} "
        "there; I'll check again after the next transition.",
        v=v,
        span=span,
        seen=Code(f"v{report.summary}" if report.summary.isdecimal() else report.summary or "nothing"),
        model=Name(check.model),
    )


def webhook_given_up_announcement(endpoint: str, why: str, *, limit: timedelta | None) -> Sentence:
    """Return the message for when a webhook endpoint never accepts the event.

    `limit`: the time limit for delivery, if it was exceeded; None if the endpoint rejected the event.
    """
    if limit is None:
        return say(
            "The webhook {endpoint} rejected this transition's event ({why}). I won't send it again.",
            endpoint=Code(endpoint),
            why=why,
        )
    return say(
        "The webhook {endpoint} didn't accept this transition's event within {span} ({why}). I stopped trying.",
        endpoint=Code(endpoint),
        span=format_duration(limit),
        why=why,
    )
