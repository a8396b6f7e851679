"""scripts/image and .ci/run where images can't be built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and Linux's setpriv"
)


def test_root_without_the_right_to_mount_builds_no_image() -> None:
    """As in a container without more rights, in which CI often runs."""
    function = "sed -n '/^can_run_containers/,/^}/p' .ci/run"
    without_mounts = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    words = [*without_mounts, "bash", "-c", f'eval "$({function})"; can_run_containers']
    assert subprocess.run(words, cwd=ROOT, capture_output=True, check=False).returncode == 1


def test_a_base_that_cannot_be_made_leaves_no_container(tmp_path: Path) -> None:
    write(tmp_path / "debootstrap", "exit 1")
    answers = "case $1 in pull | inspect) exit 1 ;; from) echo made ;; mount) echo /made ;; esac"
    write(tmp_path / "buildah", f'echo "$@" >>{tmp_path}/calls\n{answers}')
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([ROOT / "scripts" / "image"], env=environment, capture_output=True, check=False)
    assert done.returncode == 75
    assert (tmp_path / "calls").read_text().splitlines()[-1] == "rm made"


def write(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
