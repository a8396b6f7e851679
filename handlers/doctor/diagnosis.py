"""What `registrar doctor` finds: how a part is, in a sentence, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.core.numbers import counted


class State(Enum):
    """How a part is."""

    OK = "ok"  # as it has to be
    MIND = "mind"  # works, and there is something to know
    WRONG = "wrong"  # does not work until somebody changes what is configured
    SILENT = "silent"  # does not answer, or not in a way that can be understood
    SKIPPED = "skipped"  # was not looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """How one part is. `advice` is the one thing to do about it; there is none where nothing is to be done."""

    area: str
    state: State
    sentence: str
    advice: str = ""


def ok(area: str, sentence: str) -> Finding:
    """Return that a part is as it has to be."""
    return Finding(area, State.OK, sentence)


def mind(area: str, sentence: str, advice: str) -> Finding:
    """Return that a part works, and what there is to know about it."""
    return Finding(area, State.MIND, sentence, advice)


def wrong(area: str, sentence: str, advice: str) -> Finding:
    """Return that a part does not work until somebody changes what is configured."""
    return Finding(area, State.WRONG, sentence, advice)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is wrong and everything that was asked has answered."""
    return exit_code(findings) == 0


def exit_code(findings: Iterable[Finding]) -> int:
    """Return how the terminal ends: what is configured wrongly comes before what does not answer, for it stays so."""
    states = {finding.state for finding in findings}
    if State.WRONG in states:
        return Misconfigured.exit_code
    return Unreachable.exit_code if State.SILENT in states else 0


def summary(findings: Iterable[Finding]) -> str:
    """Return the last line: how many are how."""
    count = dict.fromkeys(State, 0)
    for finding in findings:
        count[finding.state] += 1
    told = [counted(count[state], *words) for state, words in _WORDS.items() if count[state]]
    bad = count[State.WRONG] + count[State.SILENT]
    said = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
    if not bad:
        return f"Nothing is wrong: {said}." if said else "Nothing is wrong."
    return f"{said[:1].upper() + said[1:]}."


_WORDS = {
    State.WRONG: ("thing is wrong", "things are wrong"),
    State.SILENT: ("does not answer", "do not answer"),
    State.MIND: ("thing to mind", "things to mind"),
    State.SKIPPED: ("was not looked at", "were not looked at"),
}
