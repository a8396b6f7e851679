"""Answers to lookups as blocks: models, versions, and requests."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.domain.commands.promotions import ListRequests
from bot.domain.commands.registry import FindBest, ListModels, ShowModel
from bot.domain.core.numbers import format_number, pluralize
from bot.domain.core.sentence import truncate
from bot.domain.policy.callers.people import is_slack_id
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.model_overview import ModelView
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote
from bot.domain.registry.comparison import BestVersion
from bot.domain.registry.comparison_messages import describe_best_version
from bot.domain.registry.model import ModelInfo, Stage, VersionInfo, product
from bot.domain.registry.model_card import VersionCard
from bot.domain.registry.rollback_block import RollbackBlock, block_details
from bot.domain.transitions import messages
from bot.ports import RegistryLinks
from bot.slack.core.answer import RenderContext, Renderers, SlackAnswer
from bot.slack.core.blocks import (
    MAX_NAMES,
    Message,
    build_message,
    code,
    context_line,
    escape,
    escape_and_cut,
    fields_section,
    first_rows_and_count,
    fitting_rows,
    fitting_rows_and_count,
    format_time,
    mention_actor,
    row_sections,
    section,
    sentence_message,
    text_message,
    to_mrkdwn,
)

PREVIOUS_PAGE, NEXT_PAGE = "page_back", "page_on"
CONFIRM_ARCHIVE, CANCEL_ARCHIVE = "archive_confirmed", "archive_kept"
MAX_LINK_LENGTH = 1200  # characters of a URL; a name in a non-Latin script can make it longer
MAX_ALIASES = 5  # shown for a version; the rest are counted
MAX_REQUESTS = 5  # open requests shown below a model's versions
MAX_DESCRIPTION_LENGTH = 500  # characters of a description; MLflow has the rest
RUN_ID_LENGTH = 8  # characters of a run's ID in a row; the answer about one version links to the run
PAGE_SIZE = 20  # rows of a list in one answer; the rest are counted


def model_list(models: Sequence[ModelInfo], search: str, page: int = 1) -> Message:
    """Return one page (the first is 1) of the models, with their versions in Staging and Production."""
    if not models:
        return text_message(
            f"No model name contains {code(search)}." if search else f"{product().name} has no registered models yet."
        )
    pages = -(-len(models) // PAGE_SIZE)
    page = min(page, pages)
    blocks = row_sections(map(_model_row, models[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]))
    if pages > 1:
        typed = f"list {shlex.quote(search)}" if search else "list"
        narrow = f"Page {page} of {pages}, {len(models)} models. Narrow it down: {code('/model list TEXT')}"
        blocks += [context_line(narrow), _page_buttons(page, pages, typed, ("Previous", "Next"))]
    return build_message(pluralize(len(models), "model"), blocks)


def _page_buttons(page: int, pages: int, command: str, labels: tuple[str, str]) -> ActionsBlock:
    """Return the paging buttons; their values are the command's arguments."""
    buttons = [
        ButtonElement(text=name, action_id=action, value=f"{command} --page {to}")
        for name, action, to in zip(labels, (PREVIOUS_PAGE, NEXT_PAGE), (page - 1, page + 1), strict=True)
        if 1 <= to <= pages
    ]
    return ActionsBlock(block_id="pages", elements=buttons)


def _model_row(model: ModelInfo) -> str:
    stages = [f"{stage} {code(f'v{model.latest[stage]}')}" for stage in _SHOWN_STAGES if stage in model.latest]
    return f"• {code(model.name, 120)}  " + ("  ·  ".join(stages) or "nothing in Staging or Production")


_SHOWN_STAGES = (Stage.PRODUCTION, Stage.STAGING)


