"""Checks and diagnoses for `registrar doctor`. A diagnosis has a part's state, a sentence, and the next step.

Checks run concurrently, so that one that fails or hangs never hides the others.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from bot.domain.core.errors import Misconfigured, RegistrarError, Unreachable
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import sanitize_text, truncate

CHECK_TIMEOUT = 10.0  # default timeout in seconds


class DiagnosisState(Enum):
    """The state of a part. `doctor --json` prints the value; people see the label."""

    OK = "ok"
    WARNING = "mind"  # works, but needs attention
    ERROR = "wrong"  # doesn't work until someone changes the configuration
    NO_REPLY = "silent"  # doesn't answer, or the answer can't be read
    SKIPPED = "skipped"  # wasn't checked

    @property
    def label(self) -> str:
        """The state as people see it."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The state of one part. `advice` is the next step; empty if no action is needed."""

    area: str
    state: DiagnosisState
    sentence: str
    advice: str = ""


def ok(area: str, sentence: str) -> Diagnosis:
    """Return a diagnosis for a part that works."""
    return Diagnosis(area, DiagnosisState.OK, sentence)


def warning(area: str, sentence: str, advice: str) -> Diagnosis:
    """Return a diagnosis for a part that works but needs attention."""
    return Diagnosis(area, DiagnosisState.WARNING, sentence, advice)


def failure(area: str, sentence: str, advice: str) -> Diagnosis:
    """Return a diagnosis for a part that doesn't work until someone changes the configuration."""
    return Diagnosis(area, DiagnosisState.ERROR, sentence, advice)


def exit_code(diagnoses: Iterable[Diagnosis]) -> int:
    """Return the exit code. An error takes precedence over a missing reply, because it won't go away on its own."""
    states = {diagnosis.state for diagnosis in diagnoses}
    if DiagnosisState.ERROR in states:
        return Misconfigured.exit_code
    return Unreachable.exit_code if DiagnosisState.NO_REPLY in states else 0


def summarize_diagnoses(diagnoses: Iterable[Diagnosis]) -> str:
    """Return the report's last line, which says how many parts are in each state except OK."""
    count = Counter(diagnosis.state for diagnosis in diagnoses)
    counts = [pluralize(count[state], *words) for state, words in _STATE_WORDS.items() if count[state]]
    bad = count[DiagnosisState.ERROR] + count[DiagnosisState.NO_REPLY]
    summary = ", ".join(counts)
    if not bad:
        return f"No problems found: {summary}." if summary else "No problems found."
    return f"Problems found: {summary}."


_STATE_WORDS = {
    DiagnosisState.ERROR: ("error", "errors"),
    DiagnosisState.NO_REPLY: ("without a reply", "without a reply"),
    DiagnosisState.WARNING: ("warning", "warnings"),
    DiagnosisState.SKIPPED: ("skipped", "skipped"),
}


class CheckSkippedError(Exception):
    """A check couldn't run, for a reason outside the part that it checks. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """A check of one part, with a timeout in seconds. `advice` is the next step if the check itself fails."""

    area: str
    run: Callable[[], Iterable[Diagnosis]]
    advice: str = ""
    timeout: float = CHECK_TIMEOUT


def run_checks(checks: Sequence[DoctorCheck]) -> list[Diagnosis]:
    """Run the checks; return their diagnoses in the checks' order. A failing check doesn't affect the others.

    A check that times out continues in its thread, which ends with the process at the latest.
    """
    began, diagnoses = time.monotonic(), list[Diagnosis]()
    running = []
    for check in checks:
        results = list[Diagnosis]()
        thread = threading.Thread(target=_run, args=(check, results), name=f"doctor-{check.area}", daemon=True)
        thread.start()
        running.append((check, thread, results))
    for check, thread, results in running:
        thread.join(max(0.0, began + check.timeout - time.monotonic()))
        problem = f"No reply within {check.timeout:g} s."
        timeout_diagnosis = Diagnosis(check.area, DiagnosisState.NO_REPLY, problem, check.advice)
        diagnoses += [*results, timeout_diagnosis] if thread.is_alive() else results
    return diagnoses


def _run(check: DoctorCheck, diagnoses: list[Diagnosis]) -> None:
    """Run a check, and add its diagnoses one by one, so that those before a failure are kept."""
    try:
        for diagnosis in check.run():
            diagnoses.append(diagnosis)  # noqa: PERF402 - one by one, for a caller that stops waiting
    except CheckSkippedError as error:
        diagnoses.append(Diagnosis(check.area, DiagnosisState.SKIPPED, str(error)))
    except Unreachable as error:
        diagnoses.append(Diagnosis(check.area, DiagnosisState.NO_REPLY, error_sentence(error), check.advice))
    except RegistrarError as error:
        diagnoses.append(Diagnosis(check.area, DiagnosisState.ERROR, error_sentence(error), check.advice))
    except Exception as error:  # the text of such an error can contain secrets, so only its class is shown
        problem = f"Can't read the reply ({type(error).__name__})."
        diagnoses.append(Diagnosis(check.area, DiagnosisState.NO_REPLY, problem, check.advice))


def error_sentence(error: RegistrarError) -> str:
    """Return an error's message for people, truncated unless the error is Misconfigured."""
    sentence = str(error.sentence)
    return sentence if isinstance(error, Misconfigured) else truncate(sentence, 400)


def display_url(url: str) -> str:
    """Return a URL without its credentials, query string, and fragment."""
    parts = urlsplit(url)
    return sanitize_text(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def join_names(names: Iterable[str], limit: int = 6) -> str:
    """Return the first `limit` names on one line, and how many more there are."""
    all_of_them = [sanitize_text(name) for name in names]
    more = f" and {len(all_of_them) - limit} more" if len(all_of_them) > limit else ""
    return ", ".join(all_of_them[:limit]) + more
