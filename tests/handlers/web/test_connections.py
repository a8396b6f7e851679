"""Connections to the HTTP server: slow ones are dropped, and no caller can use them all."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network

import h11
import pytest
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from handlers.web.app import create_app
from handlers.web.connections import MAX_CHUNKS, MAX_READ, ConnectionLimits, Connections, Network, authenticated
from tests.support.network.raw_http import RawConnection, http_server
from tests.support.waiting import PATIENCE, wait_until

HALF_A_HEAD = b"POST /read HTTP/1.1\r\nHost: registrar\r\nX-Half: "
HALF_A_BODY = b"POST /read HTTP/1.1\r\nHost: registrar\r\nContent-Length: 1000000\r\n\r\n{"
CHUNKED = b"POST /read HTTP/1.1\r\nHost: registrar\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = b"GET /pieces HTTP/1.1\r\nHost: registrar\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: registrar\r\n\r\n"
LOCALHOST = [ip_network("127.0.0.0/8")]
SHORT = 0.05  # seconds
FULL = ConnectionLimits(per_caller=2)

Connect = Callable[[], RawConnection]
Serve = Callable[..., Connect]


class Turnstile:
    """Holds requests to /wait until the test releases them."""

    def __init__(self) -> None:
        self._arrivals, self._passes, self._exits = (threading.Semaphore(0) for _ in range(3))

    def arrive(self) -> None:
        """Wait until the test releases the request."""
        self._arrivals.release()
        self._passes.acquire(timeout=PATIENCE)

    def leave(self) -> None:
        """Report that the request is done."""
        self._exits.release()

    def wait_for_exit(self) -> None:
        """Wait until another request has left."""
        self._exits.acquire(timeout=PATIENCE)

    def wait_for_arrival(self) -> None:
        """Wait until another request has arrived."""
        self._arrivals.acquire(timeout=PATIENCE)

    def release(self, requests: int = 1) -> None:
        """Release requests."""
        self._passes.release(requests)


@pytest.fixture
def turnstile() -> Turnstile:
    """Return what holds requests to /wait."""
    return Turnstile()


@pytest.fixture
def web(turnstile: Turnstile) -> FastAPI:
    """Return an application that shows its callers, authenticates them, waits, and reads bodies."""
    web = create_app(None, None, on_model_changed=lambda name: None)

    @web.get("/caller")
    def caller(request: Request) -> str:
        return request.client.host if request.client else ""

    @web.get("/login")
    async def login(request: Request, name: str) -> str:
        authenticated(request.scope, f"client:{name}")
        return name

    @web.get("/late-login")
    async def late_login(request: Request) -> None:
        await run_in_threadpool(turnstile.arrive)
        authenticated(request.scope, "client:late")
        turnstile.leave()

    @web.get("/wait")
    def wait() -> str:
        turnstile.arrive()
        return "done"

    @web.get("/long")
    def long(size: int = 200_000) -> str:
        return "x" * size

    @web.get("/pieces")
    def pieces() -> StreamingResponse:
        def generate() -> Iterator[str]:
            yield "x" * 200_000
            yield "y"  # once the client has read most of the first piece
            turnstile.arrive()
            yield "z"

        return StreamingResponse(generate(), headers={"Content-Length": "200002"})

    @web.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return web


@pytest.fixture
def serve(web: FastAPI) -> Iterator[Serve]:
    """Return a function that serves the application, and returns a function that connects to it."""
    with contextlib.ExitStack() as stack:

        def start(limits: ConnectionLimits, proxies: Sequence[Network] = (), host: str = "127.0.0.1") -> Connect:
            address = stack.enter_context(http_server(web, limits, proxies, host=host))
            return lambda: stack.enter_context(contextlib.closing(RawConnection(address)))

        yield start


def chunked(*chunks: bytes) -> bytes:
    """Return a request with these chunks."""
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Wait until dropped connections are logged, and return the messages."""
    return wait_until(lambda: [r.getMessage() for r in caplog.records if r.name == "handlers.web.connections"])


