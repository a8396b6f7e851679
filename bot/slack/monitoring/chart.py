"""A monitor's chart: its readings, the bounds, where it failed, and when Production changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from bot.domain.core.numbers import format_number, pluralize
from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.monitoring.incident import MonitorChart
from bot.domain.monitoring.monitor_overview import BASELINE_LINE
from bot.slack.core.chart_style import (
    BACKGROUND,
    CHART_WIDTH,
    CONTENT_WIDTH,
    FAILED_COLOR,
    FONT,
    LINE_COLOR,
    MARGIN,
    MAX_ALT_LENGTH,
    MUTED_COLOR,
    PRODUCTION_COLOR,
    SMALL_SIZE,
    TITLE_SIZE,
    Box,
    clip_extremes,
    draw_legend,
    draw_text,
    figure_fractions,
    label_value_axis,
    new_figure,
    render_png,
    replace_missing_glyphs,
    style_axes,
    style_time_axis,
    style_value_axis,
    text_width,
)

NO_READINGS = "No readings yet."
MAX_MARKED_READINGS = 80  # with more readings, only the line and failed ones are drawn
MAX_LINE_DISTANCE = 2  # times the range of the readings; a bound farther away is listed below instead
FEW_READINGS = 12  # with fewer readings, their distance from the bound matters more than their own range
GAP_FACTOR = 3.5  # times the usual distance between readings; a longer gap breaks the line

_HEIGHT_INCHES = 5.0
_NAME_HEIGHT = 0.2  # inches for a line of small text
_AXES_BOX = (0.9, 1.4, CHART_WIDTH - 0.9 - 0.35, 2.5)  # left, bottom, width, height in inches
_BOUND_COLOR, _LIMIT_COLOR = "#8a5a00", FAILED_COLOR
_LINE_SIGNS = {BASELINE_LINE: "┄"}


def draw_readings(chart: MonitorChart, *, failed_label: str = "failed") -> bytes:
    """Return the chart as a PNG, 1,260 pixels wide. `failed_label` says what the red marks mean."""
    return render_png(readings_figure(chart, failed_label=failed_label))


def readings_figure(chart: MonitorChart, *, failed_label: str = "failed") -> Figure:
    """Return the figure that `draw_readings` renders."""
    figure = new_figure(_HEIGHT_INCHES)
    draw_text(figure, (MARGIN, _HEIGHT_INCHES - 0.42), chart.title, CONTENT_WIDTH, size=TITLE_SIZE, bold=True)
    if not chart.values:
        draw_text(figure, (MARGIN, _HEIGHT_INCHES / 2), NO_READINGS, CONTENT_WIDTH)
        return figure
    inside, far = _split_bounds(chart)
    axes = figure.add_axes(figure_fractions(figure, _AXES_BOX), facecolor=BACKGROUND)
    values = clip_extremes(np.asarray(chart.values, dtype=np.float64))
    style_axes(axes)
    style_value_axis(axes, np.concatenate([values, clip_extremes(np.asarray(list(inside.values()), dtype=np.float64))]))
    label_value_axis(axes, chart.value_label, (MARGIN - _AXES_BOX[0], 0.47), CONTENT_WIDTH)
    _draw_time_axis(axes, chart.times)
    _draw_transitions(axes, chart)
    _draw_line(axes, chart, values)
    unnamed = _draw_bounds(axes, inside, date2num(chart.times), values)
    draw_legend(figure, 0.52, _legend_entries(axes, chart, failed_label))
    draw_text(figure, (MARGIN, 0.2), _note_text(inside, unnamed, far), CONTENT_WIDTH, color=MUTED_COLOR)
    return figure


def _legend_entries(axes: Axes, chart: MonitorChart, failed_label: str) -> list[tuple[str, str]]:
    count, (left, _) = sum(chart.failed), axes.get_xlim()
    failed = (f"● {failed_label}: {count}", FAILED_COLOR) if count else (f"Nothing {failed_label}", MUTED_COLOR)
    changed = any(left <= date2num(at) for at, _ in chart.transitions)
    return [failed, *([("┊ Production changed", PRODUCTION_COLOR)] if changed else [])]


def _note_text(inside: Mapping[str, float], unnamed: Iterable[str], outside: Mapping[str, float]) -> str:
    """Return the values of bounds that are drawn without a name, and of bounds outside the chart."""
    notes = [f"{_LINE_SIGNS.get(name, '╌')} {name} {format_number(inside[name])}" for name in unnamed]
    listed = ", ".join(f"{name} {format_number(value)}" for name, value in outside.items())
    return "    ".join([*notes, *([f"Outside the chart: {listed}"] if listed else [])])


def readings_alt_text(chart: MonitorChart, *, failed_label: str = "failed") -> str:
    """Return the chart's alt text, at most 1,000 characters."""
    if not chart.values:
        return truncate(f"{sanitize_text(chart.title)}: {NO_READINGS}", MAX_ALT_LENGTH)
    bounds = "".join(f"; {sanitize_text(name)} {format_number(value)}" for name, value in chart.bounds.items())
    transitions = "".join(
        f" {sanitize_text(label)} entered Production on {_show_time(at)}." for at, label in chart.transitions[-5:]
    )
    return truncate(
        f"Chart of {sanitize_text(chart.title)}: {pluralize(len(chart.values), 'reading')} from "
        f"{_show_time(chart.times[0])} to {_show_time(chart.times[-1])} UTC, the last one "
        f"{format_number(chart.values[-1])}{bounds}. {sum(chart.failed)} {failed_label}."
        f"{transitions}",
        MAX_ALT_LENGTH,
    )


