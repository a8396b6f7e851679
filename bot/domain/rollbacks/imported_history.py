"""Terms of Production from before Registrar: read from a file, and turned into moves of the history. Pure."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, Say, say, short
from bot.domain.registry.model import Identity, Stage, check_model_name, parse_version
from bot.domain.transitions.transition import Move, MoveKind, MoveState

NEEDED, OPTIONAL = ("model", "version", "since"), ("until", "by", "why")
REASON_MOST = 500  # characters of a row's `by` and `why` that the history keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One row of the file: a version was in Production, from when until when. `place` says where the row is."""

    place: str
    model: str
    version: int
    since: datetime
    until: datetime | None = None  # None: until the next term
    by: str = ""
    why: str = ""

    @property
    def id(self) -> str:
        """Return the id of the move that begins the term: the same for the same row, whatever file it's in."""
        what = f"{self.model}\n{self.version}\n{self.since.astimezone(UTC).isoformat()}"
        return f"imported:{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def read_terms(text: str) -> list[Term]:
    """Return the rows of a CSV, JSON, or JSONL file. Raises BadInput that names the first wrong line or entry."""
    terms = [_term(place, row) for place, row in _rows(text)]
    if not terms:
        raise BadInput("The file has no rows.")
    return terms


def moves_of(
    terms: Sequence[Term],
    first: datetime | None,
    *,
    now: datetime,
    actor: Actor,
    reason: str,
    identities: Mapping[int, Identity],
) -> list[Move]:
    """Return the moves that begin and end the terms of one model, oldest first.

    `first` is when the history of that model begins today; None where it's empty. Raises BadInput for terms that
    overlap, lie in the future, or have no end.
    """
    ordered = sorted(terms, key=lambda term: term.since)
    moves: list[Move] = []
    for term, following in zip(ordered, [*ordered[1:], None], strict=True):
        limit = following.since if following else first
        what = say("{place}", place=following.place) if following else say("what the history already has")
        end = term.until or limit
        if end is None:
            raise _wrong(term.place, say("{until} is missing: the history has no later term.", until=Code("until")))
        _check(term, end, limit, what, now)
        entry = _entry(term, now, actor, reason, identities.get(term.version))
        moves.append(entry)
        if end != limit:
            moves.append(
                replace(
                    entry,
                    id=f"{term.id}:out",
                    from_stage=Stage.PRODUCTION,
                    target=Stage.ARCHIVED,
                    intended_at=end,
                    finished_at=end,
                )
            )
    return moves


def _check(term: Term, end: datetime, limit: datetime | None, what: Say, now: datetime) -> None:
    if max(term.since, end) > now:
        raise _wrong(term.place, say("The term lies in the future."))
    if limit is not None and (term.since >= limit or end > limit):
        raise _wrong(term.place, say("The term overlaps {what}.", what=what))
    if end <= term.since:
        raise _wrong(term.place, say("{until} isn't after {since}.", until=Code("until"), since=Code("since")))


def _entry(term: Term, now: datetime, actor: Actor, why: str, identity: Identity | None) -> Move:
    said = f"{term.by}: {term.why}" if term.by and term.why else term.by or term.why
    return Move(
        id=term.id,
        kind=MoveKind.IMPORTED,
        model=term.model,
        version=term.version,
        from_stage=Stage.NONE,
        target=Stage.PRODUCTION,
        expected_incumbent=None,
        actor=actor,
        intended_at=term.since,
        finished_at=term.since,
        state=MoveState.DONE,
        why=why,
        reason=short(said, REASON_MOST),
        identity=identity,
        trusted_at=now if identity else None,
    )


def _rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each row with its place: a line of CSV and JSONL, an entry of a JSON list."""
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("["):
        yield from ((f"Entry {at}", row) for at, row in enumerate(_json("The file", text), start=1))
    elif text.lstrip().startswith("{"):
        for at, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield f"Line {at}", _json(f"Line {at}", line)
    else:
        reader = csv.DictReader(io.StringIO(text))
        yield from ((f"Line {reader.line_num}", row) for row in reader)


def _json(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _wrong(place, say("This isn't JSON.")) from None


def _term(place: str, row: Any) -> Term:
    if not isinstance(row, Mapping):
        raise _wrong(place, say("This isn't an object."))
    values = {str(key): value for key, value in row.items() if value not in (None, "")}
    if unknown := [key for key in values if key not in NEEDED + OPTIONAL]:
        known = [Code(key) for key in NEEDED + OPTIONAL]
        raise _wrong(place, say("Unknown key {key}. Known: {known}.", key=Name(short(unknown[0], 40)), known=known))
    if missing := [Code(key) for key in NEEDED if key not in values]:
        raise _wrong(place, say("Missing: {missing}.", missing=missing))
    try:
        model, version = check_model_name(str(values["model"])), parse_version(str(values["version"]))
        if version.kind != "number":
            raise BadInput(say("{version} isn't a version's number.", version=Name(str(version))))
        since = _time(values["since"])
        until = _time(values["until"]) if "until" in values else None
    except BadInput as error:
        raise _wrong(place, error.sentence) from error
    return Term(
        place=place,
        model=model,
        version=int(version.value),
        since=since,
        until=until,
        by=str(values.get("by", "")),
        why=str(values.get("why", "")),
    )


def _time(value: object) -> datetime:
    """Return a time with its zone, or the beginning of a day in UTC."""
    text = str(value).strip()
    try:
        if len(text) == len("2026-03-01"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            say(
                "Can't read {text} as a time. Try {like}.",
                text=Name(short(text, 40)),
                like=Code("2026-03-01T12:00:00Z"),
            )
        ) from None
    if at.tzinfo is None:
        raise BadInput(say("{text} has no time zone. Add one, such as {zone}.", text=Name(text), zone=Code("Z")))
    return at.astimezone(UTC)


def _wrong(place: str, why: Say) -> BadInput:
    return BadInput(say("{place}: {why}", place=place, why=why))
