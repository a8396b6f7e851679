"""Hash versions' files in the background, and compare them with the recorded manifests later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.backoff import Backoff
from bot.domain.core.errors import LedgerUnavailable, RegistrarError, RegistryRefused, Unreachable
from bot.domain.core.sentence import Code, say
from bot.domain.integrity.digest import DigestState, VersionDigest, digest_id, digest_key, new_digest
from bot.domain.integrity.manifest import FileManifest
from bot.domain.registry.model import Stage, VersionIdentity, VersionInfo
from bot.ports import LedgerTransaction, ReadsFiles, VersionFiles
from bot.services.core.context import Context
from bot.services.integrity.files_pass import LEASE, ClaimLostError, FilesPass
from bot.services.integrity.hashing import FileHasher, FilesStillChanging, StoppingError, list_files

log = logging.getLogger(__name__)

DIGEST_ACTOR = Automation("file-digests")
BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=10))
MAX_REFUSALS = 3  # attempts before a digest fails
MAX_CHANGING = timedelta(hours=6)  # that files can change while they're read: each attempt reads them again
MAX_SCHEDULED = 100  # digests that one call schedules
MAX_NAMED_FILES = 100  # changed files in an audit event

DigestHook = Callable[[LedgerTransaction, VersionDigest], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLimits:
    """Limits for reading files: bytes per second, bytes per version, and the interval between comparisons."""

    rate: int
    max_bytes: int
    recheck: timedelta


def request_digest(
    tx: LedgerTransaction, model: str, version: int, identity: VersionIdentity, *, now: datetime, again: bool = False
) -> VersionDigest:
    """Schedule hashing for a version's files, unless that was done before; return the digest's row.

    `again`: also schedule it if the files were too large or couldn't be read.
    """
    digest = tx.digest(digest_key(model, version, identity))
    if digest is None:
        tx.add_digest(digest := new_digest(model, version, identity, now))
    elif again and digest.state in {DigestState.TOO_LARGE, DigestState.FAILED}:
        digest = replace(digest.begin_again(now), state=DigestState.WAITING)
        tx.save_digest(digest)
    return digest


def request_comparison(tx: LedgerTransaction, digest: VersionDigest, *, since: datetime) -> None:
    """Schedule a comparison of the files with the recorded manifest, starting no earlier than `since`.

    It's idempotent: it does nothing if such a comparison has ended (`digest.compared_at >= since`) or is running, or if
    nothing has been recorded yet. `compared_at` is when the last pass that ended began, so it read files only after
    that; `changed` has the paths that differed. If the files can't be read, `due_at` is None and `why` says so.
    """
    current = tx.digest(digest.id)
    if current is None or not current.is_recorded:
        return
    times = (current.compared_at, current.began_at)
    if not any(at is not None and at >= since for at in times):
        tx.save_digest(current.begin_again(since))


class Digests:
    """Hashes and compares the files of versions whose digests are due.

    `on_recorded` is called in the transaction that records a manifest. `on_changed` is called in the one that ends a
    comparison whose result differs from the previous one; the digest's `changed` then lists the files that differ, or
    is empty if they match again.
    """

    def __init__(
        self, context: Context, limits: DigestLimits, *, on_recorded: DigestHook, on_changed: DigestHook
    ) -> None:
        self._context = context
        self._limits = limits
        self._on_recorded = on_recorded
        self._on_changed = on_changed

    def run_due(self, stop: threading.Event | None = None) -> int:
        """Hash or compare the files of all due digests; return how many were completed. `stop` interrupts it."""
        completed, stop = 0, stop or threading.Event()
        while not stop.is_set() and (digest := self._claim_next()) is not None:
            with logging_context.bound(model=digest.model):
                completed += self._run(FilesPass(self._context, digest), stop)
        return completed

    def schedule(self) -> None:
        """Schedule hashing for versions in Production that aren't hashed yet, and the comparisons that are due."""
        if not self._context.startup_check.has_passed():
            return
        now, recheck = self._context.clock.now(), self._limits.recheck
        with self._context.ledger.read() as reader:
            snapshots, times = reader.registry_snapshots(), reader.times_of_digests()
            holders = {name: snapshot.holders(Stage.PRODUCTION) for name, snapshot in snapshots.items()}
            entries = reader.latest_entries(Stage.PRODUCTION, [name for name, numbers in holders.items() if numbers])
        due: list[VersionDigest] = []
        for transition in (entry.transition for entry in entries.values()):
            is_read = self._context.policy.rules_for(transition.model).integrity(Stage.PRODUCTION) != "off"
            if is_read and transition.identity and transition.version in holders[transition.model]:
                key = digest_key(transition.model, transition.version, transition.identity)
                at = times.get(key, now - recheck)
                if at is not None and at + recheck <= now:
                    due.append(new_digest(transition.model, transition.version, transition.identity, now))
        for digest in due[:MAX_SCHEDULED]:
            with self._context.ledger.write() as tx:
                if not tx.add_digest(digest):
                    request_comparison(tx, digest, since=now)

    def compare_listing(self, version: VersionInfo) -> tuple[str, ...]:
        """Return the paths that were added, removed, or resized since they were recorded, without reading any file.

        The result is empty if nothing is recorded. This lists the files once, so call it right before a transition.
        Raises RegistryRefused, and FilesUnreachable or RegistryUnreachable if the files can't be listed now.
        """
        with self._context.ledger.read() as reader:
            digest = reader.digest(digest_id(version))
        if digest is None or not digest.is_recorded:
            return ()
        return tuple(digest.manifest.resized_paths(list_files(self._files(version))))

    def _claim_next(self) -> VersionDigest | None:
        context, now = self._context, self._context.clock.now()
        if context.availability.is_unavailable or not context.startup_check.has_passed():
            return None
        with context.ledger.read() as reader:
            due = reader.due_digest(now)
        if due is None:
            return None
        with context.ledger.write() as tx:
            digest = tx.digest(due.id) if tx.claim(VersionDigest, due.id, context.claim(LEASE)) else None
            if digest is not None and digest.began_at is None:
                digest = replace(digest, began_at=now)
                tx.save_digest(digest)
        return digest

    def _run(self, files_pass: FilesPass, stop: threading.Event) -> bool:
        """Run a pass over a claimed version's files, and save the result. Return whether the pass completed."""
        try:
            try:
                self._finish(files_pass, self._read(files_pass, stop))
            except StoppingError:
                files_pass.save(due_at=self._context.clock.now())
            except (LedgerUnavailable, ClaimLostError):
                raise
            except Exception as error:  # whatever a third-party adapter raises
                self._postpone(files_pass, error)
            else:
                return True
        except ClaimLostError:
            log.warning("the files of v%s are being read elsewhere", files_pass.digest.version)
        return False

    def _read(self, files_pass: FilesPass, stop: threading.Event) -> VersionDigest:
        """Read all of a version's files, and return the updated digest."""
        digest, limit = files_pass.digest, self._limits.max_bytes
        version = self._context.registry.version(digest.model, digest.version)
        if digest_id(version) != digest.id:
            raise RegistryRefused("The version was created again.")
        files = self._files(version)
        listing = list_files(files)
        size = sum(size or 0 for size in listing.values())
        if digest.is_recorded and size > max(limit, digest.manifest.size):
            return digest.compare(digest.manifest.resized_paths(listing))
        if not digest.is_recorded:
            if not listing:
                raise RegistryRefused("The version has no files.")
            files_pass.save(file_count=len(listing), byte_count=size)
            if size > limit:
                why = say(_TOO_LARGE, size=f"{size:,}", limit=f"{limit:,}", setting=Code("REGISTRAR_DIGEST_MAX"))
                return files_pass.digest.give_up(DigestState.TOO_LARGE, str(why))
        kept = sum(entry.size for path, size in listing.items() if (entry := files_pass.hashed(path, size)))
        left = max(limit, digest.manifest.size) - kept  # sizes in the listing can be unknown, or wrong
        hasher = FileHasher(self._limits.rate, left, stop, files_pass.extend)
        found = FileManifest.of(
            files_pass.hashed(path, size) or files_pass.add(hasher.hash(files, path, size))
            for path, size in listing.items()
        )
        if list_files(files) != listing:
            raise FilesStillChanging
        if digest.is_recorded:
            return files_pass.digest.compare(digest.manifest.changed_paths(found))
        return files_pass.digest.record(found, self._context.clock.now())

    def _files(self, version: VersionInfo) -> VersionFiles:
        """Return a version's files. Raises RegistryRefused if the registry's adapter can't read files."""
        tracker = self._context.tracker
        if not isinstance(tracker, ReadsFiles):
            raise RegistryRefused("The registry's adapter can't read files.")
        return tracker.version_files(version)

    def _postpone(self, files_pass: FilesPass, error: Exception) -> None:
        """Schedule another attempt, or give up after several refusals or if the files keep changing."""
        digest, is_ours = files_pass.digest, isinstance(error, RegistrarError)
        log.warning("can't hash the files of v%s: %s", digest.version, error, exc_info=not is_ours)
        why = str(error.sentence) if isinstance(error, RegistrarError) else f"{type(error).__name__}; see the log."
        now, attempts = self._context.clock.now(), digest.attempts + 1
        gives_up = attempts >= MAX_REFUSALS and not isinstance(error, Unreachable)
        if isinstance(error, FilesStillChanging) and digest.began_at:
            gives_up = now - digest.began_at > MAX_CHANGING
        if gives_up:
            self._finish(files_pass, digest.give_up(DigestState.FAILED, why))
        else:
            retry_at = now + BACKOFF.delay(attempts)
            self._finish(files_pass, replace(digest, attempts=attempts, why=why, due_at=retry_at))

    def _finish(self, files_pass: FilesPass, ended: VersionDigest) -> None:
        """After a pass, save the digest, redraw cards, add audit events, and call the hooks, all in one transaction."""
        before = files_pass.digest
        with self._context.ledger.write() as tx:
            files_pass.require_claim(tx)
            tx.save_digest(ended)
            files_pass.redraw_cards(tx)
            if ended.is_recorded and not before.is_recorded:
                found = ended.manifest
                recorded = {"digest": found.digest, "root_digest": found.root_digest}
                sizes = {"files": len(found.files), "bytes": found.size}
                self._add_event(tx, ended, EventTag.FILES_RECORDED, recorded | sizes)
                self._on_recorded(tx, ended)
            elif ended.changed != before.changed:
                if ended.changed:
                    named = {"files": list(ended.changed[:MAX_NAMED_FILES]), "changed": len(ended.changed)}
                    self._add_event(tx, ended, EventTag.FILES_CHANGED, named)
                self._on_changed(tx, ended)

    def _add_event(
        self, tx: LedgerTransaction, digest: VersionDigest, tag: EventTag, evidence: Mapping[str, Any]
    ) -> None:
        tx.add_audit_event(
            Event(
                at=self._context.clock.now(),
                actor=DIGEST_ACTOR,
                tag=tag,
                subject=f"{digest.model} v{digest.version}",
                model=digest.model,
                after=f"v{digest.version}",
                origin="job",
                evidence={"version": digest.version, **evidence},
            )
        )


_TOO_LARGE = "The files have {size} bytes. {setting} allows {limit}."
