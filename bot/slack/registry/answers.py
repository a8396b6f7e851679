"""Answers to lookups as blocks: models, versions, requests, history, help."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, SectionBlock

from bot.domain.core.numbers import counted, number
from bot.domain.core.sentence import short
from bot.domain.policy.policy import is_slack_id
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import ModelInfo, Stage, VersionInfo
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions import messages
from bot.services.registry.queries import CardView, ModelView
from bot.slack.core.blocks import Message, chunks, first, fitting, markdown, message, section, small, up_to
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, escape, fit, mrkdwn, when, who
from bot.slack.registry.mlflow_links import run_page, version_page
from bot.slack.registry.version_lines import APPROVERS_MOST, blocked_line

PAGE_BACK, PAGE_ON = "page_back", "page_on"
ARCHIVE, KEEP = "archive_confirmed", "archive_kept"
LINK_MOST = 1200  # characters of an address; a name in letters far from Latin can make a longer one
ALIASES_MOST = 5  # shown for a version; the rest is counted
REQUESTS_MOST = 5  # open requests shown below a model's versions
DESCRIBED_MOST = 500  # characters of a description: MLflow has the rest
RUN_MOST = 8  # characters of a run's id in a row; the version's own answer links to it
LIST_MOST = 20  # rows of a list in one answer; more are counted


def model_list(models: Sequence[ModelInfo], text: str, page: int = 1) -> Message:
    """Return one page (the first is 1) of the models, with what is in Staging and Production."""
    if not models:
        hint = f"No model's name holds {code(text)}." if text else "MLflow has no registered models yet."
        return message(hint, [section(hint)])
    pages = -(-len(models) // LIST_MOST)
    page = min(page, pages)
    rows = [_model_row(model) for model in models[(page - 1) * LIST_MOST : page * LIST_MOST]]
    blocks: list[Block] = [section(chunk) for chunk in chunks(rows)]
    if pages > 1:
        blocks += _paging(page, pages, len(models), text)
    return message(counted(len(models), "model"), blocks)


def _paging(page: int, pages: int, count: int, text: str) -> list[Block]:
    """Return where in the list we are, and the buttons that turn the page; they hold what was typed."""
    typed = f"list {shlex.quote(text)}" if text else "list"
    narrow = f"Page {page} of {pages}, {count} models. Narrow it down: {code('/model list TEXT')}"
    return [small(narrow), _turning(page, pages, typed, ("Previous", "Next"))]


def _turning(page: int, pages: int, typed: str, names: tuple[str, str]) -> ActionsBlock:
    """Return the buttons that turn the page; they hold what was typed."""
    buttons = [
        ButtonElement(text=name, action_id=action, value=f"{typed} --page {to}")
        for name, action, to in zip(names, (PAGE_BACK, PAGE_ON), (page - 1, page + 1), strict=True)
        if 1 <= to <= pages
    ]
    return ActionsBlock(block_id="pages", elements=buttons)


def _model_row(model: ModelInfo) -> str:
    held = [f"{stage} {code(f'v{model.latest[stage]}')}" for stage in _SHOWN if stage in model.latest]
    return f"• {code(model.name, 120)}  " + ("  ·  ".join(held) or "nothing in Staging or Production")


_SHOWN = (Stage.PRODUCTION, Stage.STAGING)


def model_view(view: ModelView, page: int = 1) -> Message:
    """Return a model's versions, one page of them (the first is 1), and its open requests."""
    name = code(view.model.name, 120)
    pages = -(-len(view.versions) // LIST_MOST)
    page = max(1, min(page, pages))
    blocks: list[Block] = [section(f"*{name}*" + _described(view.model.description))]
    here = view.versions[(page - 1) * LIST_MOST : page * LIST_MOST]
    rows = [_version_row(version, view.blocks.get(version.version)) for version in here]
    blocks += [section(chunk) for chunk in chunks(rows)] or [section("No versions yet.")]
    if pages > 1:
        one = code(f"/model show {short(view.model.name, 120)} VERSION")
        blocks.append(small(f"Page {page} of {pages}, {counted(len(view.versions), 'version')}. One of them: {one}"))
        blocks.append(_turning(page, pages, f"show {shlex.quote(view.model.name)}", ("Newer", "Older")))
    if view.requests:
        blocks.append(section("\n".join(_request_row(request) for request in view.requests[:REQUESTS_MOST])))
    if (more := len(view.requests) - REQUESTS_MOST) > 0:
        blocks.append(small(f"{more} more: {code(f'/model requests {view.model.name}', 300)}"))
    return message(f"{name}: {counted(len(view.versions), 'version')}", blocks)


def _version_row(version: VersionInfo, block: Bar | None) -> str:
    parts = [code(f"v{version.version}"), _stage(version.stage)]
    if semver := version.tags.get("semver"):
        parts.append(code(semver, 40))
    parts += _aliases(version.aliases, shown=2, most=30)
    parts.append(_status(version) or "ready")
    parts.append(f"run {code(version.run_id[:RUN_MOST])}" if version.run_id else "no run")
    if version.created_at:
        parts.append(f"registered {when(version.created_at)}")
    if block:
        parts.append(f"⛔ rolled back as bad ({when(block.at)}): {fit(block.reason, 60)}")
    return "• " + "  ·  ".join(parts)


def _stage(stage: Stage) -> str:
    return f"*{stage}*" if stage in _SHOWN else "no stage" if stage is Stage.NONE else str(stage)


def _status(version: VersionInfo) -> str:
    """Return what is wrong with a version's registration, or nothing."""
    return "" if version.status == "READY" else _STATUS.get(version.status, code(version.status, 30))


_STATUS = {"FAILED_REGISTRATION": "*registration failed*", "PENDING_REGISTRATION": "being registered"}


def version_card(view: CardView, web: str | None) -> Message:
    """Return a version's metadata card: every field with its value or "missing". `web` is MLflow's address."""
    card, version = view.card, view.version
    name = f"{code(version.model, 120)} {code(f'v{version.version}')}"
    fields = [f"*{_label(field)}*\n{_value(field, getattr(card, field))}" for field in _SHORT]
    rows = [f"*{_label(field)}*  {_value(field, getattr(card, field))}" for field in _LONG]
    missing = card.missing()
    full = f"{round(100 * card.completeness())} % filled"
    gaps = f". Missing: {', '.join(_label(field).lower() for field in missing)}" if missing else ""
    status = f"  ·  {status}" if (status := _status(version)) else ""
    aliases = "".join(f"  ·  {alias}" for alias in _aliases(version.aliases))
    head = f"*{name}*: {_stage(version.stage)}{status}{aliases}{_described(version.description)}"
    blocks: list[Block] = [
        section(cut(head, TEXT_MOST)),
        *([section(blocked_line(view.block))] if view.block else []),
        *(SectionBlock(fields=[markdown(field) for field in fields[at : at + 10]]) for at in range(0, len(fields), 10)),
        *(section(chunk) for chunk in chunks(rows)),
        *_links(view, web),
        small(cut(full + gaps, TEXT_MOST)),
    ]
    return message(f"{name}: {_stage(version.stage)}", blocks)


_SHORT = (
    "semver",
    "training_date",
    "training_duration_minutes",
    "dataset_version",
    "data_size",
    "framework",
    "algorithm",
    "owner",
    "use_case",
    "serving_endpoint",
    "deployed_by",
    "deployment_date",
    "approval_status",
    "approver",
    "approval_date",
    "git_commit",
)
_LONG = ("metrics", "hyperparameters", "tags", "dependencies")
_PAIRS_MOST = 1500  # characters of all metrics, parameters, or tags; the rest is counted


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _value(field: str, value: object) -> str:
    """Return one field as mrkdwn. Text from outside is shown as code, which reads no other style."""
    if value is None or value in ("", (), {}):
        return "missing"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, Mapping):
        return _pairs({str(name): number(one) if isinstance(one, float) else str(one) for name, one in value.items()})
    if isinstance(value, tuple):
        return "  ·  ".join(fitting([code(str(one), 60) for one in value], _PAIRS_MOST))
    if isinstance(value, float):
        return code(number(value))
    if field in {"approver", "deployed_by"}:
        return ", ".join(up_to(APPROVERS_MOST, [_person(one) for one in str(value).split(",")]))
    return code(f"{value:,}" if isinstance(value, int) else short(str(value), 200))


