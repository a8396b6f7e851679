"""The docs site's navigation, for Zensical. Each section's index.md lists its pages in order."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scripts.markdown import DOCS, ROOT

SECTIONS = {
    "get-started": "Get started",
    "how-to": "How-to",
    "reference": "Reference",
    "explanation": "Explanation",
    "operations": "Operations",
}
BEGIN, END = "# -- navigation\n", "# -- end of navigation\n"


def navigation() -> str:
    """Return zensical.toml with the navigation between its markers."""
    sections = [{"Home": "index.md"}, *({title: _pages(DOCS / name)} for name, title in SECTIONS.items())]
    nav = "nav = [\n" + "".join(f"  {_toml(one)},\n" for one in sections) + "]\n"
    before, _, rest = (ROOT / "zensical.toml").read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}{nav}{END}{rest.partition(END)[2]}"


def _pages(section: Path) -> list[object]:
    """Return a section's own page, then the pages in `docs` that its list items start with a link to, in order.

    If an item links to the index.md of another folder, such as the decisions', that folder becomes a nested section.
    """
    index = section / "index.md"
    found: list[object] = [_path(index)]
    for title, target in re.findall(
        r"^(?:-|\d+\.) \[([^]]+)\]\(([^)#]+\.md)\)", index.read_text(encoding="utf-8"), re.MULTILINE
    ):
        page = (section / target).resolve()
        found.append({title.replace("`", ""): _pages(page.parent) if page.name == "index.md" else _path(page)})
    return found


def _path(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def _toml(value: object) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
