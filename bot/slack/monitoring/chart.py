"""A monitor's chart: its readings, the bounds, where it failed, and when Production changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from statistics import median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num

from bot.domain.core.numbers import format_number, pluralize
from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import MonitorChart
from bot.domain.monitoring.views import BASELINE_LINE
from bot.slack.core.chart_style import (
    BACKGROUND,
    CHART_WIDTH,
    CONTENT_WIDTH,
    FONT,
    LINE_COLOR,
    MARGIN,
    MAX_ALT_LENGTH,
    MUTED_COLOR,
    SMALL_SIZE,
    TITLE_SIZE,
    clip_extremes,
    draw_text,
    figure_fractions,
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

_HEIGHT_INCHES = 4.7
_AXES_BOX = (0.9, 1.4, CHART_WIDTH - 0.9 - 0.35, 2.5)  # left, bottom, width, height in inches
_FAILED_COLOR, _BOUND_COLOR, _LIMIT_COLOR, _TRANSITION_COLOR = "#c01c1c", "#8a5a00", "#c01c1c", "#6b3fa0"


def draw_readings(chart: MonitorChart, *, failed_label: str = "failed") -> bytes:
    """Return the chart as a PNG, 1,260 pixels wide. `failed_label` says what the red marks mean."""
    figure = new_figure(_HEIGHT_INCHES)
    draw_text(figure, (MARGIN, _HEIGHT_INCHES - 0.42), chart.title, CONTENT_WIDTH, size=TITLE_SIZE, bold=True)
    if not chart.values:
        draw_text(figure, (MARGIN, _HEIGHT_INCHES / 2), NO_READINGS, CONTENT_WIDTH)
        return render_png(figure)
    inside, far = _split_bounds(chart)
    axes = figure.add_axes(figure_fractions(figure, _AXES_BOX), facecolor=BACKGROUND)
    values = clip_extremes(np.asarray(chart.values, dtype=np.float64))
    style_axes(axes)
    style_value_axis(axes, np.concatenate([values, clip_extremes(np.asarray(list(inside.values()), dtype=np.float64))]))
    _draw_time_axis(axes, chart.times)
    _draw_transitions(axes, chart.transitions)
    _draw_bounds(axes, inside)
    _draw_line(axes, chart, values)
    legend = f"● {failed_label}: {sum(chart.failed)}" if any(chart.failed) else f"Nothing {failed_label}"
    moved = "┊ Production changed" if any(axes.get_xlim()[0] <= date2num(at) for at, _ in chart.transitions) else ""
    draw_text(
        figure,
        (MARGIN, 0.52),
        legend,
        CONTENT_WIDTH,
        color=_FAILED_COLOR if any(chart.failed) else MUTED_COLOR,
        bold=True,
    )
    draw_text(
        figure,
        (MARGIN + text_width(legend, SMALL_SIZE, bold=True) + 0.3, 0.52),
        moved,
        CONTENT_WIDTH / 2,
        color=_TRANSITION_COLOR,
        bold=True,
    )
    # The readings are around the baseline, so its name goes elsewhere.
    below = [f"┄ baseline {format_number(inside[BASELINE_LINE])}"] if BASELINE_LINE in inside else []
    draw_text(figure, (MARGIN, 0.2), "    ".join([*below, *_outside_note(far)]), CONTENT_WIDTH, color=MUTED_COLOR)
    return render_png(figure)


def readings_alt_text(chart: MonitorChart, *, failed_label: str = "failed") -> str:
    """Return the chart's alternative text, at most 1,000 characters."""
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


def draw_backtest(backtest: Backtest) -> bytes:
    """Return a backtest's chart as a PNG."""
    return draw_readings(backtest.chart, failed_label="would have fired")


def backtest_alt_text(backtest: Backtest) -> str:
    """Return the alternative text of a backtest's chart."""
    return readings_alt_text(backtest.chart, failed_label="would have fired")


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
            axes.vlines(places[bad], *axes.get_ylim(), color=_FAILED_COLOR, linewidth=1, alpha=0.4, zorder=2)
        axes.plot(
            places[bad],
            values[bad],
            "o",
            color=_FAILED_COLOR,
            markersize=size,
            markeredgecolor=BACKGROUND,
            zorder=5,
            clip_on=False,
        )


def _with_gaps(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the line's points with a gap wherever readings are missing for a long time."""
    if len(places) < 3:
        return places, values
    steps = np.diff(places)
    holes = np.flatnonzero(steps > GAP_FACTOR * max(median(steps.tolist()), 1e-9)) + 1
    return np.insert(places, holes, places[holes]), np.insert(values, holes, np.nan)


def _split_bounds(chart: MonitorChart) -> tuple[dict[str, float], dict[str, float]]:
    """Return the bounds that are close enough to the readings to draw, and the others."""
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


def _outside_note(outside: Mapping[str, float]) -> list[str]:
    listed = ", ".join(f"{name} {format_number(value)}" for name, value in outside.items())
    return [f"Outside the chart: {listed}"] if listed else []


def _draw_bounds(axes: Axes, bounds: Mapping[str, float]) -> None:
    """Draw the bounds, each with its name on the side away from the readings if there's room."""
    low, high = axes.get_ylim()
    used_heights: list[float] = []
    for name, unclipped in sorted(bounds.items(), key=lambda bound: bound[1]):
        value = float(clip_extremes(np.asarray(unclipped)))
        color = {"hard limit": _LIMIT_COLOR, BASELINE_LINE: MUTED_COLOR}.get(name, _BOUND_COLOR)
        style = (0, (1, 2)) if name == BASELINE_LINE else (0, (5, 3))
        axes.axhline(value, color=color, linewidth=1.6, linestyle=style, zorder=3.5)
        if name == BASELINE_LINE:
            continue
        at = (value - low) / (high - low)
        is_below = at > 0.12 and all(abs(at - 0.07 - other) > 0.08 for other in used_heights)
        used_heights.append(at - 0.07 if is_below else at + 0.02)
        axes.annotate(
            replace_missing_glyphs(f"{name} {format_number(unclipped)}"),
            (0.0, value),
            (4, -4 if is_below else 4),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="top" if is_below else "bottom",
            ha="left",
            color=color,
            fontsize=SMALL_SIZE - 1,
            fontfamily=FONT,
            fontweight="bold",
            parse_math=False,
            zorder=3.6,
            bbox={"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )


def _draw_transitions(axes: Axes, transitions: Sequence[tuple[datetime, str]]) -> None:
    """Mark when Production changed. If labels would overlap, draw only the later one."""
    left, right = axes.get_xlim()
    room, after = 0.5 / _AXES_BOX[2] * (right - left), right + (right - left)
    for at, label in sorted(transitions, reverse=True):
        place = date2num(at)
        if not left <= place <= right:
            continue
        axes.axvline(place, color=_TRANSITION_COLOR, linewidth=1.6, linestyle=(0, (2, 2)), zorder=1)
        if after - place >= room:
            axes.annotate(
                replace_missing_glyphs(truncate(label, 12)),
                (place, 1.0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="bottom",
                ha="center",
                color=_TRANSITION_COLOR,
                fontsize=SMALL_SIZE,
                fontfamily=FONT,
                fontweight="bold",
                parse_math=False,
            )
            after = place


def _draw_time_axis(axes: Axes, times: Sequence[datetime]) -> None:
    first, last = min(times), max(times)
    if last - first < timedelta(minutes=1):
        first, last = first - timedelta(minutes=2), last + timedelta(minutes=2)
    room = (last - first) * 0.02
    axes.set_xlim(date2num(first - room), date2num(last + room))
    style_time_axis(axes, first, last)
