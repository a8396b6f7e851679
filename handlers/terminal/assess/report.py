"""The assessment on a terminal: a summary, a table of problems, and examples of each."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from bot.domain.registry.assessment import ProblemKind
from handlers.terminal.assess.result import AssessedRegistry
from handlers.terminal.output import console

MAX_EXAMPLES = 3  # problems of each kind that are listed; the others are counted


def assessment_report(result: AssessedRegistry, *, with_details: bool) -> list[RenderableType]:
    """Return the summary and a table of problems, worst first. `with_details` adds examples and limits."""
    counts = {kind: len(result.assessment.of_kind(kind)) for kind in ProblemKind}
    parts: list[RenderableType] = [Text(f"{result.address}: {result.summary}", style="bold")]
    if not any(counts.values()):
        parts.append(Text("No problems found."))
    else:
        table = console.new_table("Problem", "Number", "What to do")
        table.columns[1].justify = "right"
        for kind, count in counts.items():
            if count:
                table.add_row(Text(kind.heading), Text(f"{count:,}"), Text(kind.advice))
        parts += [Text(), table]
    if with_details:
        parts += [line for kind in ProblemKind for line in _examples(result, kind)]
        parts += [Text(), *(Text(str(limit), style="dim") for limit in result.limits)]
    return parts


def _examples(result: AssessedRegistry, kind: ProblemKind) -> list[Text]:
    found = result.assessment.of_kind(kind)
    if not found:
        return []
    left_out = len(found) - MAX_EXAMPLES
    more = [f"and {left_out:,} more; for all, add --json or --html FILE"] if left_out > 0 else []
    lines = [*(str(problem.sentence) for problem in found[:MAX_EXAMPLES]), *more]
    return [Text(), Text(kind.heading, style="bold"), *(Text(f"  {line}") for line in lines)]
