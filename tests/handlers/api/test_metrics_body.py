"""Bodies of pushed metrics: validation, idempotency keys, and failures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.core.errors import BadInput, LedgerUnavailable
from bot.domain.monitoring.push_payload import parse_push
from bot.ledger import SqlLedger
from bot.ports import Ledger, LedgerTransaction
from handlers.api.body import MAX_BODY_BYTES
from handlers.api.calls import MAX_CONCURRENT_CALLS
from tests.support.app.metrics_api import NOW, MetricsApi, reading, refused


class TestBodies:
    @pytest.mark.parametrize("source", ["other", "prom", "mlflow", "Live", "\ud800", "x" * 999])
    def test_an_unknown_source_is_refused(self, api: MetricsApi, source: str) -> None:
        status, why = refused(api.push(source=source))
        assert status == 404
        assert why.startswith("The policy has no source “")

    def test_a_misconfigured_source_is_reported(self, api: MetricsApi) -> None:
        assert refused(api.push(source="odd")) == (503, "sources.odd.require_signature: must be true or false.")

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"value": ...}, "readings.1.value: is missing."),
            ({"at": ...}, "readings.1.at: is missing."),
            ({"model": ...}, "readings.1.model: is missing."),
            ({"metric": ...}, "readings.1.metric: is missing."),
            ({"verison": 7}, "readings.1.verison: unknown key. Known keys: model, version, metric, value, of, at."),
            ({"value": "0.9"}, "readings.1.value: must be a number."),
            ({"value": None}, "readings.1.value: must be a number."),
            ({"value": True}, "readings.1.value: must be a number."),
            ({"value": [1]}, "readings.1.value: must be a number."),
            *(
                (
                    {"value": value},
                    "readings.1.value: must be a finite number. Leave out readings that couldn't be measured.",
                )
                for value in (float("nan"), float("inf"), float("-inf"), 10**400)
            ),
            *(({"of": of}, "readings.1.of: must be a number.") for of in ("340", True, [1])),
            (
                {"of": float("inf")},
                "readings.1.of: must be a finite number. Leave out readings that couldn't be measured.",
            ),
            ({"of": -1}, "readings.1.of: must be 0 or more."),
            *(
                ({"value": value, "of": of}, "readings.1.value: must be between 0 and the total (of).")
                for value, of in ((13, 12), (-1, 12), (0.5, 0))
            ),
            *(
                ({"version": version}, "readings.1.version: must be a version number, such as 7.")
                for version in (0, -1, 7.0, True, "seven", "", "1.2.0", 10**9, [7], "٣")
            ),
            *(
                ({"at": at}, "readings.1.at: must be a time with a time zone, such as 2026-05-04T12:00:00Z.")
                for at in (1777896000, None, "now", "2026-05-04", "2026-05-04T11:00:00", "20260504T110000Z", "")
            ),
            ({"at": "2026-02-30T00:00:00Z"}, "readings.1.at: isn't a valid time."),
            ({"at": "2026-05-04T11:00:00+99:00"}, "readings.1.at: isn't a valid time."),
            ({"at": "0001-01-01T00:00:00+12:00"}, "readings.1.at: isn't a valid time."),
            ({"at": "1969-12-31T23:59:59Z"}, "readings.1.at: is before 1970."),
            ({"at": "2026-05-04T12:05:01Z"}, "readings.1.at: is in the future."),
            ({"model": ""}, "readings.1.model: Missing model name."),
            ({"model": 7}, "readings.1.model: must be a string."),
            ({"model": " churn"}, "readings.1.model: can't start or end with a space."),
            (
                {"model": "a/b"},
                "readings.1.model: “a/b” isn't a valid name: "
                "MLflow doesn't allow slashes, colons, or control characters.",
            ),
            ({"metric": ""}, "readings.1.metric: must be a metric name."),
            ({"metric": 7}, "readings.1.metric: must be a metric name."),
            *(
                (
                    {"metric": name},
                    "readings.1.metric: must be at most 250 visible characters, without leading or trailing spaces.",
                )
                for name in ("x" * 251, " f1", "f\x001", "f\u202e1", "\ud800")
            ),
        ],
    )
    def test_an_error_names_its_place_and_nothing_is_stored(
        self, api: MetricsApi, changes: dict[str, Any], why: str
    ) -> None:
        assert refused(api.push(reading(), reading(**changes))) == (422, why)
        assert api.kept() == []

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"source=live"])
    def test_invalid_json_is_refused(self, api: MetricsApi, body: bytes) -> None:
        answer = api.send(body, {"Authorization": "Bearer t0ken-of-ci"})
        assert refused(answer) == (422, "The body isn't valid JSON.")

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ([], "The body must be a JSON object with source and readings."),
            (None, "The body must be a JSON object with source and readings."),
            ({}, "source: must be the name of a source. readings: must be a list of readings."),
            (
                {"source": 1, "readings": {}},
                "source: must be the name of a source. readings: must be a list of readings.",
            ),
            ({"source": "live", "readings": [[]]}, "readings.0: must be an object."),
            (
                {"source": "live", "readings": [reading()], "reading": 1},
                "reading: unknown key. Known keys: source, readings.",
            ),
        ],
    )
    def test_another_shape(self, api: MetricsApi, body: Any, why: str) -> None:
        answer = api.send(json.dumps(body).encode(), {"Authorization": "Bearer t0ken-of-ci"})
        assert refused(answer) == (422, why)

    def test_of_many_errors_some_are_listed_and_the_rest_counted(self, api: MetricsApi) -> None:
        _, why = refused(api.push(*[reading(value=None)] * 8))
        assert why.endswith("readings.4.value: must be a number. And 3 more.")

    def test_too_many_readings_or_too_long_a_body_is_refused(self, api: MetricsApi) -> None:
        assert refused(api.push(*[reading()] * 1001)) == (
            413,
            "readings: 1001 is over the limit of 1000 per call. Split them into several calls.",
        )
        answer = api.send(b" " * (MAX_BODY_BYTES + 1), {"Authorization": "Bearer t0ken-of-ci"})
        assert refused(answer) == (413, "The body is over 1,000,000 bytes. Split it into several calls.")

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
    def test_another_type(self, api: MetricsApi, kind: str) -> None:
        assert refused(api.push(Content_Type=kind)) == (415, "Send the body as application/json.")

    @given(
        body=st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just("live"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["source", "readings", *reading()]), inner)
            ),
            max_leaves=20,
        )
    )
    @settings(max_examples=300)
    def test_no_body_causes_an_internal_error(self, body: Any) -> None:
        with pytest.raises(BadInput):
            parse_push(json.dumps(body).encode(), NOW)


class TestKeys:
    def test_a_repeated_call_gets_the_same_response_and_stores_nothing(self, either: MetricsApi) -> None:
        first = either.push(Idempotency_Key="k1")
        with either.ledger.write() as tx:
            tx.purge(measurements_before=NOW, readings_before=NOW, now=NOW)  # even if the readings are gone meanwhile
        again = either.push(Idempotency_Key="k1")
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.json() == {"accepted": 1, "duplicates": 0}
        assert len(either.kept()) == 1

    def test_another_body_under_the_same_key_is_refused(self, either: MetricsApi) -> None:
        either.push(Idempotency_Key="k1")
        answer = either.push(reading(value=0.5, at="2026-05-04T11:00:00Z"), Idempotency_Key="k1")
        assert refused(answer) == (409, "This Idempotency-Key was already used with a different body.")
        assert len(either.kept()) == 1

    def test_keys_are_separate_for_each_client(self, api: MetricsApi) -> None:
        api.push(Idempotency_Key="k1")
        answer = api.push(reading(metric="f1"), token="t0ken-of-scorer", Idempotency_Key="k1")
        assert answer.json() == {"accepted": 1, "duplicates": 0}

    def test_a_refusal_does_not_use_up_a_key(self, api: MetricsApi) -> None:
        assert api.push(reading(value=None), Idempotency_Key="k1").status_code == 422
        assert api.push(Idempotency_Key="k1").status_code == 202

    @pytest.mark.parametrize("key", ["", "x" * 201, "two words", "é"])
    def test_an_invalid_key_is_refused(self, api: MetricsApi, key: str) -> None:
        assert refused(api.push(Idempotency_Key=key)) == (
            422,
            "Idempotency-Key must be 1 to 200 visible ASCII characters.",
        )

    @pytest.mark.parametrize("same", [True, False])
    def test_two_concurrent_calls_store_once_and_get_the_same_response(self, either: MetricsApi, same: bool) -> None:
        bodies = [reading(value=0.1), reading(value=0.1) if same else reading(value=0.2, metric="f1")]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda at: either.push(bodies[at % 2], Idempotency_Key="k"), range(8)))
        statuses = sorted(one.status_code for one in answers)
        assert statuses == ([202] * 8 if same else [202] * 4 + [409] * 4)
        assert {one.text for one in answers if one.status_code == 202} == {'{"accepted": 1, "duplicates": 0}'}
        assert len(either.kept()) + len(either.kept("f1")) == 1

    def test_a_faster_call_with_the_same_key_rolls_this_one_back(self, api: MetricsApi) -> None:
        real = api.ledger

        class Late:
            """A ledger in which the other call's key appears only when this call's key is written."""

            @contextmanager
            def write(self) -> Iterator[LedgerTransaction]:
                api.ledger = real
                api.push(reading(metric="f1"), Idempotency_Key="k")
                with real.write() as tx:
                    tx.idempotent_call = lambda client, key: None  # type: ignore[method-assign]
                    yield tx

        api.ledger = cast(Ledger, Late())
        assert api.push(Idempotency_Key="k").status_code == 409
        assert (api.kept(), len(api.kept("f1"))) == ([], 1)


class TestTrouble:
    def test_a_ledger_that_does_not_answer_is_503(self, api: MetricsApi) -> None:
        api.ledger = SqlLedger("sqlite:////nowhere/at/all/ledger.db")
        answer = api.push()
        assert refused(answer)[0] == 503
        assert answer.headers["retry-after"] == "5"
        assert refused(api.push(token="wrong"))[0] == 401

    def test_an_internal_error_returns_only_an_id(self, api: MetricsApi) -> None:
        api.ledger = cast(Ledger, object())
        status, why = refused(api.push())
        assert status == 500
        assert "Give this ID to whoever runs Registrar" in why
        assert "object" not in why

    def test_a_ledger_that_fails_while_saving_is_503(self, api: MetricsApi) -> None:
        class Silent:
            @contextmanager
            def write(self) -> Iterator[LedgerTransaction]:
                raise LedgerUnavailable("It fell silent.")
                yield

        api.ledger = cast(Ledger, Silent())
        assert refused(api.push()) == (503, "It fell silent.")

    def test_concurrent_calls_are_limited(self, api: MetricsApi) -> None:
        real, active, most = api.ledger, 0, 0

        class Slow:
            @contextmanager
            def write(self) -> Iterator[LedgerTransaction]:
                nonlocal active, most
                active += 1
                most = max(most, active)
                time.sleep(0.05)
                active -= 1
                with real.write() as tx:
                    yield tx

        async def push_many() -> list[int]:
            headers, body = {"Authorization": "Bearer t0ken-of-ci"}, {"source": "live", "readings": [reading()]}
            async with httpx2.AsyncClient(
                transport=httpx2.ASGITransport(api.web), base_url="http://registrar"
            ) as client:
                calls = [
                    client.post("/v1/metrics", json=body, headers=headers) for _ in range(MAX_CONCURRENT_CALLS + 8)
                ]
                return [answer.status_code for answer in await asyncio.gather(*calls)]

        api.ledger = cast(Ledger, Slow())
        assert set(asyncio.run(push_many())) == {202}
        assert 1 < most <= MAX_CONCURRENT_CALLS
