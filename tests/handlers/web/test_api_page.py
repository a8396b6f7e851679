"""The files of the page at /docs, which anyone can request."""

from __future__ import annotations

import contextlib

import psutil

from handlers.web.app import create_app
from handlers.web.connections import ConnectionLimits
from tests.support.network.raw_http import RawConnection, http_server

SCRIPT = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: registrar\r\n\r\n"


def test_a_client_that_does_not_read_a_file_keeps_no_file_open() -> None:
    web = create_app(None, None, on_model_changed=lambda name: None)
    with (
        http_server(web, ConnectionLimits()) as address,
        contextlib.closing(RawConnection(address)) as unread,
    ):
        unread.send(SCRIPT).wait_for_bytes(1000)  # the head, and the start of the file
        assert [each.path for each in psutil.Process().open_files() if "swagger" in each.path] == []
