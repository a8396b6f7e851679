"""The code blocks of the docs, with the comments that say how a test treats them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from tests.support.paths import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "deploy/**/*.md", ".github/actions/*/*.md")
    for path in ROOT.glob(pattern)
)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block. `mark` is the comment on the line before it, without the arrows."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def place(self) -> str:
        """The page and the line of its fence."""
        return f"{self.page}:{self.line}"

    def after(self, words: str) -> str | None:
        """Return what the mark says after these words, or None if it doesn't begin with them."""
        return self.mark.removeprefix(words).strip() if self.mark.startswith(words) else None


@cache
def page_text(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def page_blocks(page: str) -> tuple[CodeBlock, ...]:
    """Return a page's blocks, from its first to its last."""
    return tuple(find_blocks(page, page_text(page)))


def find_blocks(page: str, text: str) -> list[CodeBlock]:
    """Return the blocks of a text, without their indentation."""
    lines, found, at = text.splitlines(), [], 0
    while at < len(lines):
        if fence := re.fullmatch(r"( *)(`{3,})([\w-]*).*", lines[at]):
            indent, ticks, language = fence.groups()
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == ticks), len(lines))
            inner = "".join(f"{line.removeprefix(indent)}\n" for line in lines[at + 1 : end])
            mark = re.fullmatch(r"<!-- (.+) -->", lines[at - 1].strip()) if at else None
            found.append(CodeBlock(page, at + 1, language, inner, mark[1] if mark else ""))
            at = end
        at += 1
    return found


def page_setting(page: str, name: str) -> str:
    """Return what a page says about itself, such as `<!-- run with: policy, ledger -->`, or an empty string."""
    found = re.findall(rf"^<!-- {name}: (.+) -->$", page_text(page), flags=re.MULTILINE)
    assert len(found) < 2, f"{page} says “{name}” twice"
    return found[0] if found else ""


def prose(text: str) -> str:
    """Return a page's text without its blocks and comments."""
    return re.sub(r"^( *)(`{3,}).*?^\1\2 *$|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)
