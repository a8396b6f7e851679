"""Output of queries about monitors, as tables and JSON. Quick to import, since the help reads KEYS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import MonitorBacktest, MonitorList, MonitorReview, MonitorShow
from bot.domain.commands.registry import ShowStatus
from bot.domain.core.actors import actor_id, resolve_operator
from bot.domain.core.durations import format_duration
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.incident_review_markdown import to_markdown
from bot.domain.monitoring.model_status import (
    describe_monitors,
    holder_facts,
    is_healthy,
    is_unhealthy,
    status_lines,
)
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow
from bot.domain.monitoring.rules.false_rollbacks import estimate_false_rollbacks
from bot.domain.policy.monitor_config import rule_sentence
from bot.domain.transitions.transition import transition_time
from handlers.terminal.output import console, styles
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
    from bot.domain.monitoring.incident_review import IncidentReview
    from bot.domain.monitoring.model_status import ModelStatus, StageHolder
    from bot.domain.monitoring.monitor import Monitor, MonitorState
    from bot.domain.monitoring.monitor_overview import MonitorView
    from handlers.terminal.session import TerminalSession

PAGE_SIZE = 50  # models on a page

# The keys of each query's JSON document, in order. They're a public interface: never rename or remove one.
KEYS: dict[type[Command], Mapping[str, str]] = {
    MonitorList: {
        "monitors": "a list, worst first, each as in registrar monitor show --json",
        "false_rollbacks": "the expected false rollbacks by armed monitors, or null if none is armed: armed, "
        "counted (how many have an estimate), per_month (the most to expect from those), "
        "thresholds, hard_limits, and others (how many have no estimate), sentence",
    },
    MonitorShow: {
        "model": "the model's name",
        "name": "the monitor's name",
        "state": "disabled, warmup, ok, pending, failed, no data, error, or can't judge",
        "is_paused": "whether it's paused",
        "version": "the version that it checks, or null",
        "value": "the latest value, or null; for counts, the proportion",
        "total": "for counts, the total of the latest value; otherwise null",
        "bound": "the bound that the value was compared with, or null",
        "at": "when it last ran a check, or null",
        "judged_at": "when it last reached a verdict, or null",
        "why": "the reason for the latest check's result, such as why there's no verdict; or null",
        "does": "what currently happens when it fails: dry_run, notify, ask, or auto",
        "rule": "all of its settings",
        "sentence": "the state and value, in human-readable form",
    },
    MonitorBacktest: {
        "hours": "the number of hours replayed",
        "hours_judged": "the number of those hours with a verdict",
        "firings": "a list of times when the monitor would have failed (ISO 8601, UTC)",
        "sentence": "a human-readable message",
    },
    ShowStatus: {
        "models": "a list, those with problems first: model, production and staging (a list of versions: version, "
        "semver, since, by), serving (pending, confirmed, timed_out, superseded, or null), frozen (why, or null), "
        "monitors (a list, each as in registrar monitor show --json), incidents (ids of open ones); with MODEL, "
        "also requests (ids of open ones), and blocked (versions)",
    },
    MonitorReview: {"incident": "the incident's ID", "markdown": "the review as Markdown"},
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
        return CommandOutput("No monitors yet. To add one, see registrar monitor add --help\n")
    table = console.new_table("Model", "Monitor", "State", "Value", "Every")
    for row in rows:
        monitor, monitor_state = row.monitor, row.monitor_state
        table.add_row(
            monitor.model,
            monitor.name,
            Text(
                str(monitor_messages.status_text(monitor, monitor_state)), style=_monitor_style(monitor, monitor_state)
            ),
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
    style = _monitor_style(monitor, monitor_state)
    return rendered_output(lambda _: [Text(str(line), style="" if at else style) for at, line in enumerate(lines)])


def _monitor_style(monitor: Monitor, monitor_state: MonitorState) -> str:
    """Return the style of a monitor's status. An OK that isn't about the version in Production has none."""
    if monitor.is_paused:
        return styles.QUIET
    is_old = monitor_state.state is MonitorStatus.OK and not is_healthy(MonitorRow(monitor, monitor_state))
    return "" if is_old else styles.style_of(monitor_state.state)


def monitor_document(monitor: Monitor, monitor_state: MonitorState) -> dict[str, Any]:
    """Return the JSON document for a monitor and its state."""
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


def _status(
    session: TerminalSession, command: ShowStatus, statuses: list[ModelStatus], output_format: OutputFormat
) -> CommandOutput:
    if command.model is None:
        statuses = statuses[(command.page - 1) * PAGE_SIZE : command.page * PAGE_SIZE]
    if output_format is OutputFormat.JSON:
        return json_output({"models": [_status_document(status, command) for status in statuses]})
    if not statuses:
        return CommandOutput("No version is in Production or Staging yet. To start: registrar register RUN_ID MODEL\n")
    if command.model is not None:
        [status] = statuses
        lines = [Text(status.model), *(Text(str(to_terminal_sentence(line))) for line in status_lines(status))]
        lines += [
            Text(
                f"{row.monitor.name}: {monitor_messages.status_text(row.monitor, row.monitor_state)}",
                style=_monitor_style(row.monitor, row.monitor_state),
            )
            for row in status.monitors
        ] or [Text("No monitors")]
        return rendered_output(lambda _: lines)
    table = console.new_table("Model", "Production", "Staging", "Monitors", "Frozen")
    for status in statuses:
        production, staging = (
            ", ".join(" · ".join([f"v{it.version}", *map(str, holder_facts(it))]) for it in holders) or "–"
            for holders in (status.production, status.staging)
        )
        frozen = str(status.freeze.description) if status.freeze else "–"
        worst = next((row for row in status.monitors if is_unhealthy(row)), next(iter(status.monitors), None))
        table.add_row(
            status.model,
            Text(production, style=styles.GOOD if status.production else ""),
            Text(staging, style=styles.WAITING if status.staging else ""),
            Text(
                str(describe_monitors(status.monitors)) or "–",
                style=_monitor_style(worst.monitor, worst.monitor_state) if worst else "",
            ),
            Text(frozen, style=styles.ATTENTION if status.freeze else ""),
        )
    return rendered_output(lambda _: [table])


def _status_document(status: ModelStatus, command: ShowStatus) -> dict[str, Any]:
    document = {
        "model": status.model,
        "production": [_holder_document(holder) for holder in status.production],
        "staging": [_holder_document(holder) for holder in status.staging],
        "serving": status.serving.state.name.lower() if status.serving else None,
        "frozen": str(status.freeze.description) if status.freeze else None,
        "monitors": [monitor_document(row.monitor, row.monitor_state) for row in status.monitors],
        "incidents": [incident.id for incident in status.incidents],
    }
    if command.model is None:
        return document
    requests, blocks = [it.id for it in status.requests], [block.version for block in status.blocks]
    return document | {"requests": requests, "blocked": blocks}


def _holder_document(holder: StageHolder) -> dict[str, Any]:
    transition = holder.entry.transition if holder.entry else None
    return {
        "version": holder.version,
        "semver": holder.entry.semver if holder.entry else None,
        "since": f"{transition_time(transition):%Y-%m-%dT%H:%M:%SZ}" if transition else None,
        "by": actor_id(resolve_operator(transition.actor)) if transition else None,
    }


def _review(
    session: TerminalSession, command: MonitorReview, review: IncidentReview, output_format: OutputFormat
) -> CommandOutput:
    markdown = to_markdown(review)
    if output_format is OutputFormat.JSON:
        return json_output({"incident": review.incident_id, "markdown": markdown})
    return CommandOutput(markdown)


RENDERERS: dict[type[Command], Renderer] = {
    MonitorList: _list,
    MonitorShow: _show,
    MonitorBacktest: _backtest,
    ShowStatus: _status,
    MonitorReview: _review,
}
