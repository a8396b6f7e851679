"""A comparison as a person reads it at the terminal. Names from outside are plain text here, never rich's markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bot.domain.core.numbers import MISSING, delta, number
from bot.domain.core.sentence import Say, clean, short
from bot.domain.promotions.snapshot import Seen
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.messages import sentence
from handlers.terminal.output import console

BEST = "★"
BETWEEN = 2  # columns of the screen between two of the table
HEADING_MOST, SEMVER_MOST = 18, 20  # what is wider goes on in the next line
NAMED = 40  # metrics that do not fit and are named; of more, the rest is counted


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table; `best` is the row that wins it."""

    heading: str
    cells: Sequence[str]
    width: int
    best: int | None = None


def comparison(found: Comparison, width: int) -> list[RenderableType]:
    """Return the sentence, the table of every version with as many metrics as fit, and what was left out."""
    parts: list[RenderableType] = [Text(str(sentence(found)))]
    if found.frame.empty:
        return parts
    columns = fixed(found)
    metrics = fitting(found, width - sum(column.width + BETWEEN for column in columns))
    parts += [Text(), _table([*columns, *metrics])]
    if metrics:
        parts.append(Text(_legend(found), style="dim"))
    if left_out := found.metrics[len(metrics) :]:
        parts.append(Text(_left_out(left_out, len(found.metrics), width)))
    return parts


def gates(seen: Seen, said: Say) -> list[RenderableType]:
    """Return the sentence, and a table of the gates: what was found, and what has to be."""
    parts: list[RenderableType] = [Text(str(said))]
    if not seen.gates:
        return parts
    table = console.table()
    for heading in ("", "Gate", "Value", "Has to be", "Note"):
        table.add_column(heading, overflow="fold")
    for gate in seen.gates:
        mark = Text("✓", style="bold green") if gate.passed else Text("✗", style="bold red")
        table.add_row(
            mark, *(Text(_shown(text)) for text in (gate.name, gate.value, gate.bound)), Text(clean(gate.note))
        )
    return [*parts, Text(), table]


def fixed(found: Comparison) -> list[Column]:
    """Return the columns in front of the metrics."""
    semvers = [_shown(one) if one else MISSING for one in found.frame["semver"]]
    stages = [MISSING if one == "None" else str(one) for one in found.frame["stage"]]
    versions = [f"v{number} blocked" if number in found.blocked else f"v{number}" for number in found.versions]
    return [
        _column("Version", versions),
        _column("Semver", semvers, SEMVER_MOST),
        _column("Stage", stages),
    ]


def fitting(found: Comparison, room: int) -> list[Column]:
    """Return the columns of the first metrics, as many as fit into so many columns of the screen."""
    columns: list[Column] = []
    for metric in found.metrics:
        column = measured(found, metric)
        room -= column.width + (BETWEEN if columns else 0)
        if room < 0:
            break
        columns.append(column)
    return columns


def measured(found: Comparison, metric: str) -> Column:
    """Return a metric's column: value, the best one's star, and difference to Production, each under its like."""
    winner = found.best.get(metric)
    texts = [number(value) for value in found.frame[metric].tolist()]
    gaps = ["" if isnan(gap) or gap == 0 else delta(gap) for gap in found.deltas[metric].tolist()]
    best = None if winner is None else found.versions.index(winner)
    values = [text + (BEST if row == best else " ") for row, text in enumerate(texts)]
    cells = [" ".join(parts) for parts in zip(_aligned(values), _aligned(gaps), strict=True)]
    heading = _shown(metric)
    wide = max(cell_len(cell.rstrip()) for cell in cells)
    cells = [cell[:wide] for cell in cells]
    return Column(heading, cells, max(wide, min(cell_len(heading), HEADING_MOST)), best)


def _aligned(texts: Sequence[str]) -> list[str]:
    wide = max(map(len, texts))
    return [text.rjust(wide) for text in texts]


def _column(heading: str, cells: Sequence[str], most: int | None = None) -> Column:
    wide = max(cell_len(text) for text in [heading, *cells])
    return Column(heading, cells, min(wide, most or wide))


def _table(columns: Sequence[Column]) -> Table:
    table = console.table()
    for at, column in enumerate(columns):
        justify = "left" if at < 3 else "right"
        table.add_column(Text(column.heading), width=column.width, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in range(len(columns[0].cells)):
        table.add_row(
            *(Text(column.cells[row], style="bold green" if row == column.best else "") for column in columns)
        )
    return table


def _legend(found: Comparison) -> str:
    if found.incumbent is None:
        return f"{BEST} best"
    return f"{BEST} best; beside the values the difference to v{found.incumbent} in Production"


def _left_out(metrics: Sequence[str], all_of_them: int, width: int) -> str:
    names = ", ".join(short(_shown(metric), 60) for metric in metrics[:NAMED])
    more = f" and {len(metrics) - NAMED:,} more" if len(metrics) > NAMED else ""
    return (
        f"{len(metrics):,} of {all_of_them:,} metrics do not fit into {width} columns: {names}{more}. "
        "Choose some with --metrics A,B, or see all with --csv."
    )


def _shown(text: str) -> str:
    return clean(str(text)).strip() or MISSING
