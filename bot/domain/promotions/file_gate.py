"""The gate `integrity`: a version's files must be recorded, and must be unchanged right before its transition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter

from bot.domain.core.errors import RegistryRefused
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.integrity.digest import DigestState, VersionDigest, digest_key
from bot.domain.integrity.messages import SHORT_DIGEST_LENGTH, hashing_progress, name_files
from bot.domain.promotions.request import GateResult, Request, RequestState
from bot.domain.promotions.votes import Vote

INTEGRITY_GATE = "integrity"
FILES = "files"  # the fact that the gate decides on


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What the gate needs from a version's digest, small enough for an audit event.

    `digest` is the manifest's digest, and `count` is its number of files. `changed` names the first files that differed
    in the comparison that began at `compared_at`. `why` says why the files aren't recorded.
    """

    state: DigestState
    digest: str = ""
    count: int = 0
    changed: str = ""
    why: str = ""
    compared_at: datetime | None = None


FILE_FACTS = TypeAdapter(FileFacts)


def digest_id_of(request: Request) -> str:
    """Return the ID of the digest of a request's version, or an empty string if an older release opened the request."""
    return digest_key(request.model, request.version, request.identity) if request.identity else ""


def file_facts(digest: VersionDigest | None) -> FileFacts | None:
    """Return what the gate needs from a digest, or None if the version has none."""
    if digest is None:
        return None
    is_recorded, manifest = digest.is_recorded, digest.manifest
    return FileFacts(
        state=digest.state,
        digest=manifest.digest if is_recorded else "",
        count=len(manifest.files),
        changed=str(name_files(digest.changed)) if digest.changed else "",
        why="" if is_recorded else digest.why.rstrip("."),
        compared_at=digest.compared_at,
    )


def file_gate(files: FileFacts | None) -> tuple[GateResult, ...]:
    """Return the gate's result, or an empty tuple while files are being hashed; the promotion waits until they are.

    It's also empty if `files` is None. Recorded files and unchanged files are separate bounds, so overriding one
    doesn't override the other.
    """
    if files is None or files.state is DigestState.WAITING:
        return ()
    if files.changed:
        value = f"its files changed: {files.changed}"
        return (GateResult(name=INTEGRITY_GATE, bound="files unchanged", value=value, passed=False),)
    is_recorded = files.state is DigestState.RECORDED
    value = pluralize(files.count, "file") if is_recorded else f"its files aren't recorded ({files.why})"
    return (GateResult(name=INTEGRITY_GATE, bound="files recorded", value=value, passed=is_recorded),)


def not_hashed_refusal(digest: VersionDigest) -> Sentence:
    """Return why a request can't be approved yet: no one can approve files that haven't been hashed."""
    return say("{progress}. You can approve when that's done.", progress=hashing_progress(digest))


def hashed_later_reason(digest: VersionDigest, approvals: Sequence[Vote]) -> Sentence | None:
    """Return why the files may not be what was approved (they were recorded after an approval), or None."""
    if digest.recorded_at is None or all(vote.at >= digest.recorded_at for vote in approvals):
        return None
    return say("The files were hashed after an approval, so nobody knows whether they're what was approved.")


def with_file_gate(request: Request, files: FileFacts | None) -> Request:
    """Return a pending request with the gate's current result, since its files can be hashed after it was opened.

    After an override, the snapshot stays as it was, so the override doesn't cover anything that failed later.
    """
    seen = request.seen
    if request.state is not RequestState.PENDING or seen is None or files is None or request.overridden_by:
        return request
    others = [gate for gate in seen.gates if gate.name != INTEGRITY_GATE]
    facts = {**seen.facts, FILES: FILE_FACTS.dump_python(files, mode="json", exclude_defaults=True)}
    return replace(request, seen=replace(seen, facts=facts, gates=(*others, *file_gate(files))))


def waiting_for_files(digest: VersionDigest, since: datetime) -> Sentence | None:
    """Return what a promotion is waiting for (hashing, or a comparison that began at `since` or later), or None.

    Raises RegistryRefused if that comparison was given up, because waiting wouldn't help.
    """
    is_compared = not digest.is_recorded or (digest.compared_at is not None and digest.compared_at >= since)
    if digest.state is not DigestState.WAITING and is_compared:
        if digest.is_recorded and digest.why:
            raise RegistryRefused(say("Its files can't be compared with what was approved. {why}", why=digest.why))
        return None
    return say("{progress}. I'll promote the version when that's done.", progress=hashing_progress(digest))


def files_line(request: Request, digest: VersionDigest | None, *, is_required: bool) -> Sentence | None:
    """Return the card's line about the version's files, or None if there's nothing that approvers need to know."""
    if digest is None or (request.has_blocking_gates and request.seen and request.seen.fails_gate(INTEGRITY_GATE)):
        return None  # the verdict says it
    if digest.changed:
        return say("⚠️ Its files changed after they were recorded: {files}", files=name_files(digest.changed))
    if digest.state is DigestState.WAITING:
        return hashing_progress(digest) if request.state is RequestState.PENDING else None
    if digest.state is DigestState.FAILED and not is_required:
        return None  # nobody can do anything about it here: the registry's adapter may be unable to read files
    if not digest.is_recorded:
        return say("⚠️ Its files aren't recorded. {why}", why=digest.why)
    return say("Files {digest}", digest=Code(digest.manifest.digest[:SHORT_DIGEST_LENGTH])) if is_required else None
