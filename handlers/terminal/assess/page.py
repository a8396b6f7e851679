"""The assessment as one self-contained HTML page. The template escapes every value."""

from __future__ import annotations

from pathlib import Path

from bot.domain.registry.assessment import ProblemKind
from handlers.terminal.assess.json_document import run_state
from handlers.terminal.assess.result import AssessedRegistry
from handlers.terminal.output.pages import render_page

MAX_ROWS = 1_000  # of a table; a browser is slow with more


def assessment_page(result: AssessedRegistry) -> str:
    """Return the page's HTML."""
    found = result.assessment
    kinds = [(kind, problems) for kind in ProblemKind if (problems := found.of_kind(kind))]
    template = Path(__file__).with_name("page.html")
    return render_page(template, {"run_state": run_state}, result=result, found=found, kinds=kinds, max_rows=MAX_ROWS)
