"""The example's pods, run by podman next to PostgreSQL, MLflow, and a local Slack workspace.

It isn't Kubernetes, but it reads the same manifests: variables, volumes, users, limits, and the container that upgrades
the tables first.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import yaml

from localslack import LocalSlack
from tests.support.deploy.deployment import DEPLOY
from tests.support.deploy.engine import MLFLOW, REGISTRAR, Container, Engine, image_for, require_engine
from tests.support.deploy.kubernetes import Manifest, copy_example, of_kind, render
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME = "registrar-pods"
PORT = 3000
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
POLICY = """\
channel: "#ml-models"
models: {"*": {production: {approvers: [U0BOB]}, staging: {approvers: [U0BOB]}}}
"""
PASSWORD = """p@ss/w:rd#%?& "'$\\{é}"""
OVERLAY = f"""\
namespace: registrar
resources: [../example]
images:
  - {{name: registry.example.com/registrar, newName: {REGISTRAR}, newTag: latest}}
configMapGenerator:
  - name: registrar-settings
    behavior: merge
    literals:
      - REGISTRAR_DATABASE_URL=postgresql+psycopg://registrar@postgres:5432/registrar
      - MLFLOW_TRACKING_URI=http://mlflow:5000
"""


@dataclass
class PlayedPod:
    """A running pod. Podman runs no probes, so the test does."""

    engine: Engine
    manifest: Manifest

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def container(self) -> Container:
        """The container of the replica or worker."""
        return Container(self.engine, f"{self.name}-registrar")

    def get(self, path: str) -> httpx2.Response:
        """Return the response from the pod's address."""
        [pod] = json.loads(self.engine.podman("container", "inspect", self._infra_container()))
        address = pod["NetworkSettings"]["Networks"][NAME]["IPAddress"]
        return httpx2.get(f"http://{address}:{PORT}{path}", trust_env=False, timeout=5)

    def passes(self, probe: str) -> bool:
        """Return whether a probe succeeds, without its thresholds."""
        path = self.manifest["spec"]["containers"][0][probe]["httpGet"]["path"]
        try:
            return self.get(path).is_success
        except httpx2.TransportError:
            assert self.container.inspect()["State"]["Status"] == "running", self.container.log()
            return False

    def can_write(self, folder: str) -> bool:
        """Return whether the program can create a file in a folder."""
        script = f"open('{folder}/probe', 'w')"
        return "OSError" not in self.engine.podman(
            "exec", self.container.name, "python", "-c", f"try: {script}\nexcept OSError: print('OSError')"
        )

    def _infra_container(self) -> str:
        return self.engine.podman("pod", "inspect", "--format={{.InfraContainerID}}", self.name).strip()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, LocalSlack]]:
    """Run a local Slack workspace, PostgreSQL, and MLflow in a network."""
    require_engine()
    engine = Engine(tmp_path_factory.mktemp("engine"), NAME)
    with engine.network(), engine.workspace() as slack:
        passwords = {"POSTGRES_PASSWORD": "a1", "LEDGER_PASSWORD": PASSWORD, "MLFLOW_DB_PASSWORD": "c3"}
        postgres = engine.start(
            "postgres",
            *(f"--env={name}={value}" for name, value in passwords.items()),
            f"--volume={DEPLOY}/postgres.sql:/docker-entrypoint-initdb.d/postgres.sql:ro",
            image_for("postgres"),
        )
        server = ["server", "--host=0.0.0.0", "--port=5000", "--workers=1", "--allowed-hosts=mlflow:5000"]
        engine.start("mlflow", MLFLOW, *server).wait_until_healthy()
        ask = ("exec", postgres.name, "pg_isready", "--host=127.0.0.1")
        wait_until(lambda: "accepting connections" in engine.podman(*ask, check=False))
        yield engine, slack


@pytest.fixture(scope="module")
def played(
    workspace: tuple[Engine, LocalSlack], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, PlayedPod]]:
    """Run the example's pods with their addresses changed."""
    engine, slack = workspace
    folder = tmp_path_factory.mktemp("kubernetes")
    copy_example(folder, POLICY)
    (folder / "pods").mkdir()
    overlay = f"{OVERLAY}      - SLACK_API_URL={slack.api_url}\n"
    (folder / "pods" / "kustomization.yaml").write_text(overlay, encoding="utf-8")
    manifests = render(folder / "pods")
    pods = list(as_pods(manifests))
    secret = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "PGPASSWORD": PASSWORD}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in secret.items()}
    (folder / "secret.json").write_text(json.dumps(encoded))
    (folder / "pods.yaml").write_text(yaml.safe_dump_all([*of_kind("ConfigMap", manifests).values(), *pods]))
    remove(engine, pods)
    engine.podman("secret", "create", NAME, str(folder / "secret.json"))
    try:
        engine.podman("kube", "play", "--network", NAME, str(folder / "pods.yaml"))
        yield {str(pod["metadata"]["name"]): PlayedPod(engine, pod) for pod in pods}
    finally:
        remove(engine, pods)


