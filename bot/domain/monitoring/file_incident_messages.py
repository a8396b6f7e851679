"""Messages about changes to the files of the version in Production."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Sentence, join_with_conjunction, say
from bot.domain.integrity.messages import SHORT_DIGEST_LENGTH, name_files
from bot.domain.monitoring.incident_messages import version_code


def files_line(changed: Sequence[str]) -> Sentence:
    """Return an incident's line about the files that differ from what was recorded."""
    return say("Changed, removed, or added: {files}", files=name_files(changed))


def who_approved(people: Sequence[Actor], digest: str) -> Sentence:
    """Return who approved the recorded files for Production, with the start of their digest."""
    who = join_with_conjunction([format_actor(person) for person in people], "and")
    return say("{who} approved the files with digest {digest}.", who=who, digest=Code(digest[:SHORT_DIGEST_LENGTH]))


def files_match_again(version: int | None, since: datetime, now: datetime) -> Sentence:
    """Return the resolution after a comparison finds that the files match what was recorded."""
    return say(
        "The files of {v} match what was recorded again, after {age}.",
        v=version_code(version),
        age=format_duration(now - since),
    )
