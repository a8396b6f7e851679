"""A comparison as a message: the summary, the table, and the number of omitted rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from bot.domain.commands.registry import Compare
from bot.domain.core.numbers import format_difference, format_number
from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.registry.comparison import Comparison, to_csv
from bot.domain.registry.comparison_messages import summarize_comparison
from bot.slack.core.answer import FileUpload, RenderContext, Renderers, SlackAnswer, safe_file_name
from bot.slack.core.blocks import (
    MAX_BLOCKS_LENGTH,
    Message,
    block_dicts,
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
FIXED_COLUMNS = 3  # columns before the metrics
EMPTY_CELL = "–"  # Slack rejects empty cells
BEST_SIGN, BLOCKED_SIGN = "★", "⛔"

TableCell = dict[str, str]


def comparison_message(comparison: Comparison) -> tuple[Message, bool]:
    """Return a comparison for Slack with up to 99 versions and 17 metrics, and whether any had to be omitted."""
    text = to_mrkdwn(summarize_comparison(comparison))
    heading = f"*{code(comparison.model, 120)}*  {text}"
    top = block_dicts([section(heading)])
    rows = _table_rows(
        comparison,
        comparison.metrics[: MAX_COLUMNS - FIXED_COLUMNS],
        MAX_BLOCKS_LENGTH - MAX_LEGEND_LENGTH - json_length(top),
    )
    versions, metrics = len(rows) - 1, len(rows[0]) - FIXED_COLUMNS
    is_cut = versions < len(comparison.versions) or metrics < len(comparison.metrics)
    table = [_table_block(rows)] if versions else []
    legend = [context_line(_legend_text(comparison, versions, metrics))] if comparison.versions else []
    return build_message(f"{code(comparison.model, 120)}: {text}", [*top, *table, *legend]), is_cut


def _render_comparison(command: Compare, comparison: Comparison, context: RenderContext) -> SlackAnswer:
    message, is_cut = comparison_message(comparison)
    return SlackAnswer(message, lambda: _comparison_files(comparison, is_cut=is_cut), is_public=True)


def _comparison_files(comparison: Comparison, *, is_cut: bool) -> list[FileUpload]:
    name, files = safe_file_name(comparison.model), []
    if comparison.metrics:
        from bot.slack.registry.comparison_chart import comparison_alt_text, comparison_chart

        picture, alt = comparison_chart(comparison), comparison_alt_text(comparison)
        files.append(FileUpload(f"{name}-metrics.png", picture, "Metrics by version", alt))
    if is_cut:
        fewer = code(f"/model compare {comparison.model} {comparison.versions[-1]} …", 300)
        missing = f"Slack rejected the CSV. To see other versions, name them: {fewer}"
        files.append(
            FileUpload(f"{name}-versions.csv", to_csv(comparison).encode(), "All versions and metrics", "", missing)
        )
    return files


RENDERERS: Renderers = {Compare: _render_comparison}


def _table_rows(comparison: Comparison, metrics: Sequence[str], max_length: int) -> list[list[TableCell]]:
    """Return the heading and as many versions as fit in `max_length` characters, always including Production.

    If too few versions fit, some metrics are dropped.
    """
    incumbent = comparison.incumbent_row
    order = sorted(range(len(comparison.frame)), key=lambda at: at != incumbent)[: MAX_ROWS - 1]
    heading = _text_cells(["Version", "Semver", "Stage", *(truncate(_cell_text(metric), 60) for metric in metrics)])
    fitting, room = {}, max_length - json_length(_table_block([heading]))
    for at in order:
        row = _text_cells(_row_texts(comparison, at, metrics))
        room -= json_length(row)
        if room < 0:
            break
        fitting[at] = row
    if len(fitting) < min(MIN_VERSIONS, len(comparison.versions)) and len(metrics) > MIN_METRICS:
        return _table_rows(comparison, metrics[:-METRICS_STEP], max_length)
    return [heading, *(fitting[at] for at in sorted(fitting))]


def _row_texts(comparison: Comparison, index: int, metrics: Sequence[str]) -> list[str]:
    version = comparison.versions[index]
    semver, stage = comparison.frame["semver"].iloc[index], comparison.frame["stage"].iloc[index]
    values, gaps = comparison.metrics_in_row(index), comparison.differences_in_row(index)
    return [
        f"v{version} {BLOCKED_SIGN}" if version in comparison.blocked else f"v{version}",
        truncate(_cell_text(str(semver)), 40) if semver else EMPTY_CELL,
        EMPTY_CELL if stage == "None" else str(stage),
        *(
            _metric_cell(values[metric], gaps[metric], is_best=comparison.best.get(metric) == version)
            for metric in metrics
        ),
    ]


def _metric_cell(value: float, gap: float, *, is_best: bool) -> str:
    if isnan(value):
        return EMPTY_CELL
    difference = "" if isnan(gap) or gap == 0 else f" ({format_difference(gap)})"
    return f"{format_number(value)}{difference}{f' {BEST_SIGN}' if is_best else ''}"


def _cell_text(text: str) -> str:
    return sanitize_text(text).strip() or EMPTY_CELL


def _text_cells(texts: Sequence[str]) -> list[TableCell]:
    return [{"type": "raw_text", "text": text} for text in texts]


def _table_block(rows: Sequence[Sequence[TableCell]]) -> dict[str, Any]:
    """Return the table block, which slack_sdk doesn't support yet."""
    settings: list[dict[str, str]] = [{}] * FIXED_COLUMNS + [{"align": "right"}] * (len(rows[0]) - FIXED_COLUMNS)
    return {"type": "table", "column_settings": settings, "rows": list(rows)}


def _legend_text(comparison: Comparison, versions: int, metrics: int) -> str:
    parts = [f"{BEST_SIGN} best"]
    if comparison.incumbent is not None:
        parts.append(f"in parentheses: difference from {code(f'v{comparison.incumbent}')} in Production")
    left = {"versions": len(comparison.versions) - versions, "metrics": len(comparison.metrics) - metrics}
    if left_out := [f"{n} more {meaning}" for meaning, n in left.items() if n > 0]:
        parts.append(f"{' and '.join(left_out)} in the CSV below")
    return "  ·  ".join(parts)
