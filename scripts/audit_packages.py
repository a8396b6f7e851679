"""Ask whether a package of the locks has a known vulnerability: `make audit`.

pip-audit asks PyPI about each package. One with a fix fails the check, unless .ci/ignored-vulnerabilities says why it
may stay; one without a fix is told. Where PyPI's data cannot be reached (offline, or behind a mirror that has the
packages and nothing else), that is told, and nothing was checked.

Exit codes: 0 nothing to mend, or nothing could be asked; 1 something to mend; 2 the list of what is ignored is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IGNORED = ROOT / ".ci" / "ignored-vulnerabilities"
LOCKS = ("requirements-dev.lock", "requirements-tools.lock", "deploy/mlflow.lock")  # the first one holds what runs
PIP_AUDIT = ROOT / ".tools" / "bin" / "pip-audit"
LIMIT = 120.0  # seconds for one lock; it takes about eight


@dataclass(frozen=True)
class Found:
    """A known vulnerability of a package. `names` are its id and what else it is called."""

    package: str
    version: str
    names: tuple[str, ...]
    fixes: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in a line."""
        mend = f"fixed in {', '.join(self.fixes)}" if self.fixes else "no fix yet"
        return f"{self.package} {self.version}: {self.names[0]} ({mend})"


def ignored(text: str) -> dict[str, str]:
    """Return which vulnerabilities may stay, each with its reason. Raises ValueError for one without."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, _, reason = line.partition("#")[0].strip().partition(" ")
        if name and not reason.strip():
            raise ValueError(f"line {number}: {name} needs a reason behind it")
        if name:
            found[name] = reason.strip()
    return found


def findings(report: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the vulnerabilities of pip-audit's report."""
    for one in report["dependencies"]:
        for flaw in one.get("vulns", []):
            names = (flaw["id"], *flaw.get("aliases", []))
            yield Found(one["name"], one["version"], names, tuple(flaw.get("fix_versions", [])))


def was_asked(report: Mapping[str, Any]) -> bool:
    """Tell whether the data was there: pip-audit also says "no known vulnerabilities" where it knew no package."""
    return any("skip_reason" not in one for one in report["dependencies"])


def unknown(report: Mapping[str, Any]) -> list[str]:
    """Return the packages that nothing is known of."""
    return [one["name"] for one in report["dependencies"] if "skip_reason" in one]


def judge(found: Iterable[Found], allowed: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return what is to be told, a line each, and whether something is to be mended."""
    lines, is_bad, used = [], False, set()
    for one in found:
        why = next((name for name in one.names if name in allowed), None)
        if why:
            used.add(why)
            lines.append(f"{one}; ignored: {allowed[why]}")
        else:
            is_bad = is_bad or bool(one.fixes)
            lines.append(str(one))
    idle = [name for name in allowed if name not in used]
    lines += [f"{name} is ignored, and nothing has it any more: take it out of the list." for name in idle]
    return lines, is_bad


def ask(lock: str, program: Sequence[str]) -> dict[str, Any] | None:
    """Return pip-audit's report on a lock, or None where it gave none."""
    words = [
        *program,
        "--requirement",
        str(ROOT / lock),
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "--format",
        "json",
        "--desc",
        "off",
    ]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT)  # noqa: S603 - ours
        report: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return report if was_asked(report) else None


def main(program: Sequence[str] = (str(PIP_AUDIT),)) -> int:
    """Check the locks; return the exit code."""
    try:
        allowed = ignored(IGNORED.read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"{IGNORED.relative_to(ROOT)}, {error}.", file=sys.stderr)
        return 2
    found: set[Found] = set()
    for lock in LOCKS:
        report = ask(lock, program)
        if report is None:
            print("PyPI's data on vulnerabilities cannot be reached from here: nothing is checked in this run.")
            return 0
        found |= set(findings(report))
        if names := unknown(report):
            print(f"{lock}: nothing is known of {', '.join(names)}.")
    lines, is_bad = judge(sorted(found, key=str), allowed)
    print("\n".join(lines) or "No known vulnerabilities.")
    if is_bad:
        print(
            "Take a version with the fix (make lock UPGRADE=1), or say in .ci/ignored-vulnerabilities why it may stay."
        )
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
