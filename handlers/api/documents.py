"""What programs read of what was asked for: JSON documents, the same from the HTTP API and from the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.domain.core.actors import actor_id
from bot.domain.core.ci_run import pack_ci
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState, Vote, approvals
from bot.ports import Ask, AskState, Ledger
from bot.services.core.commands import CALLED_OFF
from bot.services.core.outbox_messages import card_refusal
from bot.services.registry.registration import registered_for
from handlers.api.document_keys import REQUEST

ASKED = "asked"  # written down; MLflow has not been read yet
REFUSED = "refused"  # the rules or MLflow said no before a request was opened
CANCELLED = RequestState.CANCELLED.value


def find(ledger: Ledger, policy: Policy, ask_id: str) -> dict[str, Any]:
    """Return the document of what was asked under this id. Raises KeyError and UnknownRequest."""
    with ledger.read() as reading:
        ask = reading.ask(ask_id)
        if ask.request is None:
            return of_ask(ask, policy)
        request, votes = reading.request(ask.request), reading.votes(ask.request)
        refused = card_refusal(reading, request)
    return of_request(request, votes, policy, refused)


def of_ask(ask: Ask, policy: Policy) -> dict[str, Any]:
    """Return the document of what was asked and is no request: it waits for MLflow, or something stood against it."""
    command, model = ask.command, str(ask.command["model"])
    state = CANCELLED if ask.error == CALLED_OFF else REFUSED if ask.state is AskState.REFUSED else ASKED
    return _document(
        id=ask.id,
        state=state,
        is_final=state != ASKED,
        model=model,
        to=str(command["to"]),
        requester=actor_id(ask.caller),
        reason=str(command.get("reason") or ""),
        outcome=ask.outcome,
        channel=policy.channel_for(model),
        ci=pack_ci(ask.ci) if ask.ci else {},
        error=ask.error if state == REFUSED else None,
        sentence=str(_of_ask(ask, state)),
    )


def of_request(request: Request, votes: list[Vote], policy: Policy, refused: str = "") -> dict[str, Any]:
    """Return the document of a request, with its votes in the order in which they were cast.

    `refused` is Slack's error code if it refused the card.
    """
    gates = request.seen.gates if request.seen else ()
    channel = policy.channel_for(request.model)
    return _document(
        id=request.id,
        state=request.state.value,
        is_final=not request.state.is_open,
        model=request.model,
        version=request.version,
        semver=request.semver,
        to=request.target.value,
        incumbent=request.incumbent,
        requester=actor_id(request.requester),
        reason=request.reason,
        required=request.required,
        votes=[
            {
                "by": actor_id(vote.voter),
                "choice": vote.choice.value,
                "reason": vote.reason,
                "at": _time(vote.at),
                "counts": not vote.lapsed,
            }
            for vote in votes
        ],
        gates=[
            {"name": gate.name, "bound": gate.bound, "value": gate.value, "passed": gate.passed, "note": gate.note}
            for gate in gates
        ],
        is_blocked=request.is_blocked,
        opened_at=_time(request.opened_at),
        expires_at=_time(request.expires_at),
        decided_at=_time(request.decided_at),
        decided_by=actor_id(request.decided_by) if request.decided_by else None,
        outcome=request.outcome,
        review=_review(request),
        channel=channel,
        ci=pack_ci(request.ci) if request.ci else {},
        sentence=str(standing(request, votes, channel, refused)),
    ) | {"from": request.from_stage.value}


def registered(ledger: Ledger, ask: Ask, sentence: str) -> dict[str, Any]:
    """Return the document of the version that was made. Raises LookupError where none was."""
    with ledger.read() as reading:
        event = registered_for(reading, ask)
    if event is None:
        raise LookupError(f"nothing was registered for {ask.id}")
    evidence = event.evidence
    return {
        "model": event.model,
        "version": int(str(event.after).lstrip("v")),
        "semver": evidence["semver"],
        "run_id": evidence["run"],
        "against": evidence["against"],
        "overridden": evidence["overridden"],
        "why": event.why,
        "ask": ask.id,
        "sentence": sentence,
    }


def standing(request: Request, votes: list[Vote], channel: str, refused: str) -> Say:
    """Return how a request stands: who has to do what, or how it ended."""
    if request.breaks_glass:
        return break_glass_messages.glass_broken(request)
    if not request.state.is_open:
        return promotion_messages.ended(request)
    model, path, code = Name(request.model), promotion_messages.path(request), Code(request.id)
    if request.state is not RequestState.PENDING:
        return say("{model} {path} is approved and being moved (request {id}).", model=model, path=path, id=code)
    card = (
        say("Slack refused its card with {why}", why=Code(refused))
        if refused
        else say("The card is in {channel}", channel=Code(channel))
    )
    stands = say(
        "{model} {path} waits for people: {n} of {all} approvals. {card} (request {id}, until {until}).",
        model=model,
        path=path,
        n=len(approvals(votes)),
        all=request.required,
        card=card,
        id=code,
        until=request.expires_at,
    )
    return (
        say("{stands} {mind}", stands=stands, mind=promotion_messages.blocked(request))
        if request.is_blocked
        else stands
    )


def _review(request: Request) -> dict[str, Any] | None:
    if request.review_due is None and request.reviewed_at is None:
        return None
    by = actor_id(request.reviewed_by) if request.reviewed_by else None
    return {
        "due_at": _time(request.review_due),
        "by": by,
        "at": _time(request.reviewed_at),
        "reason": request.review_reason,
    }


def _of_ask(ask: Ask, state: str) -> Say:
    if state == CANCELLED:
        return say("It was called off before a card was written.")
    if state == REFUSED:
        return say("{why}", why=ask.outcome or "It was refused; the audit says why.")
    return say("It is written down ({id}); the card comes as soon as MLflow answers.", id=Code(ask.id))


def _document(**known: Any) -> dict[str, Any]:
    """Return the document with all its keys, in their order; what is not known is null, or an empty list."""
    empty: dict[str, Any] = {"votes": [], "gates": [], "ci": {}, "is_blocked": False, "outcome": ""}
    return {key: known.get(key, empty.get(key)) for key in REQUEST}


def _time(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None
