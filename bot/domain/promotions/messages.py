"""Messages about requests and their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.core.actors import format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import (
    Code,
    Mention,
    MessageLink,
    Name,
    Sentence,
    ended_with_period,
    join_sentences,
    join_with_conjunction,
    say,
)
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, describe_gate_result
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, RequestState
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import unblock_command

MAX_MENTIONED = 6  # people named in one sentence; the others are counted


def describe_change(request: Request) -> Sentence:
    """Return what a request changes, as approvers see it: `v5 → v7 in Production`.

    If the stage is empty, return the version's own transition: `v7: Staging → Production`, or `v7 → Production`.
    """
    v = Code(f"v{request.version}")
    if request.incumbent is not None:
        return say("{old} → {v} in {stage}", old=Code(f"v{request.incumbent}"), v=v, stage=request.target)
    if request.from_stage is Stage.NONE:
        return say("{v} → {stage}", v=v, stage=request.target)
    return say("{v}: {old} → {stage}", v=v, old=request.from_stage, stage=request.target)


def request_confirmation(request: Request, card: MessageLink, approver_sentence: Sentence) -> Sentence:
    """Return the answer to the requester: who the request is waiting for, and where its card is."""
    return say(
        "Requested {model} {path} as {id}. {waiting} {card}.",
        model=Name(request.model),
        path=describe_change(request),
        id=Code(request.id),
        waiting=approver_sentence,
        card=card,
    )


def card_refused_notice(request: Request, code: str) -> Sentence:
    """Return the notice that Slack rejected the request's card; `code` is Slack's error code."""
    return say(
        "Slack rejected the card for {model} {path} ({code}). Approvers can type {approve}.",
        model=Name(request.model),
        path=describe_change(request),
        code=Code(code),
        approve=Code(f"/model approve {request.id}"),
    )


def failed_gates_refusal(model: str, version: int, snapshot: RequestSnapshot) -> Sentence:
    """Return why a promotion can't be requested: each failed gate, and what to do."""
    if snapshot.fails_gate(NOT_BLOCKED_GATE):
        next_step = "" if len(snapshot.failed_gates) == 1 else " Then check again: {validate}"
        return say(
            "No request was opened for {model} {v}: {gates}. To unblock it: {unblock}" + next_step,
            model=Name(model),
            v=Code(f"v{version}"),
            gates=join_sentences([describe_gate_result(gate) for gate in snapshot.failed_gates], "; "),
            unblock=unblock_command(model, snapshot.blocked or version),
            validate=Code(f"/model validate {model} {version}"),
        )
    return say(
        "No request was opened for {model} {v}: {gates}. After a fix, check again: {validate}",
        model=Name(model),
        v=Code(f"v{version}"),
        gates=join_sentences([describe_gate_result(gate) for gate in snapshot.failed_gates], "; "),
        validate=Code(f"/model validate {model} {version}"),
    )


def gate_explanation(gate: GateResult, version: int, overriders: Sequence[str]) -> Sentence:
    """Return what a gate requires, what a version has, and who could override it.

    `overriders` are Slack IDs, empty if no one can override it.
    """
    result = describe_gate_result(gate)
    if gate.passed:
        return say("{gate}: {v} passes.", gate=result, v=Code(f"v{version}"))
    if not overriders:
        return say("{gate}: {v} fails, and no one can override this gate.", gate=result, v=Code(f"v{version}"))
    who = join_with_conjunction([Mention(user) for user in overriders], "or")
    return say("{gate}: {v} fails. In Slack, {who} can override it.", gate=result, v=Code(f"v{version}"), who=who)


def failed_gates_notice(request: Request) -> Sentence:
    """Return the text that is added to an answer while a gate blocks the request."""
    failed = [describe_gate_result(gate) for gate in request.seen.failed_gates] if request.seen else []
    version = (request.seen.blocked if request.seen else None) or request.version
    unblock = say(" To unblock the version: {how}", how=unblock_command(request.model, version))
    return say(
        "Blocked: {gates}. Someone else listed under {override} in the policy can override this.{unblock}",
        gates=join_sentences(failed, "; "),
        override=Code("override"),
        unblock=unblock if request.seen and request.seen.fails_gate(NOT_BLOCKED_GATE) else "",
    )


def withdrawal_confirmation(request: Request, approvals: int) -> Sentence:
    """Return the answer to the person who withdrew a vote."""
    return say(
        "Withdrew your approval of {model} {path} ({n} of {all}). You can vote again.",
        model=Name(request.model),
        path=describe_change(request),
        n=approvals,
        all=request.required,
    )


