"""Looking at models, requests and Production from the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from bot.domain.commands.base import Command
from bot.domain.commands.queries import History, List, Requests, Show
from bot.domain.core.actors import actor_id, as_person, shown
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Name, plain, short
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import approvals
from bot.domain.registry import rollback_block
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.registry.rollback_block import Bar
from bot.domain.rollbacks import history_messages
from bot.domain.rollbacks.history import Timeline
from bot.domain.rollbacks.rollback import Served
from handlers.api import documents
from handlers.terminal.command_line.grammar import Form
from handlers.terminal.output import console
from handlers.terminal.output.command_output import Answer, as_json, drawn, here
from handlers.terminal.session import Counter

PAGE = 50  # models, or versions of one, on a page


def _list(counter: Counter, command: List, form: Form) -> Answer:
    found = counter.registrar.lookups.models(command.text)
    page = found[(command.page - 1) * PAGE : command.page * PAGE]
    if form is Form.JSON:
        models = [
            {
                "model": one.name,
                "production": one.latest.get(Stage.PRODUCTION),
                "staging": one.latest.get(Stage.STAGING),
                "aliases": dict(one.aliases),
            }
            for one in page
        ]
        return as_json({"models": models, "all": len(found), "page": command.page})
    if not page:
        if found:
            return Answer(f"Page {command.page} is empty; there are {-(-len(found) // PAGE)}.\n")
        if command.text:
            return Answer(f"No model has {plain(Name(command.text))} in its name.\n")
        return Answer("No model is in MLflow yet. To make one of a run: registrar register\n")
    table = console.table()
    for heading in ("Model", "Production", "Staging"):
        table.add_column(heading, overflow="fold")
    for one in page:
        table.add_row(one.name, _v(one.latest.get(Stage.PRODUCTION)), _v(one.latest.get(Stage.STAGING)))
    more = [Text(f"{counted(len(found), 'model')}; more: registrar list --page {command.page + 1}")]
    return drawn(lambda _: [table, *(more if command.page * PAGE < len(found) else [])])


def _show(counter: Counter, command: Show, form: Form) -> Answer:
    if command.version is not None:
        return _card(counter, command, form)
    view = counter.registrar.lookups.show(command.model)
    if form is Form.JSON:
        return as_json(
            {
                "model": view.model.name,
                "description": view.model.description,
                "versions": [_version(one, view.blocks.get(one.version)) for one in view.versions],
                "requests": [documents.of_request(one, [], counter.registrar.context.policy) for one in view.requests],
            }
        )
    page = view.versions[(command.page - 1) * PAGE : command.page * PAGE]
    if view.versions and not page:
        return Answer(f"Page {command.page} is empty; there are {-(-len(view.versions) // PAGE)}.\n")
    table = console.table()
    for heading in ("Version", "Semver", "Stage", "Aliases", "Status", "Run", "Made"):
        table.add_column(heading, overflow="fold")
    for one in page:
        aliases = ", ".join(one.aliases) or "–"
        status = one.status.lower().replace("_", " ")
        table.add_row(
            f"v{one.version}", one.semver or "–", _stage(one), aliases, status, one.run_id or "–", _day(one.created_at)
        )
    about = f": {short(view.model.description, 300)}" if view.model.description else ""
    head = Text(f"{view.model.name}{about}")
    waiting = [Text(f"Request {one.id}: {promotion_messages.path(one)}, {one.state.value}") for one in view.requests]
    if command.page * PAGE < len(view.versions):
        typed = f"registrar show {shlex.quote(view.model.name)} --page {command.page + 1}"
        waiting.insert(0, Text(f"{counted(len(view.versions), 'version')}; older: {typed}"))
    blocked = [Text(str(here(rollback_block.blocked_by(one)))) for one in view.blocks.values()]
    return drawn(lambda _: [head, Text(), table, *blocked, *waiting])


def _card(counter: Counter, command: Show, form: Form) -> Answer:
    assert command.version is not None
    view = counter.registrar.lookups.card(command.model, command.version)
    card, blocked = view.card, [here(rollback_block.blocked_by(view.block))] if view.block else []
    if form is Form.JSON:
        return as_json(
            {
                **card.model_dump(mode="json"),
                "missing": card.missing(),
                "completeness": card.completeness(),
                "blocked": _blocked(view.block),
            }
        )
    table = console.table()
    table.add_column("Field")
    table.add_column("Value", overflow="fold")
    missing = card.missing()
    for name, value in card.model_dump().items():
        table.add_row(_label(name), "missing" if name in missing else _value(value))
    lines = [*map(str, blocked), f"{round(100 * card.completeness())} % filled"]
    return drawn(lambda _: [table, *map(Text, lines)])


def _requests(counter: Counter, command: Requests, form: Form) -> Answer:
    ledger, policy = counter.registrar.context.ledger, counter.registrar.context.policy
    with ledger.read() as reading:
        found = [(one, reading.votes(one.id)) for one in counter.registrar.lookups.requests(command.model)]
    if form is Form.JSON:
        return as_json({"requests": [documents.of_request(one, votes, policy) for one, votes in found]})
    if not found:
        return Answer("Nothing waits for anybody.\n")
    table = console.table()
    for heading in ("Request", "Model", "Change", "Asked by", "Approvals", "Until (UTC)"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"Request", "Until (UTC)"})
    for one, votes in found:
        table.add_row(
            one.id,
            one.model,
            str(promotion_messages.path(one)),
            plain(shown(one.requester)),
            f"{len(approvals(votes))} of {one.required}",
            f"{one.expires_at:%Y-%m-%d %H:%M}",
        )
    return drawn(lambda _: [table])


def _history(counter: Counter, command: History, form: Form) -> Answer:
    found = counter.registrar.lookups.timeline(command)
    answer = str(history_messages.answer(found)) if found.window else ""
    if form is Form.JSON:
        served = [
            {
                "version": one.version,
                "since": _time(one.since),
                "until": _time(one.until),
                "cause": one.began.kind.value,
                "move": one.began.id,
                "request": one.began.request,
                "sentence": str(history_messages.came(one, found)),
                **_who(one, found),
            }
            for one in found.served
        ]
        return as_json({"model": found.model, "served": served, "watched": _time(found.watched), "sentence": answer})
    lines = [answer] if answer else []
    lines += [
        f"v{one.version}  {history_messages.span(one, found)}\n    {history_messages.came(one, found)}"
        for one in found.served
    ]
    empty = f"{found.model} has not been in Production since Registrar watches it."
    return drawn(lambda _: [Text(line) for line in lines or [empty]])


def _who(one: Served, found: Timeline) -> dict[str, Any]:
    """Return who stands behind a move of a request: who asked, who approved, who overrode failed gates, and why."""
    request = found.requests.get(one.began.request or "")
    passed = request.overridden_by if request else None
    return {
        "requested_by": actor_id(as_person(request.requester)) if request else None,
        "approved_by": [actor_id(as_person(actor)) for actor in found.approvers.get(one.began.request or "", ())],
        "overridden_by": actor_id(as_person(passed)) if passed else None,
        "override_reason": request.override_reason if request else "",
    }


def _version(one: VersionInfo, block: Bar | None) -> dict[str, Any]:
    return {
        "version": one.version,
        "semver": one.semver,
        "stage": one.stage.value,
        "aliases": list(one.aliases),
        "status": one.status,
        "run_id": one.run_id,
        "created_at": _time(one.created_at),
        "description": one.description,
        "blocked": _blocked(block),
    }


def _blocked(block: Bar | None) -> str | None:
    return str(rollback_block.blocked(block)) if block else None


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(_value(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else plain(value)


def _stage(one: VersionInfo) -> str:
    return "–" if one.stage is Stage.NONE else one.stage.value


def _v(number: int | None) -> str:
    return "–" if number is None else f"v{number}"


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "–"


def _time(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


LEDGER: frozenset[type[Command]] = frozenset({Requests, History})

ACTS: dict[type[Command], Callable[[Counter, Any, Form], Answer]] = {
    List: _list,
    Show: _show,
    Requests: _requests,
    History: _history,
}
