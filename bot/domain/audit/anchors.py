"""Anchors: audit chain heads recorded outside the ledger, one per JSON line."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Name, say, truncate

LINE_START = '{"at":"'


class AnchoredHead(BaseModel):
    """A chain head and when it was recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    number: int = Field(ge=1, strict=True)
    hash: str = Field(pattern="^[0-9a-f]{64}$")


def serialize_anchor(head: ChainHead, at: datetime) -> str:
    """Return a chain head as a line for an anchor file, including the newline."""
    return AnchoredHead(at=at.astimezone(UTC), number=head.number, hash=head.hash).model_dump_json() + "\n"


def parse_anchors(text: str, file_name: str) -> list[AnchoredHead]:
    """Parse an anchor file, skipping torn lines; return the anchors sorted by number.

    `file_name` appears in the error. Raises Misconfigured if a complete line isn't an anchor, or if there are none.
    """
    return sorted(
        (_parse_anchor(line, at, file_name) for at, line in _complete_lines(text, file_name)),
        key=lambda anchor: anchor.number,
    )


def parse_last_anchor(text: str, file_name: str) -> AnchoredHead:
    """Return a file's last anchor. Raises Misconfigured if its last complete line isn't one, or if it has none."""
    at, line = _complete_lines(text, file_name)[-1]
    return _parse_anchor(line, at, file_name)


def torn_lines(text: str) -> list[int]:
    """Return the numbers of the lines that a crash or a full disk cut off."""
    return [at for at, line in _numbered_lines(text) if _is_torn(line)]


def _complete_lines(text: str, file_name: str) -> list[tuple[int, str]]:
    lines = [(at, line) for at, line in _numbered_lines(text) if not _is_torn(line)]
    if not lines:
        raise Misconfigured(
            say("{file} has no anchors: nothing was anchored there, or someone emptied it.", file=Name(file_name))
        )
    return lines


def _numbered_lines(text: str) -> list[tuple[int, str]]:
    return [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]


def _is_torn(line: str) -> bool:
    """Return whether a line is only the start of an anchor, possibly followed by NULs from a power failure."""
    begin = line.rstrip("\0")
    return "}" not in begin and (LINE_START.startswith(begin) or begin.startswith(LINE_START))


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
