"""A team at work: people who request and decide, an endpoint that pushes its metrics, and Registrar processes."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.domain.monitoring.readings import PushedReading
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from localslack import Remote
from localslack.client import RefusedError
from tests.support.app.app_fixture import CHANNEL, POLICY
from tests.support.app.workspaces import SPEED
from tests.support.paths import ROOT
from tests.support.registry.registries import MlflowBackend

MODELS = [f"m{number}" for number in range(6)]
EVERY = 10  # seconds between two checks of a monitor
RULE: dict[str, Any] = {
    "name": "accuracy",
    "source": "live",
    "query": "accuracy",
    "greater_than": 0.85,
    "every": f"{EVERY}s",
    "fail_after": 1,
    "warmup": "0s",
    "cooldown": "0s",
    "min_served": "0s",
    "max_auto": 1000,
    "max_age": "10m",
    "action": "auto",
}
# Versions that were rolled back are requested again: with three of them, nothing else would be left to do.
PRODUCTION = {
    "production": {"approvers": ["lead"], "expires_after": "24h", "gates": [{"not_blocked": False}]},
    "monitors": [RULE],
}


def write_home(folder: Path, slack: Remote, database: str, mlflow: str, backend: MlflowBackend) -> dict[str, str]:
    """Return the settings of one process: a workspace, a policy, a ledger, and the server at `mlflow`.

    Models are added to the registry behind `shelf`.
    """
    for model in MODELS:
        backend.add_model(model, versions=[Stage.PRODUCTION, Stage.NONE, Stage.NONE])
    policy = POLICY | {"models": {"*": PRODUCTION}, "sources": {"live": {"type": "push"}}, "max_auto": 1000}
    (folder / "registrar.yml").write_text(json.dumps(policy))
    return {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "MLFLOW_TRACKING_URI": mlflow,
        "REGISTRAR_DATABASE_URL": database,
        "PYTHONPATH": str(ROOT),
        "REGISTRAR_POLICY": str(folder / "registrar.yml"),
        "REGISTRAR_HOME": str(folder),
        "REGISTRAR_POLL": "5s",
        "PYTHONUNBUFFERED": "1",
        "REGISTRAR_SLACK_PACE": str(1 / SPEED),
    }


@dataclass
class LoadGenerator:
    """People and an endpoint that keep acting, and record what Slack acknowledged."""

    slack: Remote
    ledger: SqlLedger
    dice: random.Random
    pause: float = 0.2  # seconds between two actions of one person
    asked: set[str] = field(default_factory=set)  # reasons of commands that were acknowledged
    clicked: set[str] = field(default_factory=set)  # requests whose click was acknowledged
    rolled_back: set[str] = field(default_factory=set)  # reasons of rollbacks that were acknowledged
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def goes_on(self) -> Iterator[None]:
        """Let them all act until the block ends."""
        everybody = (self._asks, self._decides, self._rolls_back, self._pushes)
        acts = [threading.Thread(target=act, daemon=True) for act in everybody]
        for act in acts:
            act.start()
        try:
            yield
        finally:
            self.over.set()
            for act in acts:
                act.join(60)

    def _asks(self) -> None:
        number = 0
        while not self.over.wait(self.pause):
            number += 1
            model, version, reason = self.dice.choice(MODELS), self.dice.randint(1, 3), f"load{number}"
            text = f'/model promote {model} {version} production --reason "{reason}"'
            with suppress(RefusedError):
                if self.slack.person("alice").types(CHANNEL, text).acked:
                    self.asked.add(reason)

    def _decides(self) -> None:
        while not self.over.wait(self.pause):
            cards = [one for one in self.slack.person("bob").sees(CHANNEL)[-30:] if '"Approve"' in json.dumps(one)]
            if not cards:
                continue
            card = self.dice.choice(cards)
            with suppress(RefusedError, StopIteration):
                what = "Approve" if self.dice.random() < 0.8 else "Reject"
                if self.slack.person("bob").clicks(card, what).acked and what == "Approve":
                    self.clicked.add(_request_of(card))

    def _rolls_back(self) -> None:
        number = 0
        while not self.over.wait(self.pause * 3):
            seen = json.dumps(self.slack.person("carol").sees(CHANNEL)[-30:])
            moved = [model for model in MODELS if re.search(rf"{model} v\d+ is in Production", seen)]
            if not moved:  # no model has a version to go back to yet
                continue
            number += 1
            text = f'/model rollback {self.dice.choice(moved)} --reason "back{number}"'
            with suppress(RefusedError):
                if self.slack.person("carol").types(CHANNEL, text).acked:
                    self.rolled_back.add(f"back{number}")

    def _pushes(self) -> None:
        """Push readings: v3 performs badly, the others well."""
        while not self.over.wait(0.5):
            now = datetime.now(UTC)
            readings = [
                PushedReading(
                    source="live",
                    model=model,
                    version=version,
                    metric="accuracy",
                    at=now,
                    received_at=now,
                    value=0.7 if version == 3 else 0.95,
                    client="load",
                )
                for model in MODELS
                for version in (1, 2, 3)
            ]
            with self.ledger.write() as tx:
                tx.add_readings(readings)


def _request_of(card: dict[str, Any]) -> str:
    actions = next(block for block in card["blocks"] if block["type"] == "actions")
    return str(actions["elements"][0]["value"])
