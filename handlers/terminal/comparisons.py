"""Comparing versions, and looking at one through the gates, from the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.commands.queries import Compare, FindBest, Validate
from bot.domain.promotions import gates
from bot.domain.registry.comparison import to_csv
from bot.domain.registry.messages import describe_best_version, summarize_comparison
from handlers.terminal.command_line.grammar import OutputFormat
from handlers.terminal.output import documents, tables
from handlers.terminal.output.command_output import CommandOutput, json_output, rendered_output
from handlers.terminal.session import TerminalSession


def _compare(session: TerminalSession, command: Compare, output_format: OutputFormat) -> CommandOutput:
    found = session.registrar.comparisons.compare(command)
    if output_format is OutputFormat.JSON:
        return json_output(documents.comparison_document(found, summarize_comparison(found)))
    if output_format is OutputFormat.CSV:
        return CommandOutput(to_csv(found))
    return rendered_output(lambda width: tables.comparison_table(found, width))


def _best(session: TerminalSession, command: FindBest, output_format: OutputFormat) -> CommandOutput:
    winner = session.registrar.comparisons.best(command)
    said = describe_best_version(winner)
    if output_format is OutputFormat.JSON:
        return json_output(documents.best_document(winner, said))
    return CommandOutput(documents.best_csv(winner, said) if output_format is OutputFormat.CSV else f"{said}\n")


def _validate(session: TerminalSession, command: Validate, output_format: OutputFormat) -> CommandOutput:
    version, seen = session.registrar.gate_checks.validate_gates(command)
    said, code = gates.summarize_gates(version, command.to, seen), 1 if seen.failed_gates else 0
    if output_format is OutputFormat.JSON:
        return json_output(documents.validation_document(version, command.to.value, seen, said), code)
    return rendered_output(lambda _: tables.gates_table(seen, said), code)


HANDLERS: dict[type[Command], Callable[[TerminalSession, Any, OutputFormat], CommandOutput]] = {
    Compare: _compare,
    FindBest: _best,
    Validate: _validate,
}
