"""Render a report as one self-contained HTML page. The template escapes every value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.domain.core.sentence import sanitize_text


def render_page(template: Path, filters: Mapping[str, Callable[..., str]], **values: object) -> str:
    """Return a template's HTML. `filters` are the filters that the template uses besides `clean`."""
    shared = FileSystemLoader(Path(__file__).parent)  # the style of all pages
    environment = Environment(
        loader=shared, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"clean": sanitize_text, **filters}
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)
