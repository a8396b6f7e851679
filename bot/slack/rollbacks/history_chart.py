"""The timeline of Production as a picture: a row per version, a bar for each period in which it served.

Promotions step up, rollbacks step down. A bar's color, and a sign in front of its duration, show how the version got
there. This uses none of matplotlib's global state, like charts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.registry.model import product
from bot.domain.rollbacks.history import TimeWindow, production_gaps
from bot.domain.rollbacks.rollback import ServingPeriod
from bot.domain.transitions.transition import TransitionKind
from bot.slack.core.chart_style import (
    BACKGROUND,
    CHART_WIDTH,
    CONTENT_WIDTH,
    GRID_COLOR,
    MARGIN,
    MAX_ALT_LENGTH,
    MUTED_COLOR,
    SMALL_SIZE,
    TEXT_COLOR,
    TITLE_SIZE,
    draw_text,
    figure_fractions,
    new_figure,
    render_png,
    text_width,
)
from bot.slack.rollbacks.time_ticks import tick_labels, time_ticks

MAX_VERSIONS = 30  # versions; of more the newest are drawn
_MAX_TALL_ROWS = 14  # rows up to which each has much room
_TITLE_HEIGHT, _LEGEND_HEIGHT, _NOTE_HEIGHT, _LEFT_MARGIN, _RIGHT_MARGIN = (
    0.95,
    0.95,
    0.3,
    0.85,
    0.3,
)  # inches around the bars
_FUTURE_SHARE = 0.12  # share of the time range left free after now, for the durations of the last bars
_MIN_BAR_WIDTH = 0.035  # inches: a bar of minutes next to one of months stays visible


class PeriodOrigin(Enum):
    """How a period began: its color, sign, and label. The signs tell them apart without colors."""

    PROMOTED = ("#2f6db5", "▲", "promoted")
    ROLLED_BACK = ("#c2410c", "▼", "rolled back")
    OBSERVED = ("#6b6a6b", "●", "found in {product}")

    @property
    def color(self) -> str:
        """The color of its bar."""
        return self.value[0]

    @property
    def sign(self) -> str:
        """The sign in front of its duration."""
        return self.value[1]

    @property
    def label(self) -> str:
        """Its label in the legend."""
        return self.value[2].replace("{product}", product().name)


def origin_of(period: ServingPeriod) -> PeriodOrigin:
    """Return how a stretch began."""
    kinds = {
        TransitionKind.ROLLBACK: PeriodOrigin.ROLLED_BACK,
        TransitionKind.OBSERVED: PeriodOrigin.OBSERVED,
        TransitionKind.IMPORTED: PeriodOrigin.OBSERVED,
    }
    return kinds.get(period.started_by.kind, PeriodOrigin.PROMOTED)


def history_chart(
    model: str, periods: Sequence[ServingPeriod], now: datetime, window: TimeWindow | None = None
) -> bytes:
    """Return the periods (newest first) as a PNG, 1,260 pixels wide.

    `window`: the time that was asked about, marked in it.
    """
    drawn = _newest_periods(periods)
    rows = _row_by_version(drawn)
    pitch = 0.42 if len(rows) <= _MAX_TALL_ROWS else 0.25
    deep = _row_span(rows) * pitch
    note = "" if len(drawn) == len(periods) else f"The newest {len(drawn)} of {len(periods)} times are drawn."
    foot = _LEGEND_HEIGHT + (_NOTE_HEIGHT if note else 0)
    height = _TITLE_HEIGHT + deep + foot
    figure = new_figure(height)
    draw_text(figure, (MARGIN, height - 0.42), f"{model} in Production", CONTENT_WIDTH, size=TITLE_SIZE, bold=True)
    draw_text(figure, (MARGIN, height - 0.72), _subtitle(periods, now), CONTENT_WIDTH, color=MUTED_COLOR)
    axes = figure.add_axes(
        figure_fractions(figure, (_LEFT_MARGIN, foot, CHART_WIDTH - _LEFT_MARGIN - _RIGHT_MARGIN, deep)),
        facecolor=BACKGROUND,
    )
    if drawn:
        _draw_periods(axes, drawn, rows, now, pitch)
        _mark_window(axes, window, now)
    else:
        axes.set_axis_off()
    _draw_legend(figure, drawn, now, foot - _LEGEND_HEIGHT + 0.2)
    draw_text(figure, (MARGIN, 0.2), note, CONTENT_WIDTH, color=MUTED_COLOR)
    return render_png(figure)


def history_alt_text(model: str, periods: Sequence[ServingPeriod], now: datetime) -> str:
    """Return the picture's alternative text, in at most 1,000 characters."""
    drawn = _newest_periods(periods)
    text = "; ".join(
        f"v{period.version} {origin_of(period).label} {period.since:%Y-%m-%d %H:%M}, "
        + ("serves now" if period.until is None else f"served {format_duration(period.duration(now))}")
        for period in drawn
    )
    parts_of_it = [
        f"Timeline of {sanitize_text(model)} in Production",
        _subtitle(periods, now),
        *([text] if text else []),
    ]
    return truncate(f"{'. '.join(parts_of_it)}.", MAX_ALT_LENGTH)


