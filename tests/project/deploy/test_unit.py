"""deploy/registrar.service: valid, sandboxed, and with enough of everything that it limits."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.settings import Settings
from handlers.web.connections import ConnectionLimits
from handlers.web.server import other_descriptors
from tests.support.deploy.deployment import DEPLOY, grace

UNIT = DEPLOY / "registrar.service"
MOST_EXPOSED = 2.0  # of 10, as systemd counts
LARGEST = Settings(REGISTRAR_THREADS=500, REGISTRAR_CONNECTIONS=200)


def value(name: str) -> int:
    """Return the unit's value for a limit."""
    [found] = re.findall(rf"^{name}=(\d+)$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return int(found)


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, or skip."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd's analysis of a unit's sandbox; it fails if the unit is too exposed."""
    return analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", "--no-pager", unit)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "registrar.service"
    text = UNIT.read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/registrar/bin/registrar", "/bin/true"))  # it checks that the program exists
    done = analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sandbox_leaves_little_exposed() -> None:
    done = exposure(UNIT)
    assert done.returncode == 0, done.stdout


def test_a_unit_without_a_sandbox_is_found(tmp_path: Path) -> None:
    unit = tmp_path / "open.service"
    unit.write_text("[Service]\nUser=registrar\nExecStart=/bin/true\n")
    assert exposure(unit).returncode != 0


def test_the_unit_has_the_same_stop_timeout_as_the_containers() -> None:
    assert value("TimeoutStopSec") == grace("registrar")


def test_the_unit_does_not_restart_after_a_configuration_error() -> None:
    assert value("RestartPreventExitStatus") == 2


def test_the_unit_has_enough_descriptors_for_the_largest_settings() -> None:
    assert value("LimitNOFILE") >= other_descriptors(LARGEST) + ConnectionLimits().connections


def test_the_unit_has_enough_tasks_for_the_largest_settings() -> None:
    for_calls, for_tasks, for_files, others = (*3 * [LARGEST.threads], 200)
    assert value("TasksMax") >= for_calls + for_tasks + for_files + others


def test_no_secret_is_in_the_unit_s_environment() -> None:
    text = UNIT.read_text(encoding="utf-8")
    assert "LoadCredential=registrar.env:/etc/registrar/registrar.env\n" in text
    assert "EnvironmentFile" not in text
