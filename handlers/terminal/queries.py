"""Looking at models, requests and Production from the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from bot.domain.commands.base import Command
from bot.domain.commands.queries import ListModels, ListRequests, ShowHistory, ShowModel
from bot.domain.core.actors import actor_id, format_actor, resolve_operator
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Name, to_plain_text, truncate
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import counting_approvals
from bot.domain.registry import rollback_block
from bot.domain.registry.model import Stage, VersionInfo, product
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks import history_messages
from bot.domain.rollbacks.history import Timeline
from bot.domain.rollbacks.rollback import ServingPeriod
from handlers.api import documents
from handlers.terminal.command_line.grammar import OutputFormat
from handlers.terminal.output import console
from handlers.terminal.output.command_output import CommandOutput, json_output, rendered_output, to_terminal_sentence
from handlers.terminal.session import TerminalSession

PAGE_SIZE = 50  # models, or versions of one, on a page


def _list(session: TerminalSession, command: ListModels, output_format: OutputFormat) -> CommandOutput:
    all_models = session.registrar.registry_queries.models(command.text)
    page = all_models[(command.page - 1) * PAGE_SIZE : command.page * PAGE_SIZE]
    if output_format is OutputFormat.JSON:
        models = [
            {
                "model": model.name,
                "production": model.latest.get(Stage.PRODUCTION),
                "staging": model.latest.get(Stage.STAGING),
                "aliases": dict(model.aliases),
            }
            for model in page
        ]
        return json_output({"models": models, "all": len(all_models), "page": command.page})
    if not page:
        if all_models:
            return CommandOutput(f"Page {command.page} is empty; there are {-(-len(all_models) // PAGE_SIZE)}.\n")
        if command.text:
            return CommandOutput(f"No model has {to_plain_text(Name(command.text))} in its name.\n")
        return CommandOutput(f"No model is in {product().name} yet. To make one of a run: registrar register\n")
    table = console.new_table()
    for heading in ("Model", "Production", "Staging"):
        table.add_column(heading, overflow="fold")
    for model in page:
        table.add_row(
            model.name,
            _version_label(model.latest.get(Stage.PRODUCTION)),
            _version_label(model.latest.get(Stage.STAGING)),
        )
    more = [Text(f"{pluralize(len(all_models), 'model')}; more: registrar list --page {command.page + 1}")]
    return rendered_output(lambda _: [table, *(more if command.page * PAGE_SIZE < len(all_models) else [])])


def _show(session: TerminalSession, command: ShowModel, output_format: OutputFormat) -> CommandOutput:
    if command.version is not None:
        return _show_version(session, command, output_format)
    view = session.registrar.registry_queries.model_view(command.model)
    if output_format is OutputFormat.JSON:
        return json_output(
            {
                "model": view.model.name,
                "description": view.model.description,
                "versions": [_version_document(version, view.blocks.get(version.version)) for version in view.versions],
                "requests": [
                    documents.request_document(request, [], session.registrar.context.policy)
                    for request in view.requests
                ],
            }
        )
    page = view.versions[(command.page - 1) * PAGE_SIZE : command.page * PAGE_SIZE]
    if view.versions and not page:
        return CommandOutput(f"Page {command.page} is empty; there are {-(-len(view.versions) // PAGE_SIZE)}.\n")
    table = console.new_table()
    for heading in ("Version", "Semver", "Stage", "Aliases", "Status", "Run", "Made"):
        table.add_column(heading, overflow="fold")
    for version in page:
        aliases = ", ".join(version.aliases) or "–"
        status = version.status.lower().replace("_", " ")
        table.add_row(
            f"v{version.version}",
            version.semver or "–",
            _stage_label(version),
            aliases,
            status,
            version.run_id or "–",
            _format_day(version.created_at),
        )
    about = f": {truncate(view.model.description, 300)}" if view.model.description else ""
    head = Text(f"{view.model.name}{about}")
    waiting = [
        Text(f"Request {request.id}: {promotion_messages.describe_change(request)}, {request.state.value}")
        for request in view.requests
    ]
    if command.page * PAGE_SIZE < len(view.versions):
        typed = f"registrar show {shlex.quote(view.model.name)} --page {command.page + 1}"
        waiting.insert(0, Text(f"{pluralize(len(view.versions), 'version')}; older: {typed}"))
    blocked = [Text(str(to_terminal_sentence(rollback_block.block_details(block)))) for block in view.blocks.values()]
    return rendered_output(lambda _: [head, Text(), table, *blocked, *waiting])


def _show_version(session: TerminalSession, command: ShowModel, output_format: OutputFormat) -> CommandOutput:
    assert command.version is not None
    view = session.registrar.registry_queries.version_card(command.model, command.version)
    card, blocked = view.card, [to_terminal_sentence(rollback_block.block_details(view.block))] if view.block else []
    if output_format is OutputFormat.JSON:
        return json_output(
            {
                **card.model_dump(mode="json"),
                "missing": card.missing(),
                "completeness": card.completeness(),
                "blocked": _blocked_sentence(view.block),
            }
        )
    table = console.new_table()
    table.add_column("Field")
    table.add_column("Value", overflow="fold")
    missing = card.missing()
    for name, value in card.model_dump().items():
        table.add_row(_field_label(name), "missing" if name in missing else _format_value(value))
    lines = [*map(str, blocked), f"{round(100 * card.completeness())} % filled"]
    return rendered_output(lambda _: [table, *map(Text, lines)])


def _requests(session: TerminalSession, command: ListRequests, output_format: OutputFormat) -> CommandOutput:
    ledger, policy = session.registrar.context.ledger, session.registrar.context.policy
    with ledger.read() as reading:
        requests = [
            (request, reading.votes(request.id))
            for request in session.registrar.request_queries.open_requests(command.model)
        ]
    if output_format is OutputFormat.JSON:
        return json_output(
            {"requests": [documents.request_document(request, votes, policy) for request, votes in requests]}
        )
    if not requests:
        return CommandOutput("Nothing waits for anybody.\n")
    table = console.new_table()
    for heading in ("Request", "Model", "Change", "Asked by", "Approvals", "Until (UTC)"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"Request", "Until (UTC)"})
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


def _history(session: TerminalSession, command: ShowHistory, output_format: OutputFormat) -> CommandOutput:
    timeline = session.registrar.history.timeline(command)
    answer = str(history_messages.describe_production_at(timeline)) if timeline.window else ""
    if output_format is OutputFormat.JSON:
        served = [
            {
                "version": period.version,
                "since": _format_time(period.since),
                "until": _format_time(period.until),
                "cause": period.started_by.kind.value,
                "move": period.started_by.id,
                "request": period.started_by.request,
                "sentence": str(history_messages.describe_entry(period, timeline)),
                **_people_behind(period, timeline),
            }
            for period in timeline.periods
        ]
        return json_output(
            {
                "model": timeline.model,
                "served": served,
                "watched": _format_time(timeline.watched_since),
                "sentence": answer,
            }
        )
    lines = [answer] if answer else []
    lines += [
        f"v{period.version}  {history_messages.describe_period(period, timeline)}\n"
        f"    {history_messages.describe_entry(period, timeline)}"
        for period in timeline.periods
    ]
    empty = f"{timeline.model} has not been in Production since Registrar watches it."
    return rendered_output(lambda _: [Text(line) for line in lines or [empty]])


def _people_behind(period: ServingPeriod, timeline: Timeline) -> dict[str, Any]:
    """Return who was behind a request's transition: requester, approvers, who overrode failed gates, and why."""
    request = timeline.requests.get(period.started_by.request or "")
    passed = request.overridden_by if request else None
    return {
        "requested_by": actor_id(resolve_operator(request.requester)) if request else None,
        "approved_by": [
            actor_id(resolve_operator(actor)) for actor in timeline.approvers.get(period.started_by.request or "", ())
        ],
        "overridden_by": actor_id(resolve_operator(passed)) if passed else None,
        "override_reason": request.override_reason if request else "",
    }


def _version_document(version: VersionInfo, block: RollbackBlock | None) -> dict[str, Any]:
    return {
        "version": version.version,
        "semver": version.semver,
        "stage": version.stage.value,
        "aliases": list(version.aliases),
        "status": version.status,
        "run_id": version.run_id,
        "created_at": _format_time(version.created_at),
        "description": version.description,
        "blocked": _blocked_sentence(block),
    }


def _blocked_sentence(block: RollbackBlock | None) -> str | None:
    return str(rollback_block.block_reason(block)) if block else None


def _field_label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _format_value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format_value(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(_format_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else to_plain_text(value)


def _stage_label(version: VersionInfo) -> str:
    return "–" if version.stage is Stage.NONE else version.stage.value


def _version_label(number: int | None) -> str:
    return "–" if number is None else f"v{number}"


def _format_day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "–"


def _format_time(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


LEDGER_COMMANDS: frozenset[type[Command]] = frozenset({ListRequests, ShowHistory})

HANDLERS: dict[type[Command], Callable[[TerminalSession, Any, OutputFormat], CommandOutput]] = {
    ListModels: _list,
    ShowModel: _show,
    ListRequests: _requests,
    ShowHistory: _history,
}