def _newest_periods(periods: Sequence[ServingPeriod]) -> list[ServingPeriod]:
    """Return the stretches, newest first, of as many versions as there are rows for."""
    versions: set[int] = set()
    newest = []
    for period in periods:
        if period.version not in versions and len(versions) == MAX_VERSIONS:
            break
        versions.add(period.version)
        newest.append(period)
    return newest


def _row_by_version(periods: Sequence[ServingPeriod]) -> dict[int, int]:
    """Return each version's row: the lowest number at the bottom, so that promotions step up."""
    return {version: row for row, version in enumerate(sorted({period.version for period in periods}))}


def _row_span(rows: dict[int, int]) -> float:
    return max(1.6, len(rows))


def _subtitle(periods: Sequence[ServingPeriod], now: datetime) -> str:
    if not periods:
        return "Nothing was in Production yet"
    newest = periods[0]
    if newest.until is not None:
        return f"Nothing serves now, since {_format_moment(newest.until)}"
    first = "first seen" if newest.predates_registrar else "since"
    duration = format_duration(newest.duration(now))
    return f"v{newest.version} serves now, {first} {_format_moment(newest.since)} ({duration})"


def _format_moment(at: datetime) -> str:
    return f"{at.day} {at:%b %Y %H:%M} UTC"


# -- bars --------------------------------------------------------------------------------------------------------------


