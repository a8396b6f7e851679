"""What people are told about requests and moves, kept together so that it sounds like one voice."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.approvals import Choice, Request, RequestState, Vote
from bot.domain.moves import Move
from bot.domain.people import shown
from bot.domain.registry import Stage
from bot.domain.text import Code, Mention, Name, Say, say

MENTIONED = 6  # people named in one sentence; of more, the rest is counted


def path(request: Request) -> Say:
    """Return what a request changes, as in the question before a decision: `v5 → v7 in Production`."""
    return change(request.incumbent, request.version, request.target)


def change(before: int | None, after: int, stage: Stage) -> Say:
    """Return one change of a stage's holder."""
    if before is None:
        return say("nothing → {v} in {stage}", v=Code(f"v{after}"), stage=stage)
    return say("{old} → {v} in {stage}", old=Code(f"v{before}"), v=Code(f"v{after}"), stage=stage)


def asked(request: Request, channel: str, deciders: Sequence[str]) -> Say:
    """Return the answer to whoever asked: where the card is, and who can decide (user and group ids)."""
    named: list[object] = [Mention(one) for one in deciders[:MENTIONED]]
    more = [f"{len(deciders) - MENTIONED} more"] if len(deciders) > MENTIONED else []
    if not deciders:
        more = ["nobody else that the policy names"]
    return say(
        "Asked: {model} {path}. The card is in {channel}; {n} of {who} {has} to approve. Request {id}.",
        model=Name(request.model), path=path(request), channel=Code(channel), id=Code(request.id), who=named + more,
        n="one" if request.required == 1 else request.required, has="has" if request.required == 1 else "have",
    )  # fmt: skip


def voted(request: Request, vote: Vote, approvals: int) -> Say:
    """Return the news of one vote."""
    if vote.choice is Choice.APPROVE:
        return say("{who} approved: {n} of {all}.", who=Mention(vote.voter.user), n=approvals, all=request.required)
    return say("{who} rejected it: {why}", who=Mention(vote.voter.user), why=vote.reason)


def vote_counted(request: Request, approvals: int) -> Say:
    """Return the answer to whoever approved."""
    if request.state is RequestState.PENDING:
        return say(
            "Your approval of {model} {path} is recorded: {n} of {all}.",
            model=Name(request.model), path=path(request), n=approvals, all=request.required,
        )  # fmt: skip
    return say(
        "Your approval decides it: {model} goes {path} now. The thread tells when it is done.",
        model=Name(request.model), path=path(request),
    )  # fmt: skip


def rejection_counted(request: Request) -> Say:
    """Return the answer to whoever rejected."""
    return say("Rejected: {model} {path}. The requester is told why.", model=Name(request.model), path=path(request))


def cancelled(request: Request) -> Say:
    """Return the answer to whoever cancelled, and the news."""
    return say("{model} {path} was cancelled.", model=Name(request.model), path=path(request))


def decided_before(request: Request) -> Say:
    """Return why a click came too late: who decided, and when."""
    if request.decided_by is None or request.decided_at is None:
        return say(
            "Request {id} is {state} already; nothing was changed.", id=Code(request.id), state=request.state.value
        )
    return say(
        "{who} was faster: request {id} was {verb} on {when}. Nothing was changed by your click.",
        who=shown(request.decided_by), id=Code(request.id), verb=_VERBS[request.state], when=request.decided_at,
    )  # fmt: skip


_VERBS = {
    RequestState.PENDING: "left open", RequestState.APPROVED: "approved", RequestState.EXECUTING: "approved",
    RequestState.DONE: "approved", RequestState.REJECTED: "rejected", RequestState.CANCELLED: "cancelled",
    RequestState.EXPIRED: "expired", RequestState.STALE: "ended as stale", RequestState.FAILED: "approved, but failed",
}  # fmt: skip


def waiting_for_registry() -> Say:
    """Return the news that an approved move waits."""
    return say(
        "Approved, but MLflow does not answer. The move is made as soon as it is back; nobody has to do anything."
    )


def tried_again() -> Say:
    """Return the news that an approved move was interrupted by a fault of ours."""
    return say("Approved, but something went wrong while it was moved. It is tried again; nobody has to do anything.")


def alias_refused(alias: str, why: Say) -> Say:
    """Return what is told of a move whose alias MLflow did not take."""
    return say("The stage has moved, but MLflow refused the alias {alias}. {why}", alias=Code(alias), why=why)


def request_stands() -> Say:
    """Return what somebody hears who asked while the registry is slow or down."""
    return say(
        "MLflow is slow or away right now. What you asked for is written down; the card comes as soon as it answers."
    )


def vote_stands() -> Say:
    """Return what somebody hears whose vote decided while the registry is slow or down."""
    return say("Your vote is recorded. MLflow is slow or away right now; the move is made as soon as it answers.")


def answer_comes() -> Say:
    """Return what somebody hears who looks something up while the registry is slow or down."""
    return say("MLflow is slow or away right now. The answer comes as soon as it does.")


def ended(request: Request) -> Say:
    """Return how a request ended, for its thread and its requester."""
    model = Name(request.model)
    match request.state:
        case RequestState.DONE:
            return say("Done: {model} {path}, read back from MLflow.", model=model, path=path(request))
        case RequestState.REJECTED if request.decided_by:
            return say("{who} rejected {model} {path}: {why}", who=shown(request.decided_by), model=model,
                       path=path(request), why=request.outcome)  # fmt: skip
        case RequestState.EXPIRED:
            return say("{model} {path} expired: nobody decided by {when}. Ask again if it is still wanted.",
                       model=model, path=path(request), when=request.expires_at)  # fmt: skip
        case RequestState.STALE:
            return say("{model} {path} is out of date, so nothing was moved. {why} Ask again if it is still wanted.",
                       model=model, path=path(request), why=request.outcome)  # fmt: skip
        case RequestState.FAILED:
            return say("{model} {path} failed, MLflow refused the move. {why}",
                       model=model, path=path(request), why=request.outcome)  # fmt: skip
        case _:
            return cancelled(request)


def observed(move: Move) -> Say:
    """Return what the poll found."""
    return say(
        "Found in MLflow: {v} is in {stage}. Nobody asked Registrar for it.",
        v=Code(f"v{move.version}"),
        stage=move.target,
    )
