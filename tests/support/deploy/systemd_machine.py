"""A container with systemd as process 1, in which deploy/registrar.service runs unchanged."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.deploy.engine import REGISTRAR, require_engine
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

BASE = os.environ.get("IMAGE", REGISTRAR)
IMAGE = "localhost/registrar-systemd"
CONTAINERFILE = ROOT / "tests" / "support" / "deploy" / "systemd.Containerfile"
# systemd needs SYS_ADMIN to mount, and SYS_PTRACE to set up PrivateUsers= behind ProtectProc=.
OPTIONS = (
    *("--network=none", "--systemd=always", "--cgroupns=private", "--cap-add=SYS_ADMIN,SYS_PTRACE"),
    *("--security-opt=seccomp=unconfined", "--security-opt=unmask=ALL"),
    *("--ulimit=nofile=4096:4096", "--ulimit=nproc=8192:8192"),
)
# Unlike on a machine, the mounts are private, which hides credentials, and version 1's control groups are read-only.
BOOT = """
mount --make-rshared /
for controller in /sys/fs/cgroup/*/; do mount -o remount,bind,rw "$controller" 2>/dev/null; done
exec /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
"""


class SystemdMachine:
    """A running container."""

    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Run a command as root, and return its output; a failure fails the test."""
        done = self._exec(words, stdin)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *words: str) -> str:
        """Run a command that fails, and return what it says."""
        done = self._exec(words)
        assert done.returncode != 0, f"{' '.join(words)}\n{done.stdout}"
        return done.stderr

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file as root."""
        self.run("install", "-D", f"--mode={mode:o}", "/dev/stdin", path, stdin=text)

    def python(self, code: str, user: str = "root") -> str:
        """Run code with Registrar's packages as a user, and return its output."""
        return self.run("setpriv", f"--reuid={user}", "--clear-groups", "/opt/registrar/bin/python", "-c", code)

    def show(self, name: str) -> str:
        """Return a property of the service."""
        return self.run("systemctl", "show", f"--property={name}", "--value", "registrar").strip()

    def log(self) -> str:
        """Return the service's log."""
        return self.run("journalctl", "--unit=registrar", "--output=cat", "--no-pager")

    def _exec(self, words: tuple[str, ...], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return _podman("exec", "--interactive", self._name, *words, stdin=stdin)

    def is_up(self) -> bool:
        """Return whether systemd has started everything."""
        return self._exec(("systemctl", "is-system-running", "--wait")).stdout.strip() in {"running", "degraded"}


@contextmanager
def systemd_machine() -> Iterator[SystemdMachine]:
    """Build the image, and run it until the block ends; skip without an engine and Registrar's image."""
    require_engine()
    built = subprocess.run(
        [
            *("buildah", "bud", "--isolation=chroot", "--network=host", "--pull-never", "--layers", "--from", BASE),
            *("--tag", IMAGE, "--file", CONTAINERFILE, CONTAINERFILE.parent),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    name = f"registrar-systemd-{secrets.token_hex(4)}"
    started = _podman("run", "--detach", "--name", name, *OPTIONS, "--entrypoint=/bin/sh", IMAGE, "-c", BOOT)
    try:
        assert started.returncode == 0, started.stderr
        machine = SystemdMachine(name)
        wait_until(machine.is_up)
        yield machine
    finally:
        _podman("rm", "--force", "--volumes", "--time=0", name)


def _podman(*words: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    # crun, Podman's default, can't run where version 1's control groups are mounted next to version 2's.
    runtime = ["--runtime=runc"] if shutil.which("runc") else []
    return subprocess.run(
        ["podman", *runtime, *words], input=stdin, capture_output=True, text=True, check=False, timeout=120
    )
