"""What `registrar doctor` finds: how a part is, in a sentence, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.core.numbers import pluralize


class DiagnosisState(Enum):
    """How a part is."""

    OK = "ok"  # as it has to be
    WARNING = "mind"  # works, but there's something to know
    ERROR = "wrong"  # doesn't work until someone changes the configuration
    NO_REPLY = "silent"  # doesn't answer, or not intelligibly
    SKIPPED = "skipped"  # was not looked at


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The state of one part. `advice`: the one thing to do about it; empty if there's nothing to do."""

    area: str
    state: DiagnosisState
    sentence: str
    advice: str = ""


def ok(area: str, sentence: str) -> Diagnosis:
    """Return that a part is as it has to be."""
    return Diagnosis(area, DiagnosisState.OK, sentence)


def warning(area: str, sentence: str, advice: str) -> Diagnosis:
    """Return that a part works, with something to know about it."""
    return Diagnosis(area, DiagnosisState.WARNING, sentence, advice)


def failure(area: str, sentence: str, advice: str) -> Diagnosis:
    """Return that a part doesn't work until someone changes the configuration."""
    return Diagnosis(area, DiagnosisState.ERROR, sentence, advice)


def is_healthy(diagnoses: Iterable[Diagnosis]) -> bool:
    """Return whether nothing is wrong and everything has answered."""
    return exit_code(diagnoses) == 0


def exit_code(diagnoses: Iterable[Diagnosis]) -> int:
    """Return the exit code: a wrong configuration takes precedence over no answer, because it won't go away."""
    states = {diagnosis.state for diagnosis in diagnoses}
    if DiagnosisState.ERROR in states:
        return Misconfigured.exit_code
    return Unreachable.exit_code if DiagnosisState.NO_REPLY in states else 0


def summarize_diagnoses(diagnoses: Iterable[Diagnosis]) -> str:
    """Return the last line: how many are how."""
    count = dict.fromkeys(DiagnosisState, 0)
    for diagnosis in diagnoses:
        count[diagnosis.state] += 1
    counts = [pluralize(count[state], *words) for state, words in _STATE_WORDS.items() if count[state]]
    bad = count[DiagnosisState.ERROR] + count[DiagnosisState.NO_REPLY]
    summary = " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts)
    if not bad:
        return f"Nothing is wrong: {summary}." if summary else "Nothing is wrong."
    return f"{summary[:1].upper() + summary[1:]}."


_STATE_WORDS = {
    DiagnosisState.ERROR: ("thing is wrong", "things are wrong"),
    DiagnosisState.NO_REPLY: ("does not answer", "do not answer"),
    DiagnosisState.WARNING: ("thing to mind", "things to mind"),
    DiagnosisState.SKIPPED: ("was not looked at", "were not looked at"),
}
