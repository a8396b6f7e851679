"""deploy/kubernetes: valid for every maintained Kubernetes, restricted, and consistent with the image and Compose."""

from __future__ import annotations

import asyncio
import copy
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from bot.policy_file import LocalPolicyFile
from bot.settings import Settings
from handlers.serve import SHUTDOWN_SECONDS
from handlers.web.app import create_app
from handlers.web.readiness import Component, NotHealthy, Readiness
from tests.support.deploy.deployment import compose, grace, stages
from tests.support.deploy.kubernetes import (
    KUBERNETES,
    VERSIONS,
    Manifest,
    containers,
    copy_example,
    of_kind,
    pods,
    render,
    restricted_violations,
    secret_from,
    validate,
)
from tests.support.paths import ROOT

POLICY = (ROOT / "examples" / "churn" / "registrar.yml").read_text(encoding="utf-8")
STAGES = {stage.name: dict(stage.steps) for stage in stages()}
IMAGE = STAGES["runtime"] | STAGES["registrar"]


@pytest.fixture(scope="module")
def base() -> list[Manifest]:
    """The manifests of the base."""
    return render(KUBERNETES / "base")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """The manifests of the example."""
    return render(copy_example(tmp_path_factory.mktemp("kubernetes"), POLICY))


# -- schemas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_matches_kubernetes_schemas(example: list[Manifest], version: str) -> None:
    assert validate(example, version) == []


def test_the_schemas_find_a_misspelled_key(base: list[Manifest]) -> None:
    wrong: Any = copy.deepcopy(of_kind("Deployment", base)["registrar"])
    [container] = wrong["spec"]["template"]["spec"]["containers"]
    container["livenessprobe"] = container.pop("livenessProbe")
    [error] = validate([wrong], VERSIONS[-1])
    assert "livenessprobe" in error


def test_a_kind_without_a_schema_is_found() -> None:
    [warning] = validate([{"apiVersion": "apps/v1", "kind": "Deploymint", "metadata": {"name": "x"}}], VERSIONS[-1])
    assert "Couldn't find schema for kind Deploymint" in warning


def test_every_referenced_object_exists_except_the_secret(example: list[Manifest]) -> None:
    for pod in pods(example).values():
        sources = [source for container in containers(pod) for source in container["envFrom"]]
        maps = [source["configMapRef"]["name"] for source in sources if "configMapRef" in source]
        maps += [volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume]
        assert set(maps) == set(of_kind("ConfigMap", example))
        assert {source["secretRef"]["name"] for source in sources if "secretRef" in source} == {"registrar"}
        assert pod["spec"]["serviceAccountName"] in of_kind("ServiceAccount", example)


def test_the_overlay_sets_every_image_and_namespace(base: list[Manifest], example: list[Manifest]) -> None:
    assert {container["image"] for pod in pods(base).values() for container in containers(pod)} == {"registrar"}
    [image] = {container["image"] for pod in pods(example).values() for container in containers(pod)}
    assert image == "registry.example.com/registrar:0.3.0"
    [namespace] = of_kind("Namespace", example)
    assert {each["metadata"].get("namespace", namespace) for each in example} == {namespace}


# -- what a pod can do -------------------------------------------------------------------------------------------------


