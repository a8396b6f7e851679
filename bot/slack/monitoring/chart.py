"""A monitor's readings as a picture: a line, what must hold, where it failed, and when Production moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isfinite
from statistics import median

import numpy as np
from matplotlib.axes import Axes

from bot.domain.core.numbers import counted, number
from bot.domain.core.sentence import clean, short
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import Chart
from bot.domain.monitoring.views import BASELINE
from bot.slack.core.chart_style import (
    ALT_MOST,
    EDGE,
    FONT,
    LINE,
    PAPER,
    QUIET,
    SMALL,
    TITLE,
    WHOLE,
    WIDTH,
    blank,
    drawable,
    parts,
    plain_axes,
    png,
    value_axis,
    width_of,
    writable,
    write,
)

NOTHING = "No readings yet."
MARKED = 80  # readings; of more only the line is drawn, and those that failed
FAR = 2  # times what the readings span: a line further away is named below instead of drawn
FEW = 12  # readings: how they lie to the line says more than how they lie to each other
GAP = 3.5  # times the usual distance of two readings: nothing is drawn between them then
LABELLED = 6  # times on the axis

_HEIGHT = 4.7  # inches
_AXES = (0.9, 1.4, WIDTH - 0.9 - 0.35, 2.5)  # left, bottom, width, height in inches
_BAD, _BOUND, _LIMIT, _MOVED = "#c01c1c", "#8a5a00", "#c01c1c", "#6b3fa0"
_STEPS = [timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)] + [
    timedelta(days=n) for n in (1, 2, 5, 7, 14, 30, 60, 90, 180)
]


def readings_chart(chart: Chart, *, failed: str = "failed") -> bytes:
    """Return the readings as a PNG, 1,260 pixels wide. `failed` is what the red marks mean."""
    figure = blank(_HEIGHT)
    write(figure, (EDGE, _HEIGHT - 0.42), chart.title, WHOLE, size=TITLE, bold=True)
    if not chart.values:
        write(figure, (EDGE, _HEIGHT / 2), NOTHING, WHOLE)
        return png(figure)
    near, far = _bounds(chart)
    axes = figure.add_axes(parts(figure, _AXES), facecolor=PAPER)
    values = drawable(np.asarray(chart.values, dtype=np.float64))
    plain_axes(axes)
    value_axis(axes, np.concatenate([values, drawable(np.asarray(list(near.values()), dtype=np.float64))]))
    _time_axis(axes, chart.times)
    _moves(axes, chart.moves)
    _lines(axes, near)
    _draw(axes, chart, values)
    legend = f"● {failed}: {sum(chart.failed)}" if any(chart.failed) else f"Nothing {failed}"
    moved = "┊ Production moved" if any(axes.get_xlim()[0] <= at.timestamp() for at, _ in chart.moves) else ""
    write(figure, (EDGE, 0.52), legend, WHOLE, color=_BAD if any(chart.failed) else QUIET, bold=True)
    write(figure, (EDGE + width_of(legend, SMALL, bold=True) + 0.3, 0.52), moved, WHOLE / 2, color=_MOVED, bold=True)
    write(figure, (WIDTH - EDGE, 0.52), "times in UTC", WHOLE, color=QUIET, align="right")
    # The readings lie around the baseline, so its name has no room beside it.
    below = [f"┄ baseline {number(near[BASELINE])}"] if BASELINE in near else []
    write(figure, (EDGE, 0.2), "    ".join([*below, *_beyond(far)]), WHOLE, color=QUIET)
    return png(figure)


def readings_alt(chart: Chart, *, failed: str = "failed") -> str:
    """Return what the picture shows, for whoever cannot see it, in at most 1,000 characters."""
    if not chart.values:
        return short(f"{clean(chart.title)}: {NOTHING}", ALT_MOST)
    bounds = "".join(f"; {clean(name)} {number(value)}" for name, value in chart.bounds.items())
    moves = "".join(f" {clean(label)} came to Production on {_stamp(at)}." for at, label in chart.moves[-5:])
    return short(
        f"Chart of {clean(chart.title)}: {counted(len(chart.values), 'reading')} from {_stamp(chart.times[0])} to "
        f"{_stamp(chart.times[-1])} UTC, the last one {number(chart.values[-1])}{bounds}. {sum(chart.failed)} {failed}."
        f"{moves}",
        ALT_MOST,
    )


def backtest_chart(found: Backtest) -> bytes:
    """Return what a rule would have said of the past as a PNG."""
    return readings_chart(found.chart, failed="would have fired")


def backtest_alt(found: Backtest) -> str:
    """Return what that picture shows, for whoever cannot see it."""
    return readings_alt(found.chart, failed="would have fired")


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


# -- what is drawn -----------------------------------------------------------------------------------------------------


def _draw(axes: Axes, chart: Chart, values: np.ndarray) -> None:
    places = _places(chart.times)
    few = len(values) <= MARKED
    xs, ys = _with_gaps(places, values)
    axes.plot(xs, ys, color=LINE, linewidth=2 if few else 1, zorder=3)
    if few:
        axes.plot(places, values, "o", color=LINE, markersize=5, zorder=4)
    bad = np.asarray(chart.failed, dtype=bool)
    if bad.any():
        size = 9 if few else 8
        if not few and bad.sum() <= MARKED:  # a mark alone drowns in so many readings
            axes.vlines(places[bad], *axes.get_ylim(), color=_BAD, linewidth=1, alpha=0.4, zorder=2)
        axes.plot(
            places[bad], values[bad], "o", color=_BAD, markersize=size, markeredgecolor=PAPER, zorder=5, clip_on=False
        )


def _places(times: Sequence[datetime]) -> np.ndarray:
    return np.asarray([at.timestamp() for at in times], dtype=np.float64)


def _with_gaps(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the line with a hole where nothing was read for long."""
    if len(places) < 3:
        return places, values
    steps = np.diff(places)
    holes = np.flatnonzero(steps > GAP * max(median(steps.tolist()), 1e-9)) + 1
    return np.insert(places, holes, places[holes]), np.insert(values, holes, np.nan)