def _draw_periods(
    axes: Axes, periods: Sequence[ServingPeriod], rows: dict[int, int], now: datetime, pitch: float
) -> None:
    begin = min(period.since for period in periods)
    duration = max(now - begin, timedelta(minutes=1))
    left, right = begin - duration * 0.01, now + duration * _FUTURE_SHARE
    axes.set_xlim(_to_days(left), _to_days(right))
    middle = (len(rows) - 1) / 2
    axes.set_ylim(middle - _row_span(rows) / 2, middle + _row_span(rows) / 2)
    _style_time_chart(axes)
    scale = (_to_days(right) - _to_days(left)) / (CHART_WIDTH - _LEFT_MARGIN - _RIGHT_MARGIN)  # days in one inch
    for empty_from, empty_to in production_gaps(periods, now):
        _draw_gap(axes, _to_days(empty_from), max(_to_days(empty_to), _to_days(empty_from) + _MIN_BAR_WIDTH * scale))
    axes.axvline(_to_days(now), color=MUTED_COLOR, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
    axes.text(
        _to_days(now),
        axes.get_ylim()[1],
        "now",
        color=MUTED_COLOR,
        **(_text_style(SMALL_SIZE - 2, "center") | {"va": "bottom"}),
    )
    _draw_steps(axes, periods, rows)
    occupied: dict[int, list[tuple[float, float]]] = {}
    for period in periods:
        _draw_bar(axes, period, rows[period.version], now, scale)
        occupied.setdefault(rows[period.version], []).append(_bar_extent(period, now, scale))
    for period in periods:
        _draw_duration(
            axes, period, rows[period.version], now, scale, occupied[rows[period.version]], small=pitch < 0.4
        )
    _label_versions(axes, periods, rows, small=pitch < 0.4)
    _style_time_axis(axes, left, now)


def _mark_window(axes: Axes, window: TimeWindow | None, now: datetime) -> None:
    """Mark the requested day or moment, if it's in the picture."""
    if window is None or not axes.get_xlim()[0] <= _to_days(window.start) <= axes.get_xlim()[1]:
        return
    start, end = _to_days(window.start), _to_days(window.end or window.start)
    axes.axvspan(start, end, facecolor="#f2c744", edgecolor="#b8860b", linewidth=1.2, alpha=0.6, zorder=1.5)
    text = f"{window.start.day} {window.start:%b}" + ("" if window.day else f" {window.start:%H:%M}")
    low, high = axes.get_xlim()
    if _to_days(now) - end < 0.12 * (high - low):  # where the other label is
        return
    axes.text(
        (start + end) / 2,
        axes.get_ylim()[1],
        text,
        color="#8a6508",
        **(_text_style(SMALL_SIZE - 2, "center") | {"va": "bottom"}),
    )


def _to_days(at: datetime) -> float:
    """Return a time as days."""
    return at.timestamp() / 86_400


def _bar_extent(period: ServingPeriod, now: datetime, scale: float) -> tuple[float, float]:
    """Return where a bar begins and ends; never too short to be seen."""
    start, end = _to_days(period.since), _to_days(period.until or now)
    return start, max(end, start + _MIN_BAR_WIDTH * scale)


def _draw_bar(axes: Axes, period: ServingPeriod, row: int, now: datetime, scale: float) -> None:
    start, end = _bar_extent(period, now, scale)
    axes.add_patch(
        Rectangle((start, row - 0.3), end - start, 0.6, color=origin_of(period).color, linewidth=0, zorder=3)
    )


def _draw_steps(axes: Axes, periods: Sequence[ServingPeriod], rows: dict[int, int]) -> None:
    """Draw a thin line from each bar to the one that followed it directly."""
    for later, before in pairwise(periods):
        if before.until == later.since:
            axes.plot(
                [_to_days(later.since)] * 2,
                [rows[before.version], rows[later.version]],
                color=origin_of(later).color,
                linewidth=1.2,
                zorder=2,
                solid_capstyle="butt",
            )


def _draw_gap(axes: Axes, start: float, end: float) -> None:
    low, high = axes.get_ylim()
    axes.add_patch(
        Rectangle(
            (start, low),
            end - start,
            high - low,
            facecolor="#fdeaea",
            edgecolor="#c98a8a",
            hatch="////",
            linewidth=0,
            zorder=0.5,
        )
    )


def _draw_duration(
    axes: Axes,
    period: ServingPeriod,
    row: int,
    now: datetime,
    scale: float,
    occupied: list[tuple[float, float]],
    *,
    small: bool,
) -> None:
    """Write the sign and the duration inside the bar, or next to it. Without room, write only the sign, or nothing."""
    size = SMALL_SIZE - 3 if small else SMALL_SIZE - 1
    text = f"{origin_of(period).sign} {format_duration(period.duration(now))}"
    wide = (text_width(text, size, bold=True) + 0.14) * scale
    start, end = _bar_extent(period, now, scale)
    low, high = axes.get_xlim()
    pad = 0.06 * scale
    if end - start >= wide:
        axes.text(start + pad, row, text, color=BACKGROUND, **_text_style(size, "left"))
    elif end + wide <= high and _reserve_space(end, end + wide, occupied):
        axes.text(
            end + pad, row, text, color=origin_of(period).color, path_effects=_outline(), **_text_style(size, "left")
        )
    elif start - wide >= low and _reserve_space(start - wide, start, occupied):
        axes.text(
            start - pad, row, text, color=origin_of(period).color, path_effects=_outline(), **_text_style(size, "right")
        )
    elif end - start >= text_width(origin_of(period).sign, size) * scale:
        axes.text((start + end) / 2, row, origin_of(period).sign, color=BACKGROUND, **_text_style(size, "center"))


def _outline() -> list[withStroke]:
    """Return the outline that keeps text readable over a line or a hatched gap."""
    return [withStroke(linewidth=3, foreground=BACKGROUND)]


def _reserve_space(start: float, end: float, occupied: list[tuple[float, float]]) -> bool:
    if any(start < other_end and other_start < end for other_start, other_end in occupied):
        return False
    occupied.append((start, end))
    return True


def _text_style(size: int, align: str) -> dict[str, Any]:
    return {
        "fontsize": size,
        "fontweight": "bold",
        "fontfamily": "DejaVu Sans",
        "ha": align,
        "va": "center_baseline",
        "parse_math": False,
        "zorder": 5,
    }


# -- axes --------------------------------------------------------------------------------------------------------------


def _style_time_chart(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED_COLOR)
    axes.tick_params(length=0, labelsize=SMALL_SIZE - 1, labelcolor=MUTED_COLOR, labelfontfamily="DejaVu Sans")
    axes.grid(axis="x", color=GRID_COLOR, linewidth=1)
    axes.set_axisbelow(True)


def _label_versions(axes: Axes, periods: Sequence[ServingPeriod], rows: dict[int, int], *, small: bool) -> None:
    axes.set_yticks(list(rows.values()), [f"v{version}" for version in rows])
    serves = periods[0].version if periods[0].until is None else None
    for version, label in zip(rows, axes.get_yticklabels(), strict=True):
        label.set_fontsize(SMALL_SIZE - 3 if small else SMALL_SIZE)
        if version == serves:
            label.set(color=TEXT_COLOR, weight="bold")


def _style_time_axis(axes: Axes, left: datetime, now: datetime) -> None:
    ticks, stride = time_ticks(left, now)
    axes.set_xticks([_to_days(tick) for tick in ticks], tick_labels(ticks, stride))


def _draw_legend(figure: Figure, periods: Sequence[ServingPeriod], now: datetime, bottom: float) -> None:
    left = MARGIN
    for origin in [origin for origin in PeriodOrigin if origin in {origin_of(served) for served in periods}]:
        text = f"{origin.sign} {origin.label}"
        draw_text(figure, (left, bottom), text, CONTENT_WIDTH, color=origin.color, bold=True)
        left += text_width(text, SMALL_SIZE, bold=True) + 0.3
    if production_gaps(periods, now):
        draw_text(figure, (left, bottom), "▨ nobody", CONTENT_WIDTH, color="#a03a3a", bold=True)
