"""The exercise of examples/churn/README.md, walked as it is written: its commands in a shell, its clicks by people."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localslack import Remote, WorkspaceMember, connect
from tests.support.app.app_fixture import CHANNEL, message_text
from tests.support.app.demo_process import DemoProcess, clean_environment
from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # four models are trained, and a monitor watches

PAGE = (ROOT / "examples" / "churn" / "README.md").read_text(encoding="utf-8")
LONG = 240.0  # seconds for one command, or until a card says what it has to: some take two checks, ten seconds apart


@dataclass(frozen=True)
class Walkthrough:
    """A reader who follows the page in a folder like the repository's, with a running demo."""

    folder: Path
    slack: Remote

    @property
    def bob(self) -> WorkspaceMember:
        """Who decides."""
        return self.slack.person("bob")

    def types(self, step: int) -> list[str]:
        """Type a step's commands, and return what each block of them printed."""
        return [self.runs(block) for block in blocks(step)]

    def runs(self, block: str) -> str:
        """Type a block in a shell that has heard what is exported at the beginning."""
        [meant] = [line for line in blocks(0) if line.startswith("export ")]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{meant}\n{block}"],
            cwd=self.folder,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONG,
            env=clean_environment(PYTHONPATH=str(ROOT)),
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def waiting(self, step: int) -> Iterator[None]:
        """Type a step's commands, which wait; let people act meanwhile, and see to it that the commands end well."""
        with ThreadPoolExecutor(1) as pool:
            typed = pool.submit(self.types, step)
            try:
                yield
            except BaseException:
                if typed.done():
                    typed.result()  # why the commands failed says more than what people waited for in vain
                raise
            typed.result()

    def card(self, holds: str) -> dict[str, Any]:
        """Wait for the newest message that says this."""
        return self.bob.waits_for(CHANNEL, lambda message: holds in message_text(message), LONG)


def blocks(step: int) -> list[str]:
    """Return the shell blocks of a step."""
    section = re.search(rf"^## {step}\. .*?(?=^## )", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"```sh\n(.*?)```", section[0], flags=re.DOTALL)


def typed_in_slack(step: int, verb: str) -> str:
    """Return the line of a step that begins with this verb, as it is to be typed in Slack."""
    section = re.search(rf"^## {step}\. .*?(?=^## )", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert section
    [line] = re.findall(rf"`(/model {verb}[^`]*)`", section[0])
    return str(line)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walkthrough]:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, more in {"python": "", "registrar": "-m handlers "}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {more}"$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert blocks(0)[0] == "make demo\n"
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    with DemoProcess(tmp_path / ".demo", PATH=path, PYTHONPATH=str(ROOT)) as demo, connect(demo.url) as slack:
        walk = Walkthrough(tmp_path, slack)
        walk.runs(blocks(0)[2])  # says in the policy who sits at the terminal
        walk.card("Policy updated")
        yield walk


def test_the_exercise_can_be_walked_from_its_beginning_to_its_end(walk: Walkthrough) -> None:
    walk.types(1)
    [registered] = walk.types(2)
    assert "Registered v6 of “churn” as 1.0.0" in registered
    walk.types(3)
    [chosen] = walk.types(4)
    assert "v5 (no stage) has the highest f1" in chosen
    assert "all 3 gates passed" in chosen
    with walk.waiting(5):
        walk.bob.clicks(walk.card("Promote churn v4"), "Approve")
    [deployed] = walk.types(7)
    assert deployed.count("churn v4, loaded as models:/churn") == 2
    with walk.waiting(8):
        walk.bob.clicks(walk.card("Promote churn v5"), "Approve")
    walk.card("restored to v4")
    walk.bob.types(CHANNEL, typed_in_slack(9, "rollback"))
    walk.card("rolled back from v4 to v3")
    [restored] = walk.types(9)
    assert restored.count("churn v3, loaded as models:/churn") == 2
