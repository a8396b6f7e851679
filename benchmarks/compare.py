"""Comparing versions at a real `mlflow server`: ours beside the plain way, and beside its own requests alone."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import requests

from bot.bootstrap import SystemClock
from bot.domain.commands import Compare, build
from bot.domain.policy import read_policy
from bot.ledger.sql import SqlLedger
from bot.registry.mlflow import MlflowRegistry
from bot.services.comparisons import Comparisons
from bot.services.context import Context, Rules
from bot.services.gating import Gating
from bot.services.lookups import Lookups
from tests.many import add_many_versions
from tests.registries import MlflowShelf, mlflow_subprocess

WORKERS = {"as it comes (4 workers)": 4, "`--workers 1`": 1}
PLAIN_ROUNDS = {10: 7, 100: 3, 1000: 1}  # by the number of versions: the plain way takes a minute for a thousand
ROUNDS = 7  # of the other ways
AIMS = {4: (50, 300), 1: (7, 80)}  # by workers, for a thousand versions: × faster than plain, and a second time
BARE_AIM = 1.25
A_RUN: dict[str, Any] = {
    "metrics": {f"metric_{number}": 0.5 for number in range(10)},
    "params": {f"param_{number}": "0.001" for number in range(5)},
    "tags": {"mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": "a" * 40},
    "user": "ann",
}

Way = Callable[[], object]


class Seconds(NamedTuple):
    """The medians of the ways."""

    plain: float
    bare: float
    first: float
    second: float


def comparing(folder: Path) -> str:
    """Return the table of comparing so many versions, at each server."""
    # A busy machine is no failure: the server's parent would end workers that are slow to start, again and again.
    os.environ |= {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "120"}
    database = _filled(folder)
    found: dict[tuple[str, int], Seconds] = {}
    for server, workers in WORKERS.items():
        with mlflow_subprocess(database, folder / "files", workers) as uri:
            found |= {(server, number): measure(folder, uri, number) for number in PLAIN_ROUNDS}
    return f"{_table(found)}\n\n<sub>Milliseconds, medians: {_small_print(found)}.</sub>"


def _filled(folder: Path) -> str:
    """Return the URI of a database that has one model for each number of versions."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    shelf = MlflowShelf(uri, str(folder / "files"))
    for number in PLAIN_ROUNDS:
        add_many_versions(shelf, uri, _model(number), number, **A_RUN)
    shelf.close()
    return uri


def _model(number: int) -> str:
    return f"of-{number}"


# -- the ways ----------------------------------------------------------------------------------------------------------


def plain(uri: str, model: str) -> pd.DataFrame:
    """Compare as people do in a notebook: the versions, then the run of each."""
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    client = MlflowClient(uri, uri)
    rows = [
        {"version": int(version.version), "stage": version.current_stage, "run_id": version.run_id}
        | client.get_run(str(version.run_id)).data.metrics
        for version in client.search_model_versions(f"name = '{model}'")
    ]
    return pd.DataFrame(rows)


def bare(uri: str, model: str) -> object:
    """Send the requests that ours sends the first time, and do nothing with what MLflow's client returns."""
    from mlflow.tracking._model_registry.client import ModelRegistryClient  # noqa: PLC0415
    from mlflow.tracking._tracking_service.client import TrackingServiceClient  # noqa: PLC0415

    registry: Any = ModelRegistryClient(uri, uri)  # type: ignore[no-untyped-call]
    tracking: Any = TrackingServiceClient(uri)  # type: ignore[no-untyped-call]
    versions = registry.search_model_versions(f"name = '{model}'", 5_000, ["version_number DESC"], None)
    places = [each.experiment_id for each in tracking.search_experiments(view_type=3, max_results=50_000)]
    ids = ",".join(f"'{version.run_id}'" for version in versions)
    return tracking.search_runs(places, f"attributes.run_id IN ({ids})", 3, max_results=50_000)


