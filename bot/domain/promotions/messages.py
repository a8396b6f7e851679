"""Messages about requests and their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.core.actors import Person, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Channel, Code, Mention, Name, Sentence, ended_with_period, join_sentences, say
from bot.domain.promotions.gates import NOT_BLOCKED_GATE, describe_gate_result
from bot.domain.promotions.request import Request, RequestSnapshot, RequestState, Vote, VoteChoice
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import unblock_command

MAX_MENTIONED = 6  # people named in one sentence; the others are counted


def describe_change(request: Request) -> Sentence:
    """Return what a request changes, as in the question to approvers: `v5 → v7 in Production`.

    If the stage is empty, it's the version's own transition: `v7: Staging → Production`, or `v7 → Production`.
    """
    v = Code(f"v{request.version}")
    if request.incumbent is not None:
        return say("{old} → {v} in {stage}", old=Code(f"v{request.incumbent}"), v=v, stage=request.target)
    if request.from_stage is Stage.NONE:
        return say("{v} → {stage}", v=v, stage=request.target)
    return say("{v}: {old} → {stage}", v=v, old=request.from_stage, stage=request.target)


def request_confirmation(request: Request, channel: str, approver_sentence: Sentence) -> Sentence:
    """Return the answer to the requester: where the card is, and whom it's waiting for."""
    return say(
        "Requested {model} {path}: {id} in {channel}. {waiting}",
        model=Name(request.model),
        path=describe_change(request),
        channel=Channel(channel),
        id=Code(request.id),
        waiting=approver_sentence,
    )


def card_refused_notice(request: Request, code: str) -> Sentence:
    """Return that Slack refused the request's card; `code` is Slack's error code."""
    return say(
        "Slack refused the card for {model} {path} ({code}). Approvers can type {approve}.",
        model=Name(request.model),
        path=describe_change(request),
        code=Code(code),
        approve=Code(f"/model approve {request.id}"),
    )


def vote_announcement(request: Request, vote: Vote, approvals: int) -> Sentence:
    """Return the thread's message about a vote."""
    if vote.choice is VoteChoice.APPROVE:
        return say("{who} approved: {n} of {all}.", who=Mention(vote.voter.user), n=approvals, all=request.required)
    return say("{who} rejected it: {why}", who=Mention(vote.voter.user), why=vote.reason)


def failed_gates_refusal(model: str, version: int, snapshot: RequestSnapshot) -> Sentence:
    """Return why a promotion can't be requested: each failed gate, and what to do."""
    if snapshot.fails_gate(NOT_BLOCKED_GATE):
        next_step = "" if len(snapshot.failed_gates) == 1 else " To check it again after that: {validate}"
        return say(
            "{model} {v} can't be requested: {gates}. No request was opened. To unblock it: {unblock}" + next_step,
            model=Name(model),
            v=Code(f"v{version}"),
            gates=join_sentences([describe_gate_result(gate) for gate in snapshot.failed_gates], "; "),
            unblock=unblock_command(model, snapshot.blocked or version),
            validate=Code(f"/model validate {model} {version}"),
        )
    return say(
        "{model} {v} does not pass: {gates}. Nothing was asked for. To look again after a change: {validate}",
        model=Name(model),
        v=Code(f"v{version}"),
        gates=join_sentences([describe_gate_result(gate) for gate in snapshot.failed_gates], "; "),
        validate=Code(f"/model validate {model} {version}"),
    )


def failed_gates_notice(request: Request) -> Sentence:
    """Return what is added to an answer while a gate blocks the request."""
    failed = [describe_gate_result(gate) for gate in request.seen.failed_gates] if request.seen else []
    version = (request.seen.blocked if request.seen else None) or request.version
    unblock = say(" To unblock the version: {how}", how=unblock_command(request.model, version))
    return say(
        "Blocked: {gates}. People whom the policy lists under {override} can override that.{unblock}",
        gates=join_sentences(failed, "; "),
        override=Code("override"),
        unblock=unblock if request.seen and request.seen.fails_gate(NOT_BLOCKED_GATE) else "",
    )


def withdrawal_announcement(request: Request, voter: Person, approvals: int) -> Sentence:
    """Return the thread's message about a withdrawn vote."""
    return say(
        "{who} took their approval back: {n} of {all}.", who=Mention(voter.user), n=approvals, all=request.required
    )


