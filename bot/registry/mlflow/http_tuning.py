"""Speeds up MLflow's own requests.

An MLflow server with default settings (four workers) sends the head and the body of an answer separately and holds the
body back until the head is acknowledged, for which our TCP stack takes 40 ms. On Linux, it can be told to acknowledge
at once; elsewhere it stays slow. And for each request, MLflow's client checks again whether it runs in Databricks.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


def enable_quick_ack(connection: HTTPConnection) -> None:
    """Acknowledge the next packets at once. The system resets this, so it's called before every answer."""
    if _QUICK_ACK is not None and connection.sock is not None:
        with suppress(OSError):  # a broken connection is reported by the read
            connection.sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


class _QuickAckConnection(HTTPConnection):
    def getresponse(self) -> Any:
        """Return the answer."""
        enable_quick_ack(self)
        return super().getresponse()


class _QuickAckTlsConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        """Return the answer."""
        enable_quick_ack(self)
        return super().getresponse()


def tune_mlflow_http() -> None:
    """Do all of it. Once is enough."""
    use_quick_ack_connections()
    skip_databricks_header()


def use_quick_ack_connections() -> None:
    """Make urllib3, which MLflow's client uses, acknowledge packets at once. One call is enough."""
    for pool, plain, prompt in (
        (HTTPConnectionPool, HTTPConnection, _QuickAckConnection),
        (HTTPSConnectionPool, HTTPSConnection, _QuickAckTlsConnection),
    ):
        if pool.ConnectionCls is plain:  # someone else's class is left as it is
            pool.ConnectionCls = prompt


def skip_databricks_header() -> None:
    """Stop MLflow's client from checking for each request whether this process runs in Databricks.

    It checks by importing three packages that don't exist, which takes almost a millisecond. If the process does run
    there, or if MLflow keeps its providers elsewhere, nothing changes.
    """
    with suppress(ImportError, AttributeError, TypeError):
        from mlflow.tracking.request_header import registry  # noqa: PLC0415 - see mlflow_calls.Line
        from mlflow.tracking.request_header.databricks_request_header_provider import (  # noqa: PLC0415
            DatabricksRequestHeaderProvider,
        )

        providers = registry._request_header_provider_registry._registry
        providers[:] = [
            provider
            for provider in providers
            if type(provider) is not DatabricksRequestHeaderProvider or _is_in_context(provider)
        ]


def _is_in_context(provider: Any) -> bool:
    return bool(provider.in_context())
