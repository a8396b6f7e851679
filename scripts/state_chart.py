"""A state chart, and a check that its steps match the code's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from scripts.drawing import CHIP_HEIGHT, MARGIN, PADDING, TEXT, TITLE, WIDTH, box, svg, text, text_width, wrapped

LINE, GAP = TEXT + 5, 8
TRUNK, BRANCH = MARGIN + 14, MARGIN + 42  # where the line down is, and where the chips begin
MIN_ROOM = 150  # for a cause beside its chip; with less, it's below
COLORS = {
    "gray": "#8494a7",
    "blue": "#2f80d0",
    "green": "#2a9d5c",
    "yellow": "#d9a400",
    "orange": "#e07b1f",
    "red": "#d64545",
    "violet": "#9061c9",
}


class PictureIsWrong(Exception):
    """The picture's states or steps differ from the code's."""


class Step(NamedTuple):
    """The steps from one or more states to another, and what causes them."""

    sources: frozenset[Enum]
    target: Enum
    cause: str


class Look(NamedTuple):
    """How a state is shown: its name, its color, and what it means."""

    name: str
    color: str
    meaning: str


class Chart:
    """A state chart that grows downward: boxes along a line, with branches to other states."""

    def __init__(self, looks: Mapping[Enum, Look]) -> None:
        self._looks = looks
        self._parts: list[str] = []
        self._y = MARGIN

    def picture(self, label: str) -> str:
        """Return the chart as SVG."""
        return svg(self._parts, self._y + MARGIN, label)

    def state(self, *states: Enum) -> None:
        """Draw a box for one state, or for several that have the same outgoing steps."""
        top, parts = self._y, []
        y = top + PADDING
        for state in states:
            look = self._looks[state]
            parts += [self._dot(state, MARGIN + PADDING + 6, y + 9)]
            parts.append(text(MARGIN + PADDING + 20, y + 14, TITLE, look.name, 'font-weight="600"'))
            y += TITLE + 4
            for line in wrapped(look.meaning.split(), WIDTH - 2 * MARGIN - PADDING - 26):
                y += LINE
                parts.append(text(MARGIN + PADDING + 20, y - 5, TEXT, line, 'class="quiet"'))
            y += GAP
        self._y = y + PADDING - GAP
        self._parts += [box(MARGIN, top, WIDTH - 2 * MARGIN, self._y - top), *parts]

    def words(self, line: str) -> None:
        """Draw a heading for the branches that follow."""
        self._y += LINE + 4
        self._parts.append(text(MARGIN, self._y - 2, TEXT, line, 'font-weight="600"'))
        self._y += 4

    def branches(self, steps: Iterable[Step]) -> None:
        """Draw branches to the states that these steps lead to, each with its cause."""
        top = self._y
        for step in steps:
            self._y += GAP
            middle = self._y + CHIP_HEIGHT // 2
            self._parts.append(f'<path class="arrow" d="M{TRUNK} {top} V{middle} H{BRANCH - 4} m-6 -5 l6 5 l-6 5"/>')
            name = self._looks[step.target].name
            width = round(text_width(name)) + 38
            self._parts += [
                box(BRANCH, self._y, width, CHIP_HEIGHT, "chip"),
                self._dot(step.target, BRANCH + 13, middle),
            ]
            self._parts.append(text(BRANCH + 25, middle + 5, TEXT, name))
            left = BRANCH + width + GAP
            if WIDTH - MARGIN - left < MIN_ROOM:
                left, self._y = BRANCH, self._y + CHIP_HEIGHT + 2
            lines = list(wrapped(step.cause.split(), WIDTH - MARGIN - left))
            for number, line in enumerate(lines):
                self._parts.append(text(left, self._y + 18 + number * LINE, TEXT, line, 'class="quiet"'))
            self._y += max(CHIP_HEIGHT, 18 + (len(lines) - 1) * LINE + 4)

    def down(self, cause: str, top: int | None = None) -> None:
        """Draw an arrow to the next box with the step's cause; it starts at `top`, or else at the chart's end."""
        begin, self._y = self._y, self._y + GAP
        for line in wrapped(cause.split(), WIDTH - MARGIN - BRANCH):
            self._y += LINE
            self._parts.append(text(BRANCH, self._y - 3, TEXT, line))
        self._y += GAP + 4
        self._parts.append(f'<path class="arrow" d="M{TRUNK} {top or begin} V{self._y - 3} m-6 -7 l6 7 l6 -7"/>')

    @property
    def bottom(self) -> int:
        """The y position where the chart ends so far."""
        return self._y

    def _dot(self, state: Enum, x: int, y: int) -> str:
        return f'<circle cx="{x}" cy="{y}" r="6" fill="{COLORS[self._looks[state].color]}"/>'


def require_same(drawn: Iterable[Step], real: Iterable[tuple[Enum, Enum]]) -> None:
    """Raise PictureIsWrong unless the drawn steps match the real ones."""
    pairs, real = (
        {(source, step.target) for step in drawn for source in step.sources if source != step.target},
        set(real),
    )
    problems = [f"not drawn: {a.name} → {b.name}" for a, b in real - pairs]
    problems += [f"not in the code: {a.name} → {b.name}" for a, b in pairs - real]
    if problems:
        raise PictureIsWrong("; ".join(sorted(problems)))
