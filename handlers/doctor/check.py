"""One look at one part, and all of them beside each other, so that what fails or hangs never hides the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.domain.core.errors import Misconfigured, RegistrarError, Unreachable
from bot.domain.core.sentence import clean, short
from handlers.doctor.diagnosis import Finding, State

PATIENCE = 10.0  # seconds for a check that says nothing else


class NotLookedAtError(Exception):
    """A check could not look: the text says why, and is no fault of what it was to look at."""


@dataclass(frozen=True, slots=True)
class Check:
    """One look at one part, of at most so many seconds. `advice` is given where the look itself fails."""

    area: str
    look: Callable[[], Iterable[Finding]]
    advice: str = ""
    seconds: float = PATIENCE


def look_at(checks: Sequence[Check]) -> list[Finding]:
    """Return what every check found, in their order; nothing that one of them does keeps the others from it.

    What does not end in time goes on in its thread, which ends with the process at the latest.
    """
    began = time.monotonic()
    running = [(check, *_start(check)) for check in checks]
    found: list[Finding] = []
    for check, thread, its in running:
        thread.join(max(0.0, began + check.seconds - time.monotonic()))
        late = Finding(check.area, State.SILENT, f"There was no answer within {check.seconds:g} s.", check.advice)
        found += [*its, late] if thread.is_alive() else its
    return found


def _start(check: Check) -> tuple[threading.Thread, list[Finding]]:
    found: list[Finding] = []
    thread = threading.Thread(target=_look, args=(check, found), name=f"doctor-{check.area}", daemon=True)
    thread.start()
    return thread, found


def _look(check: Check, found: list[Finding]) -> None:
    """Add what the check finds, one after the other: what it found before it failed stays."""
    try:
        for one in check.look():
            found.append(one)  # noqa: PERF402 - one by one, for whoever gives up waiting
    except NotLookedAtError as error:
        found.append(Finding(check.area, State.SKIPPED, str(error)))
    except Unreachable as error:
        found.append(Finding(check.area, State.SILENT, sentence_of(error), check.advice))
    except RegistrarError as error:
        found.append(Finding(check.area, State.WRONG, sentence_of(error), check.advice))
    except Exception as error:  # the text of such an error may hold anything, secrets too: only its kind is told
        what = f"What answered made no sense ({type(error).__name__})."
        found.append(Finding(check.area, State.SILENT, what, check.advice))


def sentence_of(error: RegistrarError) -> str:
    """Return what an error says to a person."""
    said = str(error.sentence)
    return said if isinstance(error, Misconfigured) else short(said, 400)


def shown(address: str) -> str:
    """Return an address without user, password and whatever stands behind a question mark."""
    parts = urlsplit(address)
    return clean(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return names in one line; of many only the first, and how many there are beside them."""
    all_of_them = [clean(name) for name in names]
    more = f" and {len(all_of_them) - most} more" if len(all_of_them) > most else ""
    return ", ".join(all_of_them[:most]) + more
