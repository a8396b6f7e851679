"""Check the locked packages for known vulnerabilities: `make audit`.

pip-audit queries PyPI for each package. A vulnerability with a fix fails the check, unless .ci/ignored-vulnerabilities
gives a reason to accept it; one without a fix is only reported. If PyPI's data isn't available (offline, or behind a
mirror that has only the packages), that's reported, and nothing is checked.

Exit codes: 0 nothing to fix, or no data; 1 something to fix; 2 the list of ignored vulnerabilities is invalid.
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
LOCKS = ("requirements-dev.lock", "requirements-tools.lock", "deploy/mlflow.lock")  # the first one is what runs
PIP_AUDIT = ROOT / ".tools" / "bin" / "pip-audit"
LIMIT = 120.0  # seconds for one lock; it usually takes about eight


@dataclass(frozen=True)
class Found:
    """A known vulnerability in a package. `names` are its ID and its aliases."""

    package: str
    version: str
    names: tuple[str, ...]
    fixes: tuple[str, ...]

    def __str__(self) -> str:
        """Return the vulnerability as one line."""
        mend = f"fixed in {', '.join(self.fixes)}" if self.fixes else "no fix yet"
        return f"{self.package} {self.version}: {self.names[0]} ({mend})"


def ignored(text: str) -> dict[str, str]:
    """Return the accepted vulnerabilities with their reasons. Raises ValueError if a reason is missing."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, _, reason = line.partition("#")[0].strip().partition(" ")
        if name and not reason.strip():
            raise ValueError(f"line {number}: {name} needs a reason after it")
        if name:
            found[name] = reason.strip()
    return found


def findings(report: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the vulnerabilities in pip-audit's report."""
    for one in report["dependencies"]:
        for flaw in one.get("vulns", []):
            names = (flaw["id"], *flaw.get("aliases", []))
            yield Found(one["name"], one["version"], names, tuple(flaw.get("fix_versions", [])))


def was_asked(report: Mapping[str, Any]) -> bool:
    """Return whether the report has data; pip-audit also reports "no known vulnerabilities" if it has none."""
    return any("skip_reason" not in one for one in report["dependencies"])


def unknown(report: Mapping[str, Any]) -> list[str]:
    """Return the names of the packages that have no data."""
    return [one["name"] for one in report["dependencies"] if "skip_reason" in one]


def judge(found: Iterable[Found], allowed: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return the lines to print, and whether there's something to fix."""
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
    lines += [f"{name} is ignored, but no package has it anymore. Remove it from the list." for name in idle]
    return lines, is_bad


def ask(lock: str, program: Sequence[str]) -> dict[str, Any] | None:
    """Return pip-audit's report on a lock, or None if it failed, took too long, or had no data."""
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
            print("Can't reach PyPI's vulnerability data, so nothing was checked.")
            return 0
        found |= set(findings(report))
        if names := unknown(report):
            print(f"{lock}: PyPI has no data about {', '.join(names)}.")
    lines, is_bad = judge(sorted(found, key=str), allowed)
    print("\n".join(lines) or "No known vulnerabilities.")
    if is_bad:
        print("Upgrade to a fixed version (make lock UPGRADE=1), or add a reason to .ci/ignored-vulnerabilities.")
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
