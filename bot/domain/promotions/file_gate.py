"""The gate `integrity`: a version's files are recorded, and are still the same right before it's moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.integrity.digest import DigestState, VersionDigest, digest_key
from bot.domain.integrity.messages import SHORT_DIGEST_LENGTH, hashing_progress, name_files
from bot.domain.promotions.request import GateResult, Request, RequestState

INTEGRITY_GATE = "integrity"


def digest_id_of(request: Request) -> str:
    """Return the ID of the digest of a request's version; empty if an older release opened the request."""
    return digest_key(request.model, request.version, request.identity) if request.identity else ""


def file_gate(digest: VersionDigest | None) -> tuple[GateResult, ...]:
    """Return the gate's result; none while the files are being hashed, since the version waits for that.

    That files were recorded and that they're unchanged are different bounds, so whoever overrides one doesn't override
    the other.
    """
    if digest is None or digest.state is DigestState.WAITING:
        return ()
    if digest.changed:
        value = f"its files changed: {name_files(digest.changed)}"
        return (GateResult(name=INTEGRITY_GATE, bound="files unchanged", value=value, passed=False),)
    count, why = pluralize(len(digest.manifest.files), "file"), digest.why.rstrip(".")
    value = count if digest.is_recorded else f"its files aren't recorded ({why})"
    return (GateResult(name=INTEGRITY_GATE, bound="files recorded", value=value, passed=digest.is_recorded),)


def with_file_gate(request: Request, digest: VersionDigest | None) -> Request:
    """Return a pending request with the gate's current result: its files may have been hashed since it was opened.

    After an override, the snapshot stays what was overridden, so that it covers nothing that failed later.
    """
    if request.state is not RequestState.PENDING or request.seen is None or request.overridden_by:
        return request
    others = [gate for gate in request.seen.gates if gate.name != INTEGRITY_GATE]
    return replace(request, seen=replace(request.seen, gates=(*others, *file_gate(digest))))


def waiting_for_files(digest: VersionDigest, since: datetime) -> Sentence | None:
    """Return what a promotion waits for: hashing, or a comparison that began at `since` or later; None if nothing."""
    is_compared = not digest.is_recorded or (digest.compared_at is not None and digest.compared_at >= since)
    if digest.state is not DigestState.WAITING and is_compared:
        return None
    return say("{progress}. I'll promote the version when that's done.", progress=hashing_progress(digest))


def files_line(request: Request, digest: VersionDigest | None, *, is_required: bool) -> Sentence | None:
    """Return the card's line about the version's files; None if there's nothing that approvers have to know."""
    if digest is None or (request.has_blocking_gates and request.seen and request.seen.fails_gate(INTEGRITY_GATE)):
        return None  # the verdict says it
    if digest.changed:
        return say("⚠️ Its files changed after they were recorded: {files}", files=name_files(digest.changed))
    if digest.state is DigestState.WAITING:
        return hashing_progress(digest) if request.state is RequestState.PENDING else None
    if not digest.is_recorded:
        return say("⚠️ Its files aren't recorded. {why}", why=digest.why)
    return say("Files {digest}", digest=Code(digest.manifest.digest[:SHORT_DIGEST_LENGTH])) if is_required else None