def lapse_reason(rule: str) -> str:
    """Return why someone lost a permission, according to the permission rule that refuses them."""
    return _LAPSE_REASONS.get(rule, "the policy no longer allows it")


_LAPSE_REASONS = {
    "deactivated": "the account is deactivated",
    "bot": "the account is a bot",
    "guest": "the account is now a guest",
    "stranger": "the account isn't in this workspace",
    "not an approver": "they're no longer an approver",
    "own request": "it's their own request",
    "own CI job": "they started its CI job",
    "own agent": "its agent acts for them",
    "unknown starter": "the policy doesn't say who started its CI job",
    "unknown person": "the policy doesn't say who its agent acts for",
}


def too_few_approvals_reason(request: Request, approvals: int) -> Sentence:
    """Return why an approved request ended: it lost approvals before its transition."""
    return say("{left} of {all} approvals still count.", left=approvals, all=request.required)


def override_lapsed_reason(rule: str) -> Sentence:
    """Return why an approved request ended: the person who overrode its gates can no longer do that."""
    return say("The gate override no longer counts: {why}.", why=lapse_reason(rule))


def expired_after_approval_reason(request: Request) -> Sentence:
    """Return why an approved request ended: it expired before its transition."""
    return say("Approved, but not promoted by {when}.", when=request.expires_at)


def override_announcement(request: Request) -> Sentence:
    """Return the message that announces overridden gates in the request's thread."""
    overrider = format_actor(request.overridden_by) if request.overridden_by else "someone"
    failed = [describe_gate_result(gate) for gate in request.seen.failed_gates] if request.seen else []
    return say(
        "{who} overrode the failed gates: {why} Failed: {gates}.",
        who=overrider,
        why=ended_with_period(request.override_reason),
        gates=join_sentences(failed, "; "),
    )


def override_confirmation(request: Request, approvals: int, card: MessageLink) -> Sentence:
    """Return the answer to the person who overrode gates."""
    if request.state is RequestState.PENDING:
        return say(
            "Overrode the failed gates of {id}. It has {n} of {all} approvals.",
            id=Code(request.id),
            n=approvals,
            all=request.required,
        )
    return say(
        "Overrode the failed gates of {id}. Promoting {model} {path}; follow along on {card}.",
        id=Code(request.id),
        model=Name(request.model),
        path=describe_change(request),
        card=card,
    )


def reminder_announcement(request: Request, people: Sequence[str] | None, now: datetime) -> Sentence:
    """Return the thread's reminder about a pending request; it mentions `people`, or no one if `people` is None."""
    if people is None:
        return say(
            "Still waiting for approval after {age}. Expires {until}.",
            age=format_duration(now - request.opened_at),
            until=request.expires_at,
        )
    return say(
        "Still waiting for {who} after {age}. Expires {until}.",
        age=format_duration(now - request.opened_at),
        until=request.expires_at,
        who=[Mention(user_id) for user_id in people] or ["an approver (none found)"],
    )


def describe_requester(request: Request) -> Sentence:
    """Return who made a request, and with which agent; the agent's name is shown as code, since no one verifies it."""
    who, agent = format_actor(request.requester), request.agent
    if agent is None:
        return say("{who}", who=who)
    if not agent.person:
        return say("{who} with {agent}", who=who, agent=Code(str(agent)))
    return say("{who} with {agent} for {person}", who=who, agent=Code(str(agent)), person=Mention(agent.person))


def direct_reminder(request: Request, card: MessageLink, now: datetime) -> Sentence:
    """Return the direct message that reminds an approver of a pending request."""
    return say(
        "{who} requested {model} {path} {age} ago. It expires {until}. {card}, or type {approve} or {reject}",
        who=describe_requester(request),
        model=Name(request.model),
        path=describe_change(request),
        age=format_duration(now - request.opened_at),
        until=request.expires_at,
        card=card,
        approve=Code(f"/model approve {request.id}"),
        reject=Code(f'/model reject {request.id} --reason "…"'),
    )


def frozen_notice(why: Sentence) -> Sentence:
    """Return the text that is added to an answer while Production is frozen."""
    return say("Warning: {why} No one can approve this during the freeze.", why=why)


