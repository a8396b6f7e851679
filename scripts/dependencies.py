"""Measure the direct dependencies and update the numbers in docs/reference/dependencies.md.

Run it with a Python that has the base dependencies, every extra, their bytecode, and no other packages. Rows for
packages that aren't installed stay as they are. The reasons in the table are written by hand. Release dates come from
uv, if it's on the PATH.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference/dependencies.md"
RUNS = 3  # of each import, each in a new process
_ROW = re.compile(r"\| `(?P<name>[\w.-]+)` \|(?: [^|]* \|){5} (?P<written>.*)")
_NAME = re.compile(r"([\w.-]+)(?:\[([\w,.-]+)\])?")
_EXTRA = re.compile(r"extra == ['\"]([\w.-]+)['\"]")


def normalized(name: str) -> str:
    """Return a package's name the way PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct_dependencies() -> dict[str, list[str]]:
    """Return the requirements in pyproject.toml by extra, where '' is the base.

    References to the project's own extras are left out.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    own = project["name"]
    return {extra: [one for one in lines if not one.startswith(own)] for extra, lines in groups.items()}


def name_of(requirement: str) -> str:
    """Return the package that a requirement names."""
    found = _NAME.match(requirement)
    assert found, requirement
    return normalized(found[1])


@cache
def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # another platform's or Python's
        return None


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the installed packages that these requirements name, and all that those need."""
    found: set[str] = set()
    todo = list(requirements)
    seen = set()
    while todo:
        line = todo.pop()
        parsed = _NAME.match(line)
        if line in seen or not parsed or not (package := _find(normalized(parsed[1]))):
            continue
        seen.add(line)
        found.add(normalized(parsed[1]))
        extras = set((parsed[2] or "").split(","))
        for needed in package.requires or []:
            extra = _EXTRA.search(needed)
            if not extra or extra[1] in extras:
                todo.append(needed.partition(";")[0].strip())
    return found


def megabytes(names: Iterable[str]) -> float:
    """Return the total size of the packages' files in megabytes, without compiled bytecode."""
    return sum(_bytes(name) for name in names) / 1e6


@cache
def _bytes(name: str) -> int:
    package = _find(name)
    files = (package and package.files) or []
    return sum(file.size or 0 for file in files if file.suffix != ".pyc")


def import_milliseconds(name: str) -> float:
    """Return the median CPU time in milliseconds to import a package in a new process, without Python's startup."""
    modules = sorted(module for module, owners in packages_distributions().items() if name in map(normalized, owners))
    module = next((one for one in (name.replace("-", "_"), *modules) if one in modules and one.isidentifier()), None)
    if module is None:
        return 0.0
    code = f"import time; began = time.process_time(); import {module}; print(time.process_time() - began)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False) for _ in range(RUNS)
    ]
    times = [float(run.stdout.split()[-1]) for run in runs if run.returncode == 0]
    return statistics.median(times) * 1000 if times else 0.0


def license_of(name: str) -> str:
    """Return the license's name from the package's metadata, or else from its license file."""
    package = _find(name)
    assert package
    about = package.metadata.json
    classified = [line.rpartition(" :: ")[2] for line in about.get("classifier", []) if line.startswith("License ::")]
    named = [line for line in classified if not line.lower().endswith("approved")]
    text = str(
        about.get("license_expression") or ", ".join(named) or about.get("license") or _title_of_license(package)
    )
    return text.removesuffix(" (MIT)").removesuffix(" License")


def _title_of_license(package: Distribution) -> str:
    files = [file for file in package.files or [] if file.name.startswith("LICENSE")]
    return files[0].read_text().splitlines()[0] if files else "?"


def release_dates(names: Iterable[str]) -> dict[str, str]:
    """Return the month when each installed version was released, such as 2026-01; an empty dict without uv."""
    if not (uv := shutil.which("uv")):
        return {}
    pins = [f"{name}=={package.version}" for name in names if (package := _find(name))]
    version = "{}.{}".format(*sys.version_info)
    with tempfile.TemporaryDirectory() as folder:
        text = f'[project]\nname = "dates"\nversion = "0"\nrequires-python = "=={version}.*"\ndependencies = {pins!r}\n'
        (Path(folder) / "pyproject.toml").write_text(text, encoding="utf-8")
        subprocess.run([uv, "lock", "--quiet", "--python", sys.executable, "--directory", folder], check=True)
        locked = tomllib.loads((Path(folder) / "uv.lock").read_text(encoding="utf-8"))["package"]
    files = {one["name"]: [one.get("sdist", {}), *one.get("wheels", [])] for one in locked}
    dates = {
        name: [str(file["upload-time"])[:7] for file in several if "upload-time" in file]
        for name, several in files.items()
    }
    return {name: min(several) for name, several in dates.items() if several}


def measured_rows() -> Iterator[tuple[str, str]]:
    """Yield the name of each installed direct dependency, and its table cells as one string."""
    groups = direct_dependencies()
    dates = release_dates({name_of(line) for lines in groups.values() for line in lines})
    for extra, lines in groups.items():
        base = [] if not extra else groups[""]
        for line in lines:
            name = name_of(line)
            if not _find(name):
                continue
            others = closure([*base, *(other for other in lines if other != line)])
            alone = megabytes(closure([line]) - others)
            cells = [
                f"{megabytes([name]):.1f}",
                f"{alone:.1f}",
                "–" if extra == "dev" else f"{import_milliseconds(name):.0f}",
            ]
            yield name, " | ".join([*cells, license_of(name), dates.get(name, "?")])


def main() -> None:
    """Update the page."""
    rows = dict(measured_rows())

    def update(found: re.Match[str]) -> str:
        name = found["name"]
        return f"| `{name}` | {rows[name]} | {found['written']}" if name in rows else found[0]

    PAGE.write_text(_ROW.sub(update, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
