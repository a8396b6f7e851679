"""Files, a trusted key, and what the verifier says about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from registrar.verifier import NotVerified, Verified, Verifier
from tests.support.integrity.signed_bundles import SigningKey, bundle, write_files

KEY = SigningKey()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of churn v4, as they were approved."""
    return write_files(tmp_path / "model")


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return KEY.save(tmp_path)


def check(
    folder: Path,
    trusted: Path,
    given: object = None,
    *,
    grace: timedelta = timedelta(0),
    model: str = "churn",
    version: int | None = 4,
) -> Verified:
    """Verify the folder against a bundle, which is a file."""
    file = folder.parent / "bundle.json"
    file.write_text(json.dumps(given or bundle(KEY)))
    return Verifier([trusted], file, grace=grace).check(folder, model=model, version=version)


def refusal(act: Callable[[], object]) -> tuple[str, str]:
    """Return the reason and the sentence of a refusal."""
    with pytest.raises(NotVerified) as refused:
        act()
    return refused.value.code, str(refused.value)
