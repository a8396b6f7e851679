"""Bots that are killed in the middle of their work and started again, on files that can be put back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localslack import Remote
from tests.support.faults.crash_points import KILLED
from tests.support.faults.crashing_bot import BotEnvironment, CrashCase, CrashReport, ObservedState
from tests.support.faults.subprocesses import program
from tests.support.ledger.ledgers import PostgresServer
from tests.support.network.http_receiver import HttpReceiver, run_receiver


class SqliteFiles:
    """A folder with a ledger on SQLite and a registry, which can be put back."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = f"sqlite:///{home / 'ledger.db'}"
        self._kept = home.with_name(f"{home.name}-kept")

    def begin(self, templates: Path) -> None:
        """Let it be as in this folder."""
        self._copy(templates, self.home)

    def keep(self) -> None:
        """Remember it as it is."""
        self._copy(self.home, self._kept)

    def put_back(self) -> None:
        """Let it be as it was kept."""
        self._copy(self._kept, self.home)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


class PostgresFiles(SqliteFiles):
    """The same, with the ledger on PostgreSQL."""

    def __init__(self, home: Path, server: PostgresServer) -> None:
        super().__init__(home)
        self._server = server
        self._name, self._before = server.create("migrated"), server.create("migrated")
        self.database = server.url(self._name)

    def begin(self, templates: Path) -> None:
        super().begin(templates)
        self._replace(self._name, "migrated")

    def keep(self) -> None:
        super().keep()
        self._replace(self._before, self._name)

    def put_back(self) -> None:
        super().put_back()
        self._replace(self._name, self._before)

    def _replace(self, database: str, template: str) -> None:
        """Let a database be as another one. The processes are gone; what PostgreSQL still holds of them goes, too."""
        self._server.leave(template)
        self._server.drop(database)
        self._server.create(template, database)


@dataclass
class CrashHarness:
    """Bots that die and rise again, in a workspace of their own, over real MLflow on SQLite."""

    slack: Remote
    there: HttpReceiver
    _process: subprocess.Popen[str]
    _files: SqliteFiles
    _templates: Path

    @property
    def kind(self) -> str:
        """What the ledger is on."""
        return "SQLite" if self._files.database.startswith("sqlite") else "PostgreSQL"

    def prepare(self, act: str) -> None:
        """Let everything be as it is before this act, from now on."""
        self.slack.heal()
        self.slack.deliver_to(None)
        self.slack.reset()
        self._files.begin(self._templates)
        status, logged = self._run("prepare", CrashCase(act))
        assert status == 0, "\n".join(logged)
        self.slack.keep()
        self._files.keep()

    def act(self, case: CrashCase) -> CrashReport:
        """Let a bot do it, and die where the case says; begin with everything as it was before."""
        self.slack.put_back()
        self._files.put_back()
        self.there.got.clear()
        status, logged = self._run("act", case)
        assert status in {0, KILLED}, "\n".join(logged)
        return CrashReport(_points(logged), "acked" in logged, status == KILLED)

    def restart(self, case: CrashCase) -> tuple[ObservedState, ObservedState]:
        """Let a fresh bot take up what was left; return what is true then, and after what the person does again."""
        status, logged = self._run("restart", case)
        assert status == 0, "\n".join(logged)
        then, last = (ObservedState(**json.loads(line)) for line in logged if line.startswith("{"))
        return then, last

    def dies_again(self, case: CrashCase) -> bool:
        """Let a fresh bot take up what was left, and die in the middle of that; tell whether it came so far."""
        status, logged = self._run("restart", case)
        assert status in {0, KILLED}, "\n".join(logged)
        return status == KILLED

    def _run(self, task: str, case: CrashCase) -> tuple[int, list[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, "case": asdict(case)}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer["status"], answer["logged"]


def _points(logged: list[str]) -> list[str]:
    return [line.removeprefix("point ") for line in logged if line.startswith("point ")]


@contextmanager
def start_crash_harness(files: SqliteFiles, slack: str, templates: Path) -> Iterator[CrashHarness]:
    """Start the process that has imported everything and forks, over these files."""
    files.begin(templates)
    with ExitStack() as open_things:
        there = open_things.enter_context(run_receiver())
        remote = open_things.enter_context(Remote(slack))
        process = open_things.enter_context(program("tests.support.faults.crashing_bot"))
        assert process.stdin is not None
        place = BotEnvironment(str(files.home), files.database, slack, there.url)
        process.stdin.write(json.dumps(asdict(place)) + "\n")
        yield CrashHarness(remote, there, process, files, templates)
