"""A ledger or registry restored from a backup, over the wire: pending work isn't executed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.ledger.backup import back_up
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, add_churn, message_text, running_app
from tests.support.registry.memory import MemoryRegistry


class RestorableHome:
    """A bot that can be stopped, restored from a backup of its ledger, and restarted."""

    def __init__(self, slack: LocalSlack, home: Path) -> None:
        self.registry = add_churn(MemoryRegistry())
        self.clock = AdjustableClock()
        self._slack = slack
        self._home = home

    @contextmanager
    def running(self, **more: Any) -> Iterator[RunningApp]:
        with running_app(self._slack, self._home, self.registry, clock=self.clock, **more) as app:
            yield app

    def back_up(self, app: RunningApp) -> None:
        back_up(f"sqlite:///{self._home / 'ledger.db'}", self._home / "backup.db")

    def restore(self) -> None:
        for file in self._home.glob("ledger.db*"):
            file.unlink()
        shutil.copy(self._home / "backup.db", self._home / "ledger.db")

    def later(self) -> None:
        self.clock.advance(timedelta(hours=2))


@pytest.fixture
def place(slack: LocalSlack, tmp_path: Path) -> RestorableHome:
    return RestorableHome(slack, tmp_path)


def promote_while_mlflow_is_away(place: RestorableHome, app: RunningApp) -> None:
    """Approve a promotion of v1, which waits for MLflow."""
    app.alice.types(CHANNEL, "/model promote churn 1 production")
    card = app.card(holds="Promote churn v1")
    place.registry.is_down = True
    assert app.bob.clicks(card, "Approve").acked
    app.card(holds="⏳ MLflow isn't responding.")


def let_it_turn_out_bad(place: RestorableHome, app: RunningApp) -> None:
    """Bring MLflow back, let the promotion run, and roll v1 back as bad."""
    place.registry.is_down = False
    place.later()
    app.slack.wait_for(lambda: app.production() == [1])
    app.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    app.card(holds="rolled back from v1 to v3")
    app.slack.wait_for(lambda: "rollback_date" in place.registry.version("churn", 1).tags)


def test_a_restored_ledger_does_not_promote_a_known_bad_version_again(place: RestorableHome) -> None:
    with place.running() as app:
        app.registrar.poll_registry()
        promote_while_mlflow_is_away(place, app)
        place.back_up(app)
        let_it_turn_out_bad(place, app)
    place.restore()
    place.later()
    with place.running() as app:
        told = app.bob.waits_for(CHANNEL, lambda message: "registrar db drop-pending" in message_text(message))
        app.registrar.recover()
        app.registrar.drain()
        assert app.production() == [3]
    assert "registrar db accept" in message_text(told)
    assert "rollback_date" in message_text(told)
