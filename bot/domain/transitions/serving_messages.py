"""Messages in a transition's thread about serving and webhooks."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.transitions.serving_check import ServingCheck, ServingReport
from bot.domain.transitions.transition import Transition, TransitionKind


def serving_pending_announcement(transition: Transition) -> Sentence:
    """Return the message right after the transition."""
    subject = (
        "Registry restored: {v} is in Production"
        if transition.kind is TransitionKind.ROLLBACK
        else "Registry moved to {v}"
    )
    return say(subject + ", serving not confirmed yet.", v=Code(f"v{transition.version}"))


def serving_confirmed_announcement(check: ServingCheck) -> Sentence:
    """Return the message once serving is confirmed."""
    return say("Serving {v} since {at}.", v=Code(f"v{check.version}"), at=check.confirmed_at)


def serving_superseded_announcement(check: ServingCheck) -> Sentence:
    """Return the message if the next transition came first."""
    return say(
        "Production has moved again before the serving side reported {v}; nobody asks for it any more.",
        v=Code(f"v{check.version}"),
    )


def serving_timed_out_announcement(check: ServingCheck, report: ServingReport) -> Sentence:
    """Return the message after the time limit: what is reported instead, and what to do."""
    v = Code(f"v{check.version}")
    span = format_duration((check.deadline or check.asked_at) - check.asked_at)
    if report.version is None:
        return say(
            "Not confirmed that {v} serves: for {span} the serving side could not be asked ({why}). The registry says "
            "{v}. Look at the address under {key} in the policy, and at the serving side itself.",
            v=v,
            span=span,
            why=report.summary,
            key=Code("serving"),
        )
    return say(
        "Not serving {v}: {span} after the move the serving side still reports {seen}. The registry says {v}. Let it "
        "load {model} anew, or see why it does not; nobody is asked again until the next move.",
        v=v,
        span=span,
        seen=Code(f"v{report.summary}" if report.summary.isdecimal() else report.summary or "nothing"),
        model=Name(check.model),
    )


def webhook_given_up_announcement(endpoint: str, why: str, *, limit: timedelta | None) -> Sentence:
    """Return the message about a webhook endpoint that never accepted the event; `limit` if it ran out of time."""
    if limit is None:
        return say(
            "The endpoint {endpoint} refused the event of this move ({why}). It is not sent again.",
            endpoint=Code(endpoint),
            why=why,
        )
    return say(
        "The endpoint {endpoint} was not reached for {span} ({why}). The event of this move is given up.",
        endpoint=Code(endpoint),
        span=format_duration(limit),
        why=why,
    )
