"""The approval card and the other messages as blocks: domain in, blocks out, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from bot.domain import words
from bot.domain.approvals import Choice, Request, RequestState, Vote
from bot.domain.commands import VERBS, Command
from bot.domain.moves import MoveKind
from bot.domain.registry import ModelInfo, Stage, VersionInfo
from bot.domain.text import Say, clean, short
from bot.services.lookups import ModelView, Term
from bot.slack.texts import code, cut, escape, fit, mrkdwn, when, who

APPROVE, REJECT, DETAILS = "request_approve", "request_reject", "request_details"
MENU_ASK, MENU_REQUESTS, MENU_MODELS, MENU_HELP = "menu_ask", "menu_requests", "menu_models", "menu_help"

Blocks = list[dict[str, Any]]
LIST_MOST = 20  # rows of a list in one answer; more are counted


@dataclass(frozen=True, slots=True)
class Message:
    """Blocks, and the text that a notification shows of them."""

    text: str
    blocks: Blocks


def said(sentence: Say) -> Message:
    """Return one sentence as a message."""
    text = mrkdwn(sentence)
    return Message(text, _dicts([_section(text)]))


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
        _section(_what(request)),
        SectionBlock(fields=[markdown(field) for field in _fields(request, votes)]),
    ]
    if request.state is RequestState.PENDING:
        blocks.append(_buttons(request))
    blocks.append(_small(_footer(request, unchecked_gates=unchecked_gates)))
    return Message(_notification(request), _dicts(blocks))


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


# -- answers to lookups ------------------------------------------------------------------------------------------------


def model_list(models: Sequence[ModelInfo], text: str) -> Message:
    """Return the models with what is in Staging and Production."""
    if not models:
        hint = f"No model's name holds {code(text)}." if text else "MLflow has no registered models yet."
        return Message(hint, _dicts([_section(hint)]))
    rows = [_model_row(model) for model in models[:LIST_MOST]]
    more = len(models) - len(rows)
    blocks: list[Block] = [_section(chunk) for chunk in _chunks(rows)]
    if more > 0:
        blocks.append(_small(f"{more} more. Narrow it down: {code('/model list TEXT')}"))
    return Message(f"{len(models)} models", _dicts(blocks))


def _model_row(model: ModelInfo) -> str:
    held = [f"{stage} {code(f'v{model.latest[stage]}')}" for stage in _SHOWN if stage in model.latest]
    return f"• {code(short(model.name, 120))}  " + ("  ·  ".join(held) or "nothing in Staging or Production")


_SHOWN = (Stage.PRODUCTION, Stage.STAGING)


def model_view(view: ModelView) -> Message:
    """Return a model's versions, stages, aliases and open requests."""
    name = code(short(view.model.name, 120))
    blocks: list[Block] = [_section(f"*{name}*" + _described(view.model.description))]
    rows = [_version_row(version) for version in view.versions[:LIST_MOST]]
    blocks += [_section(chunk) for chunk in _chunks(rows)] or [_section("No versions yet.")]
    more = len(view.versions) - len(rows)
    if more > 0:
        blocks.append(_small(f"{more} older versions. One of them: {code(f'/model show {view.model.name} VERSION')}"))
    if view.requests:
        blocks.append(_section("\n".join(_request_row(request) for request in view.requests[:LIST_MOST])))
    return Message(f"{name}: {len(view.versions)} versions", _dicts(blocks))


def _version_row(version: VersionInfo) -> str:
    parts = [code(f"v{version.version}"), _stage(version.stage)]
    if semver := version.tags.get("semver"):
        parts.append(code(semver))
    parts += [code(f"@{alias}") for alias in version.aliases]
    if version.status != "READY":
        parts.append(escape(version.status))
    if version.created_at:
        parts.append(f"registered {when(version.created_at)}")
    return "• " + "  ·  ".join(parts)


def _stage(stage: Stage) -> str:
    return f"*{stage}*" if stage in _SHOWN else "no stage" if stage is Stage.NONE else str(stage)


def version_view(version: VersionInfo) -> Message:
    """Return what the registry knows of one version."""
    text = f"{code(short(version.model, 120))} {code(f'v{version.version}')}: {_stage(version.stage)}"
    facts = {
        "Semver": version.tags.get("semver"),
        "Aliases": ", ".join(f"@{alias}" for alias in version.aliases),
        "Run": version.run_id,
        "Status": version.status,
    }
    fields = [f"*{name}*\n{code(short(value, 300)) if value else 'missing'}" for name, value in facts.items()]
    fields.append(f"*Created*\n{when(version.created_at) if version.created_at else 'missing'}")
    blocks: list[Block] = [
        _section(text + _described(version.description)),
        SectionBlock(fields=[markdown(field) for field in fields]),
    ]
    return Message(text, _dicts(blocks))


