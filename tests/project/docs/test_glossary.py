"""The glossary matches the code: its names exist, and the code uses no other words for them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from tests.support.paths import ROOT

# The domain's words; outer layers add those of Slack, HTTP, and SQL.
SPOKEN_IN = ("domain", "ports", "services")
# English that a reader needs no glossary for, and the parts that names of classes are built of.
PLAIN = set(
    re.findall(
        r"\w+",
        """
        add admin alerts already answer approve availability backlog bad base batch blocked bot build busy
        call cancel chart clock compare completion connected context dataset day decided describe
        directory disconnected dispatcher edit error evaluator evidence field find firing follow gathered gone
        help here history home idempotency idempotent import importer in input key known list log many
        misconfigured missing monitoring no not notifier null observer open opening outages own pause
        payload people preconditions problem push pushed recorder refusal refused register registrar registration
        reject relative remove replay reset resume reused row set show side slack staging strict system tally
        thread time unavailable unblock unfreeze unknown unreachable unsilence up upgraded upkeep validate
        variability view webhook withdraw wrong
        """,
    )
)


class Entry(NamedTuple):
    """An entry: its terms, the names that carry them, and the words that the code doesn't use for them."""

    terms: list[str]
    names: list[str]
    avoided: list[str]


@cache
def entries() -> list[Entry]:
    """Return the entries of docs/reference/glossary.md."""
    text = (ROOT / "docs" / "reference/glossary.md").read_text(encoding="utf-8")
    return [
        Entry(
            terms=[term.lower() for term in re.findall(r"\*\*(.+?)\*\*", head)],
            names=re.findall(r"`(\w+)`", head),
            avoided=re.findall(r"\*(\w+)\*", head.partition(" not ")[2]),
        )
        for head in re.findall(r"^(\*\*.+)\n: ", text, flags=re.MULTILINE)
    ]


def words(name: str) -> list[str]:
    """Return the words of a name such as `RollbackBlock` or `append_audit`, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def classes(*layers: str) -> Iterator[str]:
    """Yield the public classes of these layers of bot."""
    for layer in layers:
        for path in sorted((ROOT / "bot" / layer).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name


def test_every_term_has_one_entry() -> None:
    counts = Counter(term for entry in entries() for term in entry.terms)
    assert len(counts) > 50, "the page isn't read as it's written any more"
    assert [term for term, times in counts.items() if times > 1] == []


def test_every_name_is_a_class_of_the_code() -> None:
    known = set(classes("."))
    assert [name for entry in entries() for name in entry.names if name not in known] == []


def test_no_class_name_has_a_word_that_the_glossary_avoids() -> None:
    avoided = {word for entry in entries() for word in entry.avoided}
    assert [name for name in classes(".") if avoided & set(words(name))] == []


def singular(word: str) -> set[str]:
    """Return a word and its possible singular forms."""
    return {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}


@pytest.mark.parametrize("layer", SPOKEN_IN)
def test_every_word_in_the_name_of_a_class_is_in_the_glossary(layer: str) -> None:
    tokens = [token for entry in entries() for token in [*entry.terms, *entry.names]]
    known = PLAIN.union(*(singular(word) for token in tokens for word in words(token)))
    assert {word: name for name in classes(layer) for word in words(name) if not singular(word) & known} == {}
