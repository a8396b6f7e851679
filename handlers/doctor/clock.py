"""Our clock beside that of who answers us."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bot.domain.core.durations import show_duration
from handlers.doctor.check import NotLookedAtError
from handlers.doctor.diagnosis import Finding, ok, wrong

FAR = timedelta(seconds=60)  # Slack's signatures and ours are good for five minutes


def clock(whose: str, date: str, at: datetime) -> Finding:
    """Return how far apart the clocks are: theirs by the header Date of an answer that came `at` that time of ours.

    Raises NotLookedAtError where there is no such header.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        raise NotLookedAtError(f"Could not look: {whose} does not say what time it is.") from None
    apart = at - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))
    if abs(apart) <= FAR:
        return ok("clock", f"This machine's clock agrees with {whose}'s.")
    way = "ahead of" if apart > timedelta(0) else "behind"
    return wrong(
        "clock",
        f"This machine's clock is {show_duration(abs(apart))} {way} {whose}'s; five "
        "minutes apart no signature is taken.",
        "Let the system set it: timedatectl set-ntp true.",
    )
