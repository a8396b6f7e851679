"""A comparison as a message: the summary, the table, and the number of omitted rows and columns."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from math import isnan
from typing import Any

from bot.domain.commands.registry import Compare
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.registry.comparison import Comparison, to_csv
from bot.domain.registry.comparison_messages import summarize_comparison
from bot.domain.registry.metric_catalog import ChangeOutcome, MetricChange
from bot.domain.registry.model import Stage, VersionRef
from bot.slack.core.answer import FileUpload, RenderContext, Renderers, SlackAnswer, safe_file_name
from bot.slack.core.blocks import (
    MAX_BLOCKS_LENGTH,
    Message,
    build_message,
    code,
    context_line,
    json_length,
    section,
    to_mrkdwn,
)

MAX_ROWS, MAX_COLUMNS = 100, 20  # Slack's limit for a table; the first row is the heading
MIN_VERSIONS, MIN_METRICS, METRICS_STEP = 20, 5, 4  # metrics are dropped in steps until this many versions fit
MAX_LEGEND_LENGTH = 700  # characters below the table
MAX_SEMVER_LENGTH = 20
EMPTY_CELL = "–"  # Slack rejects empty cells
BLOCKED_SIGN, NOISE_SIGN = "⛔", "≈"
_STAGE_SIGNS = {Stage.PRODUCTION.value: "◆", Stage.STAGING.value: "◇"}  # names would take half of a phone's width

TableCell = dict[str, Any]


def comparison_message(comparison: Comparison) -> tuple[Message, bool]:
    """Return a comparison for Slack with up to 99 versions and 19 metrics, and whether any had to be omitted."""
    heading = comparison_summary(comparison)
    rows = _table_rows(
        comparison,
        comparison.shown_metrics[: MAX_COLUMNS - 1],
        MAX_BLOCKS_LENGTH - MAX_LEGEND_LENGTH - json_length(heading.blocks),
    )
    versions, metrics = len(rows) - 1, len(rows[0]) - 1
    is_cut = versions < len(comparison.versions) or metrics < len(comparison.shown_metrics)
    table = [_table_block(rows)] if versions else []
    legend = [context_line(text)] if (text := _legend_text(comparison, rows)) else []
    return build_message(heading.text, [*heading.blocks, *table, *legend]), is_cut


def comparison_summary(comparison: Comparison) -> Message:
    """Return how the newest version compares with Production."""
    text, name = to_mrkdwn(summarize_comparison(comparison)), code(comparison.model, 120)
    return build_message(f"{name}: {text}", [section(f"*{name}*  {text}")])


def _render_comparison(command: Compare, comparison: Comparison, context: RenderContext) -> SlackAnswer:
    message, is_cut = comparison_message(comparison)
    if not comparison.shown_metrics:
        return SlackAnswer(message, is_public=context.is_public)
    numbers = tuple(VersionRef("number", str(version)) for version in comparison.versions)
    return SlackAnswer(
        message,
        lambda: _comparison_files(comparison, is_cut=is_cut),
        context.is_public,
        summary=comparison_summary(comparison),
        # What's shared are the versions that were shown, even if `latest` is another one by then.
        shareable=command.model_copy(update={"versions": numbers}) if command.versions else command,
    )


def _comparison_files(comparison: Comparison, *, is_cut: bool) -> list[FileUpload]:
    from bot.slack.registry.comparison_chart import comparison_alt_text, comparison_chart

    name, picture, alt = (
        safe_file_name(comparison.model),
        comparison_chart(comparison),
        comparison_alt_text(comparison),
    )
    files = [FileUpload(f"{name}-metrics.png", picture, "Metrics by version", alt)]
    if is_cut:
        some = shlex.join([comparison.model, str(comparison.versions[-1]), "--metrics", comparison.shown_metrics[-1]])
        missing = (
            f"Slack rejected the CSV. To see other versions and metrics, name them: {code(f'/model compare {some}')}"
        )
        csv = to_csv(comparison).encode()
        files.append(FileUpload(f"{name}-versions.csv", csv, "All versions and metrics", failure_text=missing))
    return files


RENDERERS: Renderers = {Compare: _render_comparison}


def _table_rows(comparison: Comparison, metrics: Sequence[str], max_length: int) -> list[list[TableCell]]:
    """Return the heading and as many versions as fit in `max_length` characters, always including Production.

    If too few versions fit, some metrics are dropped.
    """
    incumbent = comparison.incumbent_row
    order = sorted(range(len(comparison.frame)), key=lambda at: at != incumbent)[: MAX_ROWS - 1]
    heading = [_text_cell("Version"), *(_text_cell(truncate(_clean_text(metric), 60)) for metric in metrics)]
    fitting, room = {}, max_length - json_length(_table_block([heading]))
    for at in order:
        row = _row_cells(comparison, at, metrics)
        room -= json_length(row)
        if room < 0:
            break
        fitting[at] = row
    if len(fitting) < min(MIN_VERSIONS, len(comparison.versions)) and len(metrics) > MIN_METRICS:
        return _table_rows(comparison, metrics[:-METRICS_STEP], max_length)
    return [heading, *(fitting[at] for at in sorted(fitting))]


def _row_cells(comparison: Comparison, index: int, metrics: Sequence[str]) -> list[TableCell]:
    values, changes = comparison.metrics_in_row(index), comparison.changes_in_row(index)
    version = comparison.versions[index]
    cells = [_text_cell(_version_text(comparison, index))]
    for metric in metrics:
        text = _metric_text(comparison, metric, values[metric], changes.get(metric))
        cells.append(_bold_cell(text) if comparison.best[metric] == version else _text_cell(text))
    return cells


def _version_text(comparison: Comparison, index: int) -> str:
    version = comparison.versions[index]
    semver, stage = comparison.frame["semver"].iloc[index], comparison.frame["stage"].iloc[index]
    parts = [
        f"v{version}",
        BLOCKED_SIGN if version in comparison.blocked else "",
        _STAGE_SIGNS.get(stage, ""),
        truncate(_clean_text(str(semver)), MAX_SEMVER_LENGTH) if semver else "",
    ]
    return " ".join(filter(None, parts))


def _metric_text(comparison: Comparison, metric: str, value: float, change: MetricChange | None) -> str:
    """Return a metric's value as text, with its change from Production."""
    if isnan(value):
        return EMPTY_CELL
    text = comparison.catalog.format_value(metric, value, change.was if change else None)
    if change is None or change.outcome is ChangeOutcome.SAME:
        return text
    is_noise = change.outcome is ChangeOutcome.NOISE
    return f"{text} {NOISE_SIGN if is_noise else comparison.catalog.format_change(change)}"


