"""Answers about monitors as blocks: the list, one monitor, and an incident's monitors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, SectionBlock

from bot.domain.commands.monitoring import MonitorAdd, MonitorBacktest, MonitorList, MonitorReview, MonitorShow
from bot.domain.core.numbers import MISSING, format_proportion, pluralize
from bot.domain.core.sentence import Sentence, truncate
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import Incident, IncidentKind
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow, MonitorView
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.monitoring.rules.false_rollbacks import FalseRollbackEstimate, estimate_false_rollbacks
from bot.domain.policy.monitor_config import rule_sentence
from bot.slack.core.answer import FileUpload, RenderContext, Renderers, SlackAnswer, safe_file_name
from bot.slack.core.blocks import (
    MAX_ROWS_LENGTH,
    MAX_TEXT_LENGTH,
    Blocks,
    Message,
    block_dicts,
    build_message,
    code,
    context_line,
    cut_mrkdwn,
    fitting_rows,
    format_time,
    join_into_chunks,
    json_length,
    mention_actor,
    mrkdwn_object,
    section,
    sentence_message,
    to_mrkdwn,
)
from bot.slack.monitoring.incident_review import review_file, review_message

ADD, SHOW, CHECK, PAUSE, RESUME = "monitor_add", "monitor_show", "monitor_check", "monitor_pause", "monitor_resume"
SILENCE, UNSILENCE = "monitor_silence", "monitor_unsilence"
BACKTEST, CHART = "monitor_backtest", "monitor_chart"
MAX_ROWS = 20  # in one answer; the rest are counted
MAX_DETAILS = 4  # monitors of an incident that are shown in full

_STATUS_ICONS = {
    MonitorStatus.DISABLED: "⚪",
    MonitorStatus.WARMUP: "🕐",
    MonitorStatus.OK: "🟢",
    MonitorStatus.PENDING: "🟡",
    MonitorStatus.FAILED: "🔴",
    MonitorStatus.NO_DATA: "⚫",
    MonitorStatus.ERROR: "🟠",
    MonitorStatus.CANT_JUDGE: "🟣",
}
_OUTCOME_ICONS = {
    CheckOutcome.OK: "🟢",
    CheckOutcome.FAILED: "🔴",
    CheckOutcome.NO_DATA: "⚫",
    CheckOutcome.ERROR: "🟠",
    CheckOutcome.UNJUDGED: "🟣",
}


# -- list --------------------------------------------------------------------------------------------------------------


def monitor_list(rows: Sequence[MonitorRow], now: datetime, model: str | None = None) -> Message:
    """Return the list of monitors, worst first, with a button to add one."""
    of = f" for {code(model, 120)}" if model else ""
    add = ActionsBlock(block_id="monitors", elements=[ButtonElement(text="Add a monitor", action_id=ADD)])
    if not rows:
        like = code(f"/model monitor add {truncate(model or 'churn', 120)} accuracy --greater-than 0.85")
        text = f"No monitors{of} yet. Add one: {like}"
        return build_message(text, [section(text), add])
    blocks: list[Block] = [section(f"*Monitors{of}*, most urgent first")]
    shown = fitting_rows([monitor_line(row, now) for row in rows[:MAX_ROWS]])
    blocks += [section(chunk) for chunk in join_into_chunks(shown)]
    if len(rows) > len(shown):
        blocks.append(
            context_line(f"{len(rows) - len(shown)} more. For one model: {code('/model monitor list MODEL')}")
        )
    blocks += false_rollback_line(estimate_false_rollbacks(row.monitor for row in rows))
    return build_message(pluralize(len(rows), "monitor") + of, [*blocks, add])


def false_rollback_line(estimate: FalseRollbackEstimate | None) -> list[Block]:
    """Return a line with the number of armed monitors and their expected false rollbacks; empty if none is armed."""
    return [context_line(to_mrkdwn(monitor_messages.false_rollback_sentence(estimate)))] if estimate else []


def monitor_line(row: MonitorRow, now: datetime, *, with_model: bool = True) -> str:
    """Return a monitor as one line, with or without its model's name."""
    monitor, monitor_state = row.monitor, row.monitor_state
    parts = [
        f"{status_icon(monitor, monitor_state)} {_qualified_name(monitor) if with_model else code(monitor.name)}  "
        f"{to_mrkdwn(monitor_messages.status_text(monitor, monitor_state))}"
    ]
    if monitor_state.value is not None:
        parts.append(to_mrkdwn(monitor_messages.value_text(monitor_state)))
    parts.append(_ACTION_TEXTS[monitor.effective_action])
    if monitor.is_silenced(now) and monitor.silenced_until:
        parts.append(f"🔕 until {format_time(monitor.silenced_until)}")
    return "  ·  ".join(parts)


_ACTION_TEXTS = {"dry_run": "dry run", "notify": "alerts", "ask": "asks", "auto": "rolls back"}