def model_answer(view: ModelView, page: int = 1) -> Message:
    """Return one page (the first is 1) of a model's versions, and its open requests."""
    name = code(view.model.name, 120)
    pages = -(-len(view.versions) // PAGE_SIZE)
    page = max(1, min(page, pages))
    count = pluralize(len(view.versions), "version")
    versions = view.versions[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    rows = [_version_row(version, view.blocks.get(version.version)) for version in versions]
    blocks: list[Block] = [
        section(f"*{name}*" + _description_quote(view.model.description)),
        *(row_sections(rows) or [section("No versions yet.")]),
    ]
    if pages > 1:
        show_command = code(f"/model show {truncate(view.model.name, 120)} VERSION")
        turn = _page_buttons(page, pages, f"show {shlex.quote(view.model.name)}", ("Newer", "Older"))
        blocks += [context_line(f"Page {page} of {pages}, {count}. Show one: {show_command}"), turn]
    if view.requests:
        blocks.append(section("\n".join(_request_row(request) for request in view.requests[:MAX_REQUESTS])))
    if (more := len(view.requests) - MAX_REQUESTS) > 0:
        blocks.append(context_line(f"{more} more: {code(f'/model requests {view.model.name}', 300)}"))
    return build_message(f"{name}: {count}", blocks)


def _version_row(version: VersionInfo, block: RollbackBlock | None) -> str:
    parts = [code(f"v{version.version}"), _stage_label(version.stage)]
    if semver := version.tags.get("semver"):
        parts.append(code(semver, 40))
    parts += _alias_texts(version.aliases, limit=2, max_length=30)
    parts.append(_registration_problem(version) or "ready")
    parts.append(f"run {code(version.run_id[:RUN_ID_LENGTH])}" if version.run_id else "no run")
    if version.created_at:
        parts.append(f"registered {format_time(version.created_at)}")
    if block:
        parts.append(f"⛔ rolled back ({format_time(block.at)}): {escape_and_cut(block.reason, 60)}")
    return "• " + "  ·  ".join(parts)


def _stage_label(stage: Stage) -> str:
    return f"*{stage}*" if stage in _SHOWN_STAGES else "no stage" if stage is Stage.NONE else str(stage)


_REGISTRATION_PROBLEMS = {
    "READY": "",
    "FAILED_REGISTRATION": "*registration failed*",
    "PENDING_REGISTRATION": "registration pending",
}


def _registration_problem(version: VersionInfo) -> str:
    """Return what's wrong with a version's registration; empty if it's ready."""
    return _REGISTRATION_PROBLEMS.get(version.status, code(version.status, 30))


def version_answer(view: VersionCard, links: RegistryLinks) -> Message:
    """Return a version's metadata card: every field with its value, or "missing"."""
    card, version = view.card, view.version
    name = _version_name(version)
    fields = [f"*{_field_label(field)}*\n{_field_value(field, getattr(card, field))}" for field in _SHORT_FIELDS]
    values = {field: getattr(card, field) for field in _LONG_FIELDS} | {"metrics": view.metric_texts}
    rows = [f"*{_field_label(field)}*  {_field_value(field, value)}" for field, value in values.items()]
    missing = card.missing()
    full = f"{round(100 * card.completeness())}% filled"
    gaps = f". Missing: {', '.join(_field_label(field).lower() for field in missing)}" if missing else ""
    blocks: list[Block] = [
        section(version_headline(version) + _description_quote(version.description)),
        *([section(f"⛔ {to_mrkdwn(block_details(view.block))}")] if view.block else []),
        *(fields_section(fields[at : at + 10]) for at in range(0, len(fields), 10)),
        *row_sections(rows),
        *_link_blocks(view, links),
        context_line(full + gaps),
    ]
    return build_message(f"{name}: {_stage_label(version.stage)}", blocks)


def version_headline(version: VersionInfo) -> str:
    """Return a version's name, stage, registration problem if any, and aliases."""
    status = f"  ·  {status}" if (status := _registration_problem(version)) else ""
    aliases = "".join(f"  ·  {alias}" for alias in _alias_texts(version.aliases))
    return f"*{_version_name(version)}*: {_stage_label(version.stage)}{status}{aliases}"


def _version_name(version: VersionInfo) -> str:
    return f"{code(version.model, 120)} {code(f'v{version.version}')}"


_SHORT_FIELDS = (
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
_LONG_FIELDS = ("metrics", "hyperparameters", "tags", "dependencies")
_MAX_PAIRS_LENGTH = 1500  # characters of all metrics, parameters, or tags; the rest are counted


def _field_label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _field_value(field: str, value: object) -> str:
    """Return one field as mrkdwn. Outside text is shown as code, so that it can't contain other formatting."""
    if value is None or value in ("", (), {}):
        return "missing"
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping | tuple):
        items = (
            [f"{code(str(name), 60)} {code(_plain_value(item), 60)}" for name, item in value.items()]
            if isinstance(value, Mapping)
            else [code(str(item), 60) for item in value]
        )
        return "  ·  ".join(fitting_rows_and_count(items, _MAX_PAIRS_LENGTH))
    if field in {"approver", "deployed_by"}:
        people = [f"<@{escape(text)}>" if is_slack_id(text) else code(text, 100) for text in str(value).split(",")]
        return ", ".join(first_rows_and_count(MAX_NAMES, people))
    return code(f"{value:,}" if isinstance(value, int) else truncate(_plain_value(value), 200))


def _plain_value(value: object) -> str:
    return format_number(value) if isinstance(value, float) else str(value)


def _alias_texts(aliases: Sequence[str], *, limit: int = MAX_ALIASES, max_length: int = 60) -> list[str]:
    """Return up to `limit` aliases, with up to `max_length` characters each; the rest are counted."""
    return first_rows_and_count(limit, [code(f"@{alias}", max_length) for alias in aliases])


def _link_blocks(view: VersionCard, links: RegistryLinks) -> list[Block]:
    pages = {f"Version in {product().name}": links.version(view.version)}
    if view.run is not None:
        pages[f"Run in {product().name}" + (" (deleted)" if view.run.is_deleted else "")] = links.run(view.run)
    shown = [f"<{page}|{title}>" for title, page in pages.items() if page and len(page) <= MAX_LINK_LENGTH]
    return [section("  ·  ".join(shown))] if shown else []


def archive_question(draft_id: str, model: str, version: str) -> Message:
    """Return the message that asks for confirmation before archiving a version; its buttons carry the draft's ID."""
    text = to_mrkdwn(messages.archive_question(model, version))
    buttons = [
        ButtonElement(text="Archive it", action_id=CONFIRM_ARCHIVE, value=draft_id, style="danger"),
        ButtonElement(text="Keep it", action_id=CANCEL_ARCHIVE, value=draft_id),
    ]
    return build_message(text, [section(text), ActionsBlock(block_id=f"archive:{draft_id}", elements=buttons)])


def _description_quote(description: str) -> str:
    return (
        "\n" + "\n".join(f"> {escape_and_cut(description, MAX_DESCRIPTION_LENGTH)}".splitlines())
        if description.strip()
        else ""
    )


def request_list(requests: Sequence[Request]) -> Message:
    """Return the open requests."""
    if not requests:
        return text_message("No open requests.")
    rows = fitting_rows([_request_row(request) for request in requests[:PAGE_SIZE]])
    more = len(requests) - len(rows)
    blocks = row_sections(rows)
    blocks += [context_line(f"{more} more. For one model: {code('/model requests MODEL')}")] if more > 0 else []
    return build_message(f"{len(requests)} open requests", blocks)


def _request_row(request: Request) -> str:
    until = (
        f", until {format_time(request.expires_at)}"
        if request.state is RequestState.PENDING
        else f", {request.state.value}"
    )
    name, change = code(request.model, 120), to_mrkdwn(promotion_messages.describe_change(request))
    return f"• {code(request.id)} {name} {change}, requested by {mention_actor(request.requester)}{until}"


def _render_models(command: ListModels, models: Sequence[ModelInfo], context: RenderContext) -> SlackAnswer:
    return SlackAnswer(model_list(models, truncate(command.text, 250), command.page))


def _render_model(command: ShowModel, view: ModelView | VersionCard, context: RenderContext) -> SlackAnswer:
    if isinstance(view, ModelView):
        return SlackAnswer(model_answer(view, command.page))
    return SlackAnswer(version_answer(view, context.links))


def _render_best(command: FindBest, best: BestVersion, context: RenderContext) -> SlackAnswer:
    return SlackAnswer(sentence_message(describe_best_version(best)))


def _render_requests(
    command: ListRequests, requests: Sequence[tuple[Request, Sequence[Vote]]], context: RenderContext
) -> SlackAnswer:
    return SlackAnswer(request_list([request for request, _ in requests]))


RENDERERS: Renderers = {
    ListModels: _render_models,
    ShowModel: _render_model,
    FindBest: _render_best,
    ListRequests: _render_requests,
}
