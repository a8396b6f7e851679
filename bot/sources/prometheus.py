"""Prometheus's HTTP API: a value from an instant query, or a series from a range query."""

from __future__ import annotations

import json
import math
import re
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, sanitize_text, say, truncate
from bot.domain.monitoring.readings import Answer, CheckOutcome, Point
from bot.domain.policy.policy import Source
from bot.ports import Query
from bot.sources import SourceDependencies, check_options, error_answer, join_counts, wrong_option

MAX_POINTS = 11_000  # points in a series: Prometheus rejects more
_MAX_MESSAGE_LENGTH = 200  # characters kept of Prometheus's own error message
_SUGGESTED_QUERY = Code("sum(…)")
MAX_CONNECTIONS = 4  # queries that run at the same time
MAX_BODY_BYTES = 10_000_000  # bytes of an answer
GRACE_SECONDS = 0.25  # seconds past the time limit, so that a more specific error than a timeout can still arrive


@dataclass(frozen=True, slots=True)
class _PrometheusRequest:
    """A request; identical requests from several queries are sent once."""

    path: str
    promql: str
    start: float  # for an instant query, its time
    end: float
    step: float = 0.0

    @property
    def params(self) -> dict[str, str]:
        if not self.step:
            return {"query": self.promql, "time": f"{self.end:.3f}"}
        return {"query": self.promql, "start": f"{self.start:.3f}", "end": f"{self.end:.3f}", "step": f"{self.step:g}"}


class PrometheusSource:
    """A `MetricSource` for Prometheus, or anything with the same HTTP API.

    `url` can contain a user and a password, which are never shown.
    """

    def __init__(self, url: str, *, token: str | None = None, name: str = "prometheus") -> None:
        parts = urlsplit(url)
        self.address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        user = httpx2.BasicAuth(httpx2.URL(url).username, httpx2.URL(url).password) if "@" in parts.netloc else None
        self._name = name
        self._client = httpx2.Client(
            base_url=self.address,
            auth=user,
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context() if parts.scheme == "https" else False,
            headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {token}"} if token else {})},
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        )
        self._pool = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix=f"source-{name}")

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return each query's value at its `until`. Send identical PromQL only once, and a few requests at a time."""
        return self._run_queries(
            [(query, [_instant_request(query, text) for text in _promql_texts(query)]) for query in queries]
        )

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the values after `since`, one per `step`; uses a longer step if there would be more than 11,000."""
        answer = self._run_queries([(query, [_range_request(query, text, step) for text in _promql_texts(query)])])[0]
        return replace(answer, points=[point for point in answer.points if point[0] > query.since])

    def _run_queries(self, requests_by_query: Sequence[tuple[Query, Sequence[_PrometheusRequest]]]) -> list[Answer]:
        began = time.monotonic()
        limits: dict[_PrometheusRequest, float] = {}
        for query, both in requests_by_query:
            for asked in both:
                limits[asked] = max(limits.get(asked, 0.0), query.timeout.total_seconds())
        under_way = {asked: self._pool.submit(self._fetch, asked, began + limit) for asked, limit in limits.items()}
        wait(under_way.values(), timeout=max(limits.values(), default=0.0) + GRACE_SECONDS)
        answers = {
            asked: future.result() if future.done() and not future.cancelled() else self._timeout_answer()
            for asked, future in under_way.items()
        }
        return [_combine_answers([answers[asked] for asked in both]) for _, both in requests_by_query]

    def _fetch(self, request: _PrometheusRequest, until: float) -> Answer:
        remaining = until - time.monotonic()
        if remaining <= 0:
            return self._timeout_answer()
        try:
            with self._client.stream("GET", request.path, params=request.params, timeout=remaining) as response:
                body = _read_body(response, until)
        except (httpx2.TimeoutException, TimeoutError):
            return self._timeout_answer()
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError, RuntimeError, ValueError) as error:
            return error_answer(
                say("Can't query Prometheus at {url} ({why}).", url=Code(self.address), why=_error_kind(error))
            )
        if body is None:
            return error_answer(say("The answer from Prometheus at {url} is over 10 MB.", url=Code(self.address)))
        return parse_answer(response.status_code, body, self.address)

    def _timeout_answer(self) -> Answer:
        return error_answer(say("Prometheus at {url} didn't answer in time.", url=Code(self.address)))


def _read_body(response: httpx2.Response, until: float) -> bytes | None:
    """Return the body, or None if it's too long. Raises TimeoutError if it arrives too slowly."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(body)


def _error_kind(error: Exception) -> str:
    """Return what went wrong in a few words, because the error's own text can contain anything."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return "connection refused" if "refused" in str(error) else words


def _promql_texts(query: Query) -> list[str]:
    """Return the PromQL to run: one query, or two for counts (count and total)."""
    return [fill_placeholders(text, query) for text in (query.query, query.of) if text is not None]


def _combine_answers(answers: Sequence[Answer]) -> Answer:
    """Return a single answer unchanged, two answers joined as counts, or the first one that isn't OK."""
    failed = next((answer for answer in answers if answer.outcome is not CheckOutcome.OK), None)
    if failed is not None or len(answers) == 1:
        return failed or answers[0]
    return Answer(points=join_counts(answers[0].points, answers[1].points))


def _instant_request(query: Query, promql: str) -> _PrometheusRequest:
    at = _to_timestamp(query.until)
    return _PrometheusRequest("/api/v1/query", promql, at, at)