def ours(folder: Path, uri: str, model: str) -> Way:
    """Return our way, with nothing remembered yet."""
    policy, ledger = read_policy({"models": {"*": {}}}), SqlLedger(f"sqlite:///{folder / 'ledger.db'}")
    registry = MlflowRegistry(uri)
    context = Context(ledger=ledger, registry=registry, rules=Rules(policy), clock=SystemClock(), owner="bench")
    return partial(Comparisons(context, Lookups(context, Gating(context))).compare, build(Compare, {"model": model}))


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(folder: Path, uri: str, number: int) -> Seconds:
    """Return what each way takes, one after the other in every round."""
    model = _model(number)
    _check_requests(folder, uri, model)
    taken: dict[str, list[float]] = {way: [] for way in Seconds._fields}
    for turn in range(ROUNDS):
        compare = ours(folder, uri, model)
        ways: dict[str, Way] = {"bare": partial(bare, uri, model), "first": compare, "second": compare}
        if turn < PLAIN_ROUNDS[number]:
            ways["plain"] = partial(plain, uri, model)
        for name, way in ways.items():
            taken[name].append(_seconds(way))
    return Seconds(**{name: statistics.median(seconds) for name, seconds in taken.items()})


def _seconds(way: Way) -> float:
    gc.collect()  # nobody pays for what another one left
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def _check_requests(folder: Path, uri: str, model: str) -> None:
    """Raise RuntimeError unless the bare requests are those of ours. It warms everything up, too."""
    compare = ours(folder, uri, model)
    bare(uri, model)
    with _sent() as ours_sent:
        compare()
    with _sent() as bare_sent:
        bare(uri, model)
    if ours_sent != bare_sent:
        raise RuntimeError(f"ours sends {ours_sent}, and the bare requests are {bare_sent}")


@contextmanager
def _sent() -> Iterator[list[tuple[object, ...]]]:
    """Give the list of what is sent meanwhile."""
    sent: list[tuple[object, ...]] = []
    send = requests.Session.send

    def noting(self: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        sent.append((request.method, request.url, request.body))
        return send(self, request, **more)

    requests.Session.send = noting  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


# -- telling -----------------------------------------------------------------------------------------------------------

Found = Mapping[tuple[str, int], Seconds]


def _table(found: Found) -> str:
    head = ["`mlflow server`", "versions", "plain ÷ ours", "plain ÷ ours, a second time", "ours ÷ its bare requests"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (server, number), seconds in found.items():
        rows.append(f"| {server} | {number:,} | " + " | ".join(_ratios(server, number, seconds)) + " |")
    return "Comparing all versions of a model, each with a run of ten metrics:\n\n" + "\n".join(rows)


def _ratios(server: str, number: int, seconds: Seconds) -> list[str]:
    faster = [seconds.plain / seconds.first, seconds.plain / seconds.second]
    aims = AIMS[WORKERS[server]] if number == max(PLAIN_ROUNDS) else (None, None)
    cells = [f"{ratio:.0f} ×{_verdict(aim, '≥', ratio)}" for ratio, aim in zip(faster, aims, strict=True)]
    over_bare = seconds.first / seconds.bare
    return [*cells, f"{over_bare:.2f} ×{_verdict(BARE_AIM, '≤', over_bare)}"]


def _verdict(aim: float | None, sign: str, ratio: float) -> str:
    if aim is None:
        return ""
    is_met = ratio >= aim if sign == "≥" else ratio <= aim
    return f" (aim {sign} {aim}: {'met' if is_met else 'not met'})"


def _small_print(found: Found) -> str:
    return "; ".join(
        f"{server}, {number:,} versions: " + ", ".join(
            f"{name} {value * 1000:,.{0 if value > 0.1 else 1}f}" for name, value in seconds._asdict().items()
        )
        for (server, number), seconds in found.items()
    )  # fmt: skip
