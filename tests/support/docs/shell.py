"""Types a page's shell blocks into one shell, as a reader does, and tells what came of each."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.app.demo_process import clean_environment
from tests.support.docs.blocks import CodeBlock
from tests.support.paths import ROOT

NOWHERE = "http://127.0.0.1:9"  # the proxy for all that isn't on this machine
PROGRAMS = {
    "registrar": "-m handlers",
    "localslack": "-m localslack",
    "mlflow": "-m mlflow",
    "python": "",
    "python3": "",
}
LONG = 540  # seconds for a page: some start a demo

_BEGIN = """
set -euo pipefail
stop() { for job in $(jobs -p); do kill -INT -- "-$job" 2>/dev/null || true; done; wait; }
trap stop EXIT
"""
_RUN = """
exec >{out} 2>&1
source {file}
"""
_EXIT_CODE = """
exec >{out} 2>&1
set +e; (set -e; source {file}); _code=$?; set -e
[ $_code -eq {code} ] || {{ echo "It exited with $_code instead of {code}."; exit 1; }}
"""
_IN_BACKGROUND = """
exec >{out} 2>&1
set -m; (source {file}) & _job=$!; set +m  # a job of its own, which SIGINT ends
until grep -qF -- {words} {out}; do kill -0 $_job || exit 1; sleep 0.1; done
"""


def put_programs_on_path(folder: Path) -> Path:
    """Write the programs of an installation into a folder: each runs this checkout's code."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in PROGRAMS.items():
        # No links: a Python that's called by one doesn't know its environment.
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def shell_environment(home: Path, programs: Sequence[Path], **more: str) -> dict[str, str]:
    """Return the environment of a reader's shell: a new HOME, our programs, and no network beyond this machine."""
    home.mkdir(exist_ok=True)
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), NOWHERE)
    own = {
        "HOME": str(home),
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    if "SLACK_API_URL" in more:
        proxies.clear()  # the SDK's Socket Mode takes a proxy also for what NO_PROXY names
    return clean_environment(**proxies | own | more)


def run_blocks(
    blocks: Sequence[CodeBlock], folder: Path, env: Mapping[str, str], scratch: Path, *, seconds: float = LONG
) -> dict[CodeBlock, str]:
    """Type the blocks in this folder, in order; return what each printed. Fails at the first that fails."""
    script = _BEGIN
    for number, block in enumerate(blocks):
        (scratch / f"{number}.sh").write_text(block.text, encoding="utf-8")
        script += f"{_how(block, scratch / f'{number}.sh', scratch / f'{number}.out')}echo {number} >{scratch}/done\n"
    script += "exec >/dev/null 2>&1\n"  # what the shell says of programs that it stops is no block's
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
    finally:
        _kill_session(process.pid)
        process.wait()
    last = int((scratch / "done").read_text()) if (scratch / "done").exists() else -1
    printed = {block: _read(scratch / f"{number}.out") for number, block in enumerate(blocks)}
    if last < len(blocks) - 1:
        failed = blocks[last + 1]
        told = [f"{failed.place} failed:\n{failed.text}\n--- it printed:\n{printed[failed]}"]
        told += [f"--- {one.place} printed:\n{printed[one]}" for one in blocks[: last + 1] if one.after("runs until:")]
        pytest.fail("\n".join(told), pytrace=False)
    return printed


def matches_output(expected: str, printed: str) -> bool:
    """Tell if this is what was printed; `…` stands for anything in a line, and alone in a line for any lines."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.rstrip().split("…"))) + r"[ ]*\n"
        for line in expected.strip("\n").splitlines()
    ]
    return re.fullmatch("".join(lines), printed.strip("\n") + "\n") is not None


def _how(block: CodeBlock, file: Path, out: Path) -> str:
    names = {"file": shlex.quote(str(file)), "out": shlex.quote(str(out))}
    if (code := block.after("exits with ")) is not None:
        return _EXIT_CODE.format(code=int(code), **names)
    if (words := block.after("runs until:")) is not None:
        return _IN_BACKGROUND.format(words=shlex.quote(words), **names)
    return _RUN.format(**names)


def _kill_session(session: int) -> None:
    """End what a page has left running."""
    for one in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(one) == session:
                os.kill(one, signal.SIGKILL)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
