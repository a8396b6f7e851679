"""Write a CycloneDX SBOM for an image: its Python, its Python packages, and its Debian packages.

`scripts/image-sbom` runs it with .tools' Python. Everything is read from the image's file system, not from a lock. The
same file system always produces the same SBOM.
"""

from __future__ import annotations

import email
import re
import sys
import tarfile
from collections.abc import Iterator
from email.message import Message
from typing import BinaryIO

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

PYTHON = re.compile(r"usr/local/include/python[\d.]+/patchlevel\.h")  # Python's own images build it there
WHEEL = re.compile(r".+/(?:site|dist)-packages/[^/]+\.dist-info/METADATA")
DEBIAN = "var/lib/dpkg/status"
COPYRIGHT = "usr/share/doc/{}/copyright"
RELEASE = "usr/lib/os-release"
WANTED = re.compile("|".join([PYTHON.pattern, WHEEL.pattern, DEBIAN, COPYRIGHT.format("[^/]+"), RELEASE]))


def read(stream: BinaryIO) -> dict[str, str]:
    """Return the text of the files that describe packages, by path, from a tar of an image's file system."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        named = ((member.name.removeprefix("./"), member) for member in tar if member.isfile())
        found = ((name, tar.extractfile(member)) for name, member in named if WANTED.fullmatch(name))
        return {name: file.read().decode("utf-8", "replace") for name, file in found if file}


def interpreters(files: dict[str, str]) -> Iterator[Component]:
    """Yield each Python interpreter that isn't a Debian package."""
    for name, text in files.items():
        if PYTHON.fullmatch(name) and (found := re.search(r'PY_VERSION\s+"(\S+)"', text)):
            version = found[1]
            cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
            yield component(PackageURL("generic", None, "python", version), ["PSF-2.0"], cpe=cpe)


def wheels(files: dict[str, str]) -> Iterator[Component]:
    """Yield each Python package in any of the image's environments."""
    for name, text in files.items():
        if WHEEL.fullmatch(name):
            said = email.message_from_string(text)
            # PackageURL normalizes underscores and capitals, but not dots.
            purl = PackageURL("pypi", None, re.sub(r"[-_.]+", "-", said["Name"]), said["Version"])
            yield component(purl, declared(said))


def declared(said: Message) -> list[str]:
    """Return the licenses in a Python package's metadata, from the standard field or else from the older ones."""
    if expression := said["License-Expression"]:
        return [expression]
    classified = {one.rpartition(" :: ")[2] for one in said.get_all("Classifier", []) if one.startswith("License :: ")}
    text = said["License"] or ""
    return sorted(classified) or ([text] if 0 < len(text) <= 100 and "\n" not in text else [])


def debs(files: dict[str, str]) -> Iterator[Component]:
    """Yield each installed Debian package."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', files.get(RELEASE, ""), flags=re.MULTILINE))
    for text in files.get(DEBIAN, "").strip().split("\n\n"):
        said = email.message_from_string(text)
        if said["Status"] == "install ok installed":
            name, version = said["Package"], said["Version"]
            where = {"arch": said["Architecture"], "distro": f"{release['ID']}-{release['VERSION_ID']}"}
            terms = files.get(COPYRIGHT.format(name), "")
            licenses = set(re.findall(r"^License: *(\S.*?)\s*$", terms, flags=re.MULTILINE))
            yield component(PackageURL("deb", release["ID"], name, version, where), sorted(licenses))


def component(purl: PackageURL, licenses: list[str], cpe: str | None = None) -> Component:
    """Return a package as a component, identified by its package URL."""
    return Component(
        type=ComponentType.LIBRARY,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=str(purl),
        cpe=cpe,
        licenses=[LicenseFactory().make_from_string(licenses[0])] if len(licenses) == 1 else map(by_name, licenses),
    )


def by_name(text: str) -> License:
    """Return a license with its SPDX ID or else its name, because a list of licenses can't contain an expression."""
    try:
        return LicenseFactory().make_with_id(text)
    except InvalidSpdxLicenseException:
        return LicenseFactory().make_with_name(text)


def sbom(image: str, files: dict[str, str]) -> str:
    """Return an image's SBOM as JSON.

    Raises ValueError if the image has no packages, or if the SBOM doesn't match CycloneDX's schema.
    """
    packages = {str(one.purl): one for one in [*interpreters(files), *wheels(files), *debs(files)]}
    if not packages:
        raise ValueError("This file system has neither Python packages nor Debian packages.")
    bom = Bom(components=packages.values())
    bom.metadata.component = Component(type=ComponentType.CONTAINER, name=image, bom_ref=image)
    bom.register_dependency(bom.metadata.component, packages.values())
    # The library generates both, but the same image has to produce the same file.
    bom.serial_number = bom.metadata.timestamp = None  # type: ignore[assignment]
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"The SBOM doesn't match CycloneDX's schema: {wrong}")
    return text


if __name__ == "__main__":
    print(sbom(sys.argv[1], read(sys.stdin.buffer)))
