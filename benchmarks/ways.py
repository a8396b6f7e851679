"""Measures several ways of doing the same with a real `mlflow server`."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import requests

from bot.registry.mlflow import acknowledgement

WORKERS = {"default (4 workers)": 4, "`--workers 1`": 1}

Way = Callable[[], object]


def be_patient() -> None:
    """Give workers more time to start: on a busy machine, the server's parent would restart slow ones endlessly."""
    os.environ |= {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "120"}


def in_turns(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Return the median of each way's seconds; in each round, they run one after the other."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(seconds(way))
    return {name: statistics.median(each) for name, each in taken.items()}


def seconds(way: Way) -> float:
    """Return the time in seconds."""
    gc.collect()  # so that no way pays for another's garbage
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


@contextmanager
def without_registrar() -> Iterator[None]:
    """Let MLflow's client wait for its server as it does without Registrar's quick acknowledgements."""
    with patch.object(acknowledgement, "enable_quick_ack"):
        yield


@contextmanager
def sent() -> Iterator[list[requests.PreparedRequest]]:
    """Yield a list that collects the requests sent in the meantime."""
    found: list[requests.PreparedRequest] = []
    send = requests.Session.send

    def noting(self: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        found.append(request)
        return send(self, request, **more)

    with patch.object(requests.Session, "send", noting):
        yield found


def verdict(aim: float | None, sign: str, figure: float, unit: str = "") -> str:
    """Return whether a value meets its aim, as text."""
    if aim is None:
        return ""
    is_met = figure >= aim if sign == "≥" else figure <= aim
    return f" (aim {sign} {aim:,}{unit}: {'met' if is_met else 'not met'})"


def table(head: list[str], *rows: list[str]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
