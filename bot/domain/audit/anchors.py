"""Anchors: heads of the audit chain that were recorded elsewhere, one JSON line each."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Name, say, truncate


class AnchoredHead(BaseModel):
    """The head of the chain, and when it was recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    number: int = Field(ge=1, strict=True)
    hash: str = Field(pattern="^[0-9a-f]{64}$")


def serialize_anchor(head: ChainHead, at: datetime) -> str:
    """Return a line of an anchor file, including the newline."""
    return AnchoredHead(at=at.astimezone(UTC), number=head.number, hash=head.hash).model_dump_json() + "\n"


def parse_anchors(text: str, file_name: str) -> list[AnchoredHead]:
    """Parse an anchor file; return the anchors by number. Raises Misconfigured for an invalid line or an empty file.

    `file_name`: for the error.
    """
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise Misconfigured(
            say("{file} is empty: nothing was anchored there, or it was emptied.", file=Name(file_name))
        )
    return sorted((_parse_anchor(line, at, file_name) for at, line in lines), key=lambda anchor: anchor.number)


def parse_last_anchor(text: str, file_name: str) -> AnchoredHead:
    """Return the last anchor of a file. Raises Misconfigured if the last line isn't one, or there's none."""
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise Misconfigured(say("{file} is empty.", file=Name(file_name)))
    at, line = lines[-1]
    return _parse_anchor(line, at, file_name)


def _parse_anchor(line: str, line_number: int, file_name: str) -> AnchoredHead:
    try:
        return AnchoredHead.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors()[0]
        problem = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".removeprefix(": ")
        raise Misconfigured(
            say(
                "Line {at} of {file} is no anchor ({what}). Nothing was compared. Look who wrote there; to go on "
                "without that line, hand over a copy that lacks it.",
                at=line_number,
                file=Name(file_name),
                what=truncate(problem, 200),
            )
        ) from error
