"""A comparison as a picture: one panel per metric, the oldest version left, the newest right.

Nothing here is matplotlib's global state: no pyplot, no rcParams. So several threads can draw at once.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bot.domain.core.numbers import number
from bot.domain.core.sentence import clean, short
from bot.domain.registry.comparison import NO_METRICS, Comparison
from bot.domain.registry.metric_direction import Direction
from bot.slack.core.chart_style import (
    ALT_MOST,
    BEST,
    BOLD,
    EDGE,
    HELD,
    LINE,
    PAPER,
    QUIET,
    SMALL,
    TITLE,
    WHOLE,
    WIDTH,
    Box,
    Values,
    blank,
    drawable,
    parts,
    plain_axes,
    png,
    value_axis,
    width_of,
    write,
)

PANELS = 6  # more is a wallpaper on a phone
MARKED = 40  # versions; of more only the line is drawn

_TOP, _ROW, _FOOT, _NOTES = 0.65, 2.6, 0.5, 0.3  # inches: the title, one row of panels, the legend, a line below it
_LEFT, _RIGHT, _HEAD, _AXIS = 0.9, 0.3, 0.7, 0.4  # inches around the axes within a panel
_DIGIT = 0.11  # inches that a digit of the small size is wide


def comparison_chart(comparison: Comparison) -> bytes:
    """Return the metrics across versions as a PNG, 1,260 pixels wide: the first six metrics that have a value."""
    shown = _shown(comparison)
    columns = 1 if len(shown) < 2 else 2
    notes = _notes(comparison, shown)
    height = _TOP + max(1, ceil(len(shown) / columns)) * _ROW + _FOOT + (_NOTES if notes else 0)
    figure = blank(height)
    write(figure, (EDGE, height - 0.42), f"{comparison.model} by version", WHOLE, size=TITLE, bold=True)
    for place, metric in enumerate(shown):
        _panel(figure, comparison, metric, _box(place, columns, height))
    if not shown:
        write(figure, (EDGE, height / 2), NO_METRICS, WHOLE)
    _legend(figure, comparison, 0.2 + (_NOTES if notes else 0))
    write(figure, (EDGE, 0.2), notes, WHOLE, color=QUIET)
    return png(figure)


def chart_alt(comparison: Comparison) -> str:
    """Return what the picture shows, for whoever cannot see it, in at most 1,000 characters."""
    shown = _shown(comparison)
    if not shown:
        return short(f"{clean(comparison.model)}: {NO_METRICS}", ALT_MOST)
    ends = sorted(comparison.versions)
    reach = f"v{ends[0]}" if len(ends) == 1 else f"{len(ends)} versions, v{ends[0]} to v{ends[-1]}"
    held = "Nothing is in Production" if comparison.incumbent is None else f"v{comparison.incumbent} is in Production"
    metrics = "; ".join(_told(comparison, metric) for metric in shown)
    return short(f"Chart of {clean(comparison.model)}, {reach}. {held}. {metrics}.", ALT_MOST)


def _told(comparison: Comparison, metric: str) -> str:
    way = comparison.directions[metric].value
    return f"{short(clean(metric), 60)} ({way} is better): best {_best(comparison, metric)}"


def _best(comparison: Comparison, metric: str) -> str:
    version = comparison.best[metric]
    value = comparison.values(metric)[comparison.versions.index(version)]
    return f"v{version} {number(float(value))}"


def _shown(comparison: Comparison) -> list[str]:
    return list(comparison.best)[:PANELS]


# -- one panel ---------------------------------------------------------------------------------------------------------


def _box(place: int, columns: int, height: float) -> Box:
    row, column = divmod(place, columns)
    width = WIDTH / columns
    return column * width, height - _TOP - (row + 1) * _ROW, width, _ROW


def _panel(figure: Figure, comparison: Comparison, metric: str, box: Box) -> None:
    left, bottom, width, height = box
    inner = (left + _LEFT, bottom + _AXIS, width - _LEFT - _RIGHT, height - _HEAD - _AXIS)
    axes = figure.add_axes(parts(figure, inner), facecolor=PAPER)
    versions = comparison.versions[::-1]
    held = None if comparison.incumbent is None else versions.index(comparison.incumbent)
    best = versions.index(comparison.best[metric])
    values = drawable(comparison.values(metric)[::-1])
    plain_axes(axes)
    value_axis(axes, values)
    _version_axis(axes, versions, held, best, inner[2])
    _draw(axes, values, held, best)
    _head(figure, comparison, metric, box)


def _draw(axes: Axes, values: Values, held: int | None, best: int) -> None:
    few = len(values) <= MARKED
    places = np.arange(len(values))
    axes.plot(places, values, color=LINE, linewidth=2 if few else 0.9, zorder=2)
    axes.plot(places, values if few else _lonely(values), "o", color=LINE, markersize=6 if few else 3, zorder=3)
    if held is not None:
        axes.axvline(held, color=HELD, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        axes.plot(
            [held], [values[held]], "D", color=HELD, markersize=10, markeredgecolor=PAPER, zorder=4, clip_on=False
        )
    axes.plot([best], [values[best]], "*", color=BEST, markersize=19, markeredgecolor=PAPER, zorder=5, clip_on=False)


def _lonely(values: Values) -> Values:
    """Return the values that stand between two gaps, which no line would show."""
    gone = np.concatenate([[True], np.isnan(values), [True]])
    return np.where(gone[:-2] & gone[2:], values, np.nan)


def _head(figure: Figure, comparison: Comparison, metric: str, box: Box) -> None:
    left, bottom, width, height = box
    top, room = bottom + height, width - 2 * EDGE
    write(figure, (left + EDGE, top - 0.22), metric, room, size=BOLD, bold=True)
    best = f"★ {_best(comparison, metric)}"
    write(figure, (left + width - EDGE, top - 0.48), best, room, color=BEST, bold=True, align="right")
    room -= width_of(best, SMALL, bold=True) + 0.1
    way = "higher is better ↑" if comparison.directions[metric] is Direction.HIGHER else "lower is better ↓"
    if width_of(way, SMALL) > room:
        way = way.replace(" is better", "")
    write(figure, (left + EDGE, top - 0.48), way, room, color=QUIET)


# -- axes --------------------------------------------------------------------------------------------------------------


def _version_axis(axes: Axes, versions: list[int], held: int | None, best: int, inches: float) -> None:
    axes.set_xlim(-0.6, len(versions) - 0.4)
    places = _labelled(versions, held, best, inches)
    axes.set_xticks(places, [f"v{versions[place]}" for place in places])
    for place, label in zip(places, axes.get_xticklabels(), strict=True):
        if place in {held, best}:
            label.set(color=HELD if place == held else BEST, weight="bold")


def _labelled(versions: list[int], held: int | None, best: int, inches: float) -> list[int]:
    """Return the places that get a label, so that none touches another: Production, the best and the ends first."""
    last = len(versions) - 1
    room = (len(str(max(versions))) + 2) * _DIGIT / inches * (last + 1.2)
    evenly = [round(part * last / 6) for part in range(7)]
    chosen: list[int] = []
    for place in [*([] if held is None else [held]), best, last, 0, *evenly, *range(min(len(versions), MARKED))]:
        if all(abs(place - other) >= room for other in chosen):
            chosen.append(place)
    return sorted(chosen)


# -- what is written ---------------------------------------------------------------------------------------------------


def _legend(figure: Figure, comparison: Comparison, bottom: float) -> None:
    if comparison.incumbent is None:
        held, color = "Nothing is in Production", QUIET
    else:
        held, color = f"◆ v{comparison.incumbent} in Production", HELD
    write(figure, (EDGE, bottom), held, WHOLE, color=color, bold=True)
    if comparison.best:
        left = EDGE + width_of(held, SMALL, bold=True) + 0.3
        write(figure, (left, bottom), "★ best", WHOLE, color=BEST, bold=True)


def _notes(comparison: Comparison, shown: list[str]) -> str:
    notes = []
    if len(shown) < len(comparison.metrics):
        notes.append(f"{len(shown)} of {len(comparison.metrics)} metrics.")
    if any(np.isnan(comparison.values(metric)).any() for metric in shown):
        notes.append("A gap: that version has no value.")
    return " ".join(notes)
