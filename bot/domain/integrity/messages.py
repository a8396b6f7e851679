"""Messages about a version's files: their names, the hashing progress, and the digest."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.core.numbers import format_number, pluralize
from bot.domain.core.sentence import Code, Sentence, say, truncate
from bot.domain.integrity.digest import DigestState, VersionDigest

MAX_NAMED_FILES = 3  # changed files that a sentence names; the others are counted
MAX_PATH_LENGTH = 80  # characters of a path
SHORT_DIGEST_LENGTH = 12  # characters of a digest on a card
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def format_bytes(count: int) -> str:
    """Return a size with three significant digits, such as `812 bytes` or `3.1 MB`."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{format_number(size, 3)} {_UNITS[unit]}"


def name_files(paths: Sequence[str]) -> Sentence:
    """Return the first few paths, and how many more there are."""
    named: list[object] = [Code(truncate(path, MAX_PATH_LENGTH)) for path in paths[:MAX_NAMED_FILES]]
    more = len(paths) - MAX_NAMED_FILES
    return say("{files}", files=[*named, f"{more:,} more"] if more > 0 else named)


def hashing_progress(digest: VersionDigest) -> Sentence:
    """Return how many of a version's files and bytes have been hashed in this pass, or why it's waiting."""
    what = "Comparing its files" if digest.is_recorded else "Hashing its files"
    if digest.why:
        return say("{what}: waiting. {why}", what=what, why=digest.why)
    if digest.file_count is None or digest.byte_count is None:
        return say("{what}", what=what)
    return say(
        "{what}: {done} of {files}, {read} of {size}",
        what=what,
        done=f"{len(digest.partial.files):,}",
        files=pluralize(digest.file_count, "file"),
        read=format_bytes(digest.partial.size),
        size=format_bytes(digest.byte_count),
    )


def describe_digest(digest: VersionDigest) -> Sentence:
    """Return the recorded digest in full, the number of files and their size, and which files have changed.

    If nothing is recorded, return the hashing progress, or why there's no digest.
    """
    if not digest.is_recorded:
        return hashing_progress(digest) if digest.state is DigestState.WAITING else say("{why}", why=digest.why)
    recorded = say(
        "{digest}, {files}, {size}",
        digest=Code(digest.manifest.digest),
        files=pluralize(len(digest.manifest.files), "file"),
        size=format_bytes(digest.manifest.size),
    )
    return (
        say("{recorded}. Changed: {files}", recorded=recorded, files=name_files(digest.changed))
        if digest.changed
        else recorded
    )
