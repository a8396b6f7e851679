"""Read and write the figures of each release: a JSON file named after the version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Measured:
    """A part's figures.

    `day` is in UTC, `machine` says where they were measured, and `source` names a commit if they were copied from its
    docs/reference/benchmarks.md.
    """

    day: str
    machine: str
    figures: dict[str, float]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """The figures of a version, by part."""

    version: str
    parts: dict[str, Measured] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """Return the figures of all parts."""
        return {name: figure for part in self.parts.values() for name, figure in part.figures.items()}


def release_of(version: str) -> str:
    """Return the release that a version belongs to: 0.3.0 for 0.3.0.dev0, whose figures the release replaces."""
    return version.partition(".dev")[0]


def read(folder: Path = FOLDER) -> list[Release]:
    """Return the releases, oldest first."""
    found = []
    for file in folder.glob("*.json"):
        parts = json.loads(file.read_text(encoding="utf-8"))
        found.append(Release(file.stem, {part: Measured(**measured) for part, measured in parts.items()}))
    return sorted(found, key=lambda release: [int(number) for number in release.version.split(".")])


def write(version: str, part: str, measured: Measured, folder: Path = FOLDER) -> None:
    """Replace a part's figures in the version's file."""
    version = release_of(version)
    releases = {release.version: release for release in read(folder)}
    parts = releases.get(version, Release(version)).parts | {part: measured}
    stored = {name: _stored(parts[name]) for name in sorted(parts)}
    text = json.dumps(stored, indent=2, ensure_ascii=False)
    (folder / f"{version}.json").write_text(text + "\n", encoding="utf-8")


def _stored(measured: Measured) -> dict[str, object]:
    rounded = {name: float(f"{figure:.4g}") for name, figure in measured.figures.items()}
    stored = asdict(measured) | {"figures": rounded}
    return stored if measured.source else {name: value for name, value in stored.items() if name != "source"}