def as_pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield a pod for each replica, because podman 4.3 starts only one, and starts the first container again."""
    for name, deployment in of_kind("Deployment", manifests).items():
        for number in range(deployment["spec"]["replicas"]):
            spec: Any = copy.deepcopy(deployment["spec"]["template"]["spec"]) | {"restartPolicy": "OnFailure"}
            pod = f"{NAME}-{name}-{number + 1}"
            for volume in spec["volumes"]:  # podman's volumes aren't part of a pod
                if "emptyDir" in volume:
                    volume["name"] = f"{pod}-{volume['name']}"
            for container in [*spec["initContainers"], *spec["containers"]]:
                container["envFrom"][1]["secretRef"]["name"] = NAME
                container.pop("ports", None)  # podman would publish them on this machine
                for mount in container["volumeMounts"]:
                    mount["name"] = mount["name"] if mount["name"] == "policy" else f"{pod}-{mount['name']}"
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec}


def remove(engine: Engine, pods: list[Manifest]) -> None:
    """Remove the pods, their volumes, and the secret, also those of a run that was killed."""
    engine.podman(
        "pod", "rm", "--force", "--ignore", "--time=1", *(pod["metadata"]["name"] for pod in pods), check=False
    )
    engine.podman("volume", "rm", "--force", "registrar-policy", check=False)
    engine.podman("secret", "rm", NAME, check=False)


def test_every_pod_upgrades_the_tables_and_becomes_ready(
    workspace: tuple[Engine, LocalSlack], played: dict[str, PlayedPod]
) -> None:
    """PostgreSQL was empty, and its password has characters with a meaning in a URL."""
    assert len(played) == 3
    for pod in played.values():
        for probe in PROBES:
            wait_until(lambda pod=pod, probe=probe: pod.passes(probe))  # type: ignore[misc]
        wait_until(lambda pod=pod: pod.get("/readyz").is_success)  # type: ignore[misc]
    _, slack = workspace
    wait_until(lambda: slack.status()["connections"] == 2)


def test_every_pod_runs_without_privileges_and_with_the_memory_limit(played: dict[str, PlayedPod]) -> None:
    for pod in played.values():
        status = pod.container.status()
        assert (status["Uid"].split(), status["Gid"].split()) == (["10001"] * 4, ["10001"] * 4)
        assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["Seccomp"]) == (0, "1", "2")
        assert pod.container.inspect()["HostConfig"]["Memory"] == 1 << 30


def test_every_pod_writes_only_to_its_temporary_folders(played: dict[str, PlayedPod]) -> None:
    for pod in played.values():
        folders = ("/", "/opt/registrar", "/etc/registrar", "/tmp", "/var/lib/registrar")  # noqa: S108 - in the container
        assert [folder for folder in folders if pod.can_write(folder)] == ["/tmp", "/var/lib/registrar"]  # noqa: S108


def test_an_outage_of_postgresql_fails_no_probe(
    workspace: tuple[Engine, LocalSlack], played: dict[str, PlayedPod]
) -> None:
    engine, _ = workspace
    engine.podman("stop", f"{NAME}-postgres")
    for pod in played.values():
        wait_until(lambda pod=pod: pod.get("/readyz").status_code == 503)  # type: ignore[misc]
        assert [probe for probe in PROBES if not pod.passes(probe)] == []
    engine.podman("start", f"{NAME}-postgres")
    for pod in played.values():
        wait_until(lambda pod=pod: pod.get("/readyz").is_success)  # type: ignore[misc]


def test_the_other_replica_stays_connected_while_one_stops(
    workspace: tuple[Engine, LocalSlack], played: dict[str, PlayedPod]
) -> None:
    _, slack = workspace
    stopped, kept = (played[f"{NAME}-registrar-{number}"] for number in (1, 2))
    grace = stopped.manifest["spec"]["terminationGracePeriodSeconds"]
    assert stopped.container.stop(grace) == 0, stopped.container.log()
    assert kept.get("/readyz").is_success
    assert slack.status()["connections"] == 1
