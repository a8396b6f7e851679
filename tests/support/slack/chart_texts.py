"""The texts in a chart: what they say, and whether they can be read."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOLERANCE = 2  # pixels


def texts(figure: Figure) -> list[str]:
    """Return all visible texts of a figure."""
    return [text.get_text() for text, _ in _boxes(figure)]


def overlapping_texts(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts that overlap."""
    return [
        (one.get_text(), other.get_text())
        for (one, box), (other, other_box) in combinations(_boxes(figure), 2)
        if box.overlaps(other_box)
    ]


def cut_off_texts(figure: Figure) -> list[str]:
    """Return the texts that reach beyond the figure's edge."""
    edge = figure.bbox
    return [
        text.get_text()
        for text, box in _boxes(figure)
        if box.x0 < edge.x0 or box.x1 > edge.x1 or box.y0 < edge.y0 or box.y1 > edge.y1
    ]


def _boxes(figure: Figure) -> list[tuple[Text, Bbox]]:
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    assert isinstance(renderer, RendererAgg)
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text, _inner(text.get_window_extent(renderer))) for text in found]


def _inner(box: Bbox) -> Bbox:
    return Bbox.from_extents(box.x0 + TOLERANCE, box.y0 + TOLERANCE, box.x1 - TOLERANCE, box.y1 - TOLERANCE)
