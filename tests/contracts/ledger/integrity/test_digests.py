"""The digests of versions, in every ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.integrity.digest import DigestState, VersionDigest, new_digest
from bot.domain.integrity.manifest import FileEntry, FileManifest
from bot.domain.registry.model import VersionIdentity
from bot.ledger import SqlLedger
from bot.ports import Claim
from tests.support.ledger.records import LATER, NOW, SOON, run_concurrently

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)

MANIFEST = FileManifest.of([FileEntry("data/вес 100%.bin", 5 * 10**12, "a" * 64), FileEntry("MLmodel", 0, "b" * 64)])


def digest(version: int = 1, run_id: str = "a") -> VersionDigest:
    return new_digest("churn", version, VersionIdentity(run_id=run_id, source="s3://x", created_at=NOW), NOW)


def add(ledger: SqlLedger, *digests: VersionDigest) -> None:
    with ledger.write() as tx:
        for each in digests:
            assert tx.add_digest(each)


def test_every_field_is_stored(ledger: SqlLedger) -> None:
    full = replace(
        digest(),
        state=DigestState.RECORDED,
        manifest=MANIFEST,
        partial=FileManifest(MANIFEST.files[:1]),
        file_count=2,
        byte_count=5 * 10**12,
        due_at=LATER,
        attempts=3,
        why="The store isn't responding.",
        recorded_at=SOON,
        began_at=SOON,
        compared_at=SOON,
        changed=("MLmodel",),
    )
    add(ledger, digest())
    with ledger.write() as tx:
        tx.save_digest(full)
    with ledger.read() as reader:
        assert reader.digest(full.id) == full
        assert reader.digest("churn/9/x") is None


def test_a_digest_is_added_only_once(ledger: SqlLedger) -> None:
    add(ledger, digest())
    with ledger.write() as tx:
        assert not tx.add_digest(replace(digest(), attempts=7))
    with ledger.read() as reader:
        assert reader.digests_of("churn", 1) == [digest()]


def test_the_digests_of_a_version_number_come_newest_first(ledger: SqlLedger) -> None:
    add(ledger, digest(run_id="old"), digest(run_id="new"), digest(version=2))
    with ledger.read() as reader:
        assert [each.identity.run_id for each in reader.digests_of("churn", 1)] == ["new", "old"]


def test_the_longest_overdue_digest_is_next(ledger: SqlLedger) -> None:
    early, late = (replace(digest(n), due_at=NOW - timedelta(hours=n)) for n in (2, 1))
    add(ledger, late, early, replace(digest(3), due_at=SOON), replace(digest(4), due_at=None))
    with ledger.read() as reader:
        assert reader.due_digest(NOW) == early
        assert reader.due_digest(NOW - timedelta(hours=3)) is None


def test_only_one_process_claims_a_digest(ledger: SqlLedger) -> None:
    add(ledger, digest())

    def claim(number: int) -> bool:
        with ledger.write() as tx:
            return tx.claim(VersionDigest, digest().id, Claim(f"process {number}", NOW, SOON))

    assert sorted(run_concurrently(4, claim)) == [False, False, False, True]
    with ledger.read() as reader:
        assert reader.due_digest(NOW) is None
        assert reader.due_digest(SOON) is not None


def test_the_time_of_a_digest_is_when_its_files_were_last_read(ledger: SqlLedger) -> None:
    done = replace(digest(), due_at=None, recorded_at=NOW)
    add(
        ledger,
        done,
        replace(done, id="compared", compared_at=SOON),
        replace(done, id="waiting", due_at=LATER, compared_at=SOON),
        replace(done, id="failed", recorded_at=None),
    )
    with ledger.read() as reader:
        assert reader.times_of_digests() == {done.id: NOW, "compared": SOON, "waiting": LATER, "failed": None}
