"""Render an incident's review for Slack: its text, and its Markdown file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import sanitize_text
from bot.domain.monitoring.incident_review import IncidentReview, ReviewEntry
from bot.domain.monitoring.incident_review_markdown import to_markdown
from bot.slack.core.answer import FileUpload
from bot.slack.core.blocks import (
    Message,
    build_message,
    cut_mrkdwn,
    first_rows_and_count,
    fitting_rows_and_count,
    format_time,
    row_sections,
    to_mrkdwn,
)

MAX_FAILURES, MAX_FAILURE_LENGTH = 3, 300  # failing monitors that are listed, and the characters of each
MAX_REVIEW_LENGTH = 3500  # characters: Slack recommends at most 4,000 for a message's text


def review_message(review: IncidentReview) -> Message:
    """Return the review as a message; its text is the whole review, because it becomes the comment on the files."""
    rows = fitting_rows_and_count(list(_rows(review)), MAX_REVIEW_LENGTH)
    return build_message("\n".join(rows), row_sections(rows))


def review_file(review: IncidentReview) -> FileUpload:
    """Return the review as a Markdown file, named after its incident."""
    title = sanitize_text(f"Review of incident {review.incident_id}")
    return FileUpload(f"incident-{review.incident_id}.md", to_markdown(review).encode(), title)


def _rows(review: IncidentReview) -> Iterator[str]:
    yield f"*Incident review: {to_mrkdwn(review.subject)}*"
    failures = [f"• {cut_mrkdwn(to_mrkdwn(failure), MAX_FAILURE_LENGTH)}" for failure in review.failures]
    yield from first_rows_and_count(min(MAX_FAILURES, len(failures)), failures)
    yield f"*{to_mrkdwn(review.outcome)}*"
    yield "  ·  ".join(_durations(review))
    if review.blocked:
        yield to_mrkdwn(review.blocked)
    yield from _section("Follow-ups", (to_mrkdwn(follow_up) for follow_up in review.follow_ups))
    yield from _section("Timeline", _entries(review.timeline))
    yield from _section("Who did what", _entries(review.actions))


def _durations(review: IncidentReview) -> Iterator[str]:
    """Yield how long each phase took: detection from the first failing check, the others from the alert."""
    yield f"Detected in {format_duration(review.detected_after)}"
    if review.acknowledged_after is not None:
        yield f"acknowledged in {format_duration(review.acknowledged_after)}"
    if review.restored_after is not None:
        yield f"restored in {format_duration(review.restored_after)}"


def _entries(entries: Sequence[ReviewEntry]) -> Iterator[str]:
    """Yield a row for each entry; the date is left out if it's the same as the last entry's."""
    for at, sentence in entries:
        date = "" if at.date() == entries[-1].at.date() else "{date_short_pretty} "
        yield f"{format_time(at, date + '{time_secs}')}: {to_mrkdwn(sentence)}"


def _section(heading: str, rows: Iterable[str]) -> list[str]:
    lines = [f"• {row}" for row in rows]
    return [f"*{heading}*", *lines] if lines else []
