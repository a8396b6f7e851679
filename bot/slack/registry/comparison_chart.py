"""A comparison as a chart: one panel per metric, oldest version on the left, newest on the right.

This doesn't use matplotlib's global state (no pyplot, no rcParams), so several threads can draw at once.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.registry.comparison import NO_METRICS, Comparison
from bot.domain.registry.metric_direction import Direction
from bot.slack.core.chart_style import (
    BACKGROUND,
    BEST_COLOR,
    CHART_WIDTH,
    CONTENT_WIDTH,
    FAILED_COLOR,
    LINE_COLOR,
    MARGIN,
    MAX_ALT_LENGTH,
    MUTED_COLOR,
    PRODUCTION_COLOR,
    SMALL_SIZE,
    TITLE_SIZE,
    Box,
    Values,
    clip_extremes,
    draw_legend,
    draw_text,
    figure_fractions,
    label_value_axis,
    new_figure,
    render_png,
    style_axes,
    style_value_axis,
    text_width,
)

MAX_PANELS = 6  # more don't fit on a phone
MAX_MARKED_VERSIONS = 40  # with more versions, only the line is drawn

# Inches: the title, one row of panels, the legend, and a line below it.
_TITLE_HEIGHT, _ROW_HEIGHT, _LEGEND_HEIGHT, _NOTE_HEIGHT = 0.65, 2.6, 0.5, 0.3
_LEFT_MARGIN, _RIGHT_MARGIN, _HEADING_HEIGHT, _AXIS_HEIGHT = 0.9, 0.3, 0.7, 0.4  # inches around the axes within a panel
_DIGIT_WIDTH = 0.11  # width in inches of a digit in the small size


def comparison_chart(comparison: Comparison) -> bytes:
    """Return a PNG, 1,260 pixels wide, of metrics by version: the first six that have a value."""
    return render_png(comparison_figure(comparison))


def comparison_figure(comparison: Comparison) -> Figure:
    """Return the figure that `comparison_chart` renders."""
    metrics = _drawn_metrics(comparison)
    columns = 1 if len(metrics) < 2 else 2
    notes = _note_text(comparison, metrics)
    foot = _LEGEND_HEIGHT + (_NOTE_HEIGHT if notes else 0)
    height = _TITLE_HEIGHT + max(1, ceil(len(metrics) / columns)) * _ROW_HEIGHT + foot
    figure = new_figure(height)
    title = f"{comparison.model} by version"
    draw_text(figure, (MARGIN, height - 0.42), title, CONTENT_WIDTH, size=TITLE_SIZE, bold=True)
    for index, metric in enumerate(metrics):
        row, column = divmod(index, columns)
        width = CHART_WIDTH / columns
        bottom = height - _TITLE_HEIGHT - (row + 1) * _ROW_HEIGHT
        _draw_panel(figure, comparison, metric, (column * width, bottom, width, _ROW_HEIGHT))
    if not metrics:
        draw_text(figure, (MARGIN, height / 2), NO_METRICS, CONTENT_WIDTH)
    draw_legend(figure, foot - _LEGEND_HEIGHT + 0.2, _legend_entries(comparison))
    draw_text(figure, (MARGIN, 0.2), notes, CONTENT_WIDTH, color=MUTED_COLOR)
    return figure


def comparison_alt_text(comparison: Comparison) -> str:
    """Return the chart's alt text, at most 1,000 characters."""
    drawn = _drawn_metrics(comparison)
    if not drawn:
        return truncate(f"{sanitize_text(comparison.model)}: {NO_METRICS}", MAX_ALT_LENGTH)
    ends = sorted(comparison.versions)
    reach = f"v{ends[0]}" if len(ends) == 1 else f"{len(ends)} versions, v{ends[0]} to v{ends[-1]}"
    production = (
        "Nothing is in Production" if comparison.incumbent is None else f"v{comparison.incumbent} is in Production"
    )
    metrics = "; ".join(
        f"{truncate(sanitize_text(metric), 60)} ({comparison.directions[metric].value} is better): "
        f"best {_best_text(comparison, metric)}"
        for metric in drawn
    )
    return truncate(f"Chart of {sanitize_text(comparison.model)}, {reach}. {production}. {metrics}.", MAX_ALT_LENGTH)


def _best_text(comparison: Comparison, metric: str) -> str:
    version = comparison.best[metric]
    value = comparison.metric_values(metric)[comparison.versions.index(version)]
    return f"v{version} {comparison.catalog.format_value(metric, float(value))}"


def _drawn_metrics(comparison: Comparison) -> list[str]:
    return list(comparison.shown_metrics[:MAX_PANELS])


# -- one panel ---------------------------------------------------------------------------------------------------------


def _draw_panel(figure: Figure, comparison: Comparison, metric: str, box: Box) -> None:
    left, bottom, width, height = box
    inner = (
        left + _LEFT_MARGIN,
        bottom + _AXIS_HEIGHT,
        width - _LEFT_MARGIN - _RIGHT_MARGIN,
        height - _HEADING_HEIGHT - _AXIS_HEIGHT,
    )
    axes = figure.add_axes(figure_fractions(figure, inner), facecolor=BACKGROUND)
    versions = comparison.versions[::-1]
    incumbent_index = None if comparison.incumbent is None else versions.index(comparison.incumbent)
    best = versions.index(comparison.best[metric])
    values = clip_extremes(comparison.metric_values(metric)[::-1])
    style_axes(axes)
    style_value_axis(axes, values)
    blocked = [index for index, version in enumerate(versions) if version in comparison.blocked]
    _style_version_axis(axes, versions, incumbent_index, best, blocked, inner[2])
    _draw_values(axes, values, incumbent_index, best, blocked)
    _draw_heading(figure, axes, comparison, metric, box)


