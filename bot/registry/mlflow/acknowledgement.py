"""Acknowledge responses from MLflow servers immediately.

An MLflow server with default settings (four workers) sends the header and body of a response separately. It holds back
the body until our TCP stack acknowledges the header, which takes 40 ms. Linux can acknowledge it immediately; other
systems stay slow. This affects only the connections from MLflow's client to the configured servers, not other uses of
urllib3 in this process (docs/decisions/0045-two-registry-ports.md).
"""

from __future__ import annotations

import copy
import socket
from contextlib import suppress
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_mounting = Lock()


def enable_quick_ack(connection: HTTPConnection) -> None:
    """Acknowledge the next packets immediately. The system resets this, so call it before every response."""
    if _QUICK_ACK is not None and connection.sock is not None:
        with suppress(OSError):  # a broken connection is reported by the read
            connection.sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


class _QuickAckConnection(HTTPConnection):
    def getresponse(self) -> Any:
        """Return the response, acknowledging its first packets immediately."""
        enable_quick_ack(self)
        return super().getresponse()


class _QuickAckTlsConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        """Return the response, acknowledging its first packets immediately."""
        enable_quick_ack(self)
        return super().getresponse()


class _QuickAckPool(HTTPConnectionPool):
    ConnectionCls = _QuickAckConnection


class _QuickAckTlsPool(HTTPSConnectionPool):
    ConnectionCls = _QuickAckTlsConnection


_POOL_CLASSES = {"http": _QuickAckPool, "https": _QuickAckTlsPool}


def acknowledge_at_once(*uris: str) -> None:
    """Make MLflow's client acknowledge responses from these servers immediately; other addresses are unaffected.

    The client uses one `requests` session, in which each server gets its own adapter. If the client keeps its session
    elsewhere, this does nothing, and responses stay slow.
    """
    with suppress(ImportError, AttributeError, TypeError), _mounting:
        session = _mlflow_session()
        for parts in map(urlsplit, uris):
            prefix = f"{parts.scheme}://{parts.netloc}/"
            adapter = session.get_adapter(prefix) if parts.scheme in _POOL_CLASSES else None
            if adapter and adapter.poolmanager.pool_classes_by_scheme is not _POOL_CLASSES:
                own = copy.copy(adapter)  # same retries, separate connections
                own.poolmanager.pool_classes_by_scheme = _POOL_CLASSES
                session.mount(prefix, own)


def _mlflow_session() -> Any:
    """Return the session that MLflow's client uses with the current environment variables."""
    from mlflow import environment_variables  # noqa: PLC0415 - takes seconds
    from mlflow.utils import request_utils  # noqa: PLC0415

    variables: Any = environment_variables  # untyped
    return request_utils._get_request_session(  # type: ignore[no-untyped-call]
        variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(),
        variables.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get(),
        variables.MLFLOW_HTTP_REQUEST_BACKOFF_JITTER.get(),
        request_utils._TRANSIENT_FAILURE_RESPONSE_CODES,
        True,
        variables.MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER.get(),
    )
