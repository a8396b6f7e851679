"""Tables of comparisons and gates for the terminal. External names are plain text, never rich's markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from types import MappingProxyType
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bot.domain.core.numbers import MISSING, format_difference, format_number
from bot.domain.core.sentence import Sentence, sanitize_text, truncate
from bot.domain.promotions.request import RequestSnapshot
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.comparison_messages import summarize_comparison
from bot.domain.registry.model import Stage
from handlers.terminal.output import console, styles

BEST_SIGN = "★"
COLUMN_GAP = 2  # characters between two columns of the table
MAX_HEADING_WIDTH, MAX_SEMVER_WIDTH = 18, 20  # wider cells wrap
MAX_NAMED_METRICS = 40  # metrics that don't fit and are named; the rest is only counted


class TableColumn(NamedTuple):
    """One column of the table; `best` is the row with the best value."""

    heading: str
    cells: Sequence[str]
    width: int
    best: int | None = None
    styles: Mapping[int, str] = MappingProxyType({})  # by row


def comparison_table(comparison: Comparison, width: int) -> list[RenderableType]:
    """Return a summary sentence, a table of all versions with the metrics that fit, and a line about the rest."""
    parts: list[RenderableType] = [Text(str(summarize_comparison(comparison)))]
    if comparison.frame.empty:
        return parts
    columns = fixed_columns(comparison)
    metrics = metric_columns(comparison, width - sum(column.width + COLUMN_GAP for column in columns))
    parts += [Text(), _build_table([*columns, *metrics])]
    if metrics:
        beside = f"; next to each value is its difference from v{comparison.incumbent} in Production"
        parts.append(Text(f"{BEST_SIGN} best{'' if comparison.incumbent is None else beside}", style=styles.QUIET))
    if left_out := comparison.metrics[len(metrics) :]:
        parts.append(Text(_left_out_line(left_out, len(comparison.metrics), width)))
    return parts


def gates_table(snapshot: RequestSnapshot, sentence: Sentence) -> list[RenderableType]:
    """Return the sentence and a table of the gates, with their values and what's required."""
    parts: list[RenderableType] = [Text(str(sentence))]
    if not snapshot.gates:
        return parts
    table = console.new_table("", "Gate", "Value", "Required", "Note")
    for gate in snapshot.gates:
        mark = Text("✓", style=styles.GOOD) if gate.passed else Text("✗", style=styles.BAD)
        table.add_row(
            mark,
            *(Text(_cell_text(text)) for text in (gate.name, gate.value, gate.bound)),
            Text(sanitize_text(gate.note)),
        )
    return [*parts, Text(), table]


def fixed_columns(comparison: Comparison) -> list[TableColumn]:
    """Return the columns before the metrics."""
    semvers = [_cell_text(semver) if semver else MISSING for semver in comparison.frame["semver"]]
    stages = [MISSING if stage == "None" else str(stage) for stage in comparison.frame["stage"]]
    versions = [
        f"v{number} blocked" if number in comparison.blocked else f"v{number}" for number in comparison.versions
    ]
    blocked = {row: styles.BAD for row, number in enumerate(comparison.versions) if number in comparison.blocked}
    colors = {row: styles.style_of(Stage(str(stage))) for row, stage in enumerate(comparison.frame["stage"])}
    return [
        _text_column("Version", versions)._replace(styles=blocked),
        _text_column("Semver", semvers, MAX_SEMVER_WIDTH),
        _text_column("Stage", stages)._replace(styles=colors),
    ]


def metric_columns(comparison: Comparison, max_width: int) -> list[TableColumn]:
    """Return columns for the first metrics, as many as fit in `max_width` characters."""
    columns: list[TableColumn] = []
    for metric in comparison.metrics:
        column = metric_column(comparison, metric)
        max_width -= column.width + (COLUMN_GAP if columns else 0)
        if max_width < 0:
            break
        columns.append(column)
    return columns


def metric_column(comparison: Comparison, metric: str) -> TableColumn:
    """Return a metric's column: aligned values, a star next to the best, and differences from Production."""
    winner = comparison.best.get(metric)
    texts = [format_number(value) for value in comparison.frame[metric].tolist()]
    gaps = ["" if isnan(gap) or gap == 0 else format_difference(gap) for gap in comparison.deltas[metric].tolist()]
    best = None if winner is None else comparison.versions.index(winner)
    text_width, gap_width, heading = max(map(len, texts)), max(map(len, gaps)), _cell_text(metric)
    cells = [
        f"{text:>{text_width}}{BEST_SIGN if row == best else ' '} {gap:>{gap_width}}"
        for row, (text, gap) in enumerate(zip(texts, gaps, strict=True))
    ]
    wide = max(cell_len(cell.rstrip()) for cell in cells)
    return TableColumn(
        heading, [cell[:wide] for cell in cells], max(wide, min(cell_len(heading), MAX_HEADING_WIDTH)), best
    )


def _text_column(heading: str, cells: Sequence[str], max_width: int | None = None) -> TableColumn:
    wide = max(cell_len(text) for text in [heading, *cells])
    return TableColumn(heading, cells, min(wide, max_width or wide))


def _build_table(columns: Sequence[TableColumn]) -> Table:
    table = console.new_table()
    for at, column in enumerate(columns):
        justify = "left" if at < 3 else "right"
        table.add_column(Text(column.heading), width=column.width, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in range(len(columns[0].cells)):
        table.add_row(
            *(
                Text(column.cells[row], style=styles.BEST if row == column.best else column.styles.get(row, ""))
                for column in columns
            )
        )
    return table


def _left_out_line(metrics: Sequence[str], total: int, width: int) -> str:
    names = ", ".join(truncate(_cell_text(metric), 60) for metric in metrics[:MAX_NAMED_METRICS])
    more = f" and {len(metrics) - MAX_NAMED_METRICS:,} more" if len(metrics) > MAX_NAMED_METRICS else ""
    return (
        f"{len(metrics):,} of {total:,} metrics don't fit in {width} columns: {names}{more}. "
        "Choose some with --metrics A,B, or see all with --csv."
    )


def _cell_text(text: str) -> str:
    return sanitize_text(str(text)).strip() or MISSING
