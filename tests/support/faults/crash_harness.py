"""Bots that crash and restart, on files that can be restored."""

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
    """A folder with a ledger on SQLite and a registry, which can be restored."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = f"sqlite:///{home / 'ledger.db'}"
        self._kept = home.with_name(f"{home.name}-kept")

    def begin(self, templates: Path) -> None:
        """Copy the state from this folder."""
        self._copy(templates, self.home)

    def keep(self) -> None:
        """Save the current state."""
        self._copy(self.home, self._kept)

    def put_back(self) -> None:
        """Restore the saved state."""
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
        """Replace a database with another one, closing connections that PostgreSQL still has for dead processes."""
        self._server.leave(template)
        self._server.drop(database)
        self._server.create(template, database)


@dataclass
class CrashHarness:
    """Bots that crash and restart, in their own workspace, with real MLflow on SQLite."""

    slack: Remote
    there: HttpReceiver
    _process: subprocess.Popen[str]
    _files: SqliteFiles
    _templates: Path

    @property
    def kind(self) -> str:
        """The ledger's database."""
        return "SQLite" if self._files.database.startswith("sqlite") else "PostgreSQL"

    def prepare(self, act: str) -> None:
        """Prepare the state before this operation, and save it."""
        self.slack.heal()
        self.slack.deliver_to(None)
        self.slack.reset()
        self._files.begin(self._templates)
        status, logged = self._run("prepare", CrashCase(act))
        assert status == 0, "\n".join(logged)
        self.slack.keep()
        self._files.keep()

    def act(self, case: CrashCase) -> CrashReport:
        """Restore the saved state, and let a bot run the case and crash where it says."""
        self.slack.put_back()
        self._files.put_back()
        self.there.got.clear()
        status, logged = self._run("act", case)
        assert status in {0, KILLED}, "\n".join(logged)
        return CrashReport(_points(logged), "acked" in logged, status == KILLED)

    def restart(self, case: CrashCase) -> tuple[ObservedState, ObservedState]:
        """Let a new bot recover; return the state then, and after the person's retry."""
        status, logged = self._run("restart", case)
        assert status == 0, "\n".join(logged)
        then, last = (ObservedState(**json.loads(line)) for line in logged if line.startswith("{"))
        return then, last

    def dies_again(self, case: CrashCase) -> bool:
        """Let a new bot recover and crash during that; return whether it got that far."""
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
    """Start the preloaded process that forks bots on these files."""
    files.begin(templates)
    with ExitStack() as open_things:
        there = open_things.enter_context(run_receiver())
        remote = open_things.enter_context(Remote(slack))
        process = open_things.enter_context(program("tests.support.faults.crashing_bot"))
        assert process.stdin is not None
        place = BotEnvironment(str(files.home), files.database, slack, there.url)
        process.stdin.write(json.dumps(asdict(place)) + "\n")
        yield CrashHarness(remote, there, process, files, templates)
