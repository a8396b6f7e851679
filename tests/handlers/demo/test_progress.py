"""What the terminal says while the demo starts."""

from __future__ import annotations

from io import StringIO

from handlers.demo.progress import ProgressReporter
from tests.support.waiting import wait_until


class Terminal(StringIO):
    """A terminal that can be read."""

    def isatty(self) -> bool:
        return True


def test_a_long_step_is_not_silent() -> None:
    out = StringIO()
    with ProgressReporter(out, silence=0.01) as progress:
        progress.begin_step("Loading")
        wait_until(lambda: out.getvalue().count("Loading … 0 s\n") >= 2)
        progress.print_line("Loaded.")
    assert out.getvalue().startswith("Loading …\n")
    assert out.getvalue().endswith("\nLoaded.\n")


def test_a_terminal_keeps_one_line_for_a_long_step() -> None:
    out = Terminal()
    with ProgressReporter(out, silence=0.01) as progress:
        progress.begin_step("Loading")
        wait_until(lambda: out.getvalue().count("\rLoading … 0 s") >= 2)
        progress.stop()
        progress.print_line("Loaded.")
    assert out.getvalue().count("\n") == 2
    assert out.getvalue().endswith("\nLoaded.\n")