def status_icon(monitor: Monitor, monitor_state: MonitorState) -> str:
    """Return the emoji for a monitor's state."""
    if monitor.is_paused:
        return "⏸️"
    is_known = monitor_state.at is not None and not monitor_messages.is_unmeasured(monitor_state)
    return _STATUS_ICONS[monitor_state.state] if is_known else "⚪"


def _qualified_name(monitor: Monitor) -> str:
    return f"{code(monitor.model, 120)} {code(monitor.name)}"


# -- one monitor -------------------------------------------------------------------------------------------------------


def monitor_view(view: MonitorView) -> Message:
    """Return one monitor: its state, rule, action, recent checks, and buttons."""
    monitor, monitor_state = view.monitor, view.monitor_state
    state = to_mrkdwn(monitor_messages.status_text(monitor, monitor_state))
    head = f"{status_icon(monitor, monitor_state)} *{_qualified_name(monitor)}*: {state}"
    if (why := monitor_messages.last_check_reason(monitor, monitor_state)) is not None and not monitor.is_paused:
        head += f"\n{to_mrkdwn(why)}"
    blocks: list[Block] = [
        section(cut_mrkdwn(head, MAX_TEXT_LENGTH)),
        SectionBlock(fields=[mrkdwn_object(field) for field in _fields(view)]),
        section(to_mrkdwn(rule_sentence(monitor.rule))),
        section(cut_mrkdwn("\n".join(_action_lines(view)), MAX_TEXT_LENGTH)),
        *_recent_checks(view.recent_measurements),
        _buttons(view),
        context_line(cut_mrkdwn(_origin_line(monitor), MAX_TEXT_LENGTH)),
    ]
    return build_message(f"{_qualified_name(monitor)}: {state}", blocks)


