"""Output of queries about models, requests, and Production. Quick to import, since the help reads KEYS."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from bot.domain.commands.base import Command
from bot.domain.commands.promotions import ListRequests
from bot.domain.commands.registry import ListModels, ShowModel
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.actors import actor_id, format_actor, resolve_operator
from bot.domain.core.errors import Misconfigured
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Name, say, to_plain_text, truncate
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry import rollback_block
from bot.domain.registry.model import ModelInfo, Stage, VersionInfo, product
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks import history_messages
from bot.domain.rollbacks.history import Timeline
from bot.domain.rollbacks.rollback_targets import ServingPeriod
from handlers.terminal.output import console, styles
from handlers.terminal.output.browser import open_pages
from handlers.terminal.output.command_output import (
    CommandOutput,
    OutputFormat,
    Renderer,
    json_output,
    rendered_output,
    to_terminal_sentence,
)

if TYPE_CHECKING:  # the help needs no services
    from bot.domain.promotions.model_overview import ModelView
    from bot.domain.registry.model_card import VersionCard
    from handlers.terminal.session import TerminalSession

PAGE_SIZE = 50  # models, or versions of a model, on a page

# The keys of each query's JSON document, in order. They're a public interface: never rename or remove one.
KEYS: dict[type[Command], Mapping[str, str]] = {
    ListModels: {
        "models": "a list: model, production and staging (a version's number, or null), aliases (number by name)",
        "all": "the number of models",
        "page": "the page number",
    },
    ShowModel: {
        "model": "the model's name. With VERSION, the keys are instead its card's fields (value or null), "
        "missing (the names of the empty ones), completeness (0 to 1), and blocked (as below)",
        "description": "the model's description",
        "versions": "all versions, newest first: version, semver, stage, aliases, status, run_id, created_at, "
        "description, blocked (why it's blocked, or null)",
        "requests": "a list of open requests, each as in registrar promote --json",
    },
    ListRequests: {"requests": "a list of pending requests, each as in registrar promote --json"},
    ShowHistory: {
        "model": "the model's name",
        "served": "a list, newest first: version, since, until (null: still serving), cause, move, request, "
        "sentence; after a request, also requested_by, approved_by (a list), overridden_by (or null), override_reason",
        "watched": "when Registrar started tracking the model",
        "sentence": "with --at: what was in Production then",
    },
}

# The queries with a page in a browser, and what the page is.
WEB_HELP: dict[type[Command], str] = {
    ShowModel: "print the address of its page in MLflow, and open it in a browser",
    ListRequests: "print the addresses of their cards in Slack, and open a single one in a browser",
}


def _list(
    session: TerminalSession, command: ListModels, models: list[ModelInfo], output_format: OutputFormat
) -> CommandOutput:
    page = models[(command.page - 1) * PAGE_SIZE : command.page * PAGE_SIZE]
    if output_format is OutputFormat.JSON:
        rows = [
            {
                "model": model.name,
                "production": model.latest.get(Stage.PRODUCTION),
                "staging": model.latest.get(Stage.STAGING),
                "aliases": dict(model.aliases),
            }
            for model in page
        ]
        return json_output({"models": rows, "all": len(models), "page": command.page})
    if models and not page:
        return _empty_page(command.page, models)
    if command.text and not page:
        return CommandOutput(f"No model has {to_plain_text(Name(command.text))} in its name.\n")
    if not page:
        return CommandOutput(
            f"No models in {product().name} yet. To create one from a run: registrar register RUN_ID MODEL\n"
        )
    table = console.new_table("Model", "Production", "Staging")
    for model in page:
        holders = ((stage, model.latest.get(stage)) for stage in (Stage.PRODUCTION, Stage.STAGING))
        table.add_row(
            Text(model.name),
            *(Text("–") if number is None else Text(f"v{number}", styles.style_of(stage)) for stage, number in holders),
        )
    more = [Text(f"{pluralize(len(models), 'model')}; next page: registrar list --page {command.page + 1}")]
    return rendered_output(lambda _: [table, *(more if command.page * PAGE_SIZE < len(models) else [])])


def _empty_page(page: int, rows: Sequence[object]) -> CommandOutput:
    return CommandOutput(f"Page {page} is empty; the last page is {-(-len(rows) // PAGE_SIZE)}.\n")


def _show(session: TerminalSession, command: ShowModel, view: Any, output_format: OutputFormat) -> CommandOutput:
    if output_format is OutputFormat.WEB:
        links = session.registrar.context.links
        return _open_page(links.model(view.model) if command.version is None else links.version(view.version))
    if command.version is not None:
        return _version_card(view, output_format)
    if output_format is OutputFormat.JSON:
        return json_output(_model_document(session, view))
    return _model_page(command, view)


def _open_page(url: str | None) -> CommandOutput:
    """Open a registry page. Raises Misconfigured if there's none."""
    if url is None:
        variable = Code("REGISTRAR_MLFLOW_URL")
        raise Misconfigured(say("There's no page to open. Set {url} to MLflow's web address.", url=variable))
    return open_pages([url])


