"""Renders deploy/kubernetes with kubectl, and validates manifests with kubernetes-validate."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.deploy.deployment import DEPLOY
from tests.support.deploy.engine import program_of_tools

KUBERNETES = DEPLOY / "kubernetes"
VERSIONS = ("1.35", "1.36", "1.37")  # those that Kubernetes maintains

Manifest = Mapping[str, Any]


def render(folder: Path) -> list[Manifest]:
    """Return the manifests that Kustomize renders. Fails the test if it reports anything, even a warning."""
    done = subprocess.run(
        [program_of_tools("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return list(yaml.safe_load_all(done.stdout))


def copy_example(folder: Path, policy: str) -> Path:
    """Copy the base and the example to `folder`, and add this policy. Return the copy of the example."""
    shutil.copytree(KUBERNETES, folder, dirs_exist_ok=True)
    (folder / "example" / "registrar.yml").write_text(policy, encoding="utf-8")
    return folder / "example"


def validate(manifests: Sequence[Manifest], version: str) -> list[str]:
    """Return what's wrong with the manifests according to a Kubernetes version's schema. Unknown keys are errors."""
    done = subprocess.run(
        [program_of_tools("kubernetes-validate"), "--strict", "--quiet", "--kubernetes-version", version, "-"],
        input=yaml.safe_dump_all(manifests),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def secret_from(env_file: Path) -> dict[str, str]:
    """Return the keys and values of the Secret that kubectl creates from a file."""
    words = [program_of_tools("kubectl"), "create", "secret", "generic", "registrar", "--from-env-file", str(env_file)]
    done = subprocess.run(
        [*words, "--dry-run=client", "--output=yaml"], capture_output=True, text=True, check=True, timeout=60
    )
    return {name: base64.b64decode(value).decode() for name, value in yaml.safe_load(done.stdout)["data"].items()}


def of_kind(kind: str, manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return the manifests of one kind by their name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pods(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return the pod template of each Deployment by the Deployment's name."""
    return {name: each["spec"]["template"] for name, each in of_kind("Deployment", manifests).items()}


def containers(pod: Manifest) -> list[Manifest]:
    """Return a pod template's containers, those that run first included."""
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def restricted_violations(pod: Manifest) -> Iterator[str]:
    """Yield how a pod template violates the Pod Security Standard `restricted`."""
    spec = pod["spec"]
    context = spec.get("securityContext", {})
    shared = {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec)
    yield from (f"uses {name}" for name in shared)
    yield from (f"sets {name}" for name in {"sysctls", "seLinuxOptions", "windowsOptions"} & set(context))
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "can run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    allowed = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    yield from (f"mounts {volume['name']}" for volume in spec["volumes"] if not set(volume) <= allowed)
    for container in containers(pod):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container['name']} can get privileges"
        loosened = set(own) - {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"}
        yield from (f"{container['name']} sets {name}" for name in loosened)
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{container['name']} takes a port of the node"