def test_every_pod_meets_the_restricted_standard(example: list[Manifest]) -> None:
    assert {name: list(restricted_violations(pod)) for name, pod in pods(example).items()} == {
        "registrar": [],
        "registrar-worker": [],
    }
    [namespace] = of_kind("Namespace", example).values()
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("pod", {"hostNetwork": True}),
        ("pod", {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}),
        ("pod", {"securityContext": {"runAsNonRoot": True, "runAsUser": 10001}}),
        ("pod", {"securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}}),
        ("container", {"securityContext": {"capabilities": {"drop": ["ALL"]}}}),
        ("container", {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CHOWN"]}}}),
        ("container", {"ports": [{"containerPort": 3000, "hostPort": 3000}]}),
    ],
)
def test_a_violation_of_the_restricted_standard_is_found(
    base: list[Manifest], where: str, change: dict[str, Any]
) -> None:
    pod: Any = copy.deepcopy(pods(base)["registrar"])
    changed = pod["spec"] if where == "pod" else pod["spec"]["containers"][0]
    changed.update(change)
    assert len(list(restricted_violations(pod))) == 1


def test_every_pod_runs_as_the_image_s_user(base: list[Manifest]) -> None:
    for pod in pods(base).values():
        context = pod["spec"]["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == IMAGE["USER"]


def test_every_container_can_write_only_to_small_temporary_folders(base: list[Manifest]) -> None:
    for pod in pods(base).values():
        limited = {each["name"] for each in pod["spec"]["volumes"] if each.get("emptyDir", {}).get("sizeLimit")}
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            writable = {each["mountPath"] for each in container["volumeMounts"] if each["name"] in limited}
            assert writable == {IMAGE["VOLUME"], "/tmp"}  # noqa: S108 - a path in the container
            assert all(each.get("readOnly") for each in container["volumeMounts"] if each["name"] not in limited)


def test_no_pod_gets_a_token_for_the_kubernetes_api(base: list[Manifest]) -> None:
    [account] = of_kind("ServiceAccount", base).values()
    assert account["automountServiceAccountToken"] is False
    assert {pod["spec"]["automountServiceAccountToken"] for pod in pods(base).values()} == {False}


def test_every_container_has_compose_s_memory_limit_and_no_cpu_limit(base: list[Manifest]) -> None:
    memory = compose()["services"]["registrar"]["mem_limit"]
    for pod in pods(base).values():
        for container in containers(pod):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert container["resources"]["limits"] == {"memory": memory.replace("g", "Gi")}


# -- variables and secrets ---------------------------------------------------------------------------------------------


def settings_of(example: list[Manifest]) -> dict[str, str]:
    """Return the variables in the example's ConfigMap."""
    maps = of_kind("ConfigMap", example)
    return next(dict(each["data"]) for name, each in maps.items() if name.startswith("registrar-settings-"))


def secret_variables() -> dict[str, str]:
    """Return the variables in the example for the Secret."""
    lines = (KUBERNETES / "example" / "secret.example.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_pods_get_the_same_variables_as_compose_s_containers(example: list[Manifest]) -> None:
    given = [*settings_of(example), *secret_variables()]
    assert sorted(given) == sorted(compose()["services"]["registrar"]["environment"])


def test_every_variable_is_a_setting(example: list[Manifest]) -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    known |= {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}  # MLflow's client reads them
    own = {each["name"] for pod in pods(example).values() for one in containers(pod) for each in one.get("env", [])}
    assert {*settings_of(example), *secret_variables(), *own} - known == set()


def test_every_secret_is_a_reference(base: list[Manifest], example: list[Manifest]) -> None:
    assert not of_kind("Secret", example)
    assert not of_kind("ConfigMap", base)
    assert set(secret_variables().values()) == {""}
    url = sa.make_url(settings_of(example)["REGISTRAR_DATABASE_URL"])
    assert url.password is None
    secrets = {each.alias for each in Settings.model_fields.values() if each.annotation == SecretStr | None}
    own = {each["name"] for pod in pods(example).values() for one in containers(pod) for each in one.get("env", [])}
    assert {*settings_of(example), *own} & secrets == {"REGISTRAR_DATABASE_URL"}


def test_a_secret_gets_every_value_as_it_is(tmp_path: Path) -> None:
    odd = """p@ss/w:rd#%?& "'$\\{é}[]=,; """
    text = (KUBERNETES / "example" / "secret.example.env").read_text(encoding="utf-8")
    (tmp_path / "secret.env").write_text(text.replace("PGPASSWORD=", f"PGPASSWORD={odd}"))
    assert secret_from(tmp_path / "secret.env") == secret_variables() | {"PGPASSWORD": odd}


def test_the_service_sets_no_variables(base: list[Manifest]) -> None:
    """A Service named `registrar` would set REGISTRAR_PORT to its URL, which isn't a port."""
    assert "registrar" in of_kind("Service", base)
    with pytest.raises(ValidationError):
        Settings(REGISTRAR_PORT="tcp://10.0.0.1:3000")
    assert {pod["spec"]["enableServiceLinks"] for pod in pods(base).values()} == {False}


# -- probes, ports, and stopping ---------------------------------------------------------------------------------------


def probes(pod: Manifest) -> dict[str, Manifest]:
    """Return a pod template's probes by their name."""
    [container] = pod["spec"]["containers"]
    return {name: probe for name, probe in container.items() if name.endswith("Probe")}


def status(web: FastAPI, path: str) -> int:
    """Return the web application's status code for a path."""

    async def call() -> int:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(web), base_url="http://registrar") as client:
            return (await client.get(path)).status_code

    return asyncio.run(call())


def test_every_probe_passes_while_the_ledger_and_mlflow_are_down(base: list[Manifest]) -> None:
    """Otherwise, an outage would restart every pod, or refuse votes over HTTP that still count."""

    def fail() -> str:
        raise NotHealthy("It isn't responding.")

    readiness = Readiness([Component(name, fail) for name in ("ledger", "registry")])
    web = create_app(None, None, on_model_changed=lambda _: None, readiness=readiness)
    assert status(web, "/readyz") == 503
    for pod in pods(base).values():
        paths = {name: probe["httpGet"]["path"] for name, probe in probes(pod).items()}
        assert set(paths) == {"startupProbe", "livenessProbe", "readinessProbe"}
        assert {status(web, path) for path in paths.values()} == {200}


def test_every_port_is_the_image_s(base: list[Manifest]) -> None:
    [port] = re.findall(r"REGISTRAR_PORT=(\d+)", IMAGE["ENV"])
    [service] = of_kind("Service", base)["registrar"]["spec"]["ports"]
    [rule] = of_kind("NetworkPolicy", base)["registrar"]["spec"]["ingress"]
    assert (service["port"], rule["ports"]) == (int(port), [{"port": int(port)}])
    for pod in pods(base).values():
        [container] = pod["spec"]["containers"]
        assert container["ports"] == [{"name": service["targetPort"], "containerPort": int(port)}]
        assert {probe["httpGet"]["port"] for probe in probes(pod).values()} == {service["targetPort"]}
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == port


def test_a_pod_has_as_long_to_stop_as_compose_s_containers(base: list[Manifest]) -> None:
    for name, pod in pods(base).items():
        [container] = pod["spec"]["containers"]
        seconds = pod["spec"]["terminationGracePeriodSeconds"]
        assert seconds == grace("registrar")
        given = {each["name"]: each["value"] for each in container.get("env", [])}
        drain = Settings(REGISTRAR_DRAIN=given.get("REGISTRAR_DRAIN", "0s")).drain_time.total_seconds()
        assert drain + SHUTDOWN_SECONDS < seconds
        assert (drain > 0) is (name == "registrar")  # only replicas are in the Service


def test_old_pods_stop_before_new_ones_upgrade_the_tables(base: list[Manifest]) -> None:
    for name, deployment in of_kind("Deployment", base).items():
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}, name
        [upgrade] = deployment["spec"]["template"]["spec"]["initContainers"]
        assert upgrade["args"] == compose()["services"]["upgrade"]["command"]


def test_the_pods_run_the_same_commands_as_compose_s_containers(base: list[Manifest]) -> None:
    for name, service in {"registrar": "registrar", "registrar-worker": "worker"}.items():
        [container] = pods(base)[name]["spec"]["containers"]
        assert container["args"] == compose()["services"][service]["command"]
        assert of_kind("Deployment", base)[name]["spec"]["replicas"] == compose()["services"][service].get(
            "deploy", {"replicas": 1}
        ).get("replicas")


# -- selectors ---------------------------------------------------------------------------------------------------------


def selected(labels: Manifest, manifests: list[Manifest]) -> set[str]:
    """Return the Deployments whose pods have these labels."""
    return {name for name, pod in pods(manifests).items() if labels.items() <= pod["metadata"]["labels"].items()}


def test_every_selector_selects_the_intended_pods(base: list[Manifest]) -> None:
    for name, deployment in of_kind("Deployment", base).items():
        assert selected(deployment["spec"]["selector"]["matchLabels"], base) == {name}
    assert selected(of_kind("Service", base)["registrar"]["spec"]["selector"], base) == {"registrar"}
    budget = of_kind("PodDisruptionBudget", base)["registrar"]["spec"]
    assert (budget["minAvailable"], selected(budget["selector"]["matchLabels"], base)) == (1, {"registrar"})
    [spread] = pods(base)["registrar"]["spec"]["topologySpreadConstraints"]
    assert selected(spread["labelSelector"]["matchLabels"], base) == {"registrar"}


def test_every_pod_connects_only_to_what_registrar_needs(base: list[Manifest], example: list[Manifest]) -> None:
    policy = of_kind("NetworkPolicy", base)["registrar"]["spec"]
    assert selected(policy["podSelector"]["matchLabels"], base) == set(pods(base))
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    [rule] = policy["ingress"]
    assert [set(source) for source in rule["from"]] == [{"namespaceSelector"}]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    settings = settings_of(example)
    used = [sa.make_url(settings[name]).port for name in ("REGISTRAR_DATABASE_URL", "MLFLOW_TRACKING_URI")]
    assert ports == {53, 443, *used}


# -- the policy --------------------------------------------------------------------------------------------------------


def test_the_policy_is_mounted_where_the_image_reads_it(example: list[Manifest]) -> None:
    [path] = re.findall(r"REGISTRAR_POLICY=(\S+)", IMAGE["ENV"])
    assert list(of_kind("ConfigMap", example)["registrar-policy"]["data"]) == [Path(path).name]
    for pod in pods(example).values():
        for container in containers(pod):
            mounts = {each["name"]: each for each in container["volumeMounts"]}
            assert mounts["policy"] == {"name": "policy", "mountPath": str(Path(path).parent), "readOnly": True}


def test_an_edit_of_the_config_map_reaches_a_running_process(tmp_path: Path) -> None:
    """A kubelet writes the new files to a new folder, and then replaces the link to the folder."""
    write_as_kubelet(tmp_path, "..1", "models: {}")
    (tmp_path / "registrar.yml").symlink_to("..data/registrar.yml")
    file = LocalPolicyFile(tmp_path / "registrar.yml")
    before = file.change_marker()
    write_as_kubelet(tmp_path, "..2", "models: []")
    assert file.change_marker() != before
    assert file.read_text() == "models: []"


def write_as_kubelet(mounted: Path, version: str, policy: str) -> None:
    """Write a ConfigMap's file to its mounted folder."""
    (mounted / version).mkdir()
    (mounted / version / "registrar.yml").write_text(policy)
    (mounted / "..data_tmp").symlink_to(version)
    (mounted / "..data_tmp").rename(mounted / "..data")