def _person(word: str) -> str:
    return f"<@{escape(word)}>" if is_slack_id(word) else code(word, 100)


def _pairs(values: Mapping[str, str]) -> str:
    pairs = [f"{code(name, 60)} {code(value, 60)}" for name, value in values.items()]
    return "  ·  ".join(fitting(pairs, _PAIRS_MOST))


def _aliases(aliases: Sequence[str], *, shown: int = ALIASES_MOST, most: int = 60) -> list[str]:
    """Return up to `shown` aliases, `most` characters of each; the others are counted."""
    return up_to(shown, [code(f"@{alias}", most) for alias in aliases])


def _links(view: CardView, web: str | None) -> list[Block]:
    if web is None:
        return []
    pages = {"Version in MLflow": version_page(web, view.version)}
    if view.run is not None:
        pages["Run in MLflow" + (" (deleted)" if view.run.is_deleted else "")] = run_page(web, view.run)
    links = [f"<{page}|{title}>" for title, page in pages.items() if len(page) <= LINK_MOST]
    return [section("  ·  ".join(links))] if links else []


def chart_is_direct(link: str) -> Message:
    """Say where the chart is when only one person sees the answer: Slack shows no picture there."""
    where = f"<{escape(link)}|our direct messages>" if link else "our direct messages"
    text = f"The chart is in {where}."
    return message(text, [section(text)])


def archive_question(draft: str, model: str, version: str) -> Message:
    """Return the question before a version is taken aside; the buttons carry the draft's id."""
    text = mrkdwn(messages.archive_question(model, version))
    buttons = [
        ButtonElement(text="Archive it", action_id=ARCHIVE, value=draft, style="danger"),
        ButtonElement(text="Keep it", action_id=KEEP, value=draft),
    ]
    return message(text, [section(text), ActionsBlock(block_id=f"archive:{draft}", elements=buttons)])


def _described(description: str) -> str:
    return "\n" + "\n".join(f"> {fit(description, DESCRIBED_MOST)}".splitlines()) if description.strip() else ""


def request_list(requests: Sequence[Request]) -> Message:
    """Return the requests that wait."""
    if not requests:
        return message("No open requests.", [section("No open requests.")])
    rows = first([_request_row(request) for request in requests[:LIST_MOST]])
    more = len(requests) - len(rows)
    blocks: list[Block] = [section(chunk) for chunk in chunks(rows)]
    blocks += [small(f"{more} more. One model's: {code('/model requests MODEL')}")] if more > 0 else []
    return message(f"{len(requests)} open requests", blocks)


def _request_row(request: Request) -> str:
    until = (
        f", until {when(request.expires_at)}" if request.state is RequestState.PENDING else f", {request.state.value}"
    )
    name = code(request.model, 120)
    return f"• {code(request.id)} {name} {mrkdwn(promotion_messages.path(request))}, asked by {who(request.requester)}{until}"