def _bounds(chart: Chart) -> tuple[dict[str, float], dict[str, float]]:
    """Return the lines that lie near enough to the readings to be drawn, and the others."""
    low, high = min(chart.values), max(chart.values)
    reach = FAR * (high - low)
    if len(chart.values) <= FEW or low == high:  # then as far as its own size, ten times
        reach = 10 * max(abs(low), abs(high)) or 1.0
    near = {
        name: value for name, value in chart.bounds.items() if isfinite(value) and low - reach <= value <= high + reach
    }
    return near, {name: value for name, value in chart.bounds.items() if name not in near and isfinite(value)}


def _beyond(far: Mapping[str, float]) -> list[str]:
    told = ", ".join(f"{name} {number(value)}" for name, value in far.items())
    return [f"Outside the picture: {told}"] if told else []


def _lines(axes: Axes, bounds: Mapping[str, float]) -> None:
    """Draw what must hold; its name stands on the side away from the readings, as far as there is room."""
    low, high = axes.get_ylim()
    taken: list[float] = []
    for name, whole in sorted(bounds.items(), key=lambda each: each[1]):
        value = float(drawable(np.asarray(whole)))
        color = {"hard limit": _LIMIT, BASELINE: QUIET}.get(name, _BOUND)
        style = (0, (1, 2)) if name == BASELINE else (0, (5, 3))
        axes.axhline(value, color=color, linewidth=1.6, linestyle=style, zorder=3.5)
        if name == BASELINE:
            continue
        at = (value - low) / (high - low)
        is_below = at > 0.12 and all(abs(at - 0.07 - other) > 0.08 for other in taken)
        taken.append(at - 0.07 if is_below else at + 0.02)
        axes.annotate(
            writable(f"{name} {number(whole)}"),
            (0.0, value),
            (4, -4 if is_below else 4),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="top" if is_below else "bottom",
            ha="left",
            color=color,
            fontsize=SMALL - 1,
            fontfamily=FONT,
            fontweight="bold",
            parse_math=False,
            zorder=3.6,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )


def _moves(axes: Axes, moves: Sequence[tuple[datetime, str]]) -> None:
    """Draw when Production moved; of labels that would touch each other the later one stays."""
    left, right = axes.get_xlim()
    room, after = 0.5 / _AXES[2] * (right - left), right + (right - left)
    for at, label in sorted(moves, reverse=True):
        place = at.timestamp()
        if not left <= place <= right:
            continue
        axes.axvline(place, color=_MOVED, linewidth=1.6, linestyle=(0, (2, 2)), zorder=1)
        if after - place >= room:
            axes.annotate(
                writable(short(label, 12)),
                (place, 1.0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="bottom",
                ha="center",
                color=_MOVED,
                fontsize=SMALL,
                fontfamily=FONT,
                fontweight="bold",
                parse_math=False,
            )
            after = place


# -- the axis of time --------------------------------------------------------------------------------------------------


def _time_axis(axes: Axes, times: Sequence[datetime]) -> None:
    first, last = min(times), max(times)
    if last - first < timedelta(minutes=1):
        first, last = first - timedelta(minutes=2), last + timedelta(minutes=2)
    room = (last - first) * 0.02
    axes.set_xlim((first - room).timestamp(), (last + room).timestamp())
    step = next((one for one in _STEPS if (last - first) / one <= LABELLED), (last - first) / LABELLED)
    ticks = _round_times(first, last, step)
    axes.set_xticks([at.timestamp() for at in ticks], _labels(ticks, step))


def _round_times(first: datetime, last: datetime, step: timedelta) -> list[datetime]:
    midnight = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + ((first - midnight) // step) * step
    found = []
    while at <= last:
        if at >= first:
            found.append(at)
        at += step
    return found or [first]


def _labels(ticks: Sequence[datetime], step: timedelta) -> list[str]:
    """Return clock times; the first one, and each of another day, has the day below it."""
    if step >= timedelta(days=1):
        return [_day(at) for at in ticks]
    new = [True, *(a.date() != b.date() for a, b in pairwise(ticks))]
    return [f"{at:%H:%M}\n{_day(at)}" if is_new else f"{at:%H:%M}" for at, is_new in zip(ticks, new, strict=True)]


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b}"
