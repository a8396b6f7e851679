"""The HTTP connection to a workspace: queries, actions, controls, and waiting for changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from localslack.client.results import RefusedError

JSON = dict[str, Any]
T = TypeVar("T")
LONG_POLL_SECONDS = 10.0


class WorkspaceConnection:
    """A client for the JSON endpoints of a running workspace."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"
        # Actions take up to the app's three seconds, and tests can slow down answers.
        verify = self.url.startswith("https:")  # loading certificates takes most of the time
        # By default, httpx2 closes idle connections after 5 s, so one thread can close a connection that another uses.
        limits = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30)
        self._http = httpx2.Client(base_url=self.url, trust_env=False, timeout=60.0, verify=verify, limits=limits)

    def close(self) -> None:
        """Close the connections to the workspace."""
        self._http.close()

    def wait_for(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """Call the predicate now and after every change, and return its first true value.

        Web API calls count as changes. Raises TimeoutError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        seq = self._current_seq()
        while not (value := predicate()):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"the condition wasn't met within {timeout} s")
            seq = self._wait_for_change(seq, min(remaining, LONG_POLL_SECONDS))
        return value

    def control(self, name: str, /, **body: Any) -> JSON:
        """Use a test control, and return its answer. Raises RefusedError."""
        return _checked_body(self._http.post(f"_control/{name}", json=body))

    def query(self, name: str, /, **query: Any) -> JSON:
        """Return the answer to a query, such as what someone sees. Raises RefusedError."""
        return _checked_body(self._http.get(f"_ui/{name}", params=query))

    def act(self, name: str, /, **body: Any) -> JSON:
        """Perform an action as someone, and return the result. Raises RefusedError."""
        return _checked_body(self._http.post(f"_ui/{name}", json=body))

    def fetch(self, name: str, /, **query: Any) -> bytes:
        """Return the bytes from an endpoint that doesn't return JSON. Raises RefusedError."""
        response = self._http.get(f"_ui/{name}", params=query)
        if not response.is_success:
            _checked_body(response)
        return response.content

    def _current_seq(self) -> int:
        return int(self._http.get("_ui/changes", params={"after": 0}).json()["seq"])

    def _wait_for_change(self, seq: int, seconds: float) -> int:
        query = {"after": seq, "wait": seconds}
        return int(self._http.get("_ui/changes", params=query).json()["seq"])


def _checked_body(response: httpx2.Response) -> JSON:
    body: JSON = response.json()
    if not body.get("ok"):
        details = "; ".join(body.get("response_metadata", {}).get("messages", []))
        raise RefusedError(f"{body.get('error')}{': ' if details else ''}{details}")
    return body
