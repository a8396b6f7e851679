"""From a click on Approve to the edited card, with a real `mlflow server`."""

from __future__ import annotations

import queue
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.app.programs import click, command, registrar
from benchmarks.app.simulated_slack import BenchSlack
from benchmarks.report import Report
from benchmarks.ways import be_patient, table, verdict
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend

ROUNDS, WARMUP, AIM = 50, 3, 500.0  # the aim in milliseconds, for the median
MODEL = "churn"


class CardEdits:
    """The calls that post and edit messages, with their times."""

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[float, dict[str, Any]]] = queue.Queue()

    def record(self, method: str, fields: dict[str, Any]) -> None:
        """Record a call of Slack's Web API."""
        if method in {"chat.postMessage", "chat.update"}:
            self._calls.put((time.perf_counter(), fields))

    def wait_for_card(self) -> str:
        """Return the request's id on the next card with a button to approve it. Raises queue.Empty."""
        while True:
            _, fields = self._calls.get(timeout=60)
            for block in fields.get("blocks") or ():
                for element in block.get("elements") or ():
                    if element.get("action_id") == "request_approve":
                        return str(element["value"])

    def wait_for_edit(self, words: str) -> float:
        """Return when a card was next edited so that it contains these words. Raises queue.Empty."""
        while True:
            at, fields = self._calls.get(timeout=60)
            if "ts" in fields and words in str(fields.get("blocks")):
                return at


def clicking(folder: Path) -> Report:
    """Return the table of the times from a click to the edits of its card."""
    be_patient()
    uri, edits = f"sqlite:///{folder / 'mlflow.db'}", CardEdits()
    shelf = MlflowBackend(uri, str(folder / "artifacts"))
    shelf.add_model(MODEL)
    for number in range(WARMUP + ROUNDS):
        shelf.add_version(MODEL, run_id=shelf.add_run(metrics={"f1": 0.8 + number / 1000, "latency_ms": 40.0}))
    shelf.close()
    taken = []
    with (
        mlflow_subprocess(uri, folder / "artifacts", workers=1) as server,
        BenchSlack(edits.record) as slack,
        registrar(slack, folder / "clicks", "Socket Mode", approvals=1, pace=1, registry=server) as send,
    ):
        for version in range(1, WARMUP + ROUNDS + 1):
            send([command(slack.url, f"promote {MODEL} {version} production")], 1, False)
            request_id = edits.wait_for_card()
            began = time.perf_counter()
            send([click(slack, request_id)], 1, False)
            taken.append((edits.wait_for_edit(f"{MODEL} v{version} is in Production") - began) * 1000)
    p50, p99 = statistics.median(taken[WARMUP:]), statistics.quantiles(taken[WARMUP:], n=100)[98]
    text = table(
        [f"{ROUNDS} clicks on Approve, in sequence", "p50 / p99, ms"],
        [
            "until the card says that the version is in Production",
            f"{p50:.0f} / {p99:.0f}{verdict(AIM, '≤', p50, ' ms at the p50')}",
        ],
    )
    return Report(text, {"click to edited card, p50, ms": p50, "click to edited card, p99, ms": p99})
