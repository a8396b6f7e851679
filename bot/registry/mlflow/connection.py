"""Call MLflow with our timeouts: open its client when it's first needed, and translate its errors."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import Any

from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_attempt

from bot.domain.core.errors import RegistrarError, RegistryRefused, RegistryUnreachable
from bot.ports import NO_OBSERVER, Observer
from bot.registry.light_import import importing_lightly
from bot.registry.mlflow.acknowledgement import acknowledge_at_once
from bot.registry.mlflow.errors import ConnectionBroken, expected_errors, is_alias_race, translate_error


def prepare_environment(timeout: int) -> None:
    """Set MLflow's timeouts in the environment, and turn off its retries, telemetry, and messages.

    `timeout` is in seconds. Variables that are already set take precedence.
    """
    variables = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        # Files come through the server: one request fewer, and none to a host that we don't know.
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    }
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def request_timeout() -> float:
    """Return how many seconds MLflow currently waits for a response."""
    return float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])


class MlflowConnection:
    """A connection to one of MLflow's two sides, the registry or the tracking server.

    The first call creates the client with `open_client`, which imports MLflow (this takes seconds) and creates the
    tables of a database. One thread does that while the others wait for `open_lock`, because two threads that create
    the same tables would fail. `before_open` is called right before that. `observer` is notified of each request.
    """

    def __init__(
        self,
        uri: str,
        setting: str,
        open_lock: Lock,
        open_client: Callable[[], Any],
        observer: Observer,
        before_open: Callable[[], object] | None,
    ) -> None:
        self.uri = uri
        self.setting = setting
        self._open_lock = open_lock
        self._open_client = open_client
        self._before_open = before_open
        self._observer = observer
        self._opened_client: Any = None

    def call(self, request: Callable[[Any], Any], not_found: RegistrarError | None = None) -> Any:
        """Return MLflow's response. Raises a RegistrarError, chained to MLflow's error."""
        outer = sys.exception()
        client: _RecordingClient | None = None
        began, failed = 0.0, ""
        try:
            client = _RecordingClient(self._get_client())
            began = time.perf_counter()
            return request(client)
        except expected_errors() as error:
            translated = translate_error(error, outer, not_found, self.uri, self.setting)
            kinds = (RegistryUnreachable, RegistryRefused)  # "not found" is a normal response
            failed = next((kind.__name__ for kind in kinds if isinstance(translated, kind)), "")
            raise translated from error
        finally:
            if client is not None:
                self._observer.registry_called(client.last_method, time.perf_counter() - began, failed)

    def read(self, request: Callable[[Any], Any], not_found: RegistrarError | None = None) -> Any:
        """Return MLflow's response; retry once if a kept-alive connection broke."""
        return _retry_after_broken_connection(lambda: self.call(request, not_found))

    def read_pages(self, search: Callable[..., Any]) -> list[Any]:
        """Return the items from all pages; `search(client, token)` fetches one page."""
        return [item for page in self.iterate_pages(search) for item in page]

    def iterate_pages(self, search: Callable[..., Any]) -> Iterator[Any]:
        """Yield the pages one by one, fetching each only when it's needed."""
        token: str | None = None
        while True:
            page = self.read(partial(search, token=token))
            yield page
            token = page.token
            if not token:
                return

    def close(self) -> None:
        """Close the database connections; the next call opens new ones."""
        with self._open_lock:
            dispose = getattr(self._opened_client and self._opened_client.store, "_dispose_engine", None)
            if dispose:
                dispose()

    def _get_client(self) -> Any:
        with self._open_lock:
            if self._opened_client is None:
                if self._before_open:
                    self._before_open()
                self._opened_client = self._open_client()
            return self._opened_client


class _RecordingClient:
    """An MLflow client that records the last method called on it, because requests are lambdas without names."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.last_method = ""

    def __getattr__(self, name: str) -> Any:
        self.last_method = name
        return getattr(self._client, name)


def open_connections(
    tracking_uri: str,
    registry_uri: str | None = None,
    timeout: int = 5,
    observer: Observer = NO_OBSERVER,
    before_open: Callable[[], object] | None = None,
    tracking_setting: str = "MLFLOW_TRACKING_URI",
) -> tuple[MlflowConnection, MlflowConnection]:
    """Return the connections to the registry and to the tracking server. Neither is opened yet.

    `timeout` is how many seconds to wait for a response. `before_open` is called before `tracking_uri` is opened.
    `tracking_setting` names the setting to check if `tracking_uri` is wrong.
    """
    prepare_environment(timeout)
    lock = Lock()

    def open_registry() -> Any:
        with importing_lightly():
            from mlflow.tracking._model_registry.client import ModelRegistryClient  # noqa: PLC0415

        acknowledge_at_once(tracking_uri, registry_uri or tracking_uri)
        return ModelRegistryClient(registry_uri or tracking_uri, tracking_uri)  # type: ignore[no-untyped-call]

    def open_tracker() -> Any:
        with importing_lightly():
            from mlflow.tracking._tracking_service.client import TrackingServiceClient  # noqa: PLC0415

        acknowledge_at_once(tracking_uri, registry_uri or tracking_uri)
        return TrackingServiceClient(tracking_uri)  # type: ignore[no-untyped-call]

    hook = None if registry_uri else before_open
    setting = "MLFLOW_REGISTRY_URI" if registry_uri else tracking_setting
    return (
        MlflowConnection(registry_uri or tracking_uri, setting, lock, open_registry, observer, hook),
        MlflowConnection(tracking_uri, tracking_setting, lock, open_tracker, observer, before_open),
    )


retry_after_alias_race = Retrying(retry=retry_if_exception(is_alias_race), stop=stop_after_attempt(2), reraise=True)
_retry_after_broken_connection = Retrying(
    retry=retry_if_exception_type(ConnectionBroken), stop=stop_after_attempt(2), reraise=True
)
