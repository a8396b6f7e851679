"""What makes MLflow's own requests quick.

An MLflow server as it comes (four workers) sends the head and the body of an answer apart and holds the body back until
the head is acknowledged, for which our side of the connection takes 40 ms. On Linux we can say that it be acknowledged
at once; elsewhere it stays slow. And MLflow's client looks at every request anew whether it runs within Databricks.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


def enable_quick_ack(connection: HTTPConnection) -> None:
    """Let what comes next be acknowledged at once. The system forgets it: say it before every answer."""
    if _QUICK_ACK is not None and connection.sock is not None:
        with suppress(OSError):  # a connection that broke is found out by whoever reads
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
    """Let urllib3, over which MLflow's client asks, acknowledge at once from now on. Once is enough."""
    for pool, plain, prompt in (
        (HTTPConnectionPool, HTTPConnection, _QuickAckConnection),
        (HTTPSConnectionPool, HTTPSConnection, _QuickAckTlsConnection),
    ):
        if pool.ConnectionCls is plain:  # somebody else's is left as it is
            pool.ConnectionCls = prompt


def skip_databricks_header() -> None:
    """Let MLflow's client not ask at every request whether this process runs within Databricks: it never begins to.

    It asks by importing three packages that are not there, which takes most of a millisecond. Where it does run there,
    and where MLflow keeps that differently, nothing is changed.
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