def _described(description: str) -> str:
    return "\n" + "\n".join(f"> {fit(description, 1500)}".splitlines()) if description.strip() else ""


def request_list(requests: Sequence[Request]) -> Message:
    """Return the requests that wait."""
    if not requests:
        return Message("No open requests.", _dicts([_section("No open requests.")]))
    rows = [_request_row(request) for request in requests[:LIST_MOST]]
    more = len(requests) - len(rows)
    blocks: list[Block] = [_section(chunk) for chunk in _chunks(rows)]
    blocks += [_small(f"{more} more. One model's: {code('/model requests MODEL')}")] if more > 0 else []
    return Message(f"{len(requests)} open requests", _dicts(blocks))


def _request_row(request: Request) -> str:
    until = (
        f", until {when(request.expires_at)}" if request.state is RequestState.PENDING else f", {request.state.value}"
    )
    name = code(short(request.model, 120))
    return f"• {code(request.id)} {name} {mrkdwn(words.path(request))}, asked by {who(request.requester)}{until}"


def history(model: str, terms: Sequence[Term]) -> Message:
    """Return who was in Production, the present version first."""
    name = code(short(model, 120))
    if not terms:
        text = f"{name} has not been in Production since Registrar watches it."
        return Message(text, _dicts([_section(text)]))
    blocks: list[Block] = [_section(f"*Production of {name}*")]
    blocks += [_section(chunk) for chunk in _chunks([_term_row(term) for term in terms])]
    return Message(f"Production of {name}", _dicts(blocks))


def _term_row(term: Term) -> str:
    seen = "first seen" if term.began.kind is MoveKind.OBSERVED else "since"
    since = f"{seen} {when(term.began.finished_at or term.began.intended_at)}"
    until = f"until {when(term.ended.finished_at or term.ended.intended_at)}" if term.ended else "*serves now*"
    if term.began.kind is MoveKind.OBSERVED:
        by = term.began.why or "moved in MLflow, not through Registrar"
    else:
        by = f"approved by {who(term.began.actor)}" + (
            f", request {code(term.began.request)}" if term.began.request else ""
        )
    return f"• {code(f'v{term.began.version}')}  {since}, {until}; {by}"


def menu() -> Message:
    """Return what `/model` alone answers."""
    buttons = [
        ButtonElement(text="Ask for a promotion", action_id=MENU_ASK, style="primary"),
        ButtonElement(text="Open requests", action_id=MENU_REQUESTS),
        ButtonElement(text="Models", action_id=MENU_MODELS),
        ButtonElement(text="Help", action_id=MENU_HELP),
    ]
    blocks: list[Block] = [_section("*What would you like to do?*"), ActionsBlock(block_id="menu", elements=buttons)]
    return Message("What would you like to do?", _dicts(blocks))


def help_all() -> Message:
    """Return every verb with one line."""
    rows = [f"• {code(f'/model {verb.usage()}')}\n    {escape(verb.summary)}" for verb in VERBS.values()]
    blocks: list[Block] = [_section(chunk) for chunk in _chunks(rows)]
    blocks.append(_small(f"One verb in full: {code('/model help promote')}. Every argument can also be a flag."))
    return Message("What you can type", _dicts(blocks))


def help_verb(verb: type[Command]) -> Message:
    """Return one verb with its arguments."""
    rows = [f"*{code(f'/model {verb.usage()}')}*\n{escape(verb.summary)}."]
    for _, _, arg in verb.args():
        names = ", ".join(code(flag) for flag in arg.flags)
        shown = f"{code(arg.shown)} or {names}" if arg.positional and names else names or code(arg.shown)
        rows.append(f"• {shown}: {escape(arg.means)}")
    rows.append(f"For example {code(f'/model {verb.example}')}")
    return Message(f"/model {verb.usage()}", _dicts([_section("\n".join(rows))]))


# -- building blocks ---------------------------------------------------------------------------------------------------


def markdown(text: str) -> MarkdownTextObject:
    """Return text in which Slack looks for nothing to link or to mention but what we have marked."""
    return MarkdownTextObject(text=text, verbatim=True)


def _section(text: str) -> SectionBlock:
    return SectionBlock(text=markdown(text))


def _small(text: str) -> ContextBlock:
    return ContextBlock(elements=[markdown(text)])


def _chunks(rows: Iterable[str], most: int = 2900) -> list[str]:
    """Return the rows joined into texts that a section can hold."""
    chunks: list[str] = []
    for row in rows:
        if chunks and len(chunks[-1]) + len(row) + 1 <= most:
            chunks[-1] += f"\n{row}"
        else:
            chunks.append(cut(row, most))
    return chunks


def _dicts(blocks: Iterable[Block]) -> Blocks:
    return [dict(block.to_dict()) for block in blocks]
