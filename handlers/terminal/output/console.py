"""Write to standard output: colors on a terminal, unwrapped lines to a pipe. Quick to import."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text


def stdout_console() -> Console:
    """Return a console for standard output. It prints external names as plain text, never as rich's markup."""
    return Console(
        color_system=None if os.environ.get("NO_COLOR") else "auto", markup=False, highlight=False, emoji=False
    )


def render(build: Callable[[int], Sequence[RenderableType]]) -> str:
    """Return the text to print. `build` returns its parts for the terminal's width.

    It has colors only if the terminal supports them.
    """
    screen = stdout_console()
    with screen.capture() as captured:
        for part in build(screen.width):
            # Don't wrap sentences in a pipe, so that they can be searched.
            screen.print(part, soft_wrap=isinstance(part, Text) and not screen.is_terminal)
    return captured.get()


def new_table(*headings: str) -> Table:
    """Return an empty table in the shared style; long cells are folded."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def write_output(text: str) -> None:
    """Write to standard output and flush. Characters that the encoding doesn't support, such as ★, are escaped."""
    sys.stdout.write(text.encode(output_encoding(), "backslashreplace").decode(output_encoding()))
    sys.stdout.flush()  # fail here if the reader closed the pipe, where it can be told apart from a bug


def output_encoding() -> str:
    """Return the encoding of standard output."""
    return sys.stdout.encoding or "utf-8"
