"""Words that Registrar avoids in messages, help, docs, and docstrings, and what it writes instead.

tests/project/test_vocabulary.py enforces it, and docs/reference/vocabulary.md lists it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.markdown import MADE, table


@dataclass(frozen=True, slots=True)
class Word:
    """A word to avoid.

    `pattern` is a case-insensitive regular expression; `allowed` lists the paths or path prefixes where the word is
    allowed.
    """

    pattern: str
    reason: str
    instead: str
    allowed: tuple[str, ...] = ()
    is_for_messages: bool = False  # whether docs and docstrings can use it


_TRANSLATED = "Word for word from another language"
_ONE_TERM = "Registrar uses another term"
_BRITISH = "British spelling"
_STATES = (  # list the states that the ledger stores
    "docs/reference/terminal.md",
    "handlers/api/schemas.py",
)

WORDS = (
    Word(
        r"(?<!there )\b(?:is|are|was|were) no (?!longer|more|less|fewer|other|such|better|worse|way|reason|data)\w",
        _TRANSLATED,
        "isn't a; can't read … as a",
    ),
    Word(r"\b(?:is|are|was|were|be|been) told\b(?! apart)", _TRANSLATED, "say who tells whom: I told @alice"),
    Word(r"\bthread tells\b", _TRANSLATED, "follow along in the thread"),
    Word(r"\bfrom now on\b", _TRANSLATED, "is now, applies"),
    Word(r"\banew\b", "Literary", "again"),
    Word(r"\bagain and again\b", "Literary", "repeatedly"),
    Word(r"\bby (?:itself|themselves)\b", _TRANSLATED, "automatically, alone"),
    Word(r"\ball the same\b", _TRANSLATED, "anyway, still"),
    Word(r"\bin the way\b", _TRANSLATED, "blocks"),
    Word(r"\bmend(?:s|ed|ing)?\b", "Old-fashioned", "fix, repair"),
    Word(r"\bsomebody\b", "One word for this", "someone, people who can …"),
    Word(r"(?<!by )\bwhom\b", "Formal", "split the sentence; who"),
    Word(r"\bwrite it so\b", _TRANSLATED, "Usage:"),
    Word(r"\bgo(?:es)? on (?!call)\w", _TRANSLATED, "continue"),
    Word(r"\balready[.!]", _TRANSLATED, "has already …"),
    Word(r"\bMind:", _TRANSLATED, "Warning:, Blocked:"),
    Word(r"\bgone back to\b|\bversion to go back to\b", _ONE_TERM, "roll back to"),
    Word(r"\btaken aside\b|\bput(?:s)? back\b", _ONE_TERM, "archived, restored"),
    Word(r"\bask(?:s|ed|ing)? for a (?:promotion|version)\b|\basker\b", _ONE_TERM, "request, requester"),
    Word(r"\bwak(?:e|es|ing) us\b|\bthe house\b", "A metaphor", "entry points, architecture"),
    Word(r"\bplug-ins?\b", "One spelling", "plugin"),
    Word(r"\breckon(?:s|ed|ing)?\b", "Old-fashioned", "compute, calculate, count"),
    Word(r"\blook(?:s|ed|ing)? after\b", _ONE_TERM, "acknowledge"),
    Word(r"\bcall(?:s|ed|ing)? off\b", _ONE_TERM, "cancel"),
    Word(r"\b(?:let|lets) (?:\w+ )?pass\b", _ONE_TERM, "override"),
    Word(r"\btr(?:y|ies|ied) itself out\b", _ONE_TERM, "dry run"),
    Word(r"\bwritten down\b|\bwrites? (?:it )?down\b", _TRANSLATED, "record, save"),
    Word(r"\bfigures\b", _ONE_TERM, "values, metrics, readings"),
    Word(r"\bis there already\b", _TRANSLATED, "already exists"),
    Word(r"\bknows? no\b", _TRANSLATED, "doesn't know; unknown"),
    Word(r"\bcolour|\bbehaviour|\bfavour|\bneighbour|\bhonour", _BRITISH, "color, behavior"),
    Word(r"\bcancell(?:ed|ing)\b|\blabell(?:ed|ing)\b", _BRITISH, "canceled, labeled", _STATES),
    Word(r"\b(?:recogni|organi|summari|normali|initiali|seriali)s(?:e|es|ed|ing)\b", _BRITISH, "recognize, organize"),
    Word(r"\bbeside\b", "Literary", "next to, with"),
    Word(r"\bhand(?:s|ed)? over\b", _TRANSLATED, "pass"),
    Word(
        r"\bcan ?not\b|\b(?:is|are|do|does|did|was|were|has|have|will) not\b",
        "Slack and the terminal use contractions",
        "can't, isn't, don't",
        ("bot/registry/mlflow/errors.py",),  # quotes PostgreSQL
        is_for_messages=True,
    ),
    Word(
        r"\b(?:who|you|they|nobody|no one|program|person|people|admins?|guests?|clients?) may\b|\bmay not\b",
        "Permission and ability are “can”",
        "can",
        is_for_messages=True,
    ),
    Word(r"\bstale\b", _ONE_TERM, "outdated", _STATES, is_for_messages=True),
)


def find_words(text: str, place: str, *, is_message: bool) -> Iterator[tuple[Word, str]]:
    """Yield each word to avoid in a text, with the text around it. Code and placeholders are exempt."""
    prose = re.sub(r"`[^`]*`|\{\w*\}", "`…`", text)
    for word in WORDS:
        if (is_message or not word.is_for_messages) and not place.startswith(word.allowed or ("\0",)):
            for found in re.finditer(word.pattern, prose, re.IGNORECASE):
                yield word, prose[max(0, found.start() - 40) : found.end() + 40].replace("\n", " ")


def vocabulary() -> str:
    """Return docs/reference/vocabulary.md."""
    rows = [
        [f"`{word.pattern}`", word.instead, word.reason, "messages" if word.is_for_messages else "everywhere"]
        for word in WORDS
    ]
    return f"""{MADE}

# Words to avoid

A test searches messages, help, docs, and docstrings for these patterns, except in code. To allow one somewhere, add the
path to `allowed` in `scripts/vocabulary.py`. [Messages](messages/index.md) has every message.

{table(["pattern", "write", "why", "where"], rows)}
"""
