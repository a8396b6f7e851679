"""The look of the pictures generated from the code: SVG that's readable on a phone, and in light and dark mode.

A picture has its own background, so it's readable on any page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

WIDTH, MARGIN, PADDING = 356, 12, 12  # a phone shows this width without making it smaller
TITLE, TEXT = 17, 15  # font sizes
CHIP_HEIGHT = 26
CHARACTER = 0.55  # an average character's width, in font sizes

STYLE = """
  svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif }
  .page { fill: #ffffff; stroke: #c3cedb } .layer { fill: #f3f6fa; stroke: #57708f } .chip { fill: #dbe7f5 }
  text { fill: #1b2a3a } .quiet { fill: #44566a } .arrow { stroke: #57708f; fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3a4657 } .layer { fill: #161d27; stroke: #6f8bab } .chip { fill: #24405f }
    text { fill: #eaf0f6 } .quiet { fill: #b3c1d0 } .arrow { stroke: #8aa5c4 }
  }
"""


def svg(parts: Iterable[str], height: int, label: str) -> str:
    """Return a picture as SVG; `label` says what it shows."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="{escape(label)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def text(x: int, y: int, size: int, words: str, more: str = "") -> str:
    """Return a line of text that begins at x, with its baseline at y."""
    return f'<text x="{x}" y="{y}" font-size="{size}" {more}>{escape(words, quote=False)}</text>'


def box(left: int, top: int, width: int, height: int, kind: str = "layer") -> str:
    """Return a box with rounded corners."""
    radius = 5 if kind == "chip" else 8
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="{radius}"/>'


def wrapped(words: Iterable[str], room: int) -> Iterator[str]:
    """Yield the words as lines that are at most `room` wide, unless a single word is wider."""
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if line and text_width(longer) > room:
            yield line
            longer = word
        line = longer
    yield line


def text_width(words: str) -> float:
    """Return a text's approximate width at the font size `TEXT`."""
    return len(words) * TEXT * CHARACTER
