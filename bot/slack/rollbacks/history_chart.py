"""The Production timeline as a chart: a row per version, with a bar for each period in which it served.

Promotions step up, and rollbacks step down. A bar's color, and the sign before its duration, show how the version got
there; the bar of the version that serves now is green. Like comparison_chart.py, this doesn't use matplotlib's global
state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import sanitize_text, say, truncate
from bot.domain.rollbacks.history import TimeWindow, production_gaps
from bot.domain.rollbacks.rollback_targets import ServingPeriod
from bot.domain.transitions.transition import TransitionKind
from bot.slack.core.chart_style import (
    BACKGROUND,
    BEST_COLOR,
    CHART_WIDTH,
    CONTENT_WIDTH,
    FONT,
    MARGIN,
    MAX_ALT_LENGTH,
    MUTED_COLOR,
    SMALL_SIZE,
    TITLE_SIZE,
    draw_legend,
    draw_text,
    figure_fractions,
    new_figure,
    render_png,
    style_axes,
    style_time_axis,
    text_width,
)

MAX_VERSIONS = 30  # with more versions, only the newest are drawn
_MAX_TALL_ROWS = 14  # with more rows, each one gets less height
# Inches around the bars.
_TITLE_HEIGHT, _LEGEND_HEIGHT, _NOTE_HEIGHT, _LEFT_MARGIN, _RIGHT_MARGIN = 0.95, 0.95, 0.3, 0.85, 0.3
_GAP_COLOR = "#a03a3a"
_AXES_WIDTH = CHART_WIDTH - _LEFT_MARGIN - _RIGHT_MARGIN
_MIN_BAR_WIDTH = 0.035  # inches, so a bar of minutes stays visible next to one of months


class PeriodOrigin(Enum):
    """How a period started: its color, sign, and label. The signs tell the origins apart without colors."""

    PROMOTED = ("#2f6db5", "▲", "promoted")
    ROLLED_BACK = ("#c2410c", "▼", "rolled back")
    OBSERVED = ("#6b6a6b", "●", "found in {product}")

    def __init__(self, color: str, sign: str, label: str) -> None:
        self.color, self.sign, self.label = color, sign, label


_ORIGINS = {
    TransitionKind.ROLLBACK: PeriodOrigin.ROLLED_BACK,
    TransitionKind.OBSERVED: PeriodOrigin.OBSERVED,
    TransitionKind.IMPORTED: PeriodOrigin.OBSERVED,
}


CURRENT_COLOR = BEST_COLOR  # of the version that serves now, however it got there


def _color_of(period: ServingPeriod) -> str:
    return CURRENT_COLOR if period.until is None else origin_of(period).color


def origin_of(period: ServingPeriod) -> PeriodOrigin:
    """Return how a period started."""
    return _ORIGINS.get(period.started_by.kind, PeriodOrigin.PROMOTED)


def history_chart(
    model: str, periods: Sequence[ServingPeriod], now: datetime, window: TimeWindow | None = None
) -> bytes:
    """Return the periods (newest first) as a PNG, 1,260 pixels wide.

    `window` is the requested time, which the chart marks.
    """
    return render_png(history_figure(model, periods, now, window))


def history_figure(
    model: str, periods: Sequence[ServingPeriod], now: datetime, window: TimeWindow | None = None
) -> Figure:
    """Return the figure that `history_chart` renders."""
    drawn = _newest_periods(periods)
    versions = sorted({period.version for period in drawn})  # the lowest at the bottom, so that promotions step up
    span = max(1.6, len(versions))  # of the rows
    depth = span * (0.42 if len(versions) <= _MAX_TALL_ROWS else 0.25)
    note = "" if len(drawn) == len(periods) else f"Showing the newest {len(drawn)} of {len(periods)} periods."
    foot = _LEGEND_HEIGHT + (_NOTE_HEIGHT if note else 0)
    height = _TITLE_HEIGHT + depth + foot
    figure = new_figure(height)
    draw_text(figure, (MARGIN, height - 0.42), f"{model} in Production", CONTENT_WIDTH, size=TITLE_SIZE, bold=True)
    _draw_subtitle(figure, height - 0.72, periods, now)
    box = (_LEFT_MARGIN, foot, _AXES_WIDTH, depth)
    axes = figure.add_axes(figure_fractions(figure, box), facecolor=BACKGROUND)
    middle = (len(versions) - 1) / 2
    axes.set_ylim(middle - span / 2, middle + span / 2)
    if drawn:
        _draw_time(axes, drawn, now, window)
        _draw_periods(axes, drawn, versions, now)
    else:
        axes.set_axis_off()
    draw_legend(figure, foot - _LEGEND_HEIGHT + 0.2, _legend_entries(drawn, now))
    draw_text(figure, (MARGIN, 0.2), note, CONTENT_WIDTH, color=MUTED_COLOR)
    return figure


def history_alt_text(model: str, periods: Sequence[ServingPeriod], now: datetime) -> str:
    """Return the chart's alt text, at most 1,000 characters."""
    text = "; ".join(
        f"v{period.version} {say(origin_of(period).label)} {period.since:%Y-%m-%d %H:%M}, "
        + ("serving now" if period.until is None else f"served {format_duration(period.duration(now))}")
        for period in _newest_periods(periods)
    )
    head = f"Timeline of {sanitize_text(model)} in Production. {_subtitle(periods, now)}"
    return truncate(f"{head}. {text}." if text else f"{head}.", MAX_ALT_LENGTH)


