"""Ways of doing the same thing, measured one beside the other at a real `mlflow server`."""

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

WORKERS = {"as it comes (4 workers)": 4, "`--workers 1`": 1}

Way = Callable[[], object]


def be_patient() -> None:
    """Let a busy machine be no failure: the server's parent would end workers that are slow to start, for ever."""
    os.environ |= {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "120"}


def in_turns(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Return the median of the seconds that each way takes, one after the other in every round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(seconds(way))
    return {name: statistics.median(each) for name, each in taken.items()}


def seconds(way: Way) -> float:
    """Return what it takes."""
    gc.collect()  # nobody pays for what another one left
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


@contextmanager
def without_registrar() -> Iterator[None]:
    """Let MLflow's client wait for its server as it does where Registrar has not mended that."""
    with patch.object(acknowledgement, "enable_quick_ack"):
        yield


@contextmanager
def sent() -> Iterator[list[requests.PreparedRequest]]:
    """Give the list of what is sent meanwhile."""
    found: list[requests.PreparedRequest] = []
    send = requests.Session.send

    def noting(self: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        found.append(request)
        return send(self, request, **more)

    with patch.object(requests.Session, "send", noting):
        yield found


def verdict(aim: float | None, sign: str, figure: float, unit: str = "") -> str:
    """Return what is to be said of a figure that has an aim: whether it is met."""
    if aim is None:
        return ""
    is_met = figure >= aim if sign == "≥" else figure <= aim
    return f" (aim {sign} {aim:,}{unit}: {'met' if is_met else 'not met'})"


def table(head: list[str], *rows: list[str]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
