"""Ledger ports for the digests of versions, and ports for the files that are hashed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from bot.domain.integrity.digest import VersionDigest
from bot.domain.registry.model import VersionInfo


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the artifact store: its path within the model's folder, and its size in bytes (None if unknown)."""

    path: str
    size: int | None


class VersionFiles(Protocol):
    """The files of one version, wherever they're stored."""

    def files(self) -> Sequence[StoredFile]:
        """Return all files, including those in folders, but no folders.

        Raises RegistryRefused and RegistryUnreachable.
        """

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file's contents in chunks, never a large file all at once. Raises the same errors as `files`.

        A chunk can be empty, so that the caller can stop while the file is still being fetched.
        """


@runtime_checkable
class ReadsFiles(Protocol):
    """An optional capability of an `ExperimentTracker`: reading a version's files, so that they can be hashed."""

    def version_files(self, version: VersionInfo) -> VersionFiles:
        """Return the version's files. Raises UnknownVersion, RegistryRefused, and RegistryUnreachable."""


class DigestReader(Protocol):
    """Reads digests."""

    def digest(self, digest_id: str) -> VersionDigest | None:
        """Return the digest with this ID, or None."""

    def digests_of(self, model: str, version: int) -> list[VersionDigest]:
        """Return the digests for a model's version number, newest first: one for each identity."""

    def due_digest(self, now: datetime) -> VersionDigest | None:
        """Return the longest-overdue digest whose files are due to be hashed or compared at `now`, or None."""

    def times_of_digests(self) -> dict[str, datetime | None]:
        """Return when each digest's files were last read completely, by digest ID.

        If they're being read or are scheduled to be, the time is when that's due. None means that they can't be read.
        """

    def changed_digests(self) -> list[VersionDigest]:
        """Return the digests whose files differed in the last comparison."""


class DigestWriter(DigestReader, Protocol):
    """Changes digests."""

    def add_digest(self, digest: VersionDigest) -> bool:
        """Insert a digest; return False if its ID already exists."""

    def save_digest(self, digest: VersionDigest) -> None:
        """Write the digest's current state."""
