"""Style charts: colors, safe text, and axes.

Nothing here uses matplotlib's global state (pyplot, rcParams), so several threads can draw at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from itertools import pairwise
from math import ceil, floor, log10
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import sanitize_text

MAX_ALT_LENGTH = 1000  # characters: Slack's limit for a file

# A chart has its own background, so it looks the same in Slack's light and dark themes.
BACKGROUND, TEXT_COLOR, MUTED_COLOR, GRID_COLOR = "#ffffff", "#1d1c1d", "#5c5b5c", "#e2e2e2"
LINE_COLOR, PRODUCTION_COLOR, BEST_COLOR, FAILED_COLOR = "#4a6fa5", "#6b3fa0", "#13753a", "#c01c1c"

CHART_WIDTH, DPI = 7.0, 180  # inches, and pixels per inch: 1,260 pixels look sharp on a phone
MARGIN = 0.25  # inches between the image's edge and its text
CONTENT_WIDTH = CHART_WIDTH - 2 * MARGIN
FONT = "DejaVu Sans"  # comes with matplotlib
MIN_LEGEND_SIZE, SMALL_SIZE, HEADING_SIZE, TITLE_SIZE = 9, 12, 13, 16  # points
LEGEND_GAP = 0.25  # inches after each entry
MAX_TICK_LENGTH = 8  # characters that fit left of the axes

# Labels for steps of years, months, days, hours, minutes, and seconds; and where a year, a month, or a day begins.
_TIME_FORMATS = ["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
_TURN_FORMATS = ["%Y", "%b\n%Y", "%-d %b", "%H:%M\n%-d %b", "%H:%M", "%H:%M"]

Values = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, bottom, width and height in inches


def new_figure(height: float) -> Figure:
    """Return an empty figure, `height` inches high, and wide enough to be sharp on a phone."""
    figure = Figure(figsize=(CHART_WIDTH, height), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


def render_png(figure: Figure) -> bytes:
    """Return the figure as a PNG."""
    file = BytesIO()
    figure.canvas.print_png(file)  # type: ignore[attr-defined]  # the canvas that `new_figure` set
    return file.getvalue()


def figure_fractions(figure: Figure, box: Box) -> Box:
    """Convert a box in inches to fractions of the figure, as matplotlib expects."""
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def clip_extremes(values: Values) -> Values:
    """Clip the values to a range that doesn't overflow the axes."""
    return np.clip(np.where(np.abs(values) < 1e-250, 0.0, values), -1e250, 1e250)


def style_axes(axes: Axes, grid: Literal["x", "y"] = "y", size: int = SMALL_SIZE) -> None:
    """Remove everything but the bottom line, the labels (`size` in points), and light grid lines for one axis."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED_COLOR)
    axes.tick_params(length=0, labelsize=size, labelcolor=MUTED_COLOR, labelfontfamily=FONT)
    axes.grid(axis=grid, color=GRID_COLOR, linewidth=1)
    axes.set_axisbelow(True)


def style_time_axis(axes: Axes, left: datetime, right: datetime) -> None:
    """Set a few round ticks on a time axis between two times, in UTC; the first label includes the date."""
    locator = AutoDateLocator(UTC, minticks=3, maxticks=7)
    found = locator.tick_values(left, right)
    ticks = np.asarray([tick for tick in found if date2num(left) <= tick <= date2num(right)])
    steps = np.diff(ticks)
    # If a month doesn't divide evenly into steps, the labels of the 31st and the 1st would touch.
    ticks = ticks[np.append(steps > 0.6 * np.max(steps, initial=0.0), True)]
    labels = ConciseDateFormatter(locator, UTC, _TIME_FORMATS, zero_formats=_TURN_FORMATS).format_ticks(ticks)
    top, begin = labels[0].partition("\n")[0], num2date(ticks[0], UTC)
    below = f"{begin.day} {begin:%b %Y}, " if ":" in top else "" if top == f"{begin:%Y}" else f"{begin:%Y}, "
    labels[0] = f"{top}\n{below}UTC"
    axes.set_xticks(ticks, labels)


def style_value_axis(axes: Axes, values: Values) -> None:
    """Fit an axis to the values with some margin, and set a few round ticks."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    is_flat = high - low <= 1e-12 * max(abs(low), abs(high))
    room = (abs(high) * 0.05 or 1.0) if is_flat else (high - low) * 0.2  # room for the star, which is large
    bottom, top = low - room / 2, high + room / 2
    found = MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(bottom, top)
    ticks = [0.0 if abs(tick) < (top - bottom) * 1e-6 else float(tick) for tick in found if bottom <= tick <= top]
    ticks = [high] if is_flat else ticks
    axes.set_yticks(ticks, tick_labels(ticks))
    axes.set_ylim(low - room, high + room)


