"""The report as one HTML page without scripts, in sections that someone new to Registrar can follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from bot.domain.core.sentence import sanitize_text
from handlers.terminal.output.pages import render_page


def evidence_page(document: Mapping[str, Any]) -> str:
    """Return the page's HTML, which is made only from the report's document."""
    kinds = [(kind, list(found)) for kind, found in groupby(document["exceptions"], key=lambda one: one["kind"])]
    filters = {"moment": moment, "shown": _shown, "label": _label}
    return render_page(Path(__file__).with_name("page.html"), filters, report=document, kinds=kinds)


def moment(at: str | None) -> str:
    """Return a canonical time as text for people, to the second."""
    return f"{at[:10]} {at[11:19]} UTC" if at else "not recorded"


def _label(key: str) -> str:
    return key.replace("_", " ")


def _shown(value: object) -> str:
    """Return a value as text for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(str(key))}: {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(_shown, value)) or "none"
    return sanitize_text(str(value))