def withdrawal_confirmation(request: Request, approvals: int) -> Sentence:
    """Return the answer to the person who withdrew a vote."""
    return say(
        "Your approval of {model} {path} is taken back: {n} of {all}. You can vote again.",
        model=Name(request.model),
        path=describe_change(request),
        n=approvals,
        all=request.required,
    )


def lapsed_vote_announcement(vote: Vote) -> Sentence:
    """Return the thread's message about an approval that lapsed, since its voter can no longer approve."""
    return say("{who}'s approval no longer counts: {why}.", who=Mention(vote.voter.user), why=lapse_reason(vote.lapsed))


def lapse_reason(rule: str) -> str:
    """Return why someone can no longer do what they did, by the permission rule that refuses them."""
    return _LAPSE_REASONS.get(rule, "the policy no longer lets them")


_LAPSE_REASONS = {
    "deactivated": "the account is deactivated",
    "bot": "the account is a bot",
    "guest": "the account is a guest now",
    "stranger": "the account isn't in this workspace",
    "not an approver": "they're no longer an approver",
    "own request": "it's their own request",
}


def too_few_approvals_reason(request: Request, approvals: int) -> Sentence:
    """Return why an approved request ended: it lost approvals before its transition."""
    return say("{left} of {all} approvals still count.", left=approvals, all=request.required)


def override_lapsed_reason(rule: str) -> Sentence:
    """Return why an approved request ended: whoever overrode its gates no longer can."""
    return say("The override of its failed gates no longer counts: {why}.", why=lapse_reason(rule))


def expired_after_approval_reason(request: Request) -> Sentence:
    """Return why an approved request ended: it expired before its transition."""
    return say("Approved, but not moved by {when}.", when=request.expires_at)


# That an approved request is waiting for Slack, which can't say whether its approvers still can approve.
WAITING_FOR_SLACK = say(
    "Approved, but Slack can't confirm the approvers right now. I'll move it as soon as it does. No action needed."
)


def override_announcement(request: Request) -> Sentence:
    """Return the thread's message about overridden gates."""
    overrider = format_actor(request.overridden_by) if request.overridden_by else "somebody"
    failed = [describe_gate_result(gate) for gate in request.seen.failed_gates] if request.seen else []
    return say(
        "{who} lets the failed gates pass: {why} What failed: {gates}.",
        who=overrider,
        why=ended_with_period(request.override_reason),
        gates=join_sentences(failed, "; "),
    )


def override_confirmation(request: Request, approvals: int) -> Sentence:
    """Return the answer to the person who overrode gates."""
    if request.state is RequestState.PENDING:
        return say(
            "The gates of {id} no longer stand in the way; it has {n} of {all} approvals.",
            id=Code(request.id),
            n=approvals,
            all=request.required,
        )
    return say(
        "The gates of {id} no longer stand in the way, and it has its approvals: {model} goes {path} now.",
        id=Code(request.id),
        model=Name(request.model),
        path=describe_change(request),
    )


def reminder_announcement(request: Request, people: Sequence[str], now: datetime) -> Sentence:
    """Return the thread's reminder of a pending request."""
    mentions: list[object] = [Mention(user_id) for user_id in people[:MAX_MENTIONED]]
    mentions += [f"{len(people) - MAX_MENTIONED} more"] if len(people) > MAX_MENTIONED else []
    return say(
        "Still waiting, for {age} now, until {until}: {who}.",
        age=format_duration(now - request.opened_at),
        until=request.expires_at,
        who=mentions or ["nobody who can decide is known"],
    )


def direct_reminder(request: Request, now: datetime) -> Sentence:
    """Return the direct reminder to an approver of a pending request."""
    return say(
        "{who} asks for {model} {path} and has waited for {age}. It expires on {until}. The card is in the channel; "
        "here you can type {approve} or {reject}",
        who=format_actor(request.requester),
        model=Name(request.model),
        path=describe_change(request),
        age=format_duration(now - request.opened_at),
        until=request.expires_at,
        approve=Code(f"/model approve {request.id}"),
        reject=Code(f'/model reject {request.id} --reason "…"'),
    )


def waiting_for_freeze_announcement(why: Sentence) -> Sentence:
    """Return that an approved request is waiting until Production is unfrozen."""
    return say("Approved, and not moved yet. {why} The move is made when that is over.", why=why)


