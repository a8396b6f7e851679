"""Answers to queries about monitors, as tables and JSON. Light: the help reads KEYS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import MonitorBacktest, MonitorList, MonitorShow
from bot.domain.core.durations import format_duration
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.rules.false_rollbacks import estimate_false_rollbacks
from bot.domain.policy.monitor_config import rule_sentence
from handlers.terminal.output import console
from handlers.terminal.output.command_output import (
    CommandOutput,
    OutputFormat,
    Renderer,
    json_output,
    rendered_output,
    sentence_output,
    to_terminal_sentence,
)

if TYPE_CHECKING:
    from bot.domain.monitoring.backtest import Backtest
    from bot.domain.monitoring.monitor import Monitor, MonitorState
    from bot.domain.monitoring.views import MonitorRow, MonitorView
    from handlers.terminal.session import TerminalSession

# The keys of each query's JSON document, in order. They are an interface: none is renamed or removed.
KEYS: dict[type[Command], Mapping[str, str]] = {
    MonitorList: {
        "monitors": "a list, the worst first, each as registrar monitor show --json prints it",
        "false_rollbacks": "what to expect of armed monitors, or null if none is armed: armed, counted (how many of "
        "them have a figure), per_month (the most rollbacks without a cause to expect of those counted), "
        "thresholds, hard_limits and others (how many have no figure), sentence",
    },
    MonitorShow: {
        "model": "the model's name",
        "name": "the monitor's name",
        "state": "disabled, warmup, ok, pending, failed, no data, error, or can't judge",
        "is_paused": "whether it is paused",
        "version": "the version that it judges, or null",
        "value": "the last value, or null; for counts, the proportion",
        "total": "for counts, the total of the last value; otherwise null",
        "bound": "what it was judged against, or null",
        "at": "when it was checked last, or null",
        "judged_at": "when it last gave a verdict, or null",
        "why": "what the last check came to, such as why it can't judge; or null",
        "does": "what a failure does now: dry_run, notify, ask or auto",
        "rule": "everything that it was told",
        "sentence": "how it stands, as a person reads it",
    },
    MonitorBacktest: {
        "hours": "how many hours were replayed",
        "hours_judged": "how many of them the rule judged",
        "firings": "when the monitor would have failed, a list (ISO 8601, UTC)",
        "sentence": "what a person reads",
    },
}


def _list(
    session: TerminalSession, command: MonitorList, rows: list[MonitorRow], output_format: OutputFormat
) -> CommandOutput:
    costs = estimate_false_rollbacks(row.monitor for row in rows)
    if output_format is OutputFormat.JSON:
        return json_output(
            {
                "monitors": [monitor_document(row.monitor, row.monitor_state) for row in rows],
                "false_rollbacks": asdict(costs) | {"sentence": str(monitor_messages.false_rollback_sentence(costs))}
                if costs
                else None,
            }
        )
    if not rows:
        return CommandOutput("No monitor watches anything here. To add one: registrar monitor add --help\n")
    table = console.new_table("Model", "Monitor", "How it stands", "Value", "Every")
    for row in rows:
        monitor, monitor_state = row.monitor, row.monitor_state
        table.add_row(
            monitor.model,
            monitor.name,
            str(monitor_messages.status_text(monitor, monitor_state)),
            str(monitor_messages.value_text(monitor_state)),
            format_duration(monitor.rule.every),
        )
    return rendered_output(
        lambda _: [table, *([Text(f"\n{monitor_messages.false_rollback_sentence(costs)}")] if costs else [])]
    )


def _show(
    session: TerminalSession, command: MonitorShow, view: MonitorView, output_format: OutputFormat
) -> CommandOutput:
    monitor, monitor_state = view.monitor, view.monitor_state
    if output_format is OutputFormat.JSON:
        return json_output(monitor_document(monitor, monitor_state))
    lines = [
        f"{monitor.model} {monitor.name}: {monitor_messages.status_text(monitor, monitor_state)} "
        f"({monitor_messages.value_text(monitor_state)})",
        rule_sentence(monitor.rule),
        to_terminal_sentence(monitor_messages.action_sentence(monitor)),
        f"Source {monitor.rule.source}, every {format_duration(monitor.rule.every)}.",
    ]
    if why := monitor_messages.last_check_reason(monitor, monitor_state):
        lines.append(to_terminal_sentence(why))
    return rendered_output(lambda _: [Text(str(line)) for line in lines])


def monitor_document(monitor: Monitor, monitor_state: MonitorState) -> dict[str, Any]:
    """Return a monitor and its state as JSON keys."""
    return {
        "model": monitor.model,
        "name": monitor.name,
        "state": monitor_state.state.value,
        "is_paused": monitor.is_paused,
        "version": monitor_state.version,
        "value": monitor_state.value,
        "total": monitor_state.total,
        "bound": monitor_state.bound,
        "at": f"{monitor_state.at:%Y-%m-%dT%H:%M:%SZ}" if monitor_state.at else None,
        "judged_at": f"{monitor_state.judged_at:%Y-%m-%dT%H:%M:%SZ}" if monitor_state.judged_at else None,
        "why": str(to_terminal_sentence(monitor_state.why)) if monitor_state.why else None,
        "does": monitor.effective_action,
        "rule": monitor.rule.model_dump(mode="json"),
        "sentence": (
            f"{monitor_messages.status_text(monitor, monitor_state)}; {monitor_messages.value_text(monitor_state)}"
        ),
    }


def _backtest(
    session: TerminalSession, command: MonitorBacktest, backtest: Backtest, output_format: OutputFormat
) -> CommandOutput:
    firings = [f"{firing.at:%Y-%m-%dT%H:%M:%SZ}" for firing in backtest.firings]
    return sentence_output(
        backtest.sentence, output_format, hours=backtest.hours, hours_judged=backtest.hours_judged, firings=firings
    )


RENDERERS: dict[type[Command], Renderer] = {MonitorList: _list, MonitorShow: _show, MonitorBacktest: _backtest}
