"""What the generated pages are written with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = "<!-- Made by scripts/docs.py; change the code it names and run `make docs`. -->"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("…") else ".")


def comments(kind: type[Enum]) -> dict[str, str]:
    """Return the comment behind each member of an enumeration, by the member's name."""
    found = re.findall(r"^    (\w+) = .*?(?:  # (.*))?$", inspect.getsource(kind), flags=re.MULTILINE)
    return {name: comment for name, comment in found if name in kind.__members__}


def replace_between(page: str, name: str, made: str) -> str:
    """Return a page with what is between the marks of this name made anew."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{made}\n\n{end}{after}"
