"""JSON documents about requests and versions, the same from the HTTP API and the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.domain.core.actors import actor_id
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState, Vote, counting_approvals
from bot.ports import Ledger, QueuedCommand, QueuedCommandState
from bot.services.core.commands import CANCELLED_ERROR
from bot.services.core.outbox_messages import card_refusal_code
from bot.services.registry.registration import registration_event
from handlers.api.document_keys import REQUEST_KEYS

STATE_ASKED = "asked"  # recorded; MLflow hasn't been read yet
STATE_REFUSED = "refused"  # the policy or MLflow refused it before a request was opened
STATE_CANCELLED = RequestState.CANCELLED.value


def find_document(ledger: Ledger, policy: Policy, command_id: str) -> dict[str, Any]:
    """Return the document of the request or queued command with this id. Raises KeyError and UnknownRequest."""
    with ledger.read() as reading:
        queued = reading.queued_command(command_id)
        if queued.request is None:
            return command_document(queued, policy)
        request, votes = reading.request(queued.request), reading.votes(queued.request)
        refused = card_refusal_code(reading, request)
    return request_document(request, votes, policy, refused)


def command_document(queued_command: QueuedCommand, policy: Policy) -> dict[str, Any]:
    """Return the document of a command without a request: it's waiting for MLflow, or it was refused."""
    command, model = queued_command.command, str(queued_command.command["model"])
    state = (
        STATE_CANCELLED
        if queued_command.error == CANCELLED_ERROR
        else STATE_REFUSED
        if queued_command.state is QueuedCommandState.REFUSED
        else STATE_ASKED
    )
    return _complete_document(
        id=queued_command.id,
        state=state,
        is_final=state != STATE_ASKED,
        model=model,
        to=str(command["to"]),
        requester=actor_id(queued_command.caller),
        reason=str(command.get("reason") or ""),
        outcome=queued_command.outcome,
        channel=policy.channel_for(model),
        ci=pack_ci_run(queued_command.ci) if queued_command.ci else {},
        error=queued_command.error if state == STATE_REFUSED else None,
        sentence=str(_command_sentence(queued_command, state)),
    )


def request_document(request: Request, votes: list[Vote], policy: Policy, card_error: str = "") -> dict[str, Any]:
    """Return the document of a request, with its votes in the order in which they were cast.

    `refused` is Slack's error code if it refused the card.
    """
    gates = request.seen.gates if request.seen else ()
    channel = policy.channel_for(request.model)
    return _complete_document(
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
                "at": _format_time(vote.at),
                "counts": not vote.lapsed,
            }
            for vote in votes
        ],
        gates=[
            {"name": gate.name, "bound": gate.bound, "value": gate.value, "passed": gate.passed, "note": gate.note}
            for gate in gates
        ],
        is_blocked=request.has_blocking_gates,
        opened_at=_format_time(request.opened_at),
        expires_at=_format_time(request.expires_at),
        decided_at=_format_time(request.decided_at),
        decided_by=actor_id(request.decided_by) if request.decided_by else None,
        outcome=request.outcome,
        review=_review_fields(request),
        channel=channel,
        ci=pack_ci_run(request.ci) if request.ci else {},
        sentence=str(request_sentence(request, votes, channel, card_error)),
    ) | {"from": request.from_stage.value}


def version_document(ledger: Ledger, queued_command: QueuedCommand, sentence: str) -> dict[str, Any]:
    """Return the document of a registered version. Raises LookupError if none was registered."""
    with ledger.read() as reading:
        event = registration_event(reading, queued_command)
    if event is None:
        raise LookupError(f"nothing was registered for {queued_command.id}")
    evidence = event.evidence
    return {
        "model": event.model,
        "version": int(str(event.after).lstrip("v")),
        "semver": evidence["semver"],
        "run_id": evidence["run"],
        "against": evidence["against"],
        "overridden": evidence["overridden"],
        "why": event.why,
        "ask": queued_command.id,
        "sentence": sentence,
    }


def request_sentence(request: Request, votes: list[Vote], channel: str, card_error: str) -> Sentence:
    """Return a request's status as a sentence: who has to do what, or how it ended."""
    if request.breaks_glass:
        return break_glass_messages.break_glass_confirmation(request)
    if not request.state.is_open:
        return promotion_messages.outcome_announcement(request)
    model, path, code = Name(request.model), promotion_messages.describe_change(request), Code(request.id)
    if request.state is not RequestState.PENDING:
        return say("{model} {path} is approved and being moved (request {id}).", model=model, path=path, id=code)
    card = (
        say("Slack refused its card with {why}", why=Code(card_error))
        if card_error
        else say("The card is in {channel}", channel=Code(channel))
    )
    stands = say(
        "{model} {path} waits for people: {n} of {all} approvals. {card} (request {id}, until {until}).",
        model=model,
        path=path,
        n=len(counting_approvals(votes)),
        all=request.required,
        card=card,
        id=code,
        until=request.expires_at,
    )
    return (
        say("{stands} {mind}", stands=stands, mind=promotion_messages.failed_gates_notice(request))
        if request.has_blocking_gates
        else stands
    )


def _review_fields(request: Request) -> dict[str, Any] | None:
    if request.review_due is None and request.reviewed_at is None:
        return None
    by = actor_id(request.reviewed_by) if request.reviewed_by else None
    return {
        "due_at": _format_time(request.review_due),
        "by": by,
        "at": _format_time(request.reviewed_at),
        "reason": request.review_reason,
    }


def _command_sentence(queued_command: QueuedCommand, state: str) -> Sentence:
    if state == STATE_CANCELLED:
        return say("It was called off before a card was written.")
    if state == STATE_REFUSED:
        return say("{why}", why=queued_command.outcome or "It was refused; the audit says why.")
    return say("It is written down ({id}); the card comes as soon as {product} answers.", id=Code(queued_command.id))


def _complete_document(**fields: Any) -> dict[str, Any]:
    """Return the document with all its keys, in order; unknown values are null, or an empty list."""
    empty: dict[str, Any] = {"votes": [], "gates": [], "ci": {}, "is_blocked": False, "outcome": ""}
    return {key: fields.get(key, empty.get(key)) for key in REQUEST_KEYS}


def _format_time(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None
