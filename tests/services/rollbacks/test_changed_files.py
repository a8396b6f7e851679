"""A version whose files are known to have changed is refused as a rollback target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.core.errors import Refused
from tests.support.registry.files import digest_of, hash_files, write_file
from tests.support.services.bench import BOB, Bench
from tests.support.services.rollbacks import ROLL_BACK


@pytest.fixture
def changed(served: Bench) -> Bench:
    """Return a bench whose rollback would go to churn v2; a comparison found that its file has changed."""
    hash_files(served)
    digest = digest_of(served, 2)
    assert digest is not None
    with served.ledger.write() as tx:
        tx.save_digest(replace(digest, changed=("MLmodel",)))
    return served


def test_a_rollback_to_changed_files_is_refused(changed: Bench) -> None:
    with pytest.raises(Refused, match=r"its files changed after they were recorded: MLmodel"):
        changed.do(ROLL_BACK, BOB)
    assert changed.registry.holders() == [4]


def test_a_person_can_force_a_rollback_to_changed_files(changed: Bench) -> None:
    changed.do(f"{ROLL_BACK} --force", BOB)
    assert changed.registry.holders() == [2]


def test_a_rollback_does_not_wait_for_files_to_be_hashed(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    assert served.registry.holders() == [2]


def test_a_rollback_reads_no_files_of_the_version(served: Bench) -> None:
    write_file(served, version=2)
    before = served.registry.request_counts["version_files"]
    served.do(ROLL_BACK, BOB)
    assert served.registry.request_counts["version_files"] == before
