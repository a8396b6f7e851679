"""Draw the ratios of each release, as small charts one below the other.

The picture is `benchmarks.svg`, in docs/pictures. A dash stands for a figure that wasn't measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.releases.figures import Release, read
from scripts.drawing import MARGIN, PADDING, TEXT, WIDTH, svg, text, wrapped
from scripts.state_chart import COLORS

NAME = "benchmarks.svg"
MOST = 6  # releases; more of them would overlap on a phone
AIMS: dict[str, float | None] = {  # at most, for each drawn figure
    "lookup ÷ bare Bolt, HTTP, 1, 50 ms apart": 1.5,
    "lookup ÷ bare Bolt, HTTP, 32": 1.5,
    "lookup ÷ bare Bolt, Socket Mode, 1, 50 ms apart": 1.5,
    "lookup ÷ bare Bolt, Socket Mode, 32": 1.5,
    "decision ÷ bare commit, HTTP, 1, 50 ms apart": 1.3,
    "decision ÷ bare commit, Socket Mode, 1, 50 ms apart": 1.3,
    "start ÷ import mlflow": None,
    "promotion, 100,000 ÷ 10 versions": 1.2,
    "idle MB ÷ imports": None,
    "compare ÷ bare requests, --workers 4, 1,000 versions": 1.25,
    "rollback ÷ bare requests, --workers 4, 1,000 versions": 1.25,
    "audit verify ÷ reading and hashing": None,
    "registrar --help ÷ import pydantic": 2,
    "registrar compare ÷ import mlflow and 2 requests": None,
}
LINE, PLOT, PITCH = TEXT + 5, 40, 54  # the heights of a line and of the highest bar; the width of a release
BOLD = 0.92  # how much less bold text fits into a line

Values = Mapping[str, float | None]  # by version


def benchmark_picture() -> str:
    """Return docs/pictures/benchmarks.svg."""
    return by_release(read())


def by_release(releases: Sequence[Release]) -> str:
    """Return a chart for each figure in AIMS that one of the last releases has. The picture's label has the values."""
    parts: list[str] = []
    words: list[str] = []
    top = MARGIN
    for name, aim in AIMS.items():
        values = {release.version: release.figures().get(name) for release in releases[-MOST:]}
        known = [f"{version} {value:.3g}" for version, value in values.items() if value is not None]
        if known:
            top = _chart(parts, name, values, aim, top)
            words.append(f"{name}: {', '.join(known)}")
    return svg(parts, top, f"Ratios by release. {'; '.join(words)}.")


def _chart(parts: list[str], name: str, values: Values, aim: float | None, top: int) -> int:
    """Draw one figure, and return where the next one begins."""
    for line in wrapped(name.split(), round((WIDTH - 2 * MARGIN) * BOLD)):
        top += LINE
        parts.append(text(MARGIN, top - 4, TEXT, line, 'font-weight="600"'))
    known = [value for value in values.values() if value is not None]
    scale = PLOT / max(*known, aim or 0)
    if aim is not None:
        top += LINE
        is_met = "met" if known[-1] <= aim else "not met"
        parts.append(text(MARGIN, top - 4, TEXT, f"aim ≤ {aim:g}: {is_met}", 'class="quiet"'))
    floor = top + PADDING + PLOT
    for place, (version, value) in enumerate(values.items()):
        middle = MARGIN + PITCH // 2 + PITCH * place
        if value is not None:
            color = COLORS["blue" if aim is None else "green" if value <= aim else "red"]
            parts.append(f'<path stroke="{color}" stroke-width="14" d="M{middle} {floor}v{-round(value * scale)}"/>')
        shown = "–" if value is None else f"{value:.3g}"
        parts.append(text(middle, floor + LINE, TEXT, shown, 'text-anchor="middle"'))
        parts.append(text(middle, floor + 2 * LINE - 2, TEXT, version, 'class="quiet" text-anchor="middle"'))
    right = MARGIN + PITCH * len(values)
    if aim is not None:
        parts.append(f'<path class="arrow" stroke-dasharray="3 4" d="M{MARGIN} {floor - round(aim * scale)}H{right}"/>')
    parts.append(f'<path class="arrow" d="M{MARGIN} {floor}H{right}"/>')
    return floor + 2 * LINE + PADDING
