"""Runs containers with podman, for tests of the images that `make image` builds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, MANIFEST
from tests.support.deploy.deployment import compose
from tests.support.paths import ROOT
from tests.support.slack.message_parts import objects
from tests.support.waiting import wait_until

REGISTRAR, MLFLOW = "localhost/registrar", "localhost/registrar-mlflow"
BASE = "localhost/registrar-base"  # built if the Dockerfile's base can't be pulled
STAND_INS = Path(__file__).parent / "stand_ins"
DESCRIPTORS = 4096
LONG = 300.0  # seconds for one command
PATIENCE_FOR_A_CARD = 180.0  # seconds; what a killed process had claimed is free again after 90
POLICY = """\
channel: "#ml-models"
models: {"*": {production: {approvers: [U0BOB]}, staging: {approvers: [U0BOB]}}}
"""

# runc, because Debian's crun can't handle control groups in hybrid mode. The limits, because otherwise podman raises
# them, which needs a capability that root doesn't have everywhere.
_SETTINGS = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
{runtime}
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={files}:{files}"]
"""


class Engine:
    """Podman, and a network of its own for containers and a local Slack workspace."""

    def __init__(self, folder: Path, name: str) -> None:
        """folder: for temporary files. name: the network's name, and the prefix of the containers' names."""
        self.name = name
        settings = folder / "containers.conf"
        runtime = 'runtime = "runc"' if shutil.which("runc") else ""
        files = min(DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        settings.write_text(_SETTINGS.format(runtime=runtime, files=files))
        # Without systemd, podman has no timer for health checks: the tests run them.
        self.environment = os.environ | {"CONTAINERS_CONF": str(settings), "DISABLE_HC_SYSTEMD": "true"}

    def podman(self, *words: str, check: bool = True) -> str:
        """Run podman, and return its output. Fails the test if podman fails, unless `check` is false."""
        return self.execute(["podman", *words], check=check)

    def execute(self, words: Sequence[str], *, check: bool = True, cwd: Path | None = None) -> str:
        """Run a program with the engine's settings, and return its output."""
        done = subprocess.run(
            words, env=self.environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=LONG
        )
        assert done.returncode == 0 or not check, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def size(self, image: str) -> int:
        """Return an image's size in MB."""
        return int(self.podman("image", "inspect", "--format={{.Size}}", image)) // 1_000_000

    def start(self, name: str, *words: str) -> Container:
        """Start a container in the network. `words`: podman's options, the image, and its command."""
        full_name = f"{self.name}-{name}"
        self.podman("run", "--detach", "--name", full_name, "--network", f"{self.name}:alias={name}", *words)
        return Container(self, full_name)

    def gateway(self) -> str:
        """Return this machine's address in the network. It exists while a container is connected."""
        [network] = json.loads(self.podman("network", "inspect", self.name))
        return str(network["subnets"][0]["gateway"])

    @contextlib.contextmanager
    def workspace(self, **settings: Any) -> Iterator[LocalSlack]:
        """Run a local Slack workspace that containers can connect to."""
        holder = self.start("holder", "--read-only", "--entrypoint=sleep", REGISTRAR, "infinity")
        with LocalSlack.start(MANIFEST, host=self.gateway(), **settings) as slack:
            yield slack
        holder.remove()

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Create the network; afterward, remove it and every container in it. A second run on this machine waits."""
        with Path(f"/run/{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it even if this run is killed
            self._clean_up()
            self.podman("network", "create", self.name)
            try:
                yield
            finally:
                self._clean_up()

    def _clean_up(self) -> None:
        containers = self.podman("ps", "--all", "--quiet", "--filter", f"network={self.name}", check=False).split()
        if containers:
            self.podman("rm", "--force", "--time", "1", "--volumes", *containers, check=False)
        self.podman("network", "rm", "--force", self.name, check=False)  # and containers that could not be removed yet


def promote(
    slack: LocalSlack,
    version: int,
    stages: Callable[[], Mapping[str, str]],
    *,
    before_the_click: Callable[[], None] = lambda: None,
) -> None:
    """Request a version of `churn` for Production as Alice, approve it as Bob, and wait until it's in Production.

    `stages` returns each version's stage.
    """
    slack.person("alice").types(CHANNEL, f"/model promote churn {version} production")
    bob, named = slack.person("bob"), re.compile(rf"\bv{version}\b")

    def is_pending(message: dict[str, Any]) -> bool:
        parts = objects(message.get("blocks") or [])
        buttons = [part["text"]["text"] for part in parts if part.get("type") == "button"]
        return "Approve" in buttons and named.search(str(message.get("text"))) is not None

    card = bob.waits_for(CHANNEL, is_pending, PATIENCE_FOR_A_CARD)
    before_the_click()
    bob.clicks(card, "Approve")
    wait_until(lambda: stages()[str(version)] == "Production")


class Container:
    """A running container."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def inspect(self) -> dict[str, Any]:
        """Return podman's description of it."""
        [found] = json.loads(self._engine.podman("container", "inspect", self.name))
        return dict(found)

    @property
    def pid(self) -> int:
        """Its main process's number on this machine; 0 if it isn't running."""
        return int(self.inspect()["State"]["Pid"])

    def is_healthy(self) -> bool:
        """Run the image's health check. Fails the test if the container has exited."""
        state = self.inspect()["State"]
        assert state["Status"] != "exited", f"{self.name} exited with {state['ExitCode']}\n{self.log()}"
        words = ["podman", "healthcheck", "run", self.name]
        return subprocess.run(words, env=self._engine.environment, capture_output=True, check=False).returncode == 0

    def wait_until_healthy(self, limit: float = 120) -> None:
        """Wait until the health check passes."""
        try:
            wait_until(self.is_healthy, limit)
        except AssertionError as error:
            raise AssertionError(f"{self.name} isn't healthy\n{self.log()}") from error

    def log(self) -> str:
        """Return its output."""
        words = ["podman", "logs", self.name]
        done = subprocess.run(words, env=self._engine.environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def run(self, *words: str) -> str:
        """Run a program in it, and return what it prints, errors included."""
        done = subprocess.run(
            ["podman", "exec", self.name, *words],
            env=self._engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def changed_paths(self) -> list[str]:
        """Return the files and folders that it has changed outside its volumes."""
        return self._engine.podman("diff", self.name).splitlines()

    def stop(self, seconds: int) -> int:
        """Send the stop signal, wait, and return the exit code: 137 if it had to be killed after `seconds`."""
        self._engine.podman("stop", "--time", str(seconds), self.name)
        return int(self.inspect()["State"]["ExitCode"])

    def remove(self) -> None:
        """Kill and remove it."""
        self._engine.podman("rm", "--force", "--time", "1", "--volumes", self.name)

    def limits(self) -> tuple[int, int]:
        """Return the limits that the kernel enforces: bytes of memory, and processes and threads."""
        groups = dict(_control_groups(self.pid))
        root = Path("/sys/fs/cgroup")
        if "memory" in groups:  # version 1
            memory = root / "memory" / groups["memory"] / "memory.limit_in_bytes"
            tasks = root / "pids" / groups["pids"] / "pids.max"
        else:
            memory, tasks = (root / groups[""] / name for name in ("memory.max", "pids.max"))
        return int(memory.read_text()), int(tasks.read_text())

    def status(self) -> dict[str, str]:
        """Return the kernel's facts about its main process: users, capabilities, and more."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _control_groups(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path.removeprefix("/")


def cannot_run(why: str) -> NoReturn:
    """Skip the test, or fail it if `make image` or CI requires containers."""
    if os.environ.get("CONTAINERS") == "required":
        pytest.fail(why)
    pytest.skip(why)


def require_engine() -> None:
    """Skip the test if this machine has no podman, or `make image` hasn't built the images."""
    if os.geteuid() != 0 or shutil.which("podman") is None:
        cannot_run("containers need root and podman: see scripts/image")
    for image in (REGISTRAR, MLFLOW):
        if subprocess.run(["podman", "image", "exists", image], check=False).returncode != 0:
            cannot_run(f"{image} isn't built here; run `make image`")


def program_of_tools(name: str) -> str:
    """Return a program that scripts/install-tools installs, or skip the test."""
    if found := shutil.which(ROOT / ".tools" / "bin" / name):
        return found
    cannot_run(f"no {name} here; scripts/install-tools fetches it")


def image_for(service: str) -> str:
    """Return the image that a service of compose.yaml pulls, or else its stand-in, built from Debian's packages."""
    name, _, digest = str(compose()["services"][service]["image"]).partition("@")
    pinned = f"{name.partition(':')[0]}@{digest}"  # podman accepts a tag or a digest, not both
    if subprocess.run(["podman", "pull", "--quiet", pinned], check=False, capture_output=True).returncode == 0:
        return pinned
    image = f"localhost/registrar-test-{service}"
    base = ["podman", "image", "exists", BASE]
    if subprocess.run(base, check=False).returncode != 0:
        cannot_run(f"{name} can't be pulled, and {BASE}, which its stand-in needs, isn't built here")
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    options = ["--quiet", "--format=docker", "--isolation=chroot", "--network=host", "--pull-never", "--layers"]
    words = ["buildah", "bud", *options, f"--volume={certificates}:{certificates}:ro", f"--tag={image}"]
    done = subprocess.run([*words, str(STAND_INS / service)], capture_output=True, text=True, check=False, timeout=LONG)
    assert done.returncode == 0, done.stdout + done.stderr
    return image
