"""The images that `make image` builds, run by podman: a promotion, a kill, a stop, and what they write."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL
from tests.support.deploy.engine import MLFLOW, POLICY, REGISTRAR, Container, Engine, promote, require_engine
from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DRAIN = 3  # seconds
GRACE = 60  # seconds, as in compose.yaml
LARGEST = 1100  # MB
TEMPORARY = "/tmp"  # noqa: S108 - in the container


@dataclass
class RunningImages:
    """Both images, running with a local Slack workspace."""

    engine: Engine
    slack: LocalSlack
    policy: Path
    mlflow_url: str
    bot_url: str
    bot: Container
    seconds_until_healthy: dict[str, float]  # by image

    def stages(self) -> dict[str, str]:
        """Return each version's stage."""
        url = f"{self.mlflow_url}/api/2.0/mlflow/model-versions/search"
        found = httpx2.get(url, params={"filter": "name = 'churn'"}, trust_env=False).json()
        return {version["version"]: version["current_stage"] for version in found["model_versions"]}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningImages]:
    """Run both images, as the Dockerfile says. Their file systems are writable, to find out what the programs write."""
    require_engine()
    folder = tmp_path_factory.mktemp("image")
    policy = folder / "policy"
    policy.mkdir()
    (policy / "registrar.yml").write_text(POLICY)
    for path in (folder, policy):
        path.chmod(0o755)
    engine = Engine(folder, "registrar-image")
    mlflow_port, bot_port = free_port(), free_port()
    with engine.network(), engine.workspace() as slack:
        hosts = f"--allowed-hosts=mlflow:5000,127.0.0.1:{mlflow_port}"
        artifacts = "--artifacts-destination=/var/lib/mlflow/artifacts"
        server = ["server", "--host=0.0.0.0", "--port=5000", "--workers=1", artifacts, hosts]
        began = time.monotonic()
        mlflow = engine.start("mlflow", f"--publish=127.0.0.1:{mlflow_port}:5000", MLFLOW, *server)
        mlflow.wait_until_healthy()
        seconds = {MLFLOW: time.monotonic() - began}
        mlflow_url = f"http://127.0.0.1:{mlflow_port}"
        register_versions(mlflow_url)
        variables = {
            "SLACK_API_URL": slack.api_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
            "REGISTRAR_DRAIN": f"{DRAIN}s",
        }
        began = time.monotonic()
        bot = engine.start(
            "bot",
            *(f"--env={name}={value}" for name, value in variables.items()),
            f"--volume={policy}:/etc/registrar:ro",
            f"--publish=127.0.0.1:{bot_port}:3000",
            "--restart=unless-stopped",
            REGISTRAR,
        )
        bot.wait_until_healthy()
        seconds[REGISTRAR] = time.monotonic() - began
        slack.wait_until_connected(timeout=60)
        yield RunningImages(engine, slack, policy, mlflow_url, f"http://127.0.0.1:{bot_port}", bot, seconds)


def register_versions(mlflow_url: str) -> None:
    """Register three versions of `churn`, each with a run and an accuracy."""
    with httpx2.Client(base_url=f"{mlflow_url}/api/2.0/mlflow", trust_env=False, timeout=30) as mlflow:

        def call(path: str, **body: object) -> dict[str, Any]:
            return dict(mlflow.post(path, json=body).raise_for_status().json())

        call("/registered-models/create", name="churn")
        for version in (1, 2, 3):
            run = call("/runs/create", experiment_id="0", start_time=0)["run"]["info"]["run_id"]
            call("/runs/log-metric", run_id=run, key="accuracy", value=0.9 + version / 100, timestamp=0)
            call("/model-versions/create", name="churn", source=f"s3://nowhere/{version}", run_id=run)


def test_the_image_has_this_checkout_s_code(images: RunningImages) -> None:
    root = Path(images.engine.podman("container", "mount", images.bot.name).strip())
    [packages] = root.glob("opt/registrar/lib/python3*/site-packages/registrar/app")
    for folder in ("bot", "handlers", "localslack"):
        ours = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / folder).rglob("*.py")}
        theirs = {path.relative_to(packages): path.read_bytes() for path in (packages / folder).rglob("*.py")}
        assert [str(path) for path in ours if theirs.get(path) != ours[path]] == [], "run `make image` again"


def test_the_program_is_unprivileged(images: RunningImages) -> None:
    status = images.bot.status()
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == 0


def test_a_container_without_a_server_is_unhealthy(images: RunningImages) -> None:
    for image in (REGISTRAR, MLFLOW):
        idle = images.engine.start("idle", "--entrypoint=sleep", image, "60")
        assert not idle.is_healthy()
        idle.remove()


def test_a_request_survives_a_kill_and_is_promoted(images: RunningImages) -> None:
    promote(images.slack, 1, images.stages)
    killed = images.bot.pid

    def kill() -> None:
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: images.bot.pid not in {0, killed})  # the restart policy starts it again
        images.bot.wait_until_healthy()
        wait_until(lambda: images.slack.status()["connections"] >= 1)

    promote(images.slack, 2, images.stages, before_the_click=kill)
    assert images.stages() == {"1": "Archived", "2": "Production", "3": "None"}


def test_it_writes_only_to_its_volume_and_tmp(images: RunningImages) -> None:
    alice = images.slack.person("alice")
    alice.types(CHANNEL, "/model compare churn 1 2")
    wait_until(lambda: any(message.get("files") for message in alice.direct_messages()))  # it has drawn a chart
    mounts = f"--volume={images.policy}:/etc/registrar:ro"
    idle = images.engine.start("idle", mounts, "--entrypoint=sleep", REGISTRAR, "60")
    changed = set(images.bot.changed_paths()) - set(idle.changed_paths())  # podman itself changes some
    assert [line for line in changed if not line.split()[1].startswith(TEMPORARY)] == []


def test_sigterm_finishes_what_runs_and_exits_with_0(images: RunningImages) -> None:
    os.kill(images.bot.pid, signal.SIGTERM)
    ready = f"{images.bot_url}/readyz"
    wait_until(lambda: httpx2.get(ready, trust_env=False).status_code == 503)
    assert httpx2.get(f"{images.bot_url}/healthz", trust_env=False).status_code == 200
    assert images.bot.stop(GRACE) == 0, images.bot.log()
    assert "Traceback" not in images.bot.log()


def test_the_images_are_small_enough(images: RunningImages, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {name: images.engine.size(name) for name in (REGISTRAR, MLFLOW)}
    with capsys.disabled():
        for name, size in sizes.items():
            print(f"\n{name}: {size} MB, healthy {images.seconds_until_healthy[name]:.1f} s after its first start")
    assert max(sizes.values()) < LARGEST
