"""Anchors: heads of the audit chain recorded outside the ledger, one JSON line each."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Name, say, truncate


class AnchoredHead(BaseModel):
    """A head of the chain, and when it was recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    number: int = Field(ge=1, strict=True)
    hash: str = Field(pattern="^[0-9a-f]{64}$")


def serialize_anchor(head: ChainHead, at: datetime) -> str:
    """Return a line of an anchor file, including the newline."""
    return AnchoredHead(at=at.astimezone(UTC), number=head.number, hash=head.hash).model_dump_json() + "\n"


def parse_anchors(text: str, file_name: str) -> list[AnchoredHead]:
    """Parse an anchor file; return the anchors sorted by number. Raises Misconfigured if it's invalid or empty.

    `file_name` appears in the error.
    """
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise Misconfigured(
            say("{file} is empty: nothing was anchored there, or someone emptied it.", file=Name(file_name))
        )
    return sorted((_parse_anchor(line, at, file_name) for at, line in lines), key=lambda anchor: anchor.number)


def parse_last_anchor(text: str, file_name: str) -> AnchoredHead:
    """Return the last anchor of a file. Raises Misconfigured if the last line isn't an anchor or the file is empty."""
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
                "Line {at} of {file} isn't an anchor ({what}), so nothing was compared. Find out who wrote it; to "
                "continue, pass a copy of the file without that line.",
                at=line_number,
                file=Name(file_name),
                what=truncate(problem, 200),
            )
        ) from error