def _draw_values(axes: Axes, values: Values, production: int | None, best: int, blocked: list[int]) -> None:
    few = len(values) <= MAX_MARKED_VERSIONS
    places = np.arange(len(values))
    axes.plot(places, values, color=LINE_COLOR, linewidth=2 if few else 0.9, zorder=2)
    marked = values if few else _isolated_values(values)
    axes.plot(places, marked, "o", color=LINE_COLOR, markersize=6 if few else 3, zorder=3)
    prominent: dict[str, Any] = {"markeredgecolor": BACKGROUND, "clip_on": False}
    if production is not None:
        axes.axvline(production, color=PRODUCTION_COLOR, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        color = PRODUCTION_COLOR
        axes.plot([production], [values[production]], "D", color=color, markersize=10, zorder=4, **prominent)
    axes.plot([best], [values[best]], "*", color=BEST_COLOR, markersize=19, zorder=5, **prominent)
    axes.plot(blocked, values[blocked], "X", color=FAILED_COLOR, markersize=10, zorder=6, **prominent)


def _isolated_values(values: Values) -> Values:
    """Return the values that have a gap on both sides, which a line wouldn't show; NaN for the rest."""
    is_missing = np.concatenate([[True], np.isnan(values), [True]])
    return np.where(is_missing[:-2] & is_missing[2:], values, np.nan)


def _draw_heading(figure: Figure, axes: Axes, comparison: Comparison, metric: str, box: Box) -> None:
    left, bottom, width, height = box
    top, room = bottom + height, width - 2 * MARGIN
    label_value_axis(
        axes, comparison.catalog.label(metric), (MARGIN - _LEFT_MARGIN, _HEADING_HEIGHT - 0.22), room, bold=True
    )
    best = f"★ {_best_text(comparison, metric)}"
    draw_text(figure, (left + width - MARGIN, top - 0.48), best, room, color=BEST_COLOR, bold=True, align="right")
    room -= text_width(best, SMALL_SIZE, bold=True) + 0.1
    direction = "higher is better ↑" if comparison.directions[metric] is Direction.HIGHER else "lower is better ↓"
    if text_width(direction, SMALL_SIZE) > room:
        direction = direction.replace(" is better", "")
    draw_text(figure, (left + MARGIN, top - 0.48), direction, room, color=MUTED_COLOR)


# -- axes --------------------------------------------------------------------------------------------------------------


def _style_version_axis(
    axes: Axes, versions: list[int], production: int | None, best: int, blocked: list[int], width: float
) -> None:
    axes.set_xlim(-0.6, len(versions) - 0.4)
    indexes = _label_positions(versions, production, best, blocked, width)
    axes.set_xticks(indexes, [f"v{versions[index]}" for index in indexes])
    for index, label in zip(indexes, axes.get_xticklabels(), strict=True):
        if index in {production, best, *blocked}:
            color = PRODUCTION_COLOR if index == production else FAILED_COLOR if index in blocked else BEST_COLOR
            label.set(color=color, weight="bold")


def _label_positions(
    versions: list[int], production: int | None, best: int, blocked: list[int], width: float
) -> list[int]:
    """Return the positions to label, in ascending order, so that no labels touch.

    In order of priority, those are the newest blocked version, Production, the best version, other blocked versions,
    the newest and the oldest version, evenly spaced ones, and others.
    """
    last = len(versions) - 1
    room = (len(str(max(versions))) + 2) * _DIGIT_WIDTH / width * (last + 1.2)
    evenly = [round(part * last / 6) for part in range(7)]
    chosen: list[int] = []
    first_ones = [*blocked[-1:], *([] if production is None else [production]), best, *blocked[::-1], last, 0]
    for index in [*first_ones, *evenly, *range(min(len(versions), MAX_MARKED_VERSIONS))]:
        if all(abs(index - other) >= room for other in chosen):
            chosen.append(index)
    return sorted(chosen)


# -- legend and notes --------------------------------------------------------------------------------------------------


def _legend_entries(comparison: Comparison) -> list[tuple[str, str]]:
    production = (
        ("Nothing is in Production", MUTED_COLOR)
        if comparison.incumbent is None
        else (f"◆ v{comparison.incumbent} in Production", PRODUCTION_COLOR)
    )
    is_blocked = not comparison.blocked.keys().isdisjoint(comparison.versions)
    return [
        production,
        *([("★ best", BEST_COLOR)] if comparison.best else []),
        *([("✖ rolled back", FAILED_COLOR)] if is_blocked else []),
    ]


def _note_text(comparison: Comparison, metrics: list[str]) -> str:
    notes = []
    if len(metrics) < len(comparison.shown_metrics):
        notes.append(f"Showing {len(metrics)} of {len(comparison.shown_metrics)} metrics.")
    if any(np.isnan(comparison.metric_values(metric)).any() for metric in metrics):
        notes.append("A gap means that a version has no value.")
    return " ".join(notes)
