"""The release workflow's step that publishes the images, run against a real registry with images for two platforms."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.support.github.workflow_runner import WORKFLOWS, read
from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

PASSWORD = "$2y$05$abcdefghijklmnopqrstuuTYZ4IKoV/JIXC/uluHFMHMKgj.SMh9C"  # bcrypt of "token"
IMAGES = ("registrar", "registrar-mlflow")
PLATFORMS = ("amd64", "arm64")
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass(frozen=True)
class Published:
    """What the step published: a registry, and the folder with the release's files."""

    registry: str
    folder: Path

    def fetch(self, image: str, path: str) -> httpx2.Response:
        """Return a manifest or a blob of an image."""
        url = f"http://{self.registry}/v2/acme/{image}/{path}"
        return httpx2.get(url, auth=("alice", "token"), headers={"Accept": MANIFESTS}, trust_env=False)

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text().splitlines()


def save(file: Path, platform: str) -> None:
    """Write an image of one file, as `docker save` does since Docker 25."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(file.stem))
    config = {
        "architecture": platform,
        "os": "linux",
        "config": {"Healthcheck": {"Test": ["CMD", "/ok"]}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer.getvalue())}"]},
    }
    contents = [layer.getvalue(), json.dumps(config).encode()]
    blobs = {f"blobs/sha256/{sha256(content)}": content for content in contents}
    layers, about = blobs
    manifest = [{"Config": about, "RepoTags": ["registrar:latest"], "Layers": [layers]}]
    with tarfile.open(file, mode="w") as tar:
        for name, content in {**blobs, "manifest.json": json.dumps(manifest).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry with the login alice and token; skip without its program, Podman, and Skopeo."""
    unpacked = ROOT / ".docker-registry" / "usr" / "bin" / "docker-registry"  # by .ci/run
    program = shutil.which("docker-registry") or shutil.which(unpacked)
    if program is None or None in map(shutil.which, ("podman", "skopeo", "jq")):
        pytest.skip("install Debian's packages docker-registry, podman, skopeo, and jq")
    home, port = tmp_path_factory.mktemp("registry"), free_port()
    (home / "passwords").write_text(f"alice:{PASSWORD}\n")
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "test", "path": str(home / "passwords")}},
    }
    (home / "config.yml").write_text(json.dumps(settings))  # JSON is YAML, too
    process = subprocess.Popen(
        [program, "serve", home / "config.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code == 401
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def published(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The result of the step for the tag v1.2.3, with Podman's files in a folder of the test's."""
    home = tmp_path_factory.mktemp("runner")
    (home / "release").mkdir()
    (home / ".config" / "containers").mkdir(parents=True)
    for image in IMAGES:
        for platform in PLATFORMS:
            save(home / "release" / f"{image}-{platform}.tar", platform)
            (home / "release" / f"{image}-{platform}.cdx.json").write_text("{}")
    for name in ("registrar_bot-1.2.3-py3-none-any.whl", "registrar_bot-1.2.3.tar.gz", "sbom.cdx.json"):
        (home / "release" / name).write_text(name)
    (home / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/graph"\nrunroot = "{home}/run"\n'
    )
    (home / ".config" / "containers" / "registries.conf").write_text(
        f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
    )
    [step] = [one for one in read(WORKFLOWS / "release.yml")["jobs"]["publish"]["steps"] if one.get("id") == "push"]
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=home / step["working-directory"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
            "REGISTRY": registry,
            "GH_TOKEN": "token",
            "GITHUB_ACTOR": "alice",
            "GITHUB_REPOSITORY_OWNER": "Acme",
            "GITHUB_REF_NAME": "v1.2.3",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return Published(registry, home / "release")


@pytest.mark.parametrize("image", IMAGES)
def test_a_version_is_one_image_for_both_platforms(published: Published, image: str) -> None:
    manifests = published.fetch(image, "manifests/1.2.3").json()["manifests"]
    assert [one["platform"]["architecture"] for one in manifests] == list(PLATFORMS)


@pytest.mark.parametrize("image", IMAGES)
def test_the_health_check_is_published_with_the_image(published: Published, image: str) -> None:
    for one in published.fetch(image, "manifests/1.2.3").json()["manifests"]:
        manifest = published.fetch(image, f"manifests/{one['digest']}").json()
        config = published.fetch(image, f"blobs/{manifest['config']['digest']}").json()
        assert config["config"]["Healthcheck"] == {"Test": ["CMD", "/ok"]}


@pytest.mark.parametrize("image", IMAGES)
def test_each_attestation_names_one_platform_s_image_and_the_index(published: Published, image: str) -> None:
    index = published.fetch(image, "manifests/1.2.3")
    for one, platform in zip(index.json()["manifests"], PLATFORMS, strict=True):
        assert published.lines(f"{image}-{platform}.sha256") == [
            f"{one['digest'].removeprefix('sha256:')}  {published.registry}/acme/{image}",
            f"{sha256(index.content)}  {published.registry}/acme/{image}",
        ]


def test_the_release_notes_name_each_image_with_its_digest(published: Published) -> None:
    digests = [sha256(published.fetch(image, "manifests/1.2.3").content) for image in IMAGES]
    assert published.lines("notes.md") == [
        f"- `{published.registry}/acme/{image}:1.2.3@sha256:{digest}`"
        for image, digest in zip(IMAGES, digests, strict=True)
    ]


def test_the_checksums_cover_each_file_of_the_release_but_no_image_archive(published: Published) -> None:
    names = [line.partition("  ")[2] for line in published.lines("SHA256SUMS")]
    assert sorted(names) == sorted(
        [
            "registrar_bot-1.2.3-py3-none-any.whl",
            "registrar_bot-1.2.3.tar.gz",
            "sbom.cdx.json",
            *(f"{image}-{platform}.cdx.json" for image in IMAGES for platform in PLATFORMS),
        ]
    )
    assert list(published.folder.glob("*.tar")) == []


def test_each_sbom_has_a_list_of_what_it_describes(published: Published) -> None:
    [job] = [
        job
        for job in read(WORKFLOWS / "release.yml")["jobs"].values()
        if "sbom" in job.get("strategy", {}).get("matrix", {})
    ]
    found = {file.name.removesuffix(".cdx.json") for file in published.folder.glob("*.cdx.json")}
    assert set(job["strategy"]["matrix"]["sbom"]) == found
    assert {file.stem for file in published.folder.glob("*.sha256")} == found
    for name in found:
        # The format that GitHub's action reads.
        assert all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in published.lines(f"{name}.sha256"))
