"""Bundles that were tampered with in thousands of ways: none is accepted, and nothing but NotVerified is raised."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from registrar.verifier import NotVerified, Verifier
from tests.support.integrity.mutations import Mutator
from tests.support.integrity.signed_bundles import (
    CONTENTS,
    STATUS,
    SigningKey,
    bundle,
    in_time,
    payload_of,
    write_files,
)

# For more: MUTATIONS=100000 MUTATION_SEED=7 pytest tests/project/verifier/test_mutations.py
COUNT, SEED = int(os.environ.get("MUTATIONS", "3000")), int(os.environ.get("MUTATION_SEED", "29"))
KEY = SigningKey()


@pytest.mark.timeout(0)
def test_no_tampered_bundle_is_accepted(tmp_path: Path) -> None:
    folder, trusted, file = write_files(tmp_path / "model"), KEY.save(tmp_path), tmp_path / "bundle.json"
    mine, replaced = bundle(KEY), bundle(KEY, id="p3", state="replaced")  # one list says what became of both
    listed = payload_of(mine["status"])
    listed["passports"] += payload_of(replaced["status"])["passports"]
    mine["status"] = replaced["status"] = KEY.sign(STATUS, listed)
    strangers = [
        replaced,
        bundle(KEY, model="spam"),
        bundle(KEY, version=3),
        bundle(KEY, stage="Staging"),
        bundle(KEY, id="p5", expires=in_time(days=-1)),
        bundle(KEY, id="p6", status={"expires": in_time(days=-1)}),
        bundle(KEY, CONTENTS | {"model.skops": b"other"}, id="p7", state="rolled_back"),
        bundle(SigningKey()),
    ]
    file.write_text(json.dumps(mine))
    Verifier([trusted], file).check(folder, model="churn", version=4)
    mutator, reasons = Mutator(SEED, mine, strangers), Counter[str]()
    for number in range(COUNT):
        file.write_bytes(mutant := mutator.mutant())
        try:
            Verifier([trusted], file).check(folder, model="churn", version=4)
        except NotVerified as refused:
            reasons[refused.code] += 1
        else:
            pytest.fail(f"accepted mutant {number} of seed {SEED}: {mutant[:3_000]!r}")
    assert {
        "malformed",
        "wrong_key",
        "bad_signature",
        "status_missing",
        "another_model",
        "not_listed",
    } <= reasons.keys()
