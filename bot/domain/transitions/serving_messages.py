"""What the thread of a move hears of the serving side."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.core.durations import show_duration
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.transitions.serving_check import Heard, Serving
from bot.domain.transitions.transition import Move, MoveKind


def not_confirmed(move: Move) -> Say:
    """Return what the thread hears right after the move."""
    what = "Registry restored: {v} is in Production" if move.kind is MoveKind.ROLLBACK else "Registry moved to {v}"
    return say(what + ", serving not confirmed yet.", v=Code(f"v{move.version}"))


def confirmed(serving: Serving) -> Say:
    """Return what the thread hears when the serving side agrees."""
    return say("Serving {v} since {at}.", v=Code(f"v{serving.version}"), at=serving.confirmed_at)


def overtaken(serving: Serving) -> Say:
    """Return what the thread hears when the next move came before an answer."""
    return say(
        "Production has moved again before the serving side reported {v}; nobody asks for it any more.",
        v=Code(f"v{serving.version}"),
    )


def denied(serving: Serving, heard: Heard) -> Say:
    """Return what the thread hears when the time is over: what is reported instead, and what to do."""
    v = Code(f"v{serving.version}")
    span = show_duration((serving.deadline or serving.asked_at) - serving.asked_at)
    if heard.version is None:
        return say(
            "Not confirmed that {v} serves: for {span} the serving side could not be asked ({why}). The registry says "
            "{v}. Look at the address under {key} in the policy, and at the serving side itself.",
            v=v,
            span=span,
            why=heard.told,
            key=Code("serving"),
        )
    return say(
        "Not serving {v}: {span} after the move the serving side still reports {seen}. The registry says {v}. Let it "
        "load {model} anew, or see why it does not; nobody is asked again until the next move.",
        v=v,
        span=span,
        seen=Code(_as_version(heard.told)),
        model=Name(serving.model),
    )


def _as_version(reported: str) -> str:
    return f"v{reported}" if reported.isdecimal() else reported or "nothing"


def not_told(endpoint: str, why: str, *, limit: timedelta | None) -> Say:
    """Return what the thread hears of an endpoint that never took the event; `limit` where its time was over."""
    if limit is None:
        return say(
            "The endpoint {endpoint} refused the event of this move ({why}). It is not sent again.",
            endpoint=Code(endpoint),
            why=why,
        )
    return say(
        "The endpoint {endpoint} was not reached for {span} ({why}). The event of this move is given up.",
        endpoint=Code(endpoint),
        span=show_duration(limit),
        why=why,
    )