def _model_document(session: TerminalSession, view: ModelView) -> dict[str, Any]:
    from handlers.api import request_json

    policy = session.registrar.context.policy
    return {
        "model": view.model.name,
        "description": view.model.description,
        "versions": [
            {
                "version": version.version,
                "semver": version.semver,
                "stage": version.stage.value,
                "aliases": list(version.aliases),
                "status": version.status,
                "run_id": version.run_id,
                "created_at": _format_time(version.created_at),
                "description": version.description,
                "blocked": _blocked_sentence(view.blocks.get(version.version)),
            }
            for version in view.versions
        ],
        "requests": [request_json.request_document(request, [], policy) for request in view.requests],
    }


def _model_page(command: ShowModel, view: ModelView) -> CommandOutput:
    page = view.versions[(command.page - 1) * PAGE_SIZE : command.page * PAGE_SIZE]
    if view.versions and not page:
        return _empty_page(command.page, view.versions)
    table = console.new_table("Version", "Semver", "Stage", "Aliases", "Status", "Run", "Created")
    for version in page:
        table.add_row(*_version_row(version, is_blocked=version.version in view.blocks))
    about = f": {truncate(view.model.description, 300)}" if view.model.description else ""
    lines = [to_terminal_sentence(rollback_block.block_details(block)) for block in view.blocks.values()]
    rest = [Text(str(line), style=styles.BAD) for line in lines]
    if command.page * PAGE_SIZE < len(view.versions):
        typed = f"registrar show {shlex.quote(view.model.name)} --page {command.page + 1}"
        rest.append(Text(f"{pluralize(len(view.versions), 'version')}; older ones: {typed}"))
    rest += [
        Text(
            f"Request {request.id}: {promotion_messages.describe_change(request)}, {request.state.value}",
            style=styles.style_of(request.state),
        )
        for request in view.requests
    ]
    return rendered_output(lambda _: [Text(f"{view.model.name}{about}"), Text(), table, *rest])


def _version_row(version: VersionInfo, *, is_blocked: bool) -> tuple[str | Text, ...]:
    return (
        Text(f"v{version.version} blocked", styles.BAD) if is_blocked else f"v{version.version}",
        version.semver or "–",
        "–" if version.stage is Stage.NONE else Text(version.stage.value, styles.style_of(version.stage)),
        ", ".join(version.aliases) or "–",
        version.status.lower().replace("_", " "),
        version.run_id or "–",
        f"{version.created_at:%Y-%m-%d}" if version.created_at else "–",
    )