def _fields(view: MonitorView) -> list[str]:
    monitor, monitor_state = view.monitor, view.monitor_state
    rule = monitor.rule
    queries = [query for query in (rule.query, rule.of) if query is not None]
    metric = " out of ".join(code(query, 250 // len(queries)) for query in queries)
    fields = [
        f"*Latest value*\n{to_mrkdwn(monitor_messages.value_text(monitor_state))}",
        f"*Version*\n{code(f'v{monitor_state.version}') if monitor_state.version is not None else MISSING}",
        f"*Last check*\n{format_time(monitor_state.at) if monitor_state.at else 'none yet'}",
        f"*Next check*\n{_next_check(view)}",
        f"*Source*\n{code(rule.source)} {metric}",
    ]
    if monitor_state.since is not None and monitor_state.state in {MonitorStatus.FAILED, MonitorStatus.PENDING}:
        fields.append(f"*Failing since*\n{format_time(monitor_state.since)}")
    return fields


def _next_check(view: MonitorView) -> str:
    if view.monitor.is_paused:
        return "paused"
    if view.monitor_state.next_at is None:
        return "soon"
    return "now" if view.monitor_state.next_at <= view.now else format_time(view.monitor_state.next_at)


def _action_lines(view: MonitorView) -> list[str]:
    monitor = view.monitor
    lines = [to_mrkdwn(monitor_messages.action_sentence(monitor))]
    if monitor.armed_by and monitor.armed_at and monitor.is_armed:
        lines.append(f"Armed by {mention_actor(monitor.armed_by)}, {format_time(monitor.armed_at)}")
    if monitor.is_silenced(view.now) and monitor.silenced_until:
        by = f" by {mention_actor(monitor.silenced_by)}" if monitor.silenced_by else ""
        why = f": {to_mrkdwn(Sentence('{it}', {'it': monitor.silence_reason}))}" if monitor.silence_reason else ""
        lines.append(f"🔕 Silenced{by} until {format_time(monitor.silenced_until)}{why}")
    if view.breaker:
        reset = f"/model monitor reset {view.breaker.model or '--all'}"
        lines.append(
            f"⛔ Automatic rollbacks have stopped. {to_mrkdwn(view.breaker.why)} Admins can resume them: {code(reset)}"
        )
    return lines


def _recent_checks(measurements: Sequence[Measurement]) -> list[Block]:
    if not measurements:
        return []
    rows = []
    for measurement in measurements:
        value = (
            code(format_proportion(measurement.value, measurement.total)) if measurement.value is not None else MISSING
        )
        parts = [value, *([cut_mrkdwn(to_mrkdwn(measurement.why), 200)] if measurement.why else [])]
        if measurement.value is None or format_proportion(measurement.value, measurement.total) in str(
            measurement.why
        ):  # the reason already includes the value
            parts = parts[1:] or parts
        rows.append("  ".join([f"{_OUTCOME_ICONS[measurement.outcome]} {format_time(measurement.at)}", *parts]))
    return [section(chunk) for chunk in join_into_chunks(["*Recent checks*", *rows])]


def _buttons(view: MonitorView) -> ActionsBlock:
    monitor = view.monitor
    quiet = monitor.is_silenced(view.now)
    pairs = [
        ("Check now", CHECK),
        ("Resume", RESUME) if monitor.is_paused else ("Pause", PAUSE),
        ("Unsilence", UNSILENCE) if quiet else ("Silence 2 h", SILENCE),
        ("Backtest", BACKTEST),
        ("Post chart here", CHART),
    ]
    pairs = [pair for pair in pairs if not (monitor.is_paused and pair[1] == CHECK)]
    buttons = [ButtonElement(text=text, action_id=action, value=monitor.id) for text, action in pairs]
    return ActionsBlock(block_id=f"monitor:{monitor.id}", elements=buttons)


def _origin_line(monitor: Monitor) -> str:
    if monitor.created_by is None:
        return "Defined in the policy file. Change it there."
    verb = "Added" if monitor.revision == 1 else "Last changed"
    edit = code(f"/model monitor edit {monitor.model} {monitor.name}", 300)
    return f"{verb} by {mention_actor(monitor.created_by)}, {format_time(monitor.created_at)}  ·  To change it: {edit}"


def _render_added(command: MonitorAdd, monitor: Monitor, context: RenderContext) -> SlackAnswer:
    """Return the answer to the person who added a monitor, with buttons for the next steps."""
    text = to_mrkdwn(context.answer)
    buttons = [
        ButtonElement(text="Show", action_id=SHOW, value=monitor.id),
        ButtonElement(text="Backtest", action_id=BACKTEST, value=monitor.id),
    ]
    actions = ActionsBlock(block_id=f"added:{monitor.id}", elements=buttons)
    return SlackAnswer(build_message(text, [section(text), actions]))


def _render_monitors(command: MonitorList, rows: Sequence[MonitorRow], context: RenderContext) -> SlackAnswer:
    return SlackAnswer(monitor_list(rows, context.now, command.model))


def _render_monitor(command: MonitorShow, view: MonitorView, context: RenderContext) -> SlackAnswer:
    message = _public_view(view) if context.is_public else monitor_view(view)
    return SlackAnswer(message, lambda: _chart_files(view), is_public=context.is_public)


def _chart_files(view: MonitorView) -> list[FileUpload]:
    if view.chart is None or not view.chart.values:
        return []
    from bot.slack.monitoring.chart import draw_readings, readings_alt_text

    name, alt = f"{safe_file_name(view.monitor.model)}-{view.monitor.name}.png", readings_alt_text(view.chart)
    return [FileUpload(name, draw_readings(view.chart), "Latest readings", alt, "Slack rejected the chart.")]


def _render_backtest(command: MonitorBacktest, backtest: Backtest, context: RenderContext) -> SlackAnswer:
    return SlackAnswer(sentence_message(backtest.sentence), lambda: _backtest_files(backtest), is_public=True)


def _backtest_files(backtest: Backtest) -> list[FileUpload]:
    if not backtest.points:
        return []
    from bot.slack.monitoring.chart import draw_readings, readings_alt_text

    name = f"{safe_file_name(backtest.monitor.model)}-{backtest.monitor.name}-backtest.png"
    chart, label = backtest.chart, "would have fired"
    png, alt_text = draw_readings(chart, failed_label=label), readings_alt_text(chart, failed_label=label)
    return [FileUpload(name, png, "Backtest", alt_text)]


RENDERERS: Renderers = {
    MonitorAdd: _render_added,
    MonitorList: _render_monitors,
    MonitorShow: _render_monitor,
    MonitorBacktest: _render_backtest,
    MonitorReview: lambda command, review, context: SlackAnswer(review_message(review), lambda: [review_file(review)]),
}


def _public_view(view: MonitorView) -> Message:
    """Return a monitor's public message: its state and rule. Its chart is posted in the thread."""
    line = monitor_line(MonitorRow(view.monitor, view.monitor_state), view.now)
    text = f"{line}\n{to_mrkdwn(rule_sentence(view.monitor.rule))}"
    state = to_mrkdwn(monitor_messages.status_text(view.monitor, view.monitor_state))
    return build_message(f"{_qualified_name(view.monitor)}: {state}", [section(cut_mrkdwn(text, MAX_TEXT_LENGTH))])


def incident_details(incident: Incident, views: Sequence[MonitorView]) -> Message:
    """Return an incident's monitors: the first ones in full, as in `monitor_view`, and the rest in one line each."""
    if incident.kind is IncidentKind.FILES:
        text = "\n".join(to_mrkdwn(line) for line in incident.lines)
        return build_message(text, [section(text)])
    if not views:
        text = "This incident's monitors no longer exist. See the thread and the audit log for what happened."
        return build_message(text, [section(text)])
    blocks: Blocks = []
    for view in views:
        all_blocks = [*blocks, *monitor_view(view).blocks]
        in_short = [section(monitor_line(MonitorRow(view.monitor, view.monitor_state), view.now))]
        blocks = (
            all_blocks if not blocks or json_length(all_blocks) < MAX_ROWS_LENGTH else blocks + block_dicts(in_short)
        )
    more = len(incident.monitors) - len(views)
    rest = [context_line(f"{more} more: {code('/model monitor list')}")] if more > 0 else []
    return build_message(f"Incident {code(incident.id)}", [*blocks, *rest])
