"""The check that compares this machine's clock with Slack's and MLflow's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bot.domain.core.durations import format_duration
from handlers.doctor.check import CheckSkippedError, Diagnosis, failure, ok

MAX_CLOCK_DIFFERENCE = timedelta(seconds=60)  # signatures, Slack's and Registrar's, are valid for five minutes


def check_clock(server: str, date: str, received_at: datetime) -> Diagnosis:
    """Return a diagnosis for this machine's clock, compared with the Date header of a reply from `server`.

    `date` is the header, and `received_at` is when the reply arrived. Raises CheckSkippedError without a header.
    """
    try:
        server_time = parsedate_to_datetime(date)
    except ValueError:
        raise CheckSkippedError(f"Can't check: {server}'s reply has no Date header.") from None
    apart = received_at - (server_time if server_time.tzinfo else server_time.replace(tzinfo=UTC))
    if abs(apart) <= MAX_CLOCK_DIFFERENCE:
        return ok("clock", f"This machine's clock agrees with {server}'s.")
    difference = f"{format_duration(abs(apart))} {'ahead of' if apart > timedelta(0) else 'behind'}"
    return failure(
        "clock",
        f"This machine's clock is {difference} {server}'s. Beyond five minutes, signatures are rejected.",
        "Turn on time sync: timedatectl set-ntp true.",
    )
