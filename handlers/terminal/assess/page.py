"""The assessment as one HTML page, which loads nothing else. The template escapes every value."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from bot.domain.core.sentence import sanitize_text
from bot.domain.registry.assessment import ProblemKind
from handlers.terminal.assess.document import run_state
from handlers.terminal.assess.result import AssessedRegistry

MAX_ROWS = 1_000  # of a table; a browser is slow with more


def assessment_page(result: AssessedRegistry) -> str:
    """Return the page's HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clean": sanitize_text, "run_state": run_state}
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    found = result.assessment
    kinds = [(kind, problems) for kind in ProblemKind if (problems := found.of_kind(kind))]
    return template.render(result=result, found=found, kinds=kinds, max_rows=MAX_ROWS)
