"""Comparing versions, and looking at one through the gates, from the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.commands.promotions import Validate
from bot.domain.commands.registry import Compare, FindBest
from bot.domain.promotions import gates
from bot.domain.registry.comparison import to_csv
from bot.domain.registry.messages import describe_best_version, summarize_comparison
from handlers.terminal.command_line.grammar import OutputFormat
from handlers.terminal.output import documents, tables
from handlers.terminal.output.command_output import CommandOutput, json_output, rendered_output
from handlers.terminal.session import TerminalSession


def _compare(session: TerminalSession, command: Compare, output_format: OutputFormat) -> CommandOutput:
    comparison = session.registrar.comparisons.compare(command)
    if output_format is OutputFormat.JSON:
        return json_output(documents.comparison_document(comparison, summarize_comparison(comparison)))
    if output_format is OutputFormat.CSV:
        return CommandOutput(to_csv(comparison))
    return rendered_output(lambda width: tables.comparison_table(comparison, width))


def _best(session: TerminalSession, command: FindBest, output_format: OutputFormat) -> CommandOutput:
    winner = session.registrar.comparisons.best(command)
    sentence = describe_best_version(winner)
    if output_format is OutputFormat.JSON:
        return json_output(documents.best_document(winner, sentence))
    return CommandOutput(documents.best_csv(winner, sentence) if output_format is OutputFormat.CSV else f"{sentence}\n")


def _validate(session: TerminalSession, command: Validate, output_format: OutputFormat) -> CommandOutput:
    version, snapshot = session.registrar.gate_checks.validate_gates(command)
    sentence, code = gates.summarize_gates(version, command.to, snapshot), 1 if snapshot.failed_gates else 0
    if output_format is OutputFormat.JSON:
        return json_output(documents.validation_document(version, command.to.value, snapshot, sentence), code)
    return rendered_output(lambda _: tables.gates_table(snapshot, sentence), code)


HANDLERS: dict[type[Command], Callable[[TerminalSession, Any, OutputFormat], CommandOutput]] = {
    Compare: _compare,
    FindBest: _best,
    Validate: _validate,
}