def _range_request(query: Query, promql: str, step: timedelta) -> _PrometheusRequest:
    start, end = _to_timestamp(query.since), _to_timestamp(query.until)
    min_step = math.ceil((end - start) / (MAX_POINTS - 1))
    return _PrometheusRequest("/api/v1/query_range", promql, start, end, max(step.total_seconds(), min_step, 1.0))


def _to_timestamp(at: datetime) -> float:
    return math.floor(at.timestamp() * 1000) / 1000  # never after the query's end


_QUOTED_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|' + r"'(?:\\.|[^'\\])*'|`[^`]*`", re.DOTALL)


def fill_placeholders(promql: str, query: Query) -> str:
    r"""Return PromQL with `$model` and `$version` filled in, only inside its quoted strings.

    A model's name can contain anything, so a character that could end the string is escaped, such as `\x22`.
    """
    name = "".join(
        rf"\x{ord(character):02x}" if character in "\\\"'`" or ord(character) < 32 else character
        for character in query.model
    )
    values = {"model": name, "version": str(query.version)}
    return _QUOTED_TEXT.sub(lambda text: Template(text[0]).safe_substitute(values), promql)


# -- answers: anything but exactly what the API documents is an error, never a value -----------------------------------


class _UnexpectedShapeError(Exception):
    """The answer doesn't follow Prometheus's API."""


def parse_answer(status: int, body: bytes, address: str) -> Answer:
    """Return the parsed answer. Never raises: an invalid response becomes an error answer."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if status != 200:
        return error_answer(_error_sentence(status, data, address))
    try:
        return _parse_data(data)
    except _UnexpectedShapeError:
        return error_answer(say("The server at {url} didn't return a valid Prometheus response.", url=Code(address)))


def _parse_data(data: Any) -> Answer:
    if not isinstance(data, dict) or data.get("status") != "success" or not isinstance(data.get("data"), dict):
        raise _UnexpectedShapeError
    kind, result = data["data"].get("resultType"), data["data"].get("result")
    if not isinstance(result, list):
        raise _UnexpectedShapeError
    if kind == "scalar":
        return Answer(points=_parse_points([result]))
    if kind == "string":
        return error_answer(say("The query returns a string, not a number. Fix the monitor's query."))
    if kind not in {"vector", "matrix"}:
        raise _UnexpectedShapeError
    if len(result) > 1:
        return error_answer(
            say(
                "The query returns {n} series, not one. Aggregate them, for example with {sum}.",
                n=len(result),
                sum=_SUGGESTED_QUERY,
            )
        )
    try:
        values = [series["value" if kind == "vector" else "values"] for series in result]
    except (TypeError, LookupError) as error:
        raise _UnexpectedShapeError from error
    if not all(isinstance(value, list) for value in values):
        raise _UnexpectedShapeError
    return Answer(points=[point for pair in values for point in _parse_points([pair] if kind == "vector" else pair)])


def _parse_points(pairs: Any) -> list[Point]:
    """Return the points. NaN and infinite values are kept, because they're missing data, not an error."""
    try:
        points = []
        for at, value in pairs:
            # Only Python accepts "_" in a number.
            if isinstance(at, bool) or not isinstance(at, int | float) or not isinstance(value, str) or "_" in value:
                raise _UnexpectedShapeError
            points.append((datetime.fromtimestamp(at, UTC), float(value)))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise _UnexpectedShapeError from error
    return points


def _error_sentence(status: int, data: Any, address: str) -> Sentence:
    url, sentence = Code(address), _error_message(data)
    if status in {401, 403}:
        return say(
            "Prometheus at {url} rejected the credentials ({status}). Check {key} in the policy.",
            url=url,
            status=status,
            key=Code("token_env"),
        )
    if sentence and status in {400, 422}:
        return say("Prometheus rejected the query: {said}", said=sentence)
    if 300 <= status < 400:
        return say(
            "{url} redirects elsewhere ({status}). Set the URL to Prometheus's own address.",
            url=url,
            status=status,
        )
    if sentence:
        return say("Prometheus at {url} failed ({status}): {said}", url=url, status=status, said=sentence)
    return say("The server at {url} returned HTTP {status}.", url=url, status=status)


def _error_message(data: Any) -> str:
    """Return Prometheus's own error message; empty if the answer has none."""
    if not isinstance(data, dict) or data.get("status") != "error" or not isinstance(data.get("error"), str):
        return ""
    return truncate(sanitize_text(data["error"]), _MAX_MESSAGE_LENGTH)


# -- the policy's options ----------------------------------------------------------------------------------------------


def open_prometheus(name: str, source: Source, dependencies: SourceDependencies) -> PrometheusSource:
    """Return a source of type `prometheus`. Raises Misconfigured."""
    check_options(name, source, ["url", "token_env"])
    url = source.url or ""
    try:
        fits = urlsplit(url).scheme in {"http", "https"} and bool(httpx2.URL(url).host) and urlsplit(url).port != 0
    except (ValueError, httpx2.InvalidURL):
        fits = False
    if not fits:
        raise wrong_option(name, "url", "must be Prometheus's address, such as http://prometheus:9090.")
    return PrometheusSource(url, token=_read_token(name, source, dependencies), name=name)


def _read_token(name: str, source: Source, dependencies: SourceDependencies) -> str | None:
    variable = source.options.get("token_env")
    if variable is None:
        return None
    token = dependencies.environ.get(str(variable), "").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise Misconfigured(
            say(
                "{where}: {variable} isn't set to a valid token in the environment.",
                where=Code(f"sources.{name}.token_env"),
                variable=Code(truncate(sanitize_text(str(variable)), 100)),
            )
        )
    return token
