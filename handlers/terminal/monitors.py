"""Monitors at the terminal."""

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
from bot.domain.core.durations import show_duration
from bot.domain.core.errors import Unreachable
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring import rule_messages
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.rules.false_rollbacks import expected
from bot.domain.monitoring.state import Standing
from handlers.terminal.command_line.grammar import Form
from handlers.terminal.output import console
from handlers.terminal.output.command_output import Answer, as_json, drawn, here, told
from handlers.terminal.session import Counter

ORIGIN = "terminal"


def _list(counter: Counter, command: MonitorList, form: Form) -> Answer:
    rows = counter.registrar.monitors.rows(command.model)
    costs = expected(row.monitor for row in rows)
    if form is Form.JSON:
        return as_json(
            {
                "monitors": [document(row.monitor, row.standing) for row in rows],
                "false_rollbacks": asdict(costs) | {"sentence": str(monitor_messages.expected(costs))}
                if costs
                else None,
            }
        )
    if not rows:
        return Answer("No monitor watches anything here. To add one: registrar monitor add --help\n")
    table = console.table()
    for heading in ("Model", "Monitor", "How it stands", "Value", "Every"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        it, standing = row.monitor, row.standing
        stands, value = str(monitor_messages.state(it, standing)), str(monitor_messages.value(standing))
        table.add_row(it.model, it.name, stands, value, show_duration(it.rule.every))
    return drawn(lambda _: [table, *([Text(f"\n{monitor_messages.expected(costs)}")] if costs else [])])


def _show(counter: Counter, command: MonitorShow, form: Form) -> Answer:
    monitors = counter.registrar.monitors
    view = monitors.view(monitors.find(command.model, command.name).id)
    monitor, standing = view.monitor, view.standing
    if form is Form.JSON:
        return as_json(document(monitor, standing))
    lines = [
        f"{monitor.model} {monitor.name}: {monitor_messages.state(monitor, standing)} ({monitor_messages.value(standing)})",
        str(rule_messages.rule(monitor.rule)),
        str(here(rule_messages.action(monitor))),
        f"Source {monitor.rule.source}, every {show_duration(monitor.rule.every)}.",
        *([str(here(why))] if (why := monitor_messages.reason(monitor, standing)) else []),
    ]
    return drawn(lambda _: [Text(line) for line in lines])


def document(monitor: Monitor, standing: Standing) -> dict[str, Any]:
    """Return a monitor and how it stands, for programs."""
    return {
        "model": monitor.model,
        "name": monitor.name,
        "state": standing.state.value,
        "is_paused": monitor.is_paused,
        "version": standing.version,
        "value": standing.value,
        "total": standing.total,
        "bound": standing.bound,
        "at": f"{standing.at:%Y-%m-%dT%H:%M:%SZ}" if standing.at else None,
        "judged_at": f"{standing.judged_at:%Y-%m-%dT%H:%M:%SZ}" if standing.judged_at else None,
        "why": str(here(standing.why)) if standing.why else None,
        "does": monitor.acts,
        "rule": monitor.rule.model_dump(mode="json"),
        "sentence": f"{monitor_messages.state(monitor, standing)}; {monitor_messages.value(standing)}",
    }


def _check(counter: Counter, command: MonitorCheck, form: Form) -> Answer:
    monitors = counter.registrar.monitors
    monitors.may_check(counter.caller(), command.model, origin=ORIGIN)
    monitor = monitors.find(command.model, command.name)
    with suppress(Unreachable):  # it can be that no bot has looked for long, or ever
        counter.registrar.watch.look_at(command.model)
    standing = counter.registrar.monitoring.check(monitor.id)
    return told(monitor_messages.checked(monitor, standing), form, state=standing.state.value)


def _backtest(counter: Counter, command: MonitorBacktest, form: Form) -> Answer:
    monitors = counter.registrar.monitors
    found = monitors.backtest(monitors.find(command.model, command.name), timedelta(days=command.days))
    return told(
        found.sentence,
        form,
        hours=found.hours,
        hours_judged=found.hours_judged,
        firings=[f"{one.at:%Y-%m-%dT%H:%M:%SZ}" for one in found.firings],
    )


def _add(counter: Counter, command: MonitorAdd, form: Form) -> Answer:
    return told(counter.registrar.monitors.add(counter.caller(), command, origin=ORIGIN), form)


def _edit(counter: Counter, command: MonitorEdit, form: Form) -> Answer:
    return told(counter.registrar.monitors.edit(counter.caller(), command, origin=ORIGIN), form)


def _pause(counter: Counter, command: MonitorPause, form: Form) -> Answer:
    said = counter.registrar.monitors.pause(counter.caller(), command.model, command.name, origin=ORIGIN)
    return told(said, form)


def _resume(counter: Counter, command: MonitorResume, form: Form) -> Answer:
    said = counter.registrar.monitors.resume(counter.caller(), command.model, command.name, origin=ORIGIN)
    return told(said, form)


def _remove(counter: Counter, command: MonitorRemove, form: Form) -> Answer:
    said = counter.registrar.monitors.remove(counter.caller(), command.model, command.name, origin=ORIGIN)
    return told(said, form)


def _silence(counter: Counter, command: MonitorSilence, form: Form) -> Answer:
    return told(counter.registrar.monitors.silence(counter.caller(), command, origin=ORIGIN), form)


def _unsilence(counter: Counter, command: MonitorUnsilence, form: Form) -> Answer:
    return told(counter.registrar.monitors.unsilence(counter.caller(), command, origin=ORIGIN), form)


def _arm(counter: Counter, command: MonitorArm, form: Form) -> Answer:
    return told(counter.registrar.monitors.arm(counter.caller(), command, origin=ORIGIN), form)


def _reset(counter: Counter, command: MonitorReset, form: Form) -> Answer:
    return told(counter.registrar.monitors.reset(counter.caller(), command, origin=ORIGIN), form)


LEDGER: frozenset[type[Command]] = frozenset({MonitorList, MonitorShow, MonitorBacktest})

ACTS: dict[type[Command], Callable[[Counter, Any, Form], Answer]] = {
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
