"""The checks of `registrar doctor`, and what they find: how a part is, in a sentence, and the one thing to do about it.

Checks run concurrently, so that one that fails or hangs never hides the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from urllib.parse import urlsplit

from bot.domain.core.durations import format_duration
from bot.domain.core.errors import Misconfigured, RegistrarError, Unreachable
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import sanitize_text, truncate

CHECK_TIMEOUT = 10.0  # default timeout in seconds
MAX_CLOCK_DIFFERENCE = timedelta(seconds=60)  # Slack's signatures and ours are good for five minutes


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


class CheckSkippedError(Exception):
    """A check couldn't run, for a reason outside the part that it checks: the text says why."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """A check of one part, with a timeout in seconds. `advice` is given if the check itself fails."""

    area: str
    run: Callable[[], Iterable[Diagnosis]]
    advice: str = ""
    timeout: float = CHECK_TIMEOUT


def run_checks(checks: Sequence[DoctorCheck]) -> list[Diagnosis]:
    """Return every check's diagnoses, in the checks' order; a failing check doesn't affect the others.

    One that times out continues in its thread, which ends with the process at the latest.
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
        problem = f"There was no answer within {check.timeout:g} s."
        timeout_diagnosis = Diagnosis(check.area, DiagnosisState.NO_REPLY, problem, check.advice)
        diagnoses += [*results, timeout_diagnosis] if thread.is_alive() else results
    return diagnoses


def _run(check: DoctorCheck, diagnoses: list[Diagnosis]) -> None:
    """Add the check's diagnoses one by one, so that those before a failure are kept."""
    try:
        for diagnosis in check.run():
            diagnoses.append(diagnosis)  # noqa: PERF402 - one by one, for whoever gives up waiting
    except CheckSkippedError as error:
        diagnoses.append(Diagnosis(check.area, DiagnosisState.SKIPPED, str(error)))
    except Unreachable as error:
        diagnoses.append(Diagnosis(check.area, DiagnosisState.NO_REPLY, error_sentence(error), check.advice))
    except RegistrarError as error:
        diagnoses.append(Diagnosis(check.area, DiagnosisState.ERROR, error_sentence(error), check.advice))
    except Exception as error:  # the text of such an error can contain secrets, so only its class is shown
        problem = f"What answered made no sense ({type(error).__name__})."
        diagnoses.append(Diagnosis(check.area, DiagnosisState.NO_REPLY, problem, check.advice))


def error_sentence(error: RegistrarError) -> str:
    """Return an error's message for people."""
    sentence = str(error.sentence)
    return sentence if isinstance(error, Misconfigured) else truncate(sentence, 400)


def display_url(url: str) -> str:
    """Return an address without user, password, and query string."""
    parts = urlsplit(url)
    return sanitize_text(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def join_names(names: Iterable[str], limit: int = 6) -> str:
    """Return names in one line; of many only the first, and how many there are beside them."""
    all_of_them = [sanitize_text(name) for name in names]
    more = f" and {len(all_of_them) - limit} more" if len(all_of_them) > limit else ""
    return ", ".join(all_of_them[:limit]) + more


def check_clock(server: str, date: str, received_at: datetime) -> Diagnosis:
    """Report how far apart the clocks are, by the Date header of an answer received at `received_at`.

    Raises CheckSkippedError if there's no such header.
    """
    try:
        server_time = parsedate_to_datetime(date)
    except ValueError:
        raise CheckSkippedError(f"Could not look: {server} does not say what time it is.") from None
    apart = received_at - (server_time if server_time.tzinfo else server_time.replace(tzinfo=UTC))
    if abs(apart) <= MAX_CLOCK_DIFFERENCE:
        return ok("clock", f"This machine's clock agrees with {server}'s.")
    difference = f"{format_duration(abs(apart))} {'ahead of' if apart > timedelta(0) else 'behind'}"
    return failure(
        "clock",
        f"This machine's clock is {difference} {server}'s; five minutes apart no signature is taken.",
        "Let the system set it: timedatectl set-ntp true.",
    )
