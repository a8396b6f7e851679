"""The timeline of Production as a picture: a row per version, a bar for each time that it served.

Promotions climb, a rollback steps back; how a bar came to be is its colour and a sign in front of its duration. Nothing
here is matplotlib's global state, as in charts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from bot.domain.core.durations import show_duration
from bot.domain.core.sentence import clean, short
from bot.domain.rollbacks.history import Window, gaps
from bot.domain.rollbacks.rollback import Served
from bot.domain.transitions.transition import MoveKind
from bot.slack.core.chart_style import (
    ALT_MOST,
    EDGE,
    GRID,
    INK,
    PAPER,
    QUIET,
    SMALL,
    TITLE,
    WHOLE,
    WIDTH,
    blank,
    parts,
    png,
    width_of,
    write,
)

ROWS_MOST = 30  # versions; of more the newest are drawn
_ROOMY = 14  # rows up to which each has much room
_TOP, _FOOT, _NOTE, _LEFT, _RIGHT = 0.95, 0.95, 0.3, 0.85, 0.3  # inches around the bars
_AHEAD = 0.12  # of the whole time that is left free behind now, for the durations of the last bars
_LEAST = 0.035  # inches: a bar of minutes beside one of months can still be seen


class How(Enum):
    """How a stretch began: its colour, its sign and its word. The signs tell them apart without colours."""

    PROMOTED = ("#2f6db5", "▲", "promoted")
    ROLLED_BACK = ("#c2410c", "▼", "rolled back")
    FOUND = ("#6b6a6b", "●", "found in MLflow")

    @property
    def color(self) -> str:
        """The colour of its bar."""
        return self.value[0]

    @property
    def sign(self) -> str:
        """What stands in front of its duration."""
        return self.value[1]

    @property
    def word(self) -> str:
        """What the legend says."""
        return self.value[2]


def how(served: Served) -> How:
    """Return how a stretch began."""
    kinds = {MoveKind.ROLLBACK: How.ROLLED_BACK, MoveKind.OBSERVED: How.FOUND, MoveKind.IMPORTED: How.FOUND}
    return kinds.get(served.began.kind, How.PROMOTED)


def history_chart(model: str, served: Sequence[Served], now: datetime, asked: Window | None = None) -> bytes:
    """Return the stretches (newest first) as a PNG, 1,260 pixels wide; `asked` is marked in it."""
    shown = _newest(served)
    rows = _rows(shown)
    pitch = 0.42 if len(rows) <= _ROOMY else 0.25
    deep = _deep(rows) * pitch
    note = "" if len(shown) == len(served) else f"The newest {len(shown)} of {len(served)} times are drawn."
    foot = _FOOT + (_NOTE if note else 0)
    height = _TOP + deep + foot
    figure = blank(height)
    write(figure, (EDGE, height - 0.42), f"{model} in Production", WHOLE, size=TITLE, bold=True)
    write(figure, (EDGE, height - 0.72), _subtitle(served, now), WHOLE, color=QUIET)
    axes = figure.add_axes(parts(figure, (_LEFT, foot, WIDTH - _LEFT - _RIGHT, deep)), facecolor=PAPER)
    if shown:
        _draw(axes, shown, rows, now, pitch)
        _mark(axes, asked, now)
    else:
        axes.set_axis_off()
    _legend(figure, shown, now, foot - _FOOT + 0.2)
    write(figure, (EDGE, 0.2), note, WHOLE, color=QUIET)
    return png(figure)


def history_alt(model: str, served: Sequence[Served], now: datetime) -> str:
    """Return what the picture shows, for whoever cannot see it, in at most 1,000 characters."""
    shown = _newest(served)
    told = "; ".join(
        f"v{one.version} {how(one).word} {one.since:%Y-%m-%d %H:%M}, "
        + ("serves now" if one.until is None else f"served {show_duration(one.lasted(now))}")
        for one in shown
    )
    parts_of_it = [f"Timeline of {clean(model)} in Production", _subtitle(served, now), *([told] if told else [])]
    return short(f"{'. '.join(parts_of_it)}.", ALT_MOST)


def _newest(served: Sequence[Served]) -> list[Served]:
    """Return the stretches, newest first, of as many versions as there are rows for."""
    versions: set[int] = set()
    shown = []
    for one in served:
        if one.version not in versions and len(versions) == ROWS_MOST:
            break
        versions.add(one.version)
        shown.append(one)
    return shown


def _rows(shown: Sequence[Served]) -> dict[int, int]:
    """Return the place of each version: the lowest number at the bottom, so that promotions climb."""
    return {version: place for place, version in enumerate(sorted({one.version for one in shown}))}


def _deep(rows: dict[int, int]) -> float:
    return max(1.6, len(rows))


def _subtitle(served: Sequence[Served], now: datetime) -> str:
    if not served:
        return "Nothing was in Production yet"
    newest = served[0]
    if newest.until is not None:
        return f"Nothing serves now, since {_moment(newest.until)}"
    first = "first seen" if newest.is_older_than_us else "since"
    return f"v{newest.version} serves now, {first} {_moment(newest.since)} ({show_duration(newest.lasted(now))})"


def _moment(at: datetime) -> str:
    return f"{at.day} {at:%b %Y %H:%M} UTC"


# -- bars --------------------------------------------------------------------------------------------------------------


def _draw(axes: Axes, shown: Sequence[Served], rows: dict[int, int], now: datetime, pitch: float) -> None:
    begin = min(one.since for one in shown)
    whole = max(now - begin, timedelta(minutes=1))
    left, right = begin - whole * 0.01, now + whole * _AHEAD
    axes.set_xlim(_x(left), _x(right))
    middle = (len(rows) - 1) / 2
    axes.set_ylim(middle - _deep(rows) / 2, middle + _deep(rows) / 2)
    _plain(axes)
    scale = (_x(right) - _x(left)) / (WIDTH - _LEFT - _RIGHT)  # days in one inch
    for empty_from, empty_to in gaps(shown, now):
        _gap(axes, _x(empty_from), max(_x(empty_to), _x(empty_from) + _LEAST * scale))
    axes.axvline(_x(now), color=QUIET, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
    axes.text(_x(now), axes.get_ylim()[1], "now", color=QUIET, **(_style(SMALL - 2, "center") | {"va": "bottom"}))
    _steps(axes, shown, rows)
    taken: dict[int, list[tuple[float, float]]] = {}
    for one in shown:
        _bar(axes, one, rows[one.version], now, scale)
        taken.setdefault(rows[one.version], []).append(_reach(one, now, scale))
    for one in shown:
        _duration(axes, one, rows[one.version], now, scale, taken[rows[one.version]], small=pitch < 0.4)
    _labels(axes, shown, rows, small=pitch < 0.4)
    _time_axis(axes, left, now)


def _mark(axes: Axes, asked: Window | None, now: datetime) -> None:
    """Mark the day or the moment that was asked about, where it is in the picture."""
    if asked is None or not axes.get_xlim()[0] <= _x(asked.begin) <= axes.get_xlim()[1]:
        return
    start, end = _x(asked.begin), _x(asked.end or asked.begin)
    axes.axvspan(start, end, facecolor="#f2c744", edgecolor="#b8860b", linewidth=1.2, alpha=0.6, zorder=1.5)
    text = f"{asked.begin.day} {asked.begin:%b}" + ("" if asked.day else f" {asked.begin:%H:%M}")
    low, high = axes.get_xlim()
    if _x(now) - end < 0.12 * (high - low):  # where the other word stands
        return
    axes.text(
        (start + end) / 2, axes.get_ylim()[1], text, color="#8a6508", **(_style(SMALL - 2, "center") | {"va": "bottom"})
    )


def _x(at: datetime) -> float:
    """Return a time as days."""
    return at.timestamp() / 86_400


def _reach(one: Served, now: datetime, scale: float) -> tuple[float, float]:
    """Return from where to where a bar goes; no shorter than can be seen."""
    start, end = _x(one.since), _x(one.until or now)
    return start, max(end, start + _LEAST * scale)


def _bar(axes: Axes, one: Served, row: int, now: datetime, scale: float) -> None:
    start, end = _reach(one, now, scale)
    axes.add_patch(Rectangle((start, row - 0.3), end - start, 0.6, color=how(one).color, linewidth=0, zorder=3))


def _steps(axes: Axes, shown: Sequence[Served], rows: dict[int, int]) -> None:
    """Draw a thin line from each bar to the one that followed it at once, so that the eye finds the way."""
    for later, before in pairwise(shown):
        if before.until == later.since:
            axes.plot(
                [_x(later.since)] * 2,
                [rows[before.version], rows[later.version]],
                color=how(later).color,
                linewidth=1.2,
                zorder=2,
                solid_capstyle="butt",
            )


def _gap(axes: Axes, start: float, end: float) -> None:
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


def _duration(
    axes: Axes, one: Served, row: int, now: datetime, scale: float, taken: list[tuple[float, float]], *, small: bool
) -> None:
    """Write sign and duration into the bar, else to its right or its left; without room the sign alone, or nothing."""
    size = SMALL - 3 if small else SMALL - 1
    text = f"{how(one).sign} {show_duration(one.lasted(now))}"
    wide = (width_of(text, size, bold=True) + 0.14) * scale
    start, end = _reach(one, now, scale)
    low, high = axes.get_xlim()
    pad = 0.06 * scale
    if end - start >= wide:
        axes.text(start + pad, row, text, color=PAPER, **_style(size, "left"))
    elif end + wide <= high and _is_free(end, end + wide, taken):
        axes.text(end + pad, row, text, color=how(one).color, path_effects=_halo(), **_style(size, "left"))
    elif start - wide >= low and _is_free(start - wide, start, taken):
        axes.text(start - pad, row, text, color=how(one).color, path_effects=_halo(), **_style(size, "right"))
    elif end - start >= width_of(how(one).sign, size) * scale:
        axes.text((start + end) / 2, row, how(one).sign, color=PAPER, **_style(size, "center"))


def _halo() -> list[withStroke]:
    """Return what keeps a text readable over a line or a hatched gap."""
    return [withStroke(linewidth=3, foreground=PAPER)]


def _is_free(start: float, end: float, taken: list[tuple[float, float]]) -> bool:
    if any(start < other_end and other_start < end for other_start, other_end in taken):
        return False
    taken.append((start, end))
    return True


def _style(size: int, align: str) -> dict[str, Any]:
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


def _plain(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(length=0, labelsize=SMALL - 1, labelcolor=QUIET, labelfontfamily="DejaVu Sans")
    axes.grid(axis="x", color=GRID, linewidth=1)
    axes.set_axisbelow(True)


def _labels(axes: Axes, shown: Sequence[Served], rows: dict[int, int], *, small: bool) -> None:
    axes.set_yticks(list(rows.values()), [f"v{version}" for version in rows])
    serves = shown[0].version if shown[0].until is None else None
    for version, label in zip(rows, axes.get_yticklabels(), strict=True):
        label.set_fontsize(SMALL - 3 if small else SMALL)
        if version == serves:
            label.set(color=INK, weight="bold")


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_STRIDES = [
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    _HOUR,
    3 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    _DAY,
    2 * _DAY,
    7 * _DAY,
    14 * _DAY,
    30 * _DAY,
    61 * _DAY,
    91 * _DAY,
    182 * _DAY,
]
_TICKS_MOST = 6


def _time_axis(axes: Axes, left: datetime, now: datetime) -> None:
    ticks, stride = _ticks(left, now)
    axes.set_xticks([_x(tick) for tick in ticks], _tick_labels(ticks, stride))


def _ticks(left: datetime, right: datetime) -> tuple[list[datetime], timedelta]:
    """Return the round moments between both, at most six, and how far apart they are."""
    whole = right - left
    stride = next((one for one in _STRIDES if whole / one <= _TICKS_MOST), timedelta(days=365))
    if stride >= 30 * _DAY:
        return _months(left, right, max(1, ceil(whole / _TICKS_MOST / (30.4 * _DAY)))), stride
    midnight = datetime(left.year, left.month, left.day, tzinfo=UTC)
    first = midnight + stride * ceil((left - midnight) / stride)
    return [first + stride * at for at in range(_TICKS_MOST + 1) if first + stride * at <= right], stride


def _months(left: datetime, right: datetime, every: int) -> list[datetime]:
    every = next((one for one in (1, 2, 3, 6) if one >= every), 12 * ceil(every / 12))
    at = left.year * 12 + left.month - 1
    at += -at % every
    found = []
    while (tick := datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC)) <= right:
        found += [tick] if tick >= left else []
        at += every
    return found


def _tick_labels(ticks: Sequence[datetime], stride: timedelta) -> list[str]:
    """Return the labels: of each only what is new, and below it at the first and at each change the day or year."""
    labels, before = [], None
    for tick in ticks:
        if stride < _DAY:
            top, below = f"{tick:%H:%M}", f"{tick.day} {tick:%b %Y}"
        elif stride < 30 * _DAY:
            top, below = f"{tick.day} {tick:%b}", f"{tick.year}"
        else:
            top, below = f"{tick:%b}", f"{tick.year}"
        zone = ", UTC" if before is None else ""
        labels.append(f"{top}\n{' ' if below == before else below + zone}")  # all of two lines, so of one height
        before = below
    return labels


def _legend(figure: Figure, shown: Sequence[Served], now: datetime, bottom: float) -> None:
    left = EDGE
    for one in [each for each in How if each in {how(served) for served in shown}]:
        text = f"{one.sign} {one.word}"
        write(figure, (left, bottom), text, WHOLE, color=one.color, bold=True)
        left += width_of(text, SMALL, bold=True) + 0.3
    if gaps(shown, now):
        write(figure, (left, bottom), "▨ nobody", WHOLE, color="#a03a3a", bold=True)
