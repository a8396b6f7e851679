"""The Production timeline as a message: which version served when, how it got there, and why."""

from __future__ import annotations

from slack_sdk.models.blocks import Block

from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.sentence import truncate
from bot.domain.rollbacks import history_messages as words
from bot.domain.rollbacks.history import Timeline
from bot.domain.rollbacks.rollback_targets import ServingPeriod
from bot.slack.core.answer import FileUpload, RenderContext, Renderers, SlackAnswer, safe_file_name
from bot.slack.core.blocks import (
    MAX_ROWS_LENGTH,
    MAX_TEXT_LENGTH,
    Message,
    build_message,
    code,
    context_line,
    cut_mrkdwn,
    fitting_rows,
    row_sections,
    section,
    to_mrkdwn,
)

POST_HERE = "timeline_here"  # the button of answers before 0.3.0, which carries the command as text
MIN_REASON_LENGTH = 60  # characters of a reason if there are many rows


def timeline_message(timeline: Timeline) -> Message:
    """Return the timeline: a row for each period that fits."""
    name = code(timeline.model, 120)
    head = cut_mrkdwn(_heading(timeline, name), MAX_TEXT_LENGTH)
    rows = _fitting_periods(timeline, MAX_ROWS_LENGTH - len(head))
    blocks: list[Block] = [section(head), *row_sections(rows)]
    left = len(timeline.periods) - len(rows)
    if left or timeline.has_older:
        older = f"{left} older periods don't fit here." if left else "There are older periods."
        blocks.append(
            context_line(
                f"{older} To see one day: {code(f'/model history {truncate(timeline.model, 120)} --at 2026-03-03')}"
            )
        )
    return build_message(head.replace("*", ""), blocks)


def _render_history(command: ShowHistory, timeline: Timeline, context: RenderContext) -> SlackAnswer:
    message = timeline_message(timeline)
    if not timeline.chart_periods:
        return SlackAnswer(message, is_public=context.is_public)
    shareable = command.with_absolute_time(timeline.now)
    return SlackAnswer(message, lambda: [_chart_file(timeline)], context.is_public, shareable=shareable)


def _chart_file(timeline: Timeline) -> FileUpload:
    from bot.slack.rollbacks.history_chart import history_alt_text, history_chart

    picture = history_chart(timeline.model, timeline.chart_periods, timeline.now, timeline.window)
    alt = history_alt_text(timeline.model, timeline.chart_periods, timeline.now)
    return FileUpload(f"{safe_file_name(timeline.model)}-production.png", picture, "Production timeline", alt)


RENDERERS: Renderers = {ShowHistory: _render_history}


def _heading(timeline: Timeline, name: str) -> str:
    if timeline.window:
        return to_mrkdwn(words.describe_production_at(timeline))
    if not timeline.periods:
        return f"{name} hasn't been in Production since Registrar started watching it."
    if timeline.periods[0].until is not None:
        return f"*Production of {name}*\nNo version is in Production now."
    return f"*Production of {name}*"


def _fitting_periods(timeline: Timeline, max_length: int) -> list[str]:
    """Return the rows that fit, newest first, with shorter reasons if not all of them fit."""
    rows: list[str] = []
    for max_reason in (words.MAX_REASON_LENGTH, MIN_REASON_LENGTH):
        if len(rows) < len(timeline.periods):
            rows = fitting_rows([_period_row(timeline, period, max_reason) for period in timeline.periods], max_length)
    return rows


def _period_row(timeline: Timeline, period: ServingPeriod, max_reason_length: int) -> str:
    span = to_mrkdwn(words.describe_period(period, timeline)).replace("serving now", "*serving now*", 1)
    origin = to_mrkdwn(words.describe_entry(period, timeline, max_reason_length))
    return f"• {code(f'v{period.version}')}  {span}\n      {origin}"