def label_value_axis(
    axes: Axes, text: str, offset: tuple[float, float], max_width: float, *, bold: bool = False
) -> None:
    """Label the value axis above its top left corner, where the text is easier to read than rotated.

    `offset` is in inches from that corner, and the text is cut to `max_width` inches.
    """
    box = axes.get_window_extent()
    size = HEADING_SIZE if bold else SMALL_SIZE
    axes.set_ylabel(
        shorten_to_width(text, max_width, size, bold=bold),
        rotation=0,
        ha="left",
        va="baseline",
        parse_math=False,
        color=TEXT_COLOR if bold else MUTED_COLOR,
        fontproperties=_font(size, bold=bold),
    )
    axes.yaxis.set_label_coords(offset[0] * DPI / box.width, 1 + offset[1] * DPI / box.height)


def tick_labels(ticks: list[float]) -> list[str]:
    """Return tick labels with enough digits to tell them apart; if they'd be too long, label only the first tick."""
    step = min((after - before for before, after in pairwise(ticks)), default=0.0)
    size = max((abs(tick) for tick in ticks), default=0.0)
    digits = max(4, floor(log10(size)) - floor(log10(step)) + 1) if step > 0 and size > 0 else 4
    labels = [_compact_number(tick, size, digits) for tick in ticks]
    if max(map(len, labels), default=0) > MAX_TICK_LENGTH:
        return [_compact_number(ticks[0], size, 4), *[""] * (len(ticks) - 1)]
    if any(label[-1] == "M" or "e" in label for label in labels):
        return labels
    decimals = max((len(label.partition(".")[2]) for label in labels), default=0)
    return [f"{tick:,.{decimals}f}" for tick in ticks]  # 0.90 next to 0.88, not 0.9


def _compact_number(value: float, largest: float, digits: int) -> str:
    return f"{format_number(value / 1e6, digits)}M" if value and 1e6 <= largest < 1e12 else format_number(value, digits)


def draw_text(
    figure: Figure,
    position: tuple[float, float],
    text: str,
    max_width: float,
    *,
    size: int = SMALL_SIZE,
    bold: bool = False,
    color: str = TEXT_COLOR,
    align: str = "left",
) -> None:
    """Draw a line of text, at most `max_width` inches wide. Dollar signs, carets, and backslashes stay literal."""
    x, y, _, _ = figure_fractions(figure, (*position, 0, 0))
    figure.text(
        x,
        y,
        shorten_to_width(text, max_width, size, bold=bold),
        parse_math=False,
        color=color,
        ha=align,
        va="baseline",
        fontproperties=_font(size, bold=bold),
    )


def draw_legend(figure: Figure, bottom: float, entries: Sequence[tuple[str, str]]) -> None:
    """Draw the texts side by side in their colors, in a smaller size if they wouldn't fit otherwise."""
    size = SMALL_SIZE
    while size > MIN_LEGEND_SIZE and sum(_legend_widths(entries, size)) > CONTENT_WIDTH:
        size -= 1
    left = MARGIN
    for (text, color), width in zip(entries, _legend_widths(entries, size), strict=True):
        draw_text(figure, (left, bottom), text, width, size=size, bold=True, color=color)
        left += width


def _legend_widths(entries: Sequence[tuple[str, str]], size: int) -> list[float]:
    return [text_width(text, size, bold=True) + LEGEND_GAP for text, _ in entries]


def _font(size: int, *, bold: bool) -> FontProperties:
    return FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")


def shorten_to_width(text: str, max_width: float, size: int = SMALL_SIZE, *, bold: bool = False) -> str:
    """Return the text, cut in the middle if it's too wide, so names that differ only at the end stay distinct."""
    text = replace_missing_glyphs(text)
    fitting, length = text, len(text)
    while length > 1 and text_width(fitting, size, bold=bold) > max_width:
        length -= max(1, length // 20)
        fitting = f"{text[: ceil(length / 2)]}…{text[len(text) - length // 2 :]}"
    return fitting


def text_width(text: str, size: int, *, bold: bool = False) -> float:
    """Return a text's width in inches."""
    font = get_font(_font_file(bold=bold))
    font.set_size(size, DPI)
    font.set_text(replace_missing_glyphs(text))
    return float(font.get_width_height()[0]) / 64 / DPI


def replace_missing_glyphs(text: str) -> str:
    """Return the text with a box for each glyph that the font lacks; otherwise, matplotlib would warn every time."""
    available = _available_glyphs()
    return "".join(
        char if ord(char) in available else "□" * (unicodedata.category(char) not in {"Mn", "Me", "Cf"})
        for char in sanitize_text(text)
    )


@cache
def _available_glyphs() -> frozenset[int]:
    regular, bold = (get_font(_font_file(bold=bold)).get_charmap() for bold in (False, True))
    return frozenset(regular) & frozenset(bold)


@cache
def _font_file(*, bold: bool) -> str:
    return findfont(FontProperties(family=FONT, weight="bold" if bold else "normal"))