def _version_card(view: VersionCard, output_format: OutputFormat) -> CommandOutput:
    card, missing = view.card, view.card.missing()
    if output_format is OutputFormat.JSON:
        facts = {"missing": missing, "completeness": card.completeness(), "blocked": _blocked_sentence(view.block)}
        return json_output({**card.model_dump(mode="json"), **facts})
    table = console.new_table("Field", "Value")
    for name, value in card.model_dump().items():
        style = styles.style_of(view.version.stage) if name == "stage" else ""
        text = Text("missing", styles.ATTENTION) if name in missing else Text(_format_value(value), style)
        table.add_row(name.replace("_", " ").capitalize(), text)
    lines = (
        [Text(str(to_terminal_sentence(rollback_block.block_details(view.block))), styles.BAD)] if view.block else []
    )
    lines.append(Text(f"{round(100 * card.completeness())}% complete"))
    return rendered_output(lambda _: [table, *lines])


def _requests(
    session: TerminalSession,
    command: ListRequests,
    requests: list[tuple[Request, list[Vote]]],
    output_format: OutputFormat,
) -> CommandOutput:
    if output_format is OutputFormat.JSON:
        from handlers.api import request_json

        policy = session.registrar.context.policy
        return json_output(
            {"requests": [request_json.request_document(request, votes, policy) for request, votes in requests]}
        )
    if not requests:
        return CommandOutput("No pending requests.\n")
    if output_format is OutputFormat.WEB:
        from bot.bootstrap.slack import message_urls

        return open_pages(
            message_urls(session.settings, session.registrar.context.ledger, [request.id for request, _ in requests])
        )
    table = console.new_table("Request", "Model", "Change", "Requester", "Approvals", "Expires (UTC)")
    table.columns[0].no_wrap = table.columns[-1].no_wrap = True
    for request, votes in requests:
        table.add_row(
            request.id,
            request.model,
            str(promotion_messages.describe_change(request)),
            to_plain_text(format_actor(request.requester)),
            f"{len(counting_approvals(votes))} of {request.required}",
            f"{request.expires_at:%Y-%m-%d %H:%M}",
        )
    return rendered_output(lambda _: [table])


def _history(
    session: TerminalSession, command: ShowHistory, timeline: Timeline, output_format: OutputFormat
) -> CommandOutput:
    answer = str(history_messages.describe_production_at(timeline)) if timeline.window else ""
    if output_format is OutputFormat.JSON:
        served = [_period_document(period, timeline) for period in timeline.periods]
        watched = _format_time(timeline.watched_since)
        return json_output({"model": timeline.model, "served": served, "watched": watched, "sentence": answer})
    lines = [Text(answer)] if answer else []
    lines += [
        Text(
            f"v{period.version}  {history_messages.describe_period(period, timeline)}",
            style=styles.GOOD if period.until is None else "",
        ).append(f"\n    {history_messages.describe_entry(period, timeline)}", style="default")
        for period in timeline.periods
    ]
    empty = f"{timeline.model} hasn't been in Production since Registrar started watching it."
    return rendered_output(lambda _: lines or [Text(empty)])


def _period_document(period: ServingPeriod, timeline: Timeline) -> dict[str, Any]:
    """Return the document for a serving period, with who requested and approved it, and any override."""
    request = timeline.requests.get(period.started_by.request or "")
    overridden_by = request.overridden_by if request else None
    approvers = timeline.approvers.get(period.started_by.request or "", ())
    return {
        "version": period.version,
        "since": _format_time(period.since),
        "until": _format_time(period.until),
        "cause": period.started_by.kind.value,
        "move": period.started_by.id,
        "request": period.started_by.request,
        "sentence": str(history_messages.describe_entry(period, timeline)),
        "requested_by": actor_id(resolve_operator(request.requester)) if request else None,
        "approved_by": [actor_id(resolve_operator(actor)) for actor in approvers],
        "overridden_by": actor_id(resolve_operator(overridden_by)) if overridden_by else None,
        "override_reason": request.override_reason if request else "",
    }


def _blocked_sentence(block: RollbackBlock | None) -> str | None:
    return str(rollback_block.block_reason(block)) if block else None


def _format_value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format_value(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(_format_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else to_plain_text(value)


def _format_time(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


RENDERERS: dict[type[Command], Renderer] = {
    ListModels: _list,
    ShowModel: _show,
    ListRequests: _requests,
    ShowHistory: _history,
}