def approval_confirmation(request: Request, approvals: int, card: MessageLink) -> Sentence:
    """Return the answer to the person who approved a request."""
    if request.state is RequestState.PENDING and approvals >= request.required:
        return say(
            "Approved {model} {path} ({n} of {all}). A failed gate still blocks it. To override it: {override}",
            model=Name(request.model),
            path=describe_change(request),
            n=approvals,
            all=request.required,
            override=Code(f'/model override {request.id} --reason "…"'),
        )
    if request.state is RequestState.PENDING:
        return say(
            "Approved {model} {path} ({n} of {all}).",
            model=Name(request.model),
            path=describe_change(request),
            n=approvals,
            all=request.required,
        )
    return say(
        "Approved. Promoting {model} {path}; follow along on {card}.",
        model=Name(request.model),
        path=describe_change(request),
        card=card,
    )


def rejection_confirmation(request: Request) -> Sentence:
    """Return the answer to the person who rejected a request."""
    return say(
        "Rejected {model} {path}. I told {who} why.",
        model=Name(request.model),
        path=describe_change(request),
        who=format_actor(request.requester),
    )


def cancellation_confirmation(request: Request) -> Sentence:
    """Return the answer to the person who canceled a request."""
    return say("Canceled {model} {path}.", model=Name(request.model), path=describe_change(request))


def already_decided_reason(request: Request) -> Sentence:
    """Return why a command on a decided request is refused: what was decided, by whom, and when."""
    if request.decided_by is None or request.decided_at is None:
        return say("Request {id} is already {state}; nothing changed.", id=Code(request.id), state=request.state.label)
    return say(
        "Request {id} was already {verb} ({who}, {when}).",
        who=format_actor(request.decided_by),
        id=Code(request.id),
        verb=_STATE_VERBS[request.state],
        when=request.decided_at,
    )


_STATE_VERBS = {
    RequestState.PENDING: "left open",
    RequestState.APPROVED: "approved",
    RequestState.EXECUTING: "approved",
    RequestState.DONE: "approved",
    RequestState.REJECTED: "rejected",
    RequestState.CANCELLED: "canceled",
    RequestState.EXPIRED: "approved, but then expired",
    RequestState.STALE: "closed as outdated",
    RequestState.FAILED: "approved, but then failed",
}


def request_recorded_notice() -> Sentence:
    """Return the answer to a requester while the registry is slow or down."""
    return say("Your request is recorded, but {product} isn't responding. I'll post the card as soon as it does.")


def vote_recorded_notice(why: str = "") -> Sentence:
    """Return the answer to a deciding vote whose promotion has to wait; an empty `why` means a slow registry."""
    if why:
        return say("Your vote is recorded. {why}", why=why)
    return say("Your vote is recorded, but {product} isn't responding. I'll promote the version as soon as it does.")


def outcome_announcement(request: Request) -> Sentence:
    """Return how a request ended, for its requester."""
    model = Name(request.model)
    match request.state:
        case RequestState.DONE:
            return say("Done: {model} {path}, verified in {product}.", model=model, path=describe_change(request))
        case RequestState.REJECTED if request.decided_by:
            return say(
                "{who} rejected {model} {path}: {why}",
                who=format_actor(request.decided_by),
                model=model,
                path=describe_change(request),
                why=request.outcome,
            )
        case RequestState.CANCELLED if request.decided_by:
            why = say(": {why}", why=ended_with_period(request.outcome)) if request.outcome else "."
            return say(
                "{who} canceled {model} {path}{why}",
                who=format_actor(request.decided_by),
                model=model,
                path=describe_change(request),
                why=why,
            )
        case RequestState.EXPIRED if request.decided_by:
            return say(
                "{model} {path} expired: approved, but not promoted by {when}. To request it again, use the button "
                "on its card.",
                model=model,
                path=describe_change(request),
                when=request.expires_at,
            )
        case RequestState.EXPIRED:
            return say(
                "{model} {path} expired: no one decided by {when}. To request it again, use the button on its card.",
                model=model,
                path=describe_change(request),
                when=request.expires_at,
            )
        case RequestState.STALE:
            return say(
                "{model} {path} is outdated, so nothing changed. {why} To request it again, use the button on its "
                "card.",
                model=model,
                path=describe_change(request),
                why=request.outcome,
            )
        case RequestState.FAILED:
            return say(
                "{model} {path} failed: {product} rejected the transition. {why}",
                model=model,
                path=describe_change(request),
                why=request.outcome,
            )
        case _:
            return cancellation_confirmation(request)
