"""JSON documents about requests and versions, shared by the HTTP API and the terminal."""

from __future__ import annotations

from typing import Any

from bot.domain.commands.promotions import Promote
from bot.domain.core.actors import actor_id
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.authorship import Authorship, represented_person
from bot.domain.policy.policy import Policy
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.ports import Ledger, QueuedCommand, QueuedCommandState
from bot.services.core.command_queue import CANCELLED_ERROR
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_refusal_code
from bot.services.registry.registration import registration_event
from handlers.api.schemas import (
    STATE_ASKED,
    STATE_REFUSED,
    RequestDocument,
    ReviewDocument,
    VersionDocument,
    VoteDocument,
)


def find_document(context: Context, command_id: str) -> dict[str, Any]:
    """Return the document of the request or version that this command led to, or else of the command itself.

    Raises KeyError and UnknownRequest, and LookupError if no version was registered.
    """
    with context.ledger.read() as reading:
        queued = reading.queued_command(command_id)
        if queued.request is not None:
            request, votes = reading.request(queued.request), reading.votes(queued.request)
            return request_document(request, votes, context.policy, card_refusal_code(reading, request))
    if is_promotion(queued):
        return command_document(queued, context.policy)
    return version_document(context.ledger, queued, queued.outcome)


def is_promotion(queued: QueuedCommand) -> bool:
    """Return whether the command opens a request. A stored command without a verb counts as a promotion."""
    return bool(queued.command.get("verb", Promote.verb) == Promote.verb)


def command_document(queued: QueuedCommand, policy: Policy) -> dict[str, Any]:
    """Return the document of a command without a request: it's waiting for MLflow, was refused, or was canceled."""
    state: Any = STATE_ASKED
    sentence = say("Recorded ({id}). The card is posted as soon as {product} responds.", id=Code(queued.id))
    if queued.error == CANCELLED_ERROR:
        state, sentence = RequestState.CANCELLED, say("Canceled before its card was posted.")
    elif queued.state is QueuedCommandState.REFUSED:
        state, sentence = STATE_REFUSED, refusal_sentence(queued)
    model = str(queued.command["model"])
    return RequestDocument(
        id=queued.id,
        state=state,
        is_final=state != STATE_ASKED,
        model=model,
        to=queued.command["to"],
        requester=actor_id(queued.caller),
        reason=str(queued.command.get("reason") or ""),
        outcome=queued.outcome,
        channel=policy.channel_for(model),
        ci=pack_ci_run(queued.ci) if queued.ci else {},
        agent=_agent_document(Authorship(requester=queued.caller, ci=queued.ci, agent=queued.agent), policy),
        error=queued.error if state == STATE_REFUSED else None,
        sentence=str(sentence),
    ).to_json()


def refusal_sentence(queued: QueuedCommand) -> Sentence:
    """Return why a command was refused."""
    return say("{why}", why=queued.outcome or "Refused. See the audit log for the reason.")


def request_document(request: Request, votes: list[Vote], policy: Policy, card_error: str = "") -> dict[str, Any]:
    """Return the document of a request, with its votes in the order they were cast.

    `card_error` is Slack's error code if Slack rejected the card.
    """
    channel, review = policy.channel_for(request.model), None
    if request.review_due or request.reviewed_at:
        review = ReviewDocument(
            due_at=request.review_due,
            by=actor_id(request.reviewed_by) if request.reviewed_by else None,
            at=request.reviewed_at,
            reason=request.review_reason,
        )
    return RequestDocument(
        id=request.id,
        state=request.state,
        is_final=not request.state.is_open,
        model=request.model,
        version=request.version,
        semver=request.semver,
        from_=request.from_stage,
        to=request.target,
        incumbent=request.incumbent,
        requester=actor_id(request.requester),
        reason=request.reason,
        required=request.required,
        votes=[
            VoteDocument(
                by=actor_id(vote.voter), choice=vote.choice, reason=vote.reason, at=vote.at, counts=not vote.lapsed
            )
            for vote in votes
        ],
        gates=list(request.seen.gates) if request.seen else [],
        is_blocked=request.has_blocking_gates,
        opened_at=request.opened_at,
        expires_at=request.expires_at,
        decided_at=request.decided_at,
        decided_by=actor_id(request.decided_by) if request.decided_by else None,
        outcome=request.outcome,
        review=review,
        channel=channel,
        ci=pack_ci_run(request.ci) if request.ci else {},
        agent=_agent_document(request.access_target, policy),
        sentence=str(_request_sentence(request, votes, channel, card_error)),
    ).to_json()


def version_document(ledger: Ledger, queued: QueuedCommand, sentence: str) -> dict[str, Any]:
    """Return the document of a registered version. Raises LookupError if none was registered."""
    with ledger.read() as reading:
        event = registration_event(reading, queued)
    if event is None:
        raise LookupError(f"no version was registered for {queued.id}")
    evidence = event.evidence
    return VersionDocument(
        model=str(event.model),
        version=int(str(event.after).lstrip("v")),
        semver=evidence["semver"],
        run_id=evidence["run"],
        against=evidence["against"],
        overridden=evidence["overridden"],
        why=event.why,
        ask=queued.id,
        sentence=sentence,
    ).to_json()


def _agent_document(made_by: Authorship, policy: Policy) -> dict[str, str]:
    if made_by.agent is None:
        return {}
    acts_for = represented_person(made_by, policy) or ""
    known = {"name": made_by.agent.name, "version": made_by.agent.version, "acts_for": acts_for}
    return {name: value for name, value in known.items() if value}


def _request_sentence(request: Request, votes: list[Vote], channel: str, card_error: str) -> Sentence:
    """Return a request's status as a sentence: the next step and who has to take it, or how the request ended."""
    if request.breaks_glass:
        return break_glass_messages.break_glass_confirmation(request)
    if not request.state.is_open:
        return promotion_messages.outcome_announcement(request)
    model, path, code = Name(request.model), promotion_messages.describe_change(request), Code(request.id)
    if request.state is not RequestState.PENDING:
        return say("{model} {path} is approved and in progress (request {id}).", model=model, path=path, id=code)
    card = (
        say("Slack rejected its card with {why}", why=Code(card_error))
        if card_error
        else say("The card is in {channel}", channel=Code(channel))
    )
    stands = say(
        "{model} {path} is pending: {n} of {all} approvals. {card} (request {id}, expires {until}).",
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
