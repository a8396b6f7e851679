"""Output of comparisons and gate checks as tables, JSON, and CSV. Quick to import, since the help reads KEYS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.domain.commands.base import Command
from bot.domain.commands.promotions import Validate
from bot.domain.commands.registry import Compare, FindBest
from bot.domain.promotions import gates
from bot.domain.promotions.request import RequestSnapshot
from bot.domain.registry.model import VersionInfo
from handlers.terminal.output import json_and_csv
from handlers.terminal.output.command_output import (
    CommandOutput,
    OutputFormat,
    Renderer,
    json_output,
    rendered_output,
)

if TYPE_CHECKING:  # pandas takes a second to load, and the help doesn't need it
    from bot.domain.registry.comparison import BestVersion, Comparison
    from handlers.terminal.session import TerminalSession

# The keys of each query's JSON document, in order. They're a public interface: never rename or remove one.
KEYS: dict[type[Command], Mapping[str, str]] = {
    Validate: {
        "model": "the model's name",
        "version": "the version's number",
        "semver": "its semver, or null",
        "to": "the stage whose gates were checked: Staging or Production",
        "passed": "whether every gate passes",
        "gates": "a list, in the policy's order: name, bound (what's required), value, passed, note, limit (the value "
        "that a failed metric needs, or null)",
        "validation": "the results that were passed in, by metric",
        "sentence": "a human-readable message",
    },
    Compare: {
        "model": "the model's name",
        "incumbent": "the number of the version in Production, or null",
        "metrics": "a list, in order: name, direction (higher or lower is better), best (a version's number, or null)",
        "versions": "a list, newest first: version, semver, stage, run_id, created_at (ISO 8601, UTC), metrics (value "
        "by name), deltas (value minus the incumbent's, by name), and blocked (why it's blocked, or null)",
        "sentence": "a human-readable message",
    },
    FindBest: {
        "model": "the model's name",
        "metric": "the metric",
        "direction": "which values are better: higher or lower",
        "version": "the winner's number",
        "stage": "its stage: None, Staging, Production, or Archived",
        "semver": "its semver, or null",
        "run_id": "its run's ID, or null",
        "value": "its value",
        "runner_up": "the number of the second-best version, or null",
        "lead": "the lead over the runner-up, never negative, or null",
        "incumbent": "the number of the version in Production, or null",
        "margin": "the lead over the incumbent; null if the incumbent wins or has no value",
        "blocked": "why the winner is blocked, or null",
        "sentence": "a human-readable message",
    },
}
# The queries that also print CSV, and what the CSV has.
CSV_HELP: dict[type[Command], str] = {Compare: "the whole table as CSV", FindBest: "the winner as CSV, one row"}


def _compare(
    session: TerminalSession, command: Compare, comparison: Comparison, output_format: OutputFormat
) -> CommandOutput:
    from bot.domain.registry.comparison import to_csv
    from bot.domain.registry.comparison_messages import summarize_comparison
    from handlers.terminal.output import tables

    if output_format is OutputFormat.JSON:
        return json_output(json_and_csv.comparison_document(comparison, summarize_comparison(comparison)))
    if output_format is OutputFormat.CSV:
        return CommandOutput(to_csv(comparison))
    return rendered_output(lambda width: tables.comparison_table(comparison, width))


def _best(
    session: TerminalSession, command: FindBest, winner: BestVersion, output_format: OutputFormat
) -> CommandOutput:
    from bot.domain.registry.comparison_messages import describe_best_version

    sentence = describe_best_version(winner)
    if output_format is OutputFormat.JSON:
        return json_output(json_and_csv.best_document(winner, sentence))
    return CommandOutput(
        json_and_csv.best_csv(winner, sentence) if output_format is OutputFormat.CSV else f"{sentence}\n"
    )


def _validate(
    session: TerminalSession, command: Validate, view: tuple[VersionInfo, RequestSnapshot], output_format: OutputFormat
) -> CommandOutput:
    from handlers.terminal.output import tables

    version, snapshot = view
    sentence, code = gates.summarize_gates(version, command.to, snapshot), 1 if snapshot.failed_gates else 0
    if output_format is OutputFormat.JSON:
        return json_output(json_and_csv.validation_document(version, command.to.value, snapshot, sentence), code)
    return rendered_output(lambda _: tables.gates_table(snapshot, sentence), code)


RENDERERS: dict[type[Command], Renderer] = {Compare: _compare, FindBest: _best, Validate: _validate}
