"""An incident's review as Markdown, for a wiki or a repository. The same facts always give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Channel, Code, Mention, Name, Sentence, sanitize_text
from bot.domain.monitoring.incident_review import IncidentReview, ReviewEntry


def to_markdown(review: IncidentReview) -> str:
    """Return the review as Markdown. Times are in UTC, so everyone reads the same text."""
    text = partial(_to_text, review)
    sections = [
        ("Timeline (UTC)", _entries(review, review.timeline)),
        ("Blocked", [text(review.blocked)] if review.blocked else []),
        ("Who did what", _entries(review, review.actions)),
        ("Follow-ups", [f"- [ ] {text(follow_up)}" for follow_up in review.follow_ups]),
    ]
    lines = [f"# Incident review: {text(review.subject)}", "", *_facts(review)]
    for heading, content in sections:
        if content:
            lines += ["", f"## {heading}", "", *content]
    return "\n".join(lines) + "\n"


def _facts(review: IncidentReview) -> Iterator[str]:
    yield f"- **Incident**: `{review.incident_id}`"
    yield from (f"- **Failed**: {_to_text(review, failure)}" for failure in review.failures)
    yield f"- **Outcome**: {_to_text(review, review.outcome)}"
    yield f"- **Detected**: {format_duration(review.detected_after)} after the first failing check"
    yield f"- **Acknowledged**: {_after_alert(review.acknowledged_after, otherwise='no')}"
    yield f"- **Restored**: {_after_alert(review.restored_after, otherwise='not recorded')}"


def _after_alert(duration: timedelta | None, *, otherwise: str) -> str:
    return otherwise if duration is None else f"{format_duration(duration)} after the alert"


def _entries(review: IncidentReview, entries: Iterable[ReviewEntry]) -> list[str]:
    return [f"- {at.astimezone(UTC):%Y-%m-%d %H:%M:%S}: {_to_text(review, sentence)}" for at, sentence in entries]


def _to_text(review: IncidentReview, sentence: Sentence) -> str:
    def render(value: object) -> str:
        if isinstance(value, Sentence):
            return value.render(render)
        if isinstance(value, Mention):
            return _escape(f"@{review.names.get(value.user, value.user)}")
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
        if isinstance(value, Name | Code | Channel):
            return f"`{sanitize_text(value).replace('`', 'ˋ')}`"
        return _escape(str(value))

    return sentence.render(render)


def _escape(text: str) -> str:
    """Escape untrusted text so that it can't become a heading, a link, or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", sanitize_text(text))
