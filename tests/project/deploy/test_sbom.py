"""The SBOM of an image: it lists what's in the image's file system, and matches CycloneDX's schema."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

PYTHON = ROOT / ".tools" / "bin" / "python"
SITE = "opt/registrar/lib/python3.13/site-packages"
FILES = {
    "usr/lib/os-release": 'ID=debian\nVERSION_ID="13"\n',
    "usr/local/include/python3.13/patchlevel.h": '#define PY_VERSION      "3.13.16"\n',
    f"{SITE}/Zope_Interface.x-2.0.dist-info/METADATA": "Name: Zope_Interface.x\nVersion: 2.0\n"
    "License-Expression: Apache-2.0 AND MIT\n\nText\n",
    f"{SITE}/old-1.dist-info/METADATA": "Name: old\nVersion: 1\nClassifier: License :: OSI Approved :: MIT License\n\n",
    f"{SITE}/setuptools/_vendor/wheel-0.1.dist-info/METADATA": "Name: wheel\nVersion: 0.1\n\n",
    "var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n\n"
    "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
    "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.3+dfsg-1\n",
    "usr/share/doc/zlib1g/copyright": "Format: https://x\n\nFiles: *\nLicense: Zlib\n Text\n",
    "usr/share/doc/libc6/copyright": "License: GPL-2\nLicense: MIT\n",
}


def archive(files: dict[str, str]) -> bytes:
    """Return a tar, as `docker export` writes one."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return whole.getvalue()


def listed(whole: bytes) -> subprocess.CompletedProcess[bytes]:
    if not PYTHON.exists():
        pytest.skip("no tools here; scripts/install-tools fetches them")
    command = [str(PYTHON), str(ROOT / "scripts" / "image_sbom.py"), "registrar"]
    return subprocess.run(command, input=whole, capture_output=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    """The SBOM of the file system above."""
    found: dict[str, Any] = json.loads(listed(archive(FILES)).stdout)
    return found


def test_each_installed_package_is_listed_by_its_package_url(sbom: dict[str, Any]) -> None:
    assert sorted(one["purl"] for one in sbom["components"]) == [
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13",
        "pkg:deb/debian/zlib1g@1:1.3%2Bdfsg-1?arch=amd64&distro=debian-13",
        "pkg:generic/python@3.13.16",
        "pkg:pypi/old@1",
        "pkg:pypi/zope-interface-x@2.0",
    ]


def test_licenses_are_those_that_each_package_declares(sbom: dict[str, Any]) -> None:
    assert {one["name"]: one["licenses"] for one in sbom["components"]} == {
        "zope-interface-x": [{"expression": "Apache-2.0 AND MIT"}],
        "old": [{"license": {"name": "MIT License"}}],
        "python": [{"license": {"id": "PSF-2.0"}}],
        "zlib1g": [{"license": {"id": "Zlib"}}],
        "libc6": [{"license": {"id": "MIT"}}, {"license": {"name": "GPL-2"}}],
    }


def test_the_interpreter_has_the_name_that_vulnerability_data_uses(sbom: dict[str, Any]) -> None:
    assert [one["cpe"] for one in sbom["components"] if "cpe" in one] == [
        "cpe:2.3:a:python:python:3.13.16:*:*:*:*:*:*:*"
    ]


def test_an_sbom_describes_its_image_in_cyclonedx(sbom: dict[str, Any]) -> None:
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"] == {"bom-ref": "registrar", "name": "registrar", "type": "container"}


def test_the_same_file_system_gives_the_same_sbom() -> None:
    assert listed(archive(FILES)).stdout == listed(archive(dict(reversed(FILES.items())))).stdout


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        pytest.param(archive({"etc/hosts": ""}), "has neither Python packages nor Debian packages", id="no package"),
        pytest.param(archive(FILES)[:700], "unexpected end of data", id="half a tar"),
        pytest.param(b"", "empty file", id="nothing"),
    ],
)
def test_a_file_system_that_cannot_be_read_gives_no_sbom(whole: bytes, said: str) -> None:
    done = listed(whole)
    assert done.returncode == 1
    assert done.stdout == b""
    assert said in done.stderr.decode()


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """Return the folder of a Docker that exports the file system above, unless it was asked to pull an image."""
    if not PYTHON.exists():
        pytest.skip("no tools here; scripts/install-tools fetches them")
    (tmp_path / "image.tar").write_bytes(archive(FILES))
    program = tmp_path / "docker"
    program.write_text(
        '#!/bin/sh\ncase "$1 $2" in\n'
        '"create --pull=never") echo made ;;\n'
        "create*) echo pulled ;;\n"
        f'"export made") cat {tmp_path}/image.tar; exit "${{EXPORT:-0}}" ;;\n'
        '"export pulled") exit 3 ;;\nesac\n'
    )
    program.chmod(0o755)
    return tmp_path


def described(docker: Path, **environment: str) -> int:
    """Run scripts/image-sbom with this Docker, and return its exit code."""
    path = {"PATH": f"{docker}{os.pathsep}{os.environ['PATH']}"}
    words = [str(ROOT / "scripts" / "image-sbom"), "registrar", str(docker / "sbom.json")]
    return subprocess.run(words, env=os.environ | path | environment, capture_output=True, check=False).returncode


def test_only_an_image_that_is_here_is_described(docker: Path) -> None:
    assert described(docker) == 0


def test_an_export_that_fails_at_the_end_of_a_file_is_an_error(docker: Path) -> None:
    assert described(docker, EXPORT="1") != 0


@pytest.mark.slow
@pytest.mark.parametrize("image", ["localhost/registrar", "localhost/registrar-mlflow"])
def test_the_sbom_of_a_real_image_lists_what_pip_and_dpkg_list(image: str, tmp_path: Path) -> None:
    if shutil.which("podman") is None or subprocess.run(["podman", "image", "exists", image], check=False).returncode:
        pytest.skip("no image here; `make image` builds it")
    file = tmp_path / "sbom.json"
    subprocess.run([ROOT / "scripts" / "image-sbom", image, file], check=True, capture_output=True, timeout=110)
    found = [one["purl"].partition("?")[0] for one in json.loads(file.read_text())["components"]]
    folder = subprocess.run(
        ["podman", "image", "mount", image], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        assert sorted(one for one in found if one.startswith("pkg:pypi/")) == pip(Path(folder))
        assert sorted(one for one in found if one.startswith("pkg:deb/")) == dpkg(folder)
    finally:
        subprocess.run(["podman", "image", "unmount", image], check=True, capture_output=True)


def pip(folder: Path) -> list[str]:
    """Return the package URLs of what pip lists in a file system."""
    whole = set()
    for site in (
        *folder.glob("opt/registrar/lib/python3*/site-packages"),
        *folder.glob("usr/local/lib/python3*/site-packages"),
    ):
        command = [
            str(PYTHON),
            "-m",
            "pip",
            "list",
            "--path",
            str(site),
            "--format",
            "json",
            "--disable-pip-version-check",
        ]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        whole |= {
            f"pkg:pypi/{one['name'].lower().replace('_', '-').replace('.', '-')}@{one['version']}"
            for one in json.loads(done.stdout)
        }
    return sorted(whole)


def dpkg(folder: str) -> list[str]:
    """Return the package URLs of what dpkg lists in a file system."""
    form = "pkg:deb/debian/${Package}@${Version}\\n"
    done = subprocess.run(
        ["dpkg-query", "--root", folder, "--show", "--showformat", form], capture_output=True, text=True, check=True
    )
    return sorted(line.replace("+", "%2B") for line in done.stdout.splitlines())
