"""The code of other releases, to run next to this one: 0.2.0, and one that doesn't exist yet."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

COMMIT = "d32c20da5c55d6a354ef24c4629e457aa4f27ca7"  # 0.2.0
PACKAGED = ("bot", "handlers", "localslack", "examples", "manifest.yml")  # what the wheel has, in the same layout
MIGRATION = '''"""A migration of a later release."""

revision = "later"
down_revision = "{newest}"


def upgrade() -> None:
    """Change nothing."""
'''


@pytest.fixture(scope="session")
def release_0_2_0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the code of 0.2.0, from the history of this checkout."""
    if subprocess.run(["git", "cat-file", "-e", COMMIT], cwd=ROOT, check=False, capture_output=True).returncode:
        pytest.skip("the code of 0.2.0 isn't in this checkout's history: run git fetch --unshallow")
    archive = subprocess.run(["git", "archive", COMMIT, *PACKAGED], cwd=ROOT, check=True, capture_output=True).stdout
    folder = tmp_path_factory.mktemp("0.2.0")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    # It imports httpx, which isn't installed. The parts of httpx2 that it uses have the same names.
    (folder / "httpx.py").write_text("import sys\n\nimport httpx2\n\nsys.modules[__name__] = httpx2\n")
    return folder


def later_release(folder: Path, newest: str) -> Path:
    """Copy this checkout's code into a new folder, and add a migration after `newest`."""
    for name in ("bot", "handlers"):  # with the compiled files, which are still valid
        shutil.copytree(ROOT / name, folder / name)
    (folder / "bot/ledger/migrations/versions/later.py").write_text(MIGRATION.format(newest=newest), encoding="utf-8")
    return folder