def _newest_periods(periods: Sequence[ServingPeriod]) -> list[ServingPeriod]:
    """Return the periods, newest first, of the newest `MAX_VERSIONS` versions."""
    versions: set[int] = set()
    newest = []
    for period in periods:
        if period.version not in versions and len(versions) == MAX_VERSIONS:
            break
        versions.add(period.version)
        newest.append(period)
    return newest


def _subtitle(periods: Sequence[ServingPeriod], now: datetime) -> str:
    if not periods:
        return "Nothing has been in Production yet"
    newest = periods[0]
    if newest.until is not None:
        return f"Nothing in Production since {_format_moment(newest.until)}"
    first = "first seen" if newest.predates_registrar else "since"
    duration = format_duration(newest.duration(now))
    return f"v{newest.version} serving now, {first} {_format_moment(newest.since)} ({duration})"


def _draw_subtitle(figure: Figure, bottom: float, periods: Sequence[ServingPeriod], now: datetime) -> None:
    """Draw the subtitle: what's serving now, in the color of its bar."""
    is_serving = bool(periods) and periods[0].until is None
    color = CURRENT_COLOR if is_serving else MUTED_COLOR
    draw_text(figure, (MARGIN, bottom), _subtitle(periods, now), CONTENT_WIDTH, bold=is_serving, color=color)


def _format_moment(at: datetime) -> str:
    return f"{at.day} {at:%b %Y %H:%M} UTC"


# -- time --------------------------------------------------------------------------------------------------------------


