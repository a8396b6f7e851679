"""`registrar doctor` on the screen: a sign and a word for each part, and below it what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from handlers.doctor.diagnose import examine
from handlers.doctor.diagnosis import Finding, State, exit_code, is_healthy, summary
from handlers.terminal.output import console, documents

SIGNS = {
    State.OK: ("✓", "green"),
    State.MIND: ("!", "yellow"),
    State.WRONG: ("✗", "bold red"),
    State.SILENT: ("?", "bold magenta"),
    State.SKIPPED: ("–", "dim"),
}


def doctor(*, live: bool, as_json: bool) -> int:
    """Look at everything, print what was found, and return the exit code."""
    with Console(stderr=True).status("Looking at everything, a few seconds…"):  # on a screen only
        found = examine(live=live)
    if as_json:
        console.write(documents.to_json(document(found), console.encoding()))
    else:
        console.write(console.draw(lambda _: drawn(found, is_screen=console.console().is_terminal)))
    return exit_code(found)


def document(found: Sequence[Finding]) -> dict[str, object]:
    """Return what a program reads."""
    findings = [
        {"area": one.area, "state": one.state.value, "sentence": one.sentence, "advice": one.advice or None}
        for one in found
    ]
    return {"healthy": is_healthy(found), "findings": findings}


def drawn(found: Sequence[Finding], *, is_screen: bool) -> list[RenderableType]:
    """Return what a person reads: a table on a screen, a line for each part where there is none."""
    parts: list[RenderableType] = [_table(found)] if is_screen else [Text(line(one)) for one in found]
    return [*parts, *([Text()] if is_screen else []), Text(summary(found), style="bold")]


def line(one: Finding) -> str:
    """Return a finding in one line."""
    return f"{one.state.value:<7}  {one.area}: {one.sentence}" + (f" → {one.advice}" if one.advice else "")


def _table(found: Sequence[Finding]) -> Table:
    table = console.table()
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for one in found:
        sign, style = SIGNS[one.state]
        said = Text(one.sentence, style="dim" if one.state is State.SKIPPED else "")
        if one.advice:
            said.append(f"\n→ {one.advice}", style="bold" if one.state in {State.WRONG, State.SILENT} else "")
        area = "" if one.area == before else one.area
        table.add_row(Text(f"{sign} {one.state.value}", style=style), Text(area), said)
        before = one.area
    return table
