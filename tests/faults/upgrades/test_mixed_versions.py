"""Real processes of 0.2.0 and of this version on one PostgreSQL, during an upgrade and after a forced one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Misconfigured
from bot.domain.promotions.request import Request, RequestState
from bot.ledger import SqlLedger
from localslack import Remote
from localslack.client import RefusedError
from tests.support.app.app_fixture import CHANNEL, POLICY
from tests.support.app.harness import audit_links, is_chain_intact
from tests.support.app.load_generator import MODELS, write_home
from tests.support.app.replicas import Replica
from tests.support.ledger.releases import later_release, release_0_2_0
from tests.support.paths import ROOT
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]

__all__ = ["release_0_2_0"]

UPGRADE = ("db", "upgrade")


class Installation:
    """A workspace, an MLflow, and a PostgreSQL, which processes of several versions share."""

    def __init__(self, environment: dict[str, str], slack: Remote, folder: Path, stack: ExitStack) -> None:
        self.ledger = stack.enter_context(closing(SqlLedger(environment["REGISTRAR_DATABASE_URL"], timeout=20)))
        self.slack = slack
        self._environment = environment
        self._folder = folder
        self._stack = stack
        self._count = 0

    def upgrade(self, *, force: bool = False) -> None:
        """Create or upgrade the tables, as `registrar db upgrade` of this version does."""
        with closing(SqlLedger(self._environment["REGISTRAR_DATABASE_URL"])) as ledger:
            ledger.migrate(force=force)

    def is_upgraded(self) -> bool:
        """Upgrade the tables, and return whether that succeeded: PostgreSQL notices an ended process a bit later."""
        with suppress(Misconfigured):
            self.upgrade()
            return True
        return False

    def run(self, code: Path, *words: str) -> tuple[int, str]:
        """Run a command of a version; return its exit code and its output."""
        done = subprocess.run(
            [sys.executable, "-m", "handlers", *words],
            env=os.environ | self._of(code),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def start(self, *versions: Path) -> list[Replica]:
        """Start a process of each version, and wait until all are ready."""
        started = []
        for code in versions:
            self._count += 1
            started.append(Replica("run", self._of(code), self._folder / f"{self._count}.log").start())
            self._stack.callback(started[-1].kill)
        return [one.wait() for one in started]

    def request(self, replica: Replica, model: str) -> dict[str, Any]:
        """Have Alice request v2 at a process; return the card."""
        self.slack.deliver_to(f"{replica.address}/slack/events")
        assert self.slack.person("alice").types(CHANNEL, f"/model promote {model} 2 production --reason better").acked
        return self.wait_for_card(f"Promote {model} v2")

    def approve(self, replica: Replica, card: dict[str, Any]) -> None:
        """Have Bob click Approve at a process."""
        self.slack.deliver_to(f"{replica.address}/slack/events")
        assert self.slack.person("bob").clicks(card, "Approve").acked

    def wait_for_card(self, holds: str) -> dict[str, Any]:
        """Wait for a card whose blocks contain this text."""
        return self.slack.person("bob").waits_for(
            CHANNEL, lambda one: holds in str(one.get("blocks")), timeout=PATIENCE
        )

    def wait_until_done(self, *models: str) -> None:
        """Wait until the request of each model is done."""
        wait_until(lambda: {self.only_request(model).state for model in models} == {RequestState.DONE})

    def only_request(self, model: str) -> Request:
        """Return the model's request."""
        with self.ledger.read() as reading:
            [found] = [one for one in reading.requests(limit=100) if one.model == model]
        return found

    def votes(self, model: str) -> int:
        """Return how many votes the model's request has."""
        with self.ledger.read() as reading:
            return len(reading.votes(self.only_request(model).id))

    def promoted(self) -> list[str]:
        """Return the model of each promotion, in alphabetical order."""
        return sorted(str(link.event.model) for link in audit_links(self.ledger, EventTag.TRANSITION_DONE))

    def _of(self, code: Path) -> dict[str, str]:
        # Without the second variable, Python would import this checkout's code, from the working directory.
        return self._environment | {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}


@pytest.fixture
def installation(
    tmp_path: Path, empty_postgres_url: str, apart: Remote, mlflow_sqlite: str, mlflow_backend: MlflowBackend
) -> Iterator[Installation]:
    """Yield an installation without tables or processes; Slack calls its processes over HTTP."""
    environment = write_home(tmp_path, apart, empty_postgres_url, mlflow_sqlite, mlflow_backend)
    environment["SLACK_SIGNING_SECRET"] = apart.signing_secret
    del environment["SLACK_APP_TOKEN"]
    (tmp_path / "registrar.yml").write_text(json.dumps(POLICY))
    with ExitStack() as stack:
        yield Installation(environment, apart, tmp_path, stack)


@pytest.fixture
def old(installation: Installation, release_0_2_0: Path) -> Replica:
    """Return a running process of 0.2.0 on tables of 0.2.0."""
    assert installation.run(release_0_2_0, *UPGRADE)[0] == 0
    return installation.start(release_0_2_0)[0]


def test_an_upgrade_is_refused_until_0_2_0_is_stopped_and_keeps_its_requests(
    installation: Installation, old: Replica, release_0_2_0: Path
) -> None:
    one, two = MODELS[:2]
    card = installation.request(old, one)

    with pytest.raises(Misconfigured, match="Stop every Registrar process"):
        installation.upgrade()
    installation.approve(old, installation.request(old, two))
    installation.wait_for_card(f"{two} v2 is in Production")

    assert old.end() == 0
    wait_until(installation.is_upgraded)
    [new] = installation.start(ROOT)
    installation.approve(new, card)
    installation.wait_until_done(one, two)
    assert installation.promoted() == [one, two]
    assert is_chain_intact(installation.ledger)

    code, said = installation.run(release_0_2_0, "run")
    assert (code, "written by a newer Registrar" in said) == (2, True)


def test_after_a_forced_upgrade_next_to_0_2_0_nothing_moves_twice_and_no_decision_is_lost(
    installation: Installation, old: Replica
) -> None:
    models = MODELS[:4]
    cards = {model: installation.request(old, model) for model in models[:2]}
    installation.upgrade(force=True)
    new, other = installation.start(ROOT, ROOT)
    cards |= {model: installation.request(at, model) for model, at in zip(models[2:], (new, old), strict=True)}

    for model, first in zip(models, (old, new, old, other), strict=True):
        installation.approve(first, cards[model])
        with suppress(RefusedError):  # the first click has decided it, so the button is gone
            installation.approve(new, cards[model])

    installation.wait_until_done(*models)
    assert installation.promoted() == models
    assert [installation.votes(model) for model in models] == [1] * len(models)
    assert is_chain_intact(installation.ledger)


def test_a_process_of_this_version_stops_when_a_later_one_upgrades_the_tables(
    installation: Installation, tmp_path: Path
) -> None:
    installation.upgrade()
    [new] = installation.start(ROOT)
    later = later_release(tmp_path / "later", installation.ledger.schema().newest)
    assert installation.run(later, *UPGRADE, "--force")[0] == 0
    assert new.process is not None
    assert new.process.wait(PATIENCE) == 2
    assert "Another version of Registrar upgraded the ledger" in new.said.splitlines()[-1]
