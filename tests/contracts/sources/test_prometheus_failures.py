"""Prometheus's failures: each is an error with a reason, and never a value."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.ports import Query
from bot.sources.prometheus import PrometheusSource, fill_placeholders, parse_answer
from tests.support.network.broken_prometheus import (
    BAD_BODIES,
    BAD_RESPONSES,
    ERROR,
    NOON,
    ONE,
    FakeServer,
    http_response,
    success_body,
)
from tests.support.network.ports import free_port

SOON = timedelta(seconds=0.3)


Make = Callable[..., tuple[FakeServer, PrometheusSource]]


@pytest.fixture
def sham() -> Iterator[Make]:
    """Return a function that starts a server with this answer, and a source that uses it."""
    made: list[FakeServer | PrometheusSource] = []

    def make(answer: bytes | Callable[[str], bytes], **more: bool) -> tuple[FakeServer, PrometheusSource]:
        server = FakeServer(answer, **more)
        source = PrometheusSource(server.url.replace("//", "//ann:pa55word@"), token=None)
        made.extend([server, source])
        return server, source

    yield make
    for one in made:
        one.close()


def query(text: str = "accuracy", *, timeout: timedelta = timedelta(seconds=10), model: str = "churn") -> Query:
    """Return a query for the hour before noon."""
    return Query(
        monitor="m1",
        source="prom",
        model=model,
        version=7,
        query=text,
        since=NOON - timedelta(hours=1),
        until=NOON,
        timeout=timeout,
    )


def failure_of(answer: Answer) -> str:
    """Assert that the answer is an error without values, and return the reason."""
    assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])
    why = str(answer.why)
    assert why.endswith((".", "…"))
    assert "pa55word" not in why
    assert all(char.isprintable() for char in why)
    return why


@pytest.mark.parametrize("answer", BAD_RESPONSES.values(), ids=BAD_RESPONSES)
def test_every_failure_is_an_error_without_values(sham: Make, answer: bytes) -> None:
    _, source = sham(answer)
    answers = source.read([query(timeout=SOON * 10)])[0], source.history(query(timeout=SOON * 10), timedelta(minutes=1))
    assert all(map(failure_of, answers))


@pytest.mark.parametrize("shape", BAD_BODIES.values(), ids=BAD_BODIES)
def test_an_unexpected_shape_is_an_error_without_values(shape: Any) -> None:
    assert failure_of(parse_answer(200, json.dumps(shape).encode(), "http://prom:9090"))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["success", "vector", "0.9"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "data", "resultType", "result", "value", "values"]), inner)
    ),
    max_leaves=10,
)


@given(status=st.integers(100, 599), shape=json_values, kind=st.sampled_from(["vector", "matrix", "scalar", "string"]))
def test_parsing_never_raises_for_any_shape(status: int, shape: Any, kind: str) -> None:
    for body in (shape, success_body(kind, shape), success_body(kind, [shape]), success_body(kind, [{"value": shape}])):
        answer = parse_answer(status, json.dumps(body).encode(), "http://prom:9090")
        assert (answer.outcome is CheckOutcome.OK) == (answer.why is None)
        assert answer.outcome is CheckOutcome.OK or not answer.points
        assert status == 200 or not answer.points


@given(body=st.binary(max_size=50))
def test_parsing_never_raises_for_any_bytes(body: bytes) -> None:
    assert failure_of(parse_answer(200, body, "http://prom:9090"))


def test_prometheus_s_message_is_sanitized_and_truncated(sham: Make) -> None:
    _, source = sham(http_response(400, ERROR))
    why = failure_of(source.read([query()])[0])
    assert why.startswith("Prometheus rejected the query: 1:5: parse error:[31m no good xxx")
    assert len(why) < 250


def test_a_refused_connection_is_reported() -> None:
    source = PrometheusSource(f"http://ann:pa55word@127.0.0.1:{free_port()}")
    why = failure_of(source.read([query()])[0])
    source.close()
    assert "connection refused" in why


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 So\r\nContent-Length: 999\r\n\r\n{"])
def test_a_server_that_stops_answering_times_out(sham: Make, begun: bytes) -> None:
    _, source = sham(begun, hangs_up=False)
    answers = source.read([query(str(at), timeout=SOON) for at in range(20)])
    assert {failure_of(one) for one in answers} == {f"Prometheus at {source.address} didn't answer in time."}


def test_a_server_that_answers_slowly_times_out(sham: Make) -> None:
    done = threading.Event()

    def drip(_: str) -> bytes:
        line = server._open[-1]
        with suppress(OSError):
            line.sendall(b"HTTP/1.1 200 So\r\nContent-Length: 99999\r\n\r\n")
            while not done.wait(0.02):
                line.sendall(b" ")
        return b""

    server, source = sham(drip)
    why = failure_of(source.read([query(timeout=SOON)])[0])
    done.set()
    assert why == f"Prometheus at {source.address} didn't answer in time."


def test_equal_queries_are_sent_once_over_one_connection(sham: Make) -> None:
    server, source = sham(http_response(200, ONE), hangs_up=False)
    answers = source.read([query(), query(), query("other"), query()])
    assert [[value for _, value, *_ in one.points] for one in answers] == [[0.9]] * 4
    assert len(server.seen) == 2
    for _ in range(5):
        source.read([query()])
    assert server.lines <= 2


def test_counts_with_the_same_total_query_it_once(sham: Make) -> None:
    server, source = sham(http_response(200, ONE), hangs_up=False)
    counts = [replace(query(what), of="all") for what in ("right", "wrong", "right")]
    answers = source.read([*counts, query("all")])
    assert [[point[1:] for point in one.points] for one in answers] == [[(0.9, 0.9)]] * 3 + [[(0.9,)]]
    assert sorted(_promql(line) for line in server.seen) == ["all", "right", "wrong"]


def test_model_and_version_are_filled_in_the_total_s_query(sham: Make) -> None:
    server, source = sham(http_response(200, ONE), hangs_up=False)
    source.read([replace(query('a{v="$version"}', model="m"), of='b{m="$model"}')])
    assert sorted(_promql(line) for line in server.seen) == ['a{v="7"}', 'b{m="m"}']


def _promql(line: str) -> str:
    return parse_qs(urlsplit(line.split()[1]).query)["query"][0]


def test_it_queries_at_the_end_of_the_window(sham: Make) -> None:
    server, source = sham(http_response(200, ONE))
    source.read([query('accuracy{model="$model",version="$version"}')])
    asked = urlsplit(server.seen[0].split()[1])
    assert asked.path == "/api/v1/query"
    assert parse_qs(asked.query) == {
        "query": ['accuracy{model="churn",version="7"}'],
        "time": [f"{NOON.timestamp():.3f}"],
    }


def test_a_path_in_the_address_is_kept(sham: Make) -> None:
    server, _ = sham(http_response(200, ONE))
    source = PrometheusSource(f"{server.url}/prometheus/")
    source.read([query()])
    source.close()
    assert server.seen[0].startswith("GET /prometheus/api/v1/query?")


def test_a_token_or_password_is_sent_but_never_logged(sham: Make, caplog: pytest.LogCaptureFixture) -> None:
    server, source = sham(http_response(200, ONE))
    other = PrometheusSource(server.url, token="t0ken")
    with caplog.at_level(logging.DEBUG):
        source.read([query()])
        other.read([query()])
    other.close()
    assert "Authorization: Basic " in server.seen[0]
    assert "Authorization: Bearer t0ken" in server.seen[1]
    assert "pa55word" not in caplog.text
    assert "t0ken" not in caplog.text


@pytest.mark.parametrize(
    ("text", "model", "sent"),
    [
        ('a{m="$model"}', "churn", 'a{m="churn"}'),
        ("a{m='${model}-$version'}", "churn", "a{m='churn-7'}"),
        ('a{m="$model"}', 'x"} or vector(1) #', 'a{m="x\\x22} or vector(1) #"}'),
        ("a{m='$model'}", "o'brien\\", "a{m='o\\x27brien\\x5c'}"),
        ("a{m=`$model`}", "`", "a{m=`\\x60`}"),
        ('a{m="$models$other$"}', "churn", 'a{m="$models$other$"}'),
        ('a{m=~"^x$"}', "churn", 'a{m=~"^x$"}'),
        ("$model{}", "vector(1)", "$model{}"),
        ('a{m="\\"$model"}', "churn", 'a{m="\\"churn"}'),
        ('a{m="$model"}', "$version", 'a{m="$version"}'),
    ],
)
def test_model_and_version_are_filled_in_within_quotes_only(text: str, model: str, sent: str) -> None:
    assert fill_placeholders(text, query(model=model)) == sent
