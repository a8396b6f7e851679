"""deploy/kubernetes/verify: pods that serve a model start only with verified files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.settings import Settings
from handlers.terminal.main import _build_parser
from tests.support.deploy.deployment import stages
from tests.support.deploy.kubernetes import (
    KUBERNETES,
    VERSIONS,
    Manifest,
    containers,
    pods,
    render,
    restricted_violations,
    validate,
)

IMAGE = {key: value for stage in stages() if stage.name in {"runtime", "registrar"} for key, value in stage.steps}
APP: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "churn", "labels": {"registrar.verify": "true"}},
    "spec": {
        "selector": {"matchLabels": {"app": "churn"}},
        "template": {
            "metadata": {"labels": {"app": "churn"}},
            "spec": {
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "server",
                        "image": "churn-server",
                        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
            },
        },
    },
}
OTHER = APP | {"metadata": {"name": "other"}}
INSTALLATION = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "resources": ["app.yaml"],
    "components": ["verify"],
    "images": [{"name": "registrar", "newName": "registry.example.com/registrar", "newTag": "0.3.0"}],
    "configMapGenerator": [
        {
            "name": "registrar-verify",
            "literals": [
                "MODEL_URI=models:/churn@champion",
                "MLFLOW_TRACKING_URI=http://mlflow.mlflow:5000",
                "REGISTRAR_URL=http://registrar.registrar:3000",
            ],
        },
        {"name": "registrar-keys", "files": ["0123.pub"]},
    ],
    "secretGenerator": [{"name": "registrar-verify", "literals": ["REGISTRAR_TOKEN=token"]}],
}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """An app with the label and one without, with the component."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(KUBERNETES / "verify", folder / "verify")
    (folder / "app.yaml").write_text(yaml.safe_dump_all([APP, OTHER]))
    (folder / "0123.pub").write_text("a key")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(INSTALLATION))
    return render(folder)


@pytest.fixture
def pod(manifests: list[Manifest]) -> Manifest:
    return pods(manifests)["churn"]


def test_only_labeled_deployments_are_changed(manifests: list[Manifest]) -> None:
    assert pods(manifests)["other"] == OTHER["spec"]["template"]
    assert [each["name"] for each in containers(pods(manifests)["churn"])] == ["verify", "server"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_match_kubernetes_schemas(manifests: list[Manifest], version: str) -> None:
    assert validate(manifests, version) == []


def test_the_pod_meets_the_restricted_standard_as_the_image_s_user(pod: Manifest) -> None:
    [init] = pod["spec"]["initContainers"]
    context = init["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == IMAGE["USER"]
    assert context["readOnlyRootFilesystem"] is True
    common = {"runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile"}  # like the pod's, in case that's looser
    init["securityContext"] = {key: value for key, value in context.items() if key not in common}
    assert list(restricted_violations(pod)) == []


def test_it_runs_a_command_that_exists_with_settings_that_exist(pod: Manifest) -> None:
    [init] = pod["spec"]["initContainers"]
    arguments = _build_parser()[0].parse_args(init["args"])
    assert (arguments.files, arguments.download) == ("$(MODEL_URI)", Path("/models/verified"))
    mounts = {each["name"]: each["mountPath"] for each in init["volumeMounts"]}
    assert init["env"] == [{"name": "REGISTRAR_KEYS", "value": mounts["registrar-keys"]}]
    assert arguments.download.is_relative_to(mounts["models"])
    known = {field.alias for field in Settings.model_fields.values()}
    assert {"REGISTRAR_URL", "REGISTRAR_TOKEN"} <= known


def test_it_gets_what_it_reads(pod: Manifest, manifests: list[Manifest]) -> None:
    names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    [init] = pod["spec"]["initContainers"]
    [settings, secret] = [next(iter(source.values()))["name"] for source in init["envFrom"]]
    [keys] = [each["configMap"]["name"] for each in pod["spec"]["volumes"] if "configMap" in each]
    assert {("ConfigMap", settings), ("Secret", secret), ("ConfigMap", keys)} <= names
