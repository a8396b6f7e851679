"""Our clock beside that of who answers us."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bot.domain.core.durations import format_duration
from handlers.doctor.check import CheckSkippedError
from handlers.doctor.diagnosis import Diagnosis, failure, ok

MAX_DIFFERENCE = timedelta(seconds=60)  # Slack's signatures and ours are good for five minutes


def check_clock(server: str, date: str, received_at: datetime) -> Diagnosis:
    """Report how far apart the clocks are, by the Date header of an answer received at `received_at`.

    Raises CheckSkippedError if there's no such header.
    """
    try:
        server_time = parsedate_to_datetime(date)
    except ValueError:
        raise CheckSkippedError(f"Could not look: {server} does not say what time it is.") from None
    apart = received_at - (server_time if server_time.tzinfo else server_time.replace(tzinfo=UTC))
    if abs(apart) <= MAX_DIFFERENCE:
        return ok("clock", f"This machine's clock agrees with {server}'s.")
    relation = "ahead of" if apart > timedelta(0) else "behind"
    return failure(
        "clock",
        f"This machine's clock is {format_duration(abs(apart))} {relation} {server}'s; five "
        "minutes apart no signature is taken.",
        "Let the system set it: timedatectl set-ntp true.",
    )
