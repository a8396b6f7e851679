"""The part of the ledger about the digests of versions, and the files that are hashed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from bot.domain.integrity.digest import VersionDigest
from bot.domain.registry.model import VersionInfo


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the artifact store: its path relative to the model's folder, and its size in bytes, None if unknown."""

    path: str
    size: int | None


class VersionFiles(Protocol):
    """The files of one version, wherever they're stored."""

    def files(self) -> Sequence[StoredFile]:
        """Return all files, also those in folders, without folders. Raises RegistryRefused, RegistryUnreachable."""

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file's contents piece by piece, never all of a large file at once. Raises what `files` does.

        A chunk can be empty, so that the caller can stop while the file is still being fetched.
        """


@runtime_checkable
class ReadsFiles(Protocol):
    """What an `ExperimentTracker` can also do, so that a version's files can be hashed."""

    def version_files(self, version: VersionInfo) -> VersionFiles:
        """Return the version's files. Raises UnknownVersion, RegistryRefused, RegistryUnreachable."""


class DigestReader(Protocol):
    """Reads digests."""

    def digest(self, digest_id: str) -> VersionDigest | None:
        """Return the digest with this id, or None."""

    def digests_of(self, model: str, version: int) -> list[VersionDigest]:
        """Return the digests recorded under a model's version number, newest first: one for each identity."""

    def due_digest(self, now: datetime) -> VersionDigest | None:
        """Return the digest whose files are to be hashed or compared at `now`, the longest overdue one, or None."""

    def times_of_digests(self) -> dict[str, datetime | None]:
        """Return when the files of each digest were last read completely, by ID.

        A later time means that they're being read or about to be; None, that they can't be read.
        """

    def changed_digests(self) -> list[VersionDigest]:
        """Return the digests whose files differed at the last comparison."""


class DigestWriter(DigestReader, Protocol):
    """Changes digests."""

    def add_digest(self, digest: VersionDigest) -> bool:
        """Insert a digest; return False if its id is already there."""

    def save_digest(self, digest: VersionDigest) -> None:
        """Write the digest's current state."""