def _clean_text(text: str) -> str:
    return sanitize_text(text).strip() or EMPTY_CELL


def _text_cell(text: str) -> TableCell:
    return {"type": "raw_text", "text": text}


def _bold_cell(text: str) -> TableCell:
    part = {"type": "text", "text": text, "style": {"bold": True}}
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [part]}]}


def _table_block(rows: Sequence[Sequence[TableCell]]) -> dict[str, Any]:
    """Return the table block, which slack_sdk doesn't support yet."""
    settings = [{}, *[{"align": "right"}] * (len(rows[0]) - 1)]
    return {"type": "table", "column_settings": settings, "rows": list(rows)}


def _legend_text(comparison: Comparison, rows: Sequence[Sequence[TableCell]]) -> str:
    """Return a line that explains what the table shows and says what it leaves out."""
    stages = set(comparison.frame["stage"])
    parts = [f"{sign} {stage}" for stage, sign in _STAGE_SIGNS.items() if stage in stages]
    if len(rows) > 2 and len(rows[0]) > 1:
        parts += [
            "*bold* best",
            *([f"change from {code(f'v{it}')}"] if (it := comparison.incumbent) is not None else []),
        ]
    if NOISE_SIGN in json.dumps(rows, ensure_ascii=False):
        parts.append(f"{NOISE_SIGN} within noise")
    versions, metrics = len(comparison.versions) - len(rows) + 1, len(comparison.shown_metrics) - len(rows[0]) + 1
    omitted = [pluralize(n, noun) for n, noun in ((versions, "version"), (metrics, "metric")) if n > 0]
    parts += [f"Not shown: {' and '.join(omitted)}"] if omitted else []
    return "  ·  ".join(parts)
