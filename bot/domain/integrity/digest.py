"""The digest of a version: its manifest, how much has been hashed, and whether the files still match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from bot.domain.integrity.manifest import EMPTY_MANIFEST, FileManifest
from bot.domain.registry.model import VersionIdentity, VersionInfo


class DigestState(Enum):
    """The states of a digest: waiting → recorded, too large, or failed."""

    WAITING = "waiting"  # its files aren't all hashed yet
    RECORDED = "recorded"  # the manifest is complete, and never changes again
    TOO_LARGE = "too large"  # the files exceed the limit in the settings
    FAILED = "failed"  # the files can't be read, and trying again wouldn't help


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDigest:
    """The digest of one version. Its ID contains the version's identity, so a re-created version gets a new one.

    `manifest` is what was recorded; empty until then. `partial` has the files hashed so far, in the first pass or in a
    comparison, so that a restart can resume there. `file_count` and `byte_count` come from the file listing, to show
    progress; None until it's read. `changed` has the paths that differed at the last comparison.
    """

    id: str
    model: str
    version: int
    identity: VersionIdentity
    requested_at: datetime
    state: DigestState = DigestState.WAITING
    manifest: FileManifest = EMPTY_MANIFEST
    partial: FileManifest = EMPTY_MANIFEST
    file_count: int | None = None
    byte_count: int | None = None
    due_at: datetime | None = None  # when its files are hashed next; None: not again
    attempts: int = 0
    why: str = ""  # why it's waiting, or why there's none
    recorded_at: datetime | None = None
    began_at: datetime | None = None  # when the pass that `partial` belongs to began; None: none has begun
    compared_at: datetime | None = None  # when the last pass that ended began; `why` says if it was given up
    changed: tuple[str, ...] = ()

    @property
    def is_recorded(self) -> bool:
        """Whether the manifest is complete."""
        return self.state is DigestState.RECORDED

    def record(self, found: FileManifest, now: datetime) -> VersionDigest:
        """Return the digest after all its files were hashed for the first time; `found` is their manifest."""
        ended = replace(self.end_pass(), file_count=len(found.files), byte_count=found.size)
        return replace(ended, state=DigestState.RECORDED, manifest=found, recorded_at=now, compared_at=self.began_at)

    def compare(self, changed: Iterable[str]) -> VersionDigest:
        """Return the digest after its files were compared; `changed` has the paths that differ."""
        return replace(self.end_pass(), compared_at=self.began_at, changed=tuple(changed))

    def end_pass(self, why: str = "") -> VersionDigest:
        """Return the digest with no pass running or due."""
        return replace(self, partial=EMPTY_MANIFEST, began_at=None, due_at=None, attempts=0, why=why)

    def give_up(self, state: DigestState, why: str) -> VersionDigest:
        """Return the digest after giving up on hashing or comparing its files. A recorded manifest stays recorded."""
        if self.is_recorded:
            return replace(self.end_pass(why), compared_at=self.began_at)
        return replace(self.end_pass(why), state=state)

    def begin_again(self, now: datetime) -> VersionDigest:
        """Return the digest with a new pass that's due now and hasn't begun."""
        return replace(self.end_pass(), due_at=now)


def digest_id(version: VersionInfo) -> str:
    """Return the ID of a version's digest."""
    return digest_key(version.model, version.version, version.identity())


def digest_key(model: str, version: int, identity: VersionIdentity) -> str:
    """Return the digest's ID for the version with this identity."""
    return f"{model}/{version}/{identity.fingerprint}"


def new_digest(model: str, version: int, identity: VersionIdentity, now: datetime) -> VersionDigest:
    """Return a new digest, due for hashing now."""
    key = digest_key(model, version, identity)
    return VersionDigest(id=key, model=model, version=version, identity=identity, requested_at=now, due_at=now)
