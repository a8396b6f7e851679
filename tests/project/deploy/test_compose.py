"""deploy/compose.yaml, started by podman-compose: two replicas, a worker, PostgreSQL, MLflow, and Prometheus."""

from __future__ import annotations

import graphlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from localslack import LocalSlack
from tests.support.deploy.deployment import DEPLOY, GIVEN, compose, grace, memory_limit
from tests.support.deploy.engine import POLICY, Container, Engine, image_for, program_of_tools, promote, require_engine
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OURS = ("registrar", "worker", "mlflow")
LONG_RUNNING = (*OURS, "postgres", "prometheus")
LOGIN = ("registrar", GIVEN["MLFLOW_REGISTRAR_PASSWORD"])


class Project:
    """The services, in containers."""

    def __init__(self, engine: Engine, slack: LocalSlack, folder: Path) -> None:
        self.engine = engine
        self.slack = slack
        self._folder = folder

    def compose(self, *words: str) -> str:
        """Run podman-compose, and return its output."""
        program = program_of_tools("podman-compose")
        files = ["--file=compose.yaml", "--file=here.yaml", f"--project-name={self.engine.name}"]
        return self.engine.execute([program, *files, *words], cwd=self._folder)

    def containers(self, service: str) -> list[Container]:
        """Return a service's containers, by number."""
        label = f"label=com.docker.compose.service={service}"
        project = f"label=com.docker.compose.project={self.engine.name}"
        words = ["ps", "--all", "--filter", label, "--filter", project, "--format", "{{.Names}}"]
        return [Container(self.engine, name) for name in sorted(self.engine.podman(*words).split())]

    def start(self, service: str) -> None:
        """Start a service whose dependencies are running, and wait until it's healthy or has ended."""
        replicas = compose()["services"][service].get("deploy", {}).get("replicas", 1)
        self.compose("up", "--detach", "--no-deps", "--no-recreate", f"--scale={service}={replicas}", service)
        for container in self.containers(service):
            if compose()["services"][service].get("restart") == "no":
                code = self.engine.podman("wait", container.name).strip()
                assert code == "0", f"{service} exited with {code}\n{container.log()}"
            else:
                container.wait_until_healthy()

    def url(self, container: Container, port: int) -> str:
        """Return a container's address in the network."""
        network = container.inspect()["NetworkSettings"]["Networks"][self.engine.name]
        return f"http://{network['IPAddress']}:{port}"

    def promote(self, version: int) -> None:
        """Promote a version to Production. If that takes too long, the failure shows what the services logged."""
        try:
            promote(self.slack, version, self.stages)
        except (AssertionError, TimeoutError) as error:
            logs = [container.log() for service in OURS for container in self.containers(service)]
            raise AssertionError("\n".join([f"v{version} isn't in Production", *logs])) from error

    def stages(self) -> dict[str, str]:
        """Return each version's stage."""
        [mlflow] = self.containers("mlflow")
        url = f"{self.url(mlflow, 5000)}/api/2.0/mlflow/model-versions/search"
        headers = {"Host": "mlflow:5000"}
        found = httpx2.get(url, params={"filter": "name = 'churn'"}, headers=headers, auth=LOGIN, trust_env=False)
        return {version["version"]: version["current_stage"] for version in found.json()["model_versions"]}


def start_order() -> list[str]:
    """Return the services, each after its dependencies."""
    depends_on = {name: service.get("depends_on", {}) for name, service in compose()["services"].items()}
    return list(graphlib.TopologicalSorter(depends_on).static_order())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Start every service in the order of its dependencies."""
    require_engine()
    folder = tmp_path_factory.mktemp("compose") / "deploy"
    shutil.copytree(DEPLOY, folder)
    (folder / "policy").mkdir()
    (folder / "policy" / "registrar.yml").write_text(POLICY)
    for path in (folder.parent, folder):
        path.chmod(0o755)  # user 10001 has to read the policy
    engine = Engine(folder.parent, "registrar-compose")
    with engine.network(), engine.workspace() as slack:
        given = GIVEN | {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
        (folder / ".env").write_text("".join(f"{name}={in_single_quotes(value)}\n" for name, value in given.items()))
        (folder / "here.yaml").write_text(differences(engine, slack))
        project = Project(engine, slack, folder)
        try:
            for service in start_order():
                project.start(service)
            slack.wait_until_connected(2, timeout=60)
            yield project
        finally:
            project.compose("down", "--volumes", "--timeout=5")


def in_single_quotes(value: str) -> str:
    """Return a value as .env.example says."""
    escaped = value.replace("'", r"\'")
    return f"'{escaped}'"


def differences(engine: Engine, slack: LocalSlack) -> str:
    """Return what differs here: the workspace, the network, the ports, and the images that can't be pulled."""
    services: dict[str, Any] = {
        name: {"environment": {"SLACK_API_URL": slack.api_url}} for name in ("registrar", "worker")
    }
    services |= {name: {"image": image_for(name)} for name in ("postgres", "prometheus")}
    text = yaml.safe_dump({"services": services, "networks": {"default": {"name": engine.name, "external": True}}})
    # podman can't publish one port of several replicas on a range of ports.
    return text.replace("  registrar:\n", "  registrar:\n    ports: !override []\n")


