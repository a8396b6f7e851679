"""A local workspace in a process of its own, and a process that forks bots which die."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bot.registry.mlflow import MlflowRegistry
from localslack import Remote
from tests.faults.dying import KILLED, MODEL, Case, Death, Truth
from tests.harness import MODEL_LAYOUT
from tests.registries import MlflowShelf
from tests.world import MANIFEST

ROOT = MANIFEST.parent


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python module of ours beside us."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="session")
def workspace_apart() -> Iterator[str]:
    """Give the address of a local workspace that runs in a process of its own."""
    with program("localslack", "--manifest", str(MANIFEST), "--port", "0") as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]


@pytest.fixture
def apart(workspace_apart: str) -> Iterator[Remote]:
    """That workspace, as on its first day."""
    with Remote(workspace_apart) as remote:
        remote.heal()
        remote.deliver_to(None)
        remote.reset()
        remote.forget_calls()
        yield remote


class Mortals:
    """Bots that die and rise again."""

    def __init__(self, process: subprocess.Popen[str], slack: Remote, templates: Path) -> None:
        self.slack = slack
        self._process = process
        self._templates = templates

    def case(self, act: str, point: int | None = None, when: str = "before") -> Case:
        """Return a case over a fresh ledger and a fresh registry."""
        self.slack.reset()
        self.slack.forget_calls()
        home = tempfile.mkdtemp(dir=self._templates.parent)
        for file in self._templates.iterdir():
            shutil.copy(file, home)
        return Case(act, home, self.slack.url, point, when)

    def act(self, case: Case) -> Death:
        """Let a bot do it, and die where the case says."""
        status, logged = self._run("act", case)
        assert status in {0, KILLED}, "\n".join(logged)
        points = [line.removeprefix("point ") for line in logged if line.startswith("point ")]
        return Death(points, "acked" in logged, status == KILLED)

    def restart(self, case: Case) -> tuple[Truth, Truth]:
        """Let a fresh bot take up what was left; return what is true then, and after what the person does again."""
        status, logged = self._run("restart", case)
        assert status == 0, logged
        then, last = (Truth(**json.loads(line)) for line in logged)
        return then, last

    def _run(self, task: str, case: Case) -> tuple[int, list[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, "case": asdict(case)}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer["status"], answer["logged"]


@pytest.fixture(scope="session")
def templates(mlflow_template: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger and a registry: v3 of the model serves."""
    folder = tmp_path_factory.mktemp("mortals") / "templates"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "ledger.db")
    shutil.copy(mlflow_template, folder / "mlflow.db")
    shelf = MlflowShelf(f"sqlite:///{folder / 'mlflow.db'}")
    shelf.add(MODEL, versions=MODEL_LAYOUT)
    MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}").set_alias(MODEL, "champion", 3)
    shelf.close()
    return folder


@pytest.fixture
def mortals(dying_process: subprocess.Popen[str], apart: Remote, templates: Path) -> Mortals:
    """Bots that die and rise again, over real MLflow on SQLite, in a workspace of their own."""
    return Mortals(dying_process, apart, templates)


@pytest.fixture(scope="session")
def dying_process(
    workspace_apart: str, templates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """The process that has imported everything and forks."""
    home = shutil.copytree(templates, tmp_path_factory.mktemp("warm") / "home")
    with program("tests.faults.dying") as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(Case("warm", str(home), workspace_apart))) + "\n")
        yield process
