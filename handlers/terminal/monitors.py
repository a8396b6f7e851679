"""`registrar monitor` in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from rich.text import Text

from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import (
    MonitorAdd,
    MonitorArm,
    MonitorBacktest,
    MonitorCheck,
    MonitorEdit,
    MonitorList,
    MonitorPause,
    MonitorRemove,
    MonitorReset,
    MonitorResume,
    MonitorShow,
    MonitorSilence,
    MonitorUnsilence,
)
from bot.domain.core.durations import format_duration
from bot.domain.core.errors import Unreachable
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.rules.false_rollbacks import estimate_false_rollbacks
from bot.domain.policy.monitor_config import rule_sentence
from handlers.terminal.command_line.grammar import OutputFormat
from handlers.terminal.output import console
from handlers.terminal.output.command_output import (
    CommandOutput,
    json_output,
    rendered_output,
    sentence_output,
    to_terminal_sentence,
)
from handlers.terminal.session import TerminalSession

ORIGIN = "terminal"


def _list(session: TerminalSession, command: MonitorList, output_format: OutputFormat) -> CommandOutput:
    rows = session.registrar.monitors.list_rows(command.model)
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
    table = console.new_table()
    for heading in ("Model", "Monitor", "How it stands", "Value", "Every"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        monitor, monitor_state = row.monitor, row.monitor_state
        status, value = (
            str(monitor_messages.status_text(monitor, monitor_state)),
            str(monitor_messages.value_text(monitor_state)),
        )
        table.add_row(monitor.model, monitor.name, status, value, format_duration(monitor.rule.every))
    return rendered_output(
        lambda _: [table, *([Text(f"\n{monitor_messages.false_rollback_sentence(costs)}")] if costs else [])]
    )


def _show(session: TerminalSession, command: MonitorShow, output_format: OutputFormat) -> CommandOutput:
    monitors = session.registrar.monitors
    view = monitors.view(monitors.find(command.model, command.name).id)
    monitor, monitor_state = view.monitor, view.monitor_state
    if output_format is OutputFormat.JSON:
        return json_output(monitor_document(monitor, monitor_state))
    lines = [
        f"{monitor.model} {monitor.name}: {monitor_messages.status_text(monitor, monitor_state)} "
        f"({monitor_messages.value_text(monitor_state)})",
        str(rule_sentence(monitor.rule)),
        str(to_terminal_sentence(monitor_messages.action_sentence(monitor))),
        f"Source {monitor.rule.source}, every {format_duration(monitor.rule.every)}.",
        *(
            [str(to_terminal_sentence(why))]
            if (why := monitor_messages.last_check_reason(monitor, monitor_state))
            else []
        ),
    ]
    return rendered_output(lambda _: [Text(line) for line in lines])


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


def _check(session: TerminalSession, command: MonitorCheck, output_format: OutputFormat) -> CommandOutput:
    monitors = session.registrar.monitors
    monitors.require_check_permission(session.caller(), command.model, origin=ORIGIN)
    monitor = monitors.find(command.model, command.name)
    with suppress(Unreachable):  # it can be that no bot has looked for long, or ever
        session.registrar.drift_detector.check_model(command.model)
    monitor_state = session.registrar.monitoring.check_now(monitor.id)
    return sentence_output(
        monitor_messages.checked_answer(monitor, monitor_state), output_format, state=monitor_state.state.value
    )


def _backtest(session: TerminalSession, command: MonitorBacktest, output_format: OutputFormat) -> CommandOutput:
    monitors = session.registrar.monitors
    backtest = monitors.backtest(monitors.find(command.model, command.name), timedelta(days=command.days))
    return sentence_output(
        backtest.sentence,
        output_format,
        hours=backtest.hours,
        hours_judged=backtest.hours_judged,
        firings=[f"{firing.at:%Y-%m-%dT%H:%M:%SZ}" for firing in backtest.firings],
    )


def _add(session: TerminalSession, command: MonitorAdd, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(session.registrar.monitors.add(session.caller(), command, origin=ORIGIN), output_format)


def _edit(session: TerminalSession, command: MonitorEdit, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(session.registrar.monitors.edit(session.caller(), command, origin=ORIGIN), output_format)


def _pause(session: TerminalSession, command: MonitorPause, output_format: OutputFormat) -> CommandOutput:
    sentence = session.registrar.monitors.pause(session.caller(), command.model, command.name, origin=ORIGIN)
    return sentence_output(sentence, output_format)


def _resume(session: TerminalSession, command: MonitorResume, output_format: OutputFormat) -> CommandOutput:
    sentence = session.registrar.monitors.resume(session.caller(), command.model, command.name, origin=ORIGIN)
    return sentence_output(sentence, output_format)


def _remove(session: TerminalSession, command: MonitorRemove, output_format: OutputFormat) -> CommandOutput:
    sentence = session.registrar.monitors.remove(session.caller(), command.model, command.name, origin=ORIGIN)
    return sentence_output(sentence, output_format)


def _silence(session: TerminalSession, command: MonitorSilence, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(session.registrar.monitors.silence(session.caller(), command, origin=ORIGIN), output_format)


def _unsilence(session: TerminalSession, command: MonitorUnsilence, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(
        session.registrar.monitors.unsilence(session.caller(), command, origin=ORIGIN), output_format
    )


def _arm(session: TerminalSession, command: MonitorArm, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(session.registrar.monitors.arm(session.caller(), command, origin=ORIGIN), output_format)


def _reset(session: TerminalSession, command: MonitorReset, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(session.registrar.monitors.reset(session.caller(), command, origin=ORIGIN), output_format)


LEDGER_COMMANDS: frozenset[type[Command]] = frozenset({MonitorList, MonitorShow, MonitorBacktest})

HANDLERS: dict[type[Command], Callable[[TerminalSession, Any, OutputFormat], CommandOutput]] = {
    MonitorList: _list,
    MonitorShow: _show,
    MonitorCheck: _check,
    MonitorBacktest: _backtest,
    MonitorAdd: _add,
    MonitorEdit: _edit,
    MonitorPause: _pause,
    MonitorResume: _resume,
    MonitorRemove: _remove,
    MonitorSilence: _silence,
    MonitorUnsilence: _unsilence,
    MonitorArm: _arm,
    MonitorReset: _reset,
}
