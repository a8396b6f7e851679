"""Comparing versions, and looking at one through the gates, from the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.commands.queries import Best, Compare, Validate
from bot.domain.promotions import gates
from bot.domain.registry.comparison import to_csv
from bot.domain.registry.messages import best_sentence, sentence
from handlers.terminal.command_line.grammar import Form
from handlers.terminal.output import documents, tables
from handlers.terminal.output.command_output import Answer, as_json, drawn
from handlers.terminal.session import Counter


def _compare(counter: Counter, command: Compare, form: Form) -> Answer:
    found = counter.registrar.comparisons.compare(command)
    if form is Form.JSON:
        return as_json(documents.comparison(found, sentence(found)))
    if form is Form.CSV:
        return Answer(to_csv(found))
    return drawn(lambda width: tables.comparison(found, width))


def _best(counter: Counter, command: Best, form: Form) -> Answer:
    winner = counter.registrar.comparisons.best(command)
    said = best_sentence(winner)
    if form is Form.JSON:
        return as_json(documents.best(winner, said))
    return Answer(documents.best_csv(winner, said) if form is Form.CSV else f"{said}\n")


def _validate(counter: Counter, command: Validate, form: Form) -> Answer:
    version, seen = counter.registrar.lookups.validate(command)
    said, code = gates.seen_sentence(version, command.to, seen), 1 if seen.failed else 0
    if form is Form.JSON:
        return as_json(documents.validated(version, command.to.value, seen, said), code)
    return drawn(lambda _: tables.gates(seen, said), code)


ACTS: dict[type[Command], Callable[[Counter, Any, Form], Answer]] = {
    Compare: _compare,
    Best: _best,
    Validate: _validate,
}