def _draw_time(axes: Axes, periods: Sequence[ServingPeriod], now: datetime, window: TimeWindow | None) -> None:
    """Draw the time axis, gaps without a version, the current time, and the requested day or time if in range."""
    duration = max(now - periods[-1].since, timedelta(minutes=5))
    left = now - duration * 1.01
    future = _label_width(periods[0], now, SMALL_SIZE - 1) + 0.1  # inches for the newest bar's duration, beyond now
    axes.set_xlim(date2num(left), date2num(now + duration * (future / (_AXES_WIDTH - future))))
    style_axes(axes, grid="x", size=SMALL_SIZE - 1)
    style_time_axis(axes, left, now)
    for start, end in _bars(axes, production_gaps(periods, now)):
        axes.axvspan(start, end, facecolor="#fdeaea", edgecolor="#c98a8a", hatch="////", linewidth=0, zorder=0.5)
    axes.axvline(date2num(now), color=MUTED_COLOR, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
    _label_above(axes, date2num(now), "now", MUTED_COLOR)
    if window is None or window.start < left:
        return
    start, end = date2num(window.start), date2num(window.end or window.start)
    axes.axvspan(start, end, facecolor="#f2c744", edgecolor="#b8860b", linewidth=1.2, alpha=0.6, zorder=1.5)
    if date2num(now) - end >= 0.12 * np.ptp(axes.get_xlim()):  # otherwise, the labels would overlap
        text = f"{window.start.day} {window.start:%b}" + ("" if window.day else f" {window.start:%H:%M}")
        _label_above(axes, (start + end) / 2, text, "#8a6508")


def _label_above(axes: Axes, at: float, text: str, color: str) -> None:
    style = _text_style(SMALL_SIZE - 2, "center") | {"va": "bottom"}
    axes.text(at, axes.get_ylim()[1], text, color=color, **style)


def _inch(axes: Axes) -> float:
    """Return how many days one inch covers."""
    return float(np.ptp(axes.get_xlim())) / _AXES_WIDTH


def _bars(axes: Axes, spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[float, float]]:
    """Return where bars start and end, in days, lengthening any that would be too short to see."""
    shortest = _MIN_BAR_WIDTH * _inch(axes)
    return [(start, max(end, start + shortest)) for start, end in ((date2num(a), date2num(b)) for a, b in spans)]


# -- bars --------------------------------------------------------------------------------------------------------------


def _draw_periods(axes: Axes, periods: Sequence[ServingPeriod], versions: Sequence[int], now: datetime) -> None:
    """Draw a bar for each period, a thin line to the next period if there's no gap, and the version labels."""
    rows = {version: row for row, version in enumerate(versions)}
    bars = _bars(axes, ((period.since, period.until or now) for period in periods))
    small = len(versions) > _MAX_TALL_ROWS
    occupied: dict[int, list[tuple[float, float]]] = {row: [] for row in rows.values()}
    for period, (start, end) in zip(periods, bars, strict=True):
        axes.barh(rows[period.version], end - start, 0.6, start, color=_color_of(period), linewidth=0, zorder=3)
        occupied[rows[period.version]].append((start, end))
    for later, before in pairwise(periods):
        if before.until == later.since:
            step = [rows[before.version], rows[later.version]]
            axes.plot([date2num(later.since)] * 2, step, color=origin_of(later).color, linewidth=1.2, zorder=2)
    for period, bar in zip(periods, bars, strict=True):
        _draw_duration(axes, period, now, bar, rows[period.version], occupied[rows[period.version]], small=small)
    _label_rows(axes, rows, periods, small=small)


def _label_rows(axes: Axes, rows: Mapping[int, int], periods: Sequence[ServingPeriod], *, small: bool) -> None:
    """Label each row with its version; the one in Production is bold."""
    axes.set_yticks(list(rows.values()), [f"v{version}" for version in rows])
    for version, label in zip(rows, axes.get_yticklabels(), strict=True):
        label.set_fontsize(SMALL_SIZE - 3 if small else SMALL_SIZE)
        if periods[0].until is None and version == periods[0].version:
            label.set(color=CURRENT_COLOR, weight="bold")


def _draw_duration(
    axes: Axes,
    period: ServingPeriod,
    now: datetime,
    bar: tuple[float, float],
    row: int,
    occupied: list[tuple[float, float]],
    *,
    small: bool,
) -> None:
    """Draw the sign and duration inside or next to the bar. If there's no room, draw only the sign, or nothing."""
    sign, inch, (start, end), (low, high) = origin_of(period).sign, _inch(axes), bar, axes.get_xlim()
    if period.until is not None:
        high = date2num(now)  # what's right of now serves now
    size = SMALL_SIZE - 3 if small else SMALL_SIZE - 1
    text = _duration_text(period, now)
    wide, pad = _label_width(period, now, size) * inch, 0.06 * inch
    # An outline keeps text readable over a line or a hatched gap.
    outside: dict[str, Any] = {
        "color": _color_of(period),
        "path_effects": [withStroke(linewidth=3, foreground=BACKGROUND)],
    }
    if end - start >= wide:
        axes.text(start + pad, row, text, color=BACKGROUND, **_text_style(size, "left"))
    elif end + wide <= high and _reserve_space(end, end + wide, occupied):
        axes.text(end + pad, row, text, **outside, **_text_style(size, "left"))
    elif start - wide >= low and _reserve_space(start - wide, start, occupied):
        axes.text(start - pad, row, text, **outside, **_text_style(size, "right"))
    elif end - start >= text_width(sign, size) * inch:
        axes.text((start + end) / 2, row, sign, color=BACKGROUND, **_text_style(size, "center"))


def _duration_text(period: ServingPeriod, now: datetime) -> str:
    return f"{origin_of(period).sign} {format_duration(period.duration(now))}"


def _label_width(period: ServingPeriod, now: datetime, size: int) -> float:
    """Return the width in inches of a period's duration, with room around it."""
    return text_width(_duration_text(period, now), size, bold=True) + 0.14


def _reserve_space(start: float, end: float, occupied: list[tuple[float, float]]) -> bool:
    if any(start < other_end and other_start < end for other_start, other_end in occupied):
        return False
    occupied.append((start, end))
    return True


def _text_style(size: int, align: str) -> dict[str, Any]:
    font = {"fontsize": size, "fontweight": "bold", "fontfamily": FONT, "parse_math": False}
    return {**font, "ha": align, "va": "center_baseline", "zorder": 5}


def _legend_entries(periods: Sequence[ServingPeriod], now: datetime) -> list[tuple[str, str]]:
    origins = {origin_of(period) for period in periods}
    entries = [(f"{origin.sign} {say(origin.label)}", origin.color) for origin in PeriodOrigin if origin in origins]
    return [*entries, *([("▨ no version", _GAP_COLOR)] if production_gaps(periods, now) else [])]
