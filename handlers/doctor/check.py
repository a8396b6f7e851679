"""Checks, run concurrently, so that one that fails or hangs never hides the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.domain.core.errors import Misconfigured, RegistrarError, Unreachable
from bot.domain.core.sentence import sanitize_text, truncate
from handlers.doctor.diagnosis import Diagnosis, DiagnosisState

CHECK_TIMEOUT = 10.0  # default timeout in seconds


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
    began = time.monotonic()
    running = [(check, *_start(check)) for check in checks]
    diagnoses: list[Diagnosis] = []
    for check, thread, results in running:
        thread.join(max(0.0, began + check.timeout - time.monotonic()))
        timeout_diagnosis = Diagnosis(
            check.area, DiagnosisState.NO_REPLY, f"There was no answer within {check.timeout:g} s.", check.advice
        )
        diagnoses += [*results, timeout_diagnosis] if thread.is_alive() else results
    return diagnoses


def _start(check: DoctorCheck) -> tuple[threading.Thread, list[Diagnosis]]:
    diagnoses: list[Diagnosis] = []
    thread = threading.Thread(target=_run, args=(check, diagnoses), name=f"doctor-{check.area}", daemon=True)
    thread.start()
    return thread, diagnoses


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
