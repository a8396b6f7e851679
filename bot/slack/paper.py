"""What all pictures are drawn on: paper of its own colours, one font, and text that nothing is read into.

Nothing here is matplotlib's global state: no pyplot, no rcParams. So several threads can draw at once.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from io import BytesIO
from math import ceil

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from bot.domain.text import clean

# A card of its own colours: Slack shows it the same in its light and in its dark theme.
PAPER, INK, QUIET, GRID = "#ffffff", "#1d1c1d", "#5c5b5c", "#e2e2e2"
WIDTH, DPI = 7.0, 180  # inches, and pixels in one: 1,260 pixels are sharp on a phone
EDGE = 0.25  # inches between the picture's edge and what is written
WHOLE = WIDTH - 2 * EDGE
FONT = "DejaVu Sans"  # comes with matplotlib
SMALL, BOLD, TITLE = 12, 13, 16  # points

Box = tuple[float, float, float, float]  # left, bottom, width and height in inches


def sheet(height: float) -> Figure:
    """Return an empty picture, so many inches high."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)


def png(figure: Figure) -> bytes:
    """Return the picture as a PNG."""
    file = BytesIO()
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]  # matplotlib types its figures only
    return file.getvalue()


def parts(figure: Figure, box: Box) -> Box:
    """Return a box as parts of the picture."""
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def write(
    figure: Figure, at: tuple[float, float], text: str, room: float,
    *, size: int = SMALL, bold: bool = False, color: str = INK, align: str = "left",
) -> None:  # fmt: skip
    """Write a line in at most `room` inches: no dollar, caret or backslash in it is read as mathematics."""
    x, y, _, _ = parts(figure, (*at, 0, 0))
    figure.text(
        x, y, fit(writable(text), room, size, bold=bold), parse_math=False, color=color, ha=align, va="baseline",
        fontproperties=FontProperties(family=FONT, size=size, weight="bold" if bold else "normal"),
    )  # fmt: skip


def fit(text: str, room: float, size: int, *, bold: bool) -> str:
    """Return the text cut in its middle: names that differ only at their end stay apart."""
    fitting, kept = text, len(text)
    while kept > 1 and inches(fitting, size, bold=bold) > room:
        kept -= max(1, kept // 20)
        fitting = f"{text[: ceil(kept / 2)]}…{text[len(text) - kept // 2 :]}"
    return fitting


def inches(text: str, size: int, *, bold: bool = False) -> float:
    """Return how wide a line is."""
    font = get_font(_file(bold=bold))
    font.set_size(size, 72)
    font.set_text(writable(text))
    return float(font.get_width_height()[0]) / 64 / 72


def writable(text: str) -> str:
    """Return the text with a box for what the font lacks, which matplotlib would warn of at every drawing."""
    return "".join(char if ord(char) in _glyphs() else _box_for(char) for char in clean(text))


def _box_for(char: str) -> str:
    return "" if unicodedata.category(char) in {"Mn", "Me", "Cf"} else "□"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(_file(bold=False)).get_charmap()) & frozenset(get_font(_file(bold=True)).get_charmap())


@cache
def _file(*, bold: bool) -> str:
    return findfont(FontProperties(family=FONT, weight="bold" if bold else "normal"))