def _show_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


# -- drawing -----------------------------------------------------------------------------------------------------------


def _draw_line(axes: Axes, chart: MonitorChart, values: np.ndarray) -> None:
    places = date2num(chart.times)
    are_few = len(values) <= MAX_MARKED_READINGS
    xs, ys = _with_gaps(places, values)
    axes.plot(xs, ys, color=LINE_COLOR, linewidth=2 if are_few else 1, zorder=3)
    if are_few:
        axes.plot(places, values, "o", color=LINE_COLOR, markersize=5, zorder=4)
    bad = np.asarray(chart.failed, dtype=bool)
    if bad.any():
        size = 9 if are_few else 8
        if not are_few and bad.sum() <= MAX_MARKED_READINGS:  # a lone mark isn't visible among so many readings
            axes.vlines(places[bad], *axes.get_ylim(), color=FAILED_COLOR, linewidth=1, alpha=0.4, zorder=2)
        axes.plot(
            places[bad],
            values[bad],
            "o",
            color=FAILED_COLOR,
            markersize=size,
            markeredgecolor=BACKGROUND,
            zorder=5,
            clip_on=False,
        )


def _with_gaps(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the line's points, with a NaN wherever there's a long gap between readings."""
    if len(places) < 3:
        return places, values
    steps = np.diff(places)
    holes = np.flatnonzero(steps > GAP_FACTOR * max(median(steps.tolist()), 1e-9)) + 1
    return np.insert(places, holes, places[holes]), np.insert(values, holes, np.nan)


def _split_bounds(chart: MonitorChart) -> tuple[dict[str, float], dict[str, float]]:
    """Return the finite bounds in two groups: those close enough to the readings to draw, and the rest."""
    low, high = min(chart.values), max(chart.values)
    reach = MAX_LINE_DISTANCE * (high - low)
    if (
        len(chart.values) <= FEW_READINGS or low == high
    ):  # then the bounds can be up to ten times as far away as the readings are from 0
        reach = 10 * max(abs(low), abs(high)) or 1.0
    inside = {
        name: value for name, value in chart.bounds.items() if isfinite(value) and low - reach <= value <= high + reach
    }
    return inside, {name: value for name, value in chart.bounds.items() if name not in inside and isfinite(value)}


def _draw_bounds(axes: Axes, bounds: Mapping[str, float], places: np.ndarray, values: np.ndarray) -> list[str]:
    """Draw the bounds, each with its name where it hides the fewest readings; return the names that aren't drawn."""
    unnamed: list[str] = []
    taken: list[Box] = []
    points = axes.transLimits.transform(np.column_stack([places, values])) * _AXES_BOX[2:]
    for name, unclipped in sorted(bounds.items(), key=lambda bound: bound[1]):
        value = float(clip_extremes(np.asarray(unclipped)))
        color = {"hard limit": _LIMIT_COLOR, BASELINE_LINE: MUTED_COLOR}.get(name, _BOUND_COLOR)
        style = (0, (1, 2)) if name == BASELINE_LINE else (0, (5, 3))
        axes.axhline(value, color=color, linewidth=1.6, linestyle=style, zorder=3.5)
        text = f"{name} {format_number(unclipped)}"
        height = float(axes.transLimits.transform((0, value))[1]) * _AXES_BOX[3]
        # The readings are around the baseline, so its name goes elsewhere.
        box = None if name == BASELINE_LINE else _free_box(text, height, taken, points)
        if box is None:
            unnamed.append(name)
            continue
        taken.append(box)
        _draw_bound_name(axes, text, box, color)
    return unnamed


def _free_box(text: str, height: float, taken: Sequence[Box], points: np.ndarray) -> Box | None:
    """Return the box for a bound's name next to its line at `height`, or None if there's no room.

    `height`, the boxes, and `points` are in inches from the axes' lower left corner.
    """
    width, (_, _, right, top) = text_width(text, SMALL_SIZE - 1, bold=True) + 0.1, _AXES_BOX
    boxes = [
        (left, bottom, width, _NAME_HEIGHT)
        for left in (0.04, right - width)
        for bottom in (height - _NAME_HEIGHT - 0.02, height + 0.03)
        if bottom >= 0 and bottom + _NAME_HEIGHT <= top and width < right
    ]
    free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
    return min(free, key=lambda box: _points_inside(box, points), default=None)


def _points_inside(box: Box, points: np.ndarray) -> int:
    left, bottom, width, height = box
    x, y = points.T
    return int(((x >= left) & (x <= left + width) & (y >= bottom) & (y <= bottom + height)).sum())


def _overlap(one: Box, other: Box) -> bool:
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


def _draw_bound_name(axes: Axes, text: str, box: Box, color: str) -> None:
    axes.text(
        box[0] / _AXES_BOX[2],
        (box[1] + 0.05) / _AXES_BOX[3],
        replace_missing_glyphs(text),
        transform=axes.transAxes,
        color=color,
        zorder=3.6,
        bbox={"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.8, "pad": 1},
        **_label_style(SMALL_SIZE - 1),
    )


def _label_style(size: int) -> dict[str, Any]:
    return {"fontsize": size, "fontfamily": FONT, "fontweight": "bold", "parse_math": False, "va": "baseline"}


def _draw_transitions(axes: Axes, chart: MonitorChart) -> None:
    """Mark when Production changed. The failed version's label has priority; others are drawn only if they fit."""
    left, right = axes.get_xlim()
    bad = _failing_transition(chart)
    taken: list[Box] = []
    for at, label in sorted(chart.transitions, key=lambda change: (change == bad, change), reverse=True):
        place = date2num(at)
        if place > right or (place < left and (at, label) != bad):
            continue
        if place >= left:
            axes.axvline(place, color=PRODUCTION_COLOR, linewidth=1.6, linestyle=(0, (2, 2)), zorder=1)
        color = FAILED_COLOR if (at, label) == bad else PRODUCTION_COLOR
        _draw_transition_label(axes, max(0.0, (place - left) / (right - left)) * _AXES_BOX[2], label, taken, color)


def _failing_transition(chart: MonitorChart) -> tuple[datetime, str] | None:
    """Return the change that put the most recently failed version into Production, or None if nothing failed."""
    last = max((at for at, failed in zip(chart.times, chart.failed, strict=True) if failed), default=None)
    return max((change for change in chart.transitions if last and change[0] <= last), default=None)


def _draw_transition_label(axes: Axes, middle: float, label: str, taken: list[Box], color: str) -> None:
    """Draw a label above the axes, centered `middle` inches from their left, in the first row with room, if any."""
    text = replace_missing_glyphs(truncate(label, 12))
    width = text_width(text, SMALL_SIZE, bold=True) + 0.08
    boxes = [(middle - width / 2, bottom, width, _NAME_HEIGHT) for bottom in (0.05, 0.26)]
    box = next((box for box in boxes if not any(_overlap(box, other) for other in taken)), None)
    if box is None:
        return
    taken.append(box)
    axes.text(
        middle / _AXES_BOX[2],
        1 + box[1] / _AXES_BOX[3],
        text,
        transform=axes.transAxes,
        color=color,
        ha="center",
        **_label_style(SMALL_SIZE),
    )


def _draw_time_axis(axes: Axes, times: Sequence[datetime]) -> None:
    first, last = min(times), max(times)
    if last - first < timedelta(minutes=1):
        first, last = first - timedelta(minutes=2), last + timedelta(minutes=2)
    room = (last - first) * 0.02
    axes.set_xlim(date2num(first - room), date2num(last + room))
    style_time_axis(axes, first, last)
