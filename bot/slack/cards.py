"""The approval card as blocks: domain in, blocks out, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    HeaderBlock,
    PlainTextObject,
    SectionBlock,
)

from bot.domain import words
from bot.domain.approvals import Choice, Request, RequestState, Vote
from bot.domain.text import clean, short
from bot.slack.blocks import Message, dicts, markdown, section, small
from bot.slack.texts import code, fit, mrkdwn, when, who

APPROVE, REJECT, DETAILS = "request_approve", "request_reject", "request_details"

# -- the card ----------------------------------------------------------------------------------------------------------

_TITLES = {
    RequestState.PENDING: "Promote {model} v{version} to {target}?",
    RequestState.APPROVED: "⏳ {model} v{version} → {target}: approved",
    RequestState.EXECUTING: "⏳ {model} v{version} → {target}: moving",
    RequestState.DONE: "✅ {model} v{version} is in {target}",
    RequestState.REJECTED: "❌ {model} v{version} → {target}: rejected",
    RequestState.CANCELLED: "↩️ {model} v{version} → {target}: cancelled",
    RequestState.EXPIRED: "⌛ {model} v{version} → {target}: expired",
    RequestState.STALE: "⚠️ {model} v{version} → {target}: out of date",
    RequestState.FAILED: "⚠️ {model} v{version} → {target}: failed",
}


def card(request: Request, votes: Sequence[Vote], *, unchecked_gates: bool = False) -> Message:
    """Return a request's one message as it has to look now. Buttons are there only while it can be decided."""
    title = _TITLES[request.state].format(
        model=short(clean(request.model), 80), version=request.version, target=request.target
    )
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=short(title, 150), emoji=True)),
        section(_what(request)),
        SectionBlock(fields=[markdown(field) for field in _fields(request, votes)]),
    ]
    if request.state is RequestState.PENDING:
        blocks.append(_buttons(request))
    blocks.append(small(_footer(request, unchecked_gates=unchecked_gates)))
    return Message(_notification(request), dicts(blocks))


def _what(request: Request) -> str:
    semver = f"  ·  semver {code(short(request.semver, 50))}" if request.semver else ""
    lines = [f"*{mrkdwn(words.path(request))}*{semver}"]
    if request.keep_existing:
        lines.append("The present holder stays in the stage as well.")
    if request.reason:
        lines.append(f"> {fit(request.reason, 2000)}")
    return "\n".join(lines)


def _fields(request: Request, votes: Sequence[Vote]) -> list[str]:
    yes = [vote for vote in votes if vote.choice is Choice.APPROVE]
    names = ": " + ", ".join(who(vote.voter) for vote in yes) if yes else ""
    fields = [f"*Asked by*\n{who(request.requester)}", f"*Approvals*\n{len(yes)} of {request.required}{names}"]
    if request.state is RequestState.PENDING:
        return [*fields, f"*Expires*\n{when(request.expires_at)}"]
    return fields + _decision(request)


def _decision(request: Request) -> list[str]:
    fields = []
    if request.decided_by and request.decided_at:
        verb = {
            RequestState.REJECTED: "Rejected by", RequestState.CANCELLED: "Cancelled by",
        }.get(request.state, "Decided by")  # fmt: skip
        fields.append(f"*{verb}*\n{who(request.decided_by)}, {when(request.decided_at)}")
    elif request.decided_at:
        fields.append(f"*Ended*\n{when(request.decided_at)}")
    if request.outcome:
        title = "Mind" if request.state is RequestState.DONE else "Why"
        fields.append(f"*{title}*\n{fit(request.outcome, 1500)}")
    return fields


def _buttons(request: Request) -> ActionsBlock:
    path = short(str(words.path(request)), 200)
    confirm = ConfirmObject(
        title="Approve?", text=PlainTextObject(text=f"{short(clean(request.model), 80)}: {path}"),
        confirm="Approve", deny="Not yet",
    )  # fmt: skip
    return ActionsBlock(
        block_id=f"decide:{request.id}",
        elements=[
            ButtonElement(text="Approve", action_id=APPROVE, value=request.id, style="primary", confirm=confirm),
            ButtonElement(text="Reject", action_id=REJECT, value=request.id, style="danger"),
            ButtonElement(text="Details", action_id=DETAILS, value=request.id),
        ],
    )


def _footer(request: Request, *, unchecked_gates: bool) -> str:
    text = f"Request {code(request.id)}"
    if request.state is RequestState.PENDING:
        text += f"  ·  or type {code(f'/model approve {request.id}')}"
    if unchecked_gates:
        text += "  ·  The policy names gates; this version of Registrar does not check them."
    return text


def _notification(request: Request) -> str:
    path = mrkdwn(words.path(request))
    if request.state is RequestState.PENDING:
        return f"{who(request.requester)} asks: {code(request.model)} {path}"
    return f"{code(request.model)} {path}: {request.state.value}"