def frozen_notice(why: Sentence) -> Sentence:
    """Return what is added to an answer while Production is frozen."""
    return say("Mind: {why} Until then nobody can approve it.", why=why)


def approval_confirmation(request: Request, approvals: int) -> Sentence:
    """Return the answer to an approver."""
    if request.state is RequestState.PENDING and approvals >= request.required:
        return say(
            "Your approval of {model} {path} is recorded: {n} of {all}. It is not moved yet: a gate failed, and "
            "somebody has to let it pass. {override}",
            model=Name(request.model),
            path=describe_change(request),
            n=approvals,
            all=request.required,
            override=Code(f'/model override {request.id} --reason "…"'),
        )
    if request.state is RequestState.PENDING:
        return say(
            "Your approval of {model} {path} is recorded: {n} of {all}.",
            model=Name(request.model),
            path=describe_change(request),
            n=approvals,
            all=request.required,
        )
    return say(
        "Your approval decides it: {model} goes {path} now. The thread tells when it is done.",
        model=Name(request.model),
        path=describe_change(request),
    )


def rejection_confirmation(request: Request) -> Sentence:
    """Return the answer to the person who rejected."""
    return say(
        "Rejected: {model} {path}. The requester is told why.", model=Name(request.model), path=describe_change(request)
    )


def cancellation_confirmation(request: Request) -> Sentence:
    """Return the answer to the person who cancelled."""
    return say("Cancelled {model} {path}.", model=Name(request.model), path=describe_change(request))


def already_decided_reason(request: Request) -> Sentence:
    """Return that a request was already decided, by whom, and when."""
    if request.decided_by is None or request.decided_at is None:
        return say(
            "Request {id} is {state} already; nothing was changed.", id=Code(request.id), state=request.state.value
        )
    return say(
        "{who} was faster: request {id} was {verb} on {when}. Nothing was changed this time.",
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
    RequestState.CANCELLED: "cancelled",
    RequestState.EXPIRED: "expired",
    RequestState.STALE: "ended as stale",
    RequestState.FAILED: "approved, but failed",
}


def waiting_for_registry_announcement() -> Sentence:
    """Return that an approved request is waiting for the registry."""
    return say(
        "Approved, but {product} does not answer. The move is made as soon as it is back; nobody has to do anything."
    )


# That an internal error interrupted a transition, which will be retried.
RETRIED_AFTER_ERROR = say(
    "Approved, but something went wrong while it was moved. It is tried again; nobody has to do anything."
)


def request_recorded_notice() -> Sentence:
    """Return the answer to a requester while the registry is slow or down."""
    return say(
        "{product} is slow or away right now. What you asked for is written down; the card comes as soon as it answers."
    )


def vote_recorded_notice() -> Sentence:
    """Return the answer to a deciding vote while the registry is slow or down."""
    return say("Your vote is recorded. {product} is slow or away right now; the move is made as soon as it answers.")


def outcome_announcement(request: Request) -> Sentence:
    """Return how a request ended, for its thread and its requester."""
    model = Name(request.model)
    match request.state:
        case RequestState.DONE:
            return say("Done: {model} {path}, read back from {product}.", model=model, path=describe_change(request))
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
                "{who} cancelled {model} {path}{why}",
                who=format_actor(request.decided_by),
                model=model,
                path=describe_change(request),
                why=why,
            )
        case RequestState.EXPIRED if request.decided_by:
            return say(
                "{model} {path} expired: it was approved, but not moved by {when}. Its card has a button to "
                "request it again.",
                model=model,
                path=describe_change(request),
                when=request.expires_at,
            )
        case RequestState.EXPIRED:
            return say(
                "{model} {path} expired: nobody decided by {when}. Ask again if it is still wanted.",
                model=model,
                path=describe_change(request),
                when=request.expires_at,
            )
        case RequestState.STALE:
            return say(
                "{model} {path} is out of date, so nothing was moved. {why} Its card has a button to ask again.",
                model=model,
                path=describe_change(request),
                why=request.outcome,
            )
        case RequestState.FAILED:
            return say(
                "{model} {path} failed, {product} refused the move. {why}",
                model=model,
                path=describe_change(request),
                why=request.outcome,
            )
        case _:
            return cancellation_confirmation(request)