def test_after_a_replica_is_killed_and_replaced_decisions_continue(project: Project) -> None:
    register_versions(project)
    project.promote(1)
    first, second = project.containers("registrar")
    os.kill(first.pid, signal.SIGKILL)
    first.remove()
    project.promote(2)
    project.start("registrar")
    project.slack.wait_until_connected(2, timeout=60)
    assert second.stop(int(grace("registrar"))) == 0, second.log()
    project.promote(3)  # by the replacement
    project.engine.podman("start", second.name)
    project.slack.wait_until_connected(2, timeout=60)
    assert project.stages() == {"1": "Archived", "2": "Archived", "3": "Production"}


def register_versions(project: Project) -> None:
    [mlflow] = project.containers("mlflow")
    options: dict[str, Any] = {"auth": LOGIN, "headers": {"Host": "mlflow:5000"}, "trust_env": False, "timeout": 30}
    with httpx2.Client(base_url=f"{project.url(mlflow, 5000)}/api/2.0/mlflow", **options) as client:
        client.post("/registered-models/create", json={"name": "churn"}).raise_for_status()
        for version in (1, 2, 3):
            source = {"name": "churn", "source": f"s3://nowhere/{version}"}
            client.post("/model-versions/create", json=source).raise_for_status()


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_the_kernel_limits_memory_and_processes(project: Project, service: str) -> None:
    said = compose()["services"][service]
    limits = {container.limits() for container in project.containers(service) if container.pid}
    assert limits == {(memory_limit(service), said["pids_limit"])}


@pytest.mark.parametrize("service", OURS)
def test_a_service_has_no_privileges_and_can_write_only_to_its_volume(project: Project, service: str) -> None:
    container = next(each for each in project.containers(service) if each.pid)
    status = container.status()
    assert (status["Uid"].split()[0], int(status["CapBnd"], 16), status["NoNewPrivs"]) == ("10001", 0, "1")
    code = "open('/opt/registrar/x', 'w')"
    assert "Read-only file system" in container.run("/opt/registrar/bin/python", "-c", code)
    assert container.run("/opt/registrar/bin/python", "-c", "open('x', 'w')") == ""


def test_mlflow_answers_only_to_people_with_a_login(project: Project) -> None:
    [mlflow] = project.containers("mlflow")
    url = f"{project.url(mlflow, 5000)}/api/2.0/mlflow/registered-models/search"
    known, unknown = {"Host": "mlflow:5000"}, {"Host": "elsewhere:5000"}
    admin = ("admin", GIVEN["MLFLOW_ADMIN_PASSWORD"])
    assert httpx2.get(url, headers=known, auth=admin, trust_env=False).status_code == 200
    assert httpx2.get(url, headers=known, trust_env=False).status_code == 401
    assert httpx2.get(url, headers=unknown, auth=admin, trust_env=False).status_code == 403


def test_prometheus_finds_each_replica_by_name(project: Project) -> None:
    [prometheus] = project.containers("prometheus")
    url = f"{project.url(prometheus, 9090)}/api/v1/targets"

    def healthy() -> list[str]:
        targets = httpx2.get(url, trust_env=False).json()["data"]["activeTargets"]
        return sorted(target["labels"]["job"] for target in targets if target["health"] == "up")

    expected = ["prometheus", "registrar", "registrar", "registrar-worker"]
    wait_until(lambda: healthy() == expected, 120)
    assert healthy() == expected


def test_every_service_of_ours_stops_in_time(project: Project) -> None:
    codes = {
        service: [container.stop(int(grace(service))) for container in project.containers(service)] for service in OURS
    }
    assert codes == {"registrar": [0, 0], "worker": [0], "mlflow": [0]}