class TestSlowConnections:
    @pytest.mark.parametrize("sent", [b"", b"G", HALF_A_HEAD], ids=["nothing", "a byte", "half a head"])
    def test_a_connection_without_a_complete_head_is_dropped(self, serve: Serve, sent: bytes) -> None:
        connect = serve(ConnectionLimits(head=SHORT))
        assert connect().send(sent).wait_until_closed() == b""

    def test_an_incomplete_body_is_dropped(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(body=SHORT))
        assert connect().send(HALF_A_BODY).wait_until_closed() == b""

    @pytest.mark.parametrize("start", [HALF_A_HEAD, HALF_A_BODY], ids=["head", "body"])
    def test_another_byte_now_and_then_does_not_extend_the_time(self, serve: Serve, start: bytes) -> None:
        slow = serve(ConnectionLimits(head=SHORT, body=SHORT))().send(start)
        slow.send_until_closed(b"x", pause=SHORT / 10)
        assert slow.wait_until_closed() == b""

    def test_a_half_sent_second_request_is_dropped(self, serve: Serve) -> None:
        reused = serve(ConnectionLimits(head=SHORT))()
        assert reused.get("/caller")
        reused.send(HALF_A_HEAD).wait_until_closed()

    def test_a_connection_whose_responses_are_not_read_is_dropped(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        greedy = serve(ConnectionLimits(receipt=SHORT, report_interval=SHORT))()
        greedy.send_until_closed(b"GET /long HTTP/1.1\r\nHost: registrar\r\n\r\n" * 1000)
        assert reports(caplog) == ["dropped connections in the last 0.05 seconds: 1 too slow"]

    def test_a_connection_that_does_not_read_a_response_in_pieces_is_dropped(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        serve(ConnectionLimits(receipt=SHORT, report_interval=SHORT))().send(PIECES)
        assert reports(caplog) == ["dropped connections in the last 0.05 seconds: 1 too slow"]

    def test_an_idle_connection_with_an_unread_response_is_dropped(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        connect = serve(ConnectionLimits(receipt=SHORT, idle=SHORT, report_interval=SHORT))
        connect().send(b"GET /long?size=60000 HTTP/1.1\r\nHost: registrar\r\n\r\n")
        assert reports(caplog) == ["dropped connections in the last 0.05 seconds: 1 too slow"]

    def test_an_idle_connection_waits_longer_than_a_half_sent_one(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(head=SHORT))
        idle = connect()
        assert idle.get("/caller")
        connect().send(HALF_A_HEAD).wait_until_closed()
        assert idle.get("/caller")

    def test_an_answer_to_half_a_body_does_not_keep_the_connection(self, serve: Serve) -> None:
        rejected = serve(ConnectionLimits(receipt=SHORT))()
        rejected.send(HALF_A_BODY.replace(b"/read", b"/missing"))
        assert rejected.receive()
        rejected.send_until_closed(b"x", pause=SHORT / 10)

    def test_a_request_that_waits_for_the_server_is_not_dropped(self, serve: Serve, turnstile: Turnstile) -> None:
        connect = serve(ConnectionLimits(head=SHORT, body=SHORT, receipt=SHORT))
        patient = connect().send(WAIT)
        turnstile.wait_for_arrival()
        connect().send(HALF_A_BODY).wait_until_closed()
        turnstile.release()
        assert patient.receive() == '"done"'

    def test_a_body_in_many_pieces_arrives(self, serve: Serve) -> None:
        sender = serve(ConnectionLimits())().send(HALF_A_BODY)
        for _ in range(999):
            sender.send(b"x" * 1000)
        assert sender.send(b"x" * 999).receive() == "1000000"

    @pytest.mark.parametrize("chunk", [500, 8192])
    def test_a_body_in_ordinary_chunks_arrives(self, serve: Serve, chunk: int) -> None:
        request = chunked(*[b"x" * chunk] * (1_000_000 // chunk))
        assert serve(ConnectionLimits())().send(request).receive() == str(1_000_000 // chunk * chunk)

    def test_a_body_in_too_many_chunks_is_dropped(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits())
        assert connect().send(chunked(*[b"x"] * (MAX_CHUNKS + 1))).wait_until_closed() == b""

    def test_every_body_can_have_all_chunks(self, serve: Serve) -> None:
        reused = serve(ConnectionLimits())()
        for _ in range(2):
            assert reused.send(chunked(*[b"x"] * MAX_CHUNKS)).receive() == str(MAX_CHUNKS)

    def test_few_bytes_are_parsed_at_a_time(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        receive = h11.Connection.receive_data

        def receive_and_record(parser: h11.Connection, data: bytes) -> None:
            sizes.append(len(data))
            receive(parser, data)

        monkeypatch.setattr(h11.Connection, "receive_data", receive_and_record)
        assert serve(ConnectionLimits())().send(HALF_A_BODY + b"x" * 999_999).receive() == "1000000"
        assert max(sizes) <= MAX_READ

    def test_dropping_causes_no_traceback_and_one_line_per_period(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        connect = serve(ConnectionLimits(head=SHORT, body=SHORT, report_interval=10 * SHORT))
        slow = [connect().send(HALF_A_BODY if each % 2 else HALF_A_HEAD) for each in range(20)]
        for each in slow:
            each.wait_until_closed()
        assert reports(caplog) == ["dropped connections in the last 0.5 seconds: 20 too slow"]
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

    def test_no_connection_becomes_a_websocket(self, serve: Serve) -> None:
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
        assert serve(ConnectionLimits())().get("/caller", *upgrade) == '"127.0.0.1"'


class TestLimits:
    def test_a_peer_over_its_limit_loses_its_longest_half_sent_connection(self, serve: Serve) -> None:
        connect = serve(FULL)
        oldest, second = (connect().send(HALF_A_HEAD) for _ in range(2))
        assert connect().get("/caller") == '"127.0.0.1"'
        oldest.wait_until_closed()
        assert second.is_open()

    def test_a_peer_whose_requests_are_all_being_answered_gets_no_more(
        self, serve: Serve, turnstile: Turnstile
    ) -> None:
        connect = serve(FULL)
        busy = [connect().send(WAIT) for _ in range(2)]
        for _ in busy:
            turnstile.wait_for_arrival()
        connect().wait_until_closed()
        turnstile.release(2)
        assert [each.receive() for each in busy] == ['"done"'] * 2

    def test_a_peer_keeps_a_connection_that_reads_a_response_in_pieces(
        self, serve: Serve, turnstile: Turnstile
    ) -> None:
        connect = serve(ConnectionLimits(per_caller=1))
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(connect().send(PIECES).receive)
            turnstile.wait_for_arrival()
            connect().wait_until_closed()
            turnstile.release()
            assert answer.result().endswith("yz")

    def test_an_authenticated_connection_counts_against_its_client_only(self, serve: Serve) -> None:
        connect = serve(FULL)
        known = [connect() for _ in range(2)]
        assert [each.get("/login?name=ci") for each in known] == ['"ci"'] * 2
        half_sent = [connect().send(HALF_A_HEAD) for _ in range(2)]
        assert connect().get("/caller")
        assert [each.get("/caller") for each in known] == ['"127.0.0.1"'] * 2
        half_sent[0].wait_until_closed()

    def test_a_client_over_its_limit_keeps_no_more_connections(self, serve: Serve) -> None:
        connect = serve(FULL)
        kept = [connect() for _ in range(2)]
        assert [each.get("/login?name=ci") for each in kept] == ['"ci"'] * 2
        third = connect()
        assert third.get("/login?name=ci") == '"ci"'
        third.wait_until_closed()
        assert [each.is_open() for each in kept] == [True, True]

    def test_a_closed_connection_makes_room(self, serve: Serve) -> None:
        connect = serve(FULL)
        for _ in range(5):
            once = connect()
            assert once.get("/login?name=ci", "Connection: close") == '"ci"'
            once.wait_until_closed()
        kept = connect()
        assert [kept.get("/login?name=ci") for _ in range(2)] == ['"ci"'] * 2

    def test_a_client_that_hung_up_before_it_was_authenticated_counts_nowhere(
        self, serve: Serve, turnstile: Turnstile
    ) -> None:
        connect = serve(ConnectionLimits(per_caller=1))
        gone = connect().send(b"GET /late-login HTTP/1.1\r\nHost: registrar\r\n\r\n")
        turnstile.wait_for_arrival()
        gone.close()
        wait_until(lambda: connect().get("/caller"))  # there's room once the server has noticed
        turnstile.release()
        turnstile.wait_for_exit()
        known = connect()
        assert [known.get("/login?name=late") for _ in range(2)] == ['"late"'] * 2

    def test_a_trusted_proxy_has_no_limit_of_its_own(self, serve: Serve) -> None:
        connect = serve(FULL, LOCALHOST)
        proxied = [connect() for _ in range(5)]
        for each in proxied:
            assert each.get("/login?name=ci")
        assert all(each.is_open() for each in proxied)

    def test_over_the_total_limit_connections_without_a_client_are_dropped_first(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(connections=3))
        known = connect()
        assert known.get("/login?name=ci")
        half_sent = connect().send(HALF_A_HEAD)
        assert connect().get("/caller")
        assert connect().get("/caller")
        half_sent.wait_until_closed()
        assert known.get("/caller")

    def test_incomplete_bodies_share_a_limit_of_their_bytes(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(body_bytes=100_000))
        slow = connect().send(HALF_A_BODY + b"x" * 60_000)
        large = connect().send(HALF_A_BODY + b"x" * 60_000)
        slow.wait_until_closed()
        assert large.is_open()

    def test_what_arrives_of_a_body_after_the_answer_does_not_count(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(body_bytes=100_000))
        slow = connect().send(HALF_A_BODY + b"x" * 60_000)
        refused = connect().send(HALF_A_BODY.replace(b"/read", b"/missing"))
        assert refused.receive()
        assert refused.send(b"x" * 999_999).get("/caller")
        assert slow.is_open()

    def test_complete_bodies_do_not_count(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(body_bytes=100_000))
        for _ in range(3):
            sender = connect().send(HALF_A_BODY.replace(b"1000000", b"60001") + b"x" * 59_000)
            assert sender.send(b"x" * 1000).receive() == "60001"


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("10.1.2.3", ""),
        ("2001:db8:ff::1", ""),
    ],
)
def test_a_peer_is_an_ipv4_address_or_an_ipv6_network(address: str, caller: str) -> None:
    proxies = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ff::/48")]
    assert Connections(ConnectionLimits(), proxies).caller_at(ip_address(address)) == caller


class TestTrustedProxies:
    FORWARDED = "X-Forwarded-For: 192.0.2.66, 198.51.100.7, 127.0.0.9"

    def test_anyone_else_s_forwarded_address_is_ignored(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own variable
        assert serve(ConnectionLimits())().get("/caller", self.FORWARDED) == '"127.0.0.1"'

    def test_a_trusted_proxy_s_client_is_the_last_address_that_is_not_a_proxy(self, serve: Serve) -> None:
        assert serve(ConnectionLimits(), LOCALHOST)().get("/caller", self.FORWARDED) == '"198.51.100.7"'

    def test_a_proxy_with_an_ipv4_address_is_recognized_on_an_ipv6_socket(self, serve: Serve) -> None:
        connect = serve(ConnectionLimits(), LOCALHOST, "::")
        assert connect().get("/caller", self.FORWARDED) == '"198.51.100.7"'
