"""How MLflow is asked: lazily, with our patience, its errors translated."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_attempt

from bot.domain.core.errors import RegistrarError, RegistryRefused, RegistryUnreachable
from bot.ports import UNOBSERVED, Observer
from bot.registry.mlflow.errors import Broke, expected_errors, translated, was_set_first_by_another

Begin = Callable[[], object]


def nothing() -> None:
    """Do nothing before MLflow is opened."""


def prepare_environment(timeout: int) -> None:
    """Tell MLflow how patient to be, and to keep quiet. What is set already wins."""
    wanted = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        # Files come through the server: one request less, and none to a host that we do not know.
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def patience() -> float:
    """Return how many seconds MLflow waits for an answer now."""
    return float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])


class Line:
    """A line to one of MLflow's two sides, the registry's or the runs'.

    `open` makes its client at the first call: the import takes seconds, and a database gets its tables. One thread
    does that, the others wait at `opening`: two that make the same tables at once would fail. `begin` is called right
    before. `observer` hears of each question.
    """

    def __init__(
        self,
        uri: str,
        setting: str,
        opening: Lock,
        open: Callable[[], Any],  # noqa: A002
        observer: Observer = UNOBSERVED,
        begin: Begin = nothing,
    ) -> None:
        self._uri = uri
        self._setting = setting
        self._opening = opening
        self._open = open
        self._begin = begin
        self._observer = observer
        self._opened: Any = None

    def ask(self, call: Callable[[Any], Any], missing: RegistrarError | None = None) -> Any:
        """Return MLflow's answer. Whatever it raises leaves here as one of our errors, its cause chained."""
        outer = sys.exception()
        client: _Heard | None = None
        began, failed = 0.0, ""
        try:
            client = _Heard(self._client())
            began = time.perf_counter()
            return call(client)
        except expected_errors() as error:
            ours = translated(error, outer, missing, self._uri, self._setting)
            failed = _kind(ours)
            raise ours from error
        finally:
            if client is not None:
                self._observer.asked_registry(client.heard, time.perf_counter() - began, failed)

    def read(self, call: Callable[[Any], Any], missing: RegistrarError | None = None) -> Any:
        """Return MLflow's answer, asked for again where a kept connection broke."""
        return _again_after_a_break(lambda: self.ask(call, missing))

    def pages(self, search: Callable[..., Any]) -> list[Any]:
        """Return what is on all pages; `search(client, token)` asks for one."""
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self.read(partial(search, token=token))
            found += page
            token = page.token
            if not token:
                return found

    def close(self) -> None:
        """Let go of a database's connections; the next call makes new ones."""
        with self._opening:
            dispose = getattr(self._opened and self._opened.store, "_dispose_engine", None)
            if dispose:
                dispose()

    def _client(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._begin()
                self._opened = self._open()
            return self._opened


class _Heard:
    """A client of MLflow's that remembers what it was asked last: our questions are lambdas, and have no names."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.heard = ""

    def __getattr__(self, name: str) -> Any:
        self.heard = name
        return getattr(self._client, name)


def _kind(error: RegistrarError) -> str:
    """Return what went wrong, for who counts; that something is not there is an answer like any other."""
    kinds = (RegistryUnreachable, RegistryRefused)
    return next((kind.__name__ for kind in kinds if isinstance(error, kind)), "")


def registry_line(
    registry_uri: str,
    tracking_uri: str,
    setting: str,
    opening: Lock,
    observer: Observer = UNOBSERVED,
    begin: Begin = nothing,
) -> Line:
    """Return the line to models and versions."""

    def open_it() -> Any:
        from mlflow.tracking._model_registry.client import ModelRegistryClient  # noqa: PLC0415

        from bot.registry.mlflow.http_tuning import make_quick  # noqa: PLC0415 - with what MLflow imports

        make_quick()
        return ModelRegistryClient(registry_uri, tracking_uri)  # type: ignore[no-untyped-call]

    return Line(registry_uri, setting, opening, open_it, observer, begin)


def tracking_line(uri: str, opening: Lock, observer: Observer = UNOBSERVED, begin: Begin = nothing) -> Line:
    """Return the line to runs and what they logged."""

    def open_it() -> Any:
        from mlflow.tracking._tracking_service.client import TrackingServiceClient  # noqa: PLC0415

        from bot.registry.mlflow.http_tuning import make_quick  # noqa: PLC0415

        make_quick()
        return TrackingServiceClient(uri)  # type: ignore[no-untyped-call]

    return Line(uri, "MLFLOW_TRACKING_URI", opening, open_it, observer, begin)


after_another_set_it_first = Retrying(
    retry=retry_if_exception(was_set_first_by_another), stop=stop_after_attempt(2), reraise=True
)
_again_after_a_break = Retrying(retry=retry_if_exception_type(Broke), stop=stop_after_attempt(2), reraise=True)
