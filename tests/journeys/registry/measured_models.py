"""A running bot whose models have metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import RunningApp, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry

SECRET = "what MLflow signs with"
POLICY = make_policy({"metrics": {"latency_ms": {"unit": "ms"}}})


@contextmanager
def measured_app(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot with `churn`, whose four versions have runs; v3 is in Production."""
    registry = MemoryRegistry()
    for number in range(1, 5):
        registry.add_run(f"run{number}", metrics={"f1": 0.8 + number / 100, "latency_ms": 40.0 + number})
    registry.add_model("churn")
    for number in range(1, 5):
        stage = Stage.PRODUCTION if number == 3 else Stage.NONE
        registry.add_version("churn", run_id=f"run{number}", stage=stage)
    registry.set_alias("churn", "champion", 3)
    with running_app(slack, tmp_path, registry, policy=POLICY, webhook_secret=SECRET) as app:
        app.registrar.poll_registry()
        yield app


def memory(app: RunningApp) -> MemoryRegistry:
    assert isinstance(app.registry, MemoryRegistry)
    return app.registry


def add_big_model(app: RunningApp) -> None:
    """Add a model with more versions than fit in a table."""
    memory(app).add_model("big")
    for number in range(1, 121):
        memory(app).add_run(f"big{number}", metrics={"f1": number / 1000})
        memory(app).add_version("big", run_id=f"big{number}")


def announced(app: RunningApp) -> dict[str, Any]:
    memory(app).add_run("run5", metrics={"f1": 0.9})
    memory(app).add_version("churn", run_id="run5")
    app.registrar.poll_registry()
    return app.card(holds="churn v5")
