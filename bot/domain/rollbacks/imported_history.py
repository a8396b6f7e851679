"""Parse serving periods from before Registrar, and turn them into transitions. Pure."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.registry.model import Stage, VersionIdentity, check_model_name, parse_version_ref
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

REQUIRED_KEYS, OPTIONAL_KEYS = ("model", "version", "since"), ("until", "by", "why")
MAX_REASON_LENGTH = 500  # characters of a row's `by` and `why` stored in the history


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPeriod:
    """One row of an imported file: when a version was in Production. `location` says where the row is in the file."""

    location: str
    model: str
    version: int
    since: datetime
    until: datetime | None = None  # None: until the next period
    by: str = ""
    why: str = ""

    @property
    def id(self) -> str:
        """The ID of the transition that starts the period; it's the same for the same row in any file."""
        key = f"{self.model}\n{self.version}\n{self.since.astimezone(UTC).isoformat()}"
        return f"imported:{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def parse_imported_periods(text: str) -> list[ImportedPeriod]:
    """Parse a CSV, JSON, or JSONL file. Raises BadInput, which names the first invalid line or entry."""
    terms = [_parse_row(place, row) for place, row in _read_rows(text)]
    if not terms:
        raise BadInput("The file has no rows.")
    return terms


def imported_transitions(
    periods: Sequence[ImportedPeriod],
    history_start: datetime | None,
    *,
    now: datetime,
    actor: Actor,
    reason: str,
    identities: Mapping[int, VersionIdentity],
) -> list[Transition]:
    """Return the transitions that start and end one model's periods, oldest first.

    `history_start` is when the model's history currently starts, or None if it has none. Raises BadInput if a period
    overlaps another one or the history, is in the future, has no end, or doesn't end after it starts.
    """
    ordered = sorted(periods, key=lambda term: term.since)
    transitions: list[Transition] = []
    for term, following in zip(ordered, [*ordered[1:], None], strict=True):
        limit = following.since if following else history_start
        conflict = say("{place}", place=following.location) if following else say("the existing history")
        end = term.until or limit
        if end is None:
            raise _row_error(
                term.location, say("Missing {until}: the history has no later period.", until=Code("until"))
            )
        _check_period(term, end, limit, conflict, now)
        entry = _import_transition(term, now, actor, reason, identities.get(term.version))
        transitions.append(entry)
        if end != limit:
            transitions.append(
                replace(
                    entry,
                    id=f"{term.id}:out",
                    from_stage=Stage.PRODUCTION,
                    target=Stage.ARCHIVED,
                    intended_at=end,
                    finished_at=end,
                )
            )
    return transitions


def _check_period(
    period: ImportedPeriod, end: datetime, next_start: datetime | None, next_label: Sentence, now: datetime
) -> None:
    if max(period.since, end) > now:
        raise _row_error(period.location, say("The period is in the future."))
    if next_start is not None and (period.since >= next_start or end > next_start):
        raise _row_error(period.location, say("The period overlaps {what}.", what=next_label))
    if end <= period.since:
        raise _row_error(
            period.location, say("{until} must be after {since}.", until=Code("until"), since=Code("since"))
        )


def _import_transition(
    period: ImportedPeriod, now: datetime, actor: Actor, why: str, identity: VersionIdentity | None
) -> Transition:
    stated_reason = f"{period.by}: {period.why}" if period.by and period.why else period.by or period.why
    return Transition(
        id=period.id,
        kind=TransitionKind.IMPORTED,
        model=period.model,
        version=period.version,
        from_stage=Stage.NONE,
        target=Stage.PRODUCTION,
        expected_incumbent=None,
        actor=actor,
        intended_at=period.since,
        finished_at=period.since,
        state=TransitionState.DONE,
        why=why,
        reason=truncate(stated_reason, MAX_REASON_LENGTH),
        identity=identity,
        trusted_at=now if identity else None,
    )


def _read_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each row with its location: a line in CSV and JSONL, an entry in a JSON list."""
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("["):
        yield from ((f"Entry {at}", row) for at, row in enumerate(_parse_json("The file", text), start=1))
    elif text.lstrip().startswith("{"):
        for at, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield f"Line {at}", _parse_json(f"Line {at}", line)
    else:
        reader = csv.DictReader(io.StringIO(text))
        yield from ((f"Line {reader.line_num}", row) for row in reader)


def _parse_json(location: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _row_error(location, say("Invalid JSON.")) from None


def _parse_row(location: str, row: Any) -> ImportedPeriod:
    if not isinstance(row, Mapping):
        raise _row_error(location, say("Expected a JSON object."))
    values = {str(key): value for key, value in row.items() if value not in (None, "")}
    if unknown := [key for key in values if key not in REQUIRED_KEYS + OPTIONAL_KEYS]:
        known_keys = [Code(key) for key in REQUIRED_KEYS + OPTIONAL_KEYS]
        raise _row_error(
            location,
            say("Unknown key {key}. Known keys: {known}.", key=Name(truncate(unknown[0], 40)), known=known_keys),
        )
    if missing := [Code(key) for key in REQUIRED_KEYS if key not in values]:
        raise _row_error(location, say("Missing: {missing}.", missing=missing))
    try:
        model, version = check_model_name(str(values["model"])), parse_version_ref(str(values["version"]))
        if version.kind != "number":
            raise BadInput(say("{version} isn't a version number.", version=Name(str(version))))
        since = _parse_time(values["since"])
        until = _parse_time(values["until"]) if "until" in values else None
    except BadInput as error:
        raise _row_error(location, error.sentence) from error
    return ImportedPeriod(
        location=location,
        model=model,
        version=int(version.value),
        since=since,
        until=until,
        by=str(values.get("by", "")),
        why=str(values.get("why", "")),
    )


def _parse_time(value: object) -> datetime:
    """Parse a time with a time zone, or a day, which means midnight UTC."""
    text = str(value).strip()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            say(
                "Can't read {text} as a time. Try {like}.",
                text=Name(truncate(text, 40)),
                like=Code("2026-03-01T12:00:00Z"),
            )
        ) from None
    if len(text) == len("2026-03-01"):
        return at.replace(tzinfo=UTC)
    if at.tzinfo is None:
        raise BadInput(say("{text} has no time zone. Add one, such as {zone}.", text=Name(text), zone=Code("Z")))
    return at.astimezone(UTC)


def _row_error(location: str, reason: Sentence) -> BadInput:
    return BadInput(say("{place}: {why}", place=location, why=reason))
