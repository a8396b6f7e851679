"""What programs push over HTTP: who may, what is taken, and that nothing is taken twice or by halves."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_bolt import App

from bot.domain.errors import BadInput, LedgerUnavailable
from bot.domain.event_words import line
from bot.domain.events import Tag
from bot.domain.monitors import Pushed
from bot.domain.policy import Policy, read_policy
from bot.domain.pushing import parse_push
from bot.domain.signing import signature
from bot.ledger import SqlLedger
from bot.ports import Ledger, Writing
from bot.registry.memory import MemoryRegistry
from bot.settings import Settings
from bot.sources import Parts
from bot.sources.plugins import Sources
from handlers.api import CALLERS_MOST, Api
from handlers.bodies import BODY_MOST
from handlers.http import create
from handlers.starting import listen
from tests.support.app.harness import links
from tests.support.paths import ROOT

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ENVIRON = {"CI": "t0ken-of-ci", "SCORER": "t0ken-of-scorer", "READER": "t0ken-of-reader", "EMPTY": "", "TWIN": "twin"}
CLIENTS: dict[str, Any] = {
    "ci": {"token_env": "CI", "may": ["push"], "models": ["churn*"]},
    "scorer": {"token_env": "SCORER", "may": ["push", "request"]},
    "reader": {"token_env": "READER", "may": ["read", "request"]},
    "empty": {"token_env": "EMPTY", "may": ["push"]},
    "unset": {"token_env": "NOWHERE", "may": ["push"]},
    "bare": {"may": ["push"]},
    "filed": {"token_file": "/nowhere/token", "may": ["push"]},
}
SOURCES: dict[str, Any] = {
    "live": {"type": "push"},
    "strict": {"type": "push", "require_signature": True},
    "odd": {"type": "push", "require_signature": "maybe"},
    "prom": {"type": "prometheus", "url": "http://prom"},
}


def policy(clients: dict[str, Any] | None = None) -> Policy:
    return read_policy({"models": {}, "sources": SOURCES, "clients": CLIENTS if clients is None else clients})


class Site:
    """The web application over a ledger, its clock and its policy in our hands."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOW
        self.seconds = 0.0
        self.policy = policy()
        sources = Sources(lambda: self.policy, Parts(ledger=ledger, registry=MemoryRegistry(), environ=ENVIRON))
        programs = Api(
            ledger=self,
            policy=lambda: self.policy,
            takes=sources.takes,
            clock=self._clock(),
            environ=ENVIRON,
            monotonic=lambda: self.seconds,
        )
        self.web = create(cast(App, None), None, changed=lambda name: None, programs=programs)

    def _clock(self) -> Any:
        site = self

        class Clock:
            def now(self) -> datetime:
                return site.now

        return Clock()

    # What stands for the ledger, so that a test can put another one in its place.
    def write(self) -> Any:
        return self.ledger.write()

    def read(self) -> Any:
        return self.ledger.read()

    def recognize(self, operators: Any) -> None:
        self.ledger.recognize(operators)

    def close(self) -> None:
        self.ledger.close()

    def send(self, body: bytes, headers: dict[str, str], *, address: str = "10.0.0.1") -> httpx.Response:
        """Post these bytes."""
        encoded = {name.encode(): value.encode() for name, value in headers.items()}

        async def post() -> httpx.Response:
            transport = httpx.ASGITransport(self.web, raise_app_exceptions=False, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://registrar") as client:
                return await client.post("/v1/metrics", content=body, headers=encoded)

        return asyncio.run(post())

    def push(
        self,
        *readings: dict[str, Any],
        source: str = "live",
        token: str | None = "t0ken-of-ci",
        signed: str | None = None,
        at: float | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Push readings, by default as the client ci."""
        body = json.dumps({"source": source, "readings": list(readings) or [reading()]}).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if signed is not None:
            stamp = int(NOW.timestamp() if at is None else at)
            sent |= {"X-Registrar-Timestamp": str(stamp), "X-Registrar-Signature": signature(signed, str(stamp), body)}
        return self.send(body, sent)

    def kept(self, metric: str = "accuracy", *, source: str = "live", model: str = "churn") -> list[Pushed]:
        """Return what is in the ledger."""
        with self.ledger.read() as found:
            return found.readings(
                source, [(model, metric)], since=NOW - timedelta(days=99), until=NOW + timedelta(days=9)
            )


def reading(**changes: Any) -> dict[str, Any]:
    """Return a reading, with these changes; `...` takes a key away."""
    plain = {"model": "churn", "version": 7, "metric": "accuracy", "value": 0.91, "at": "2026-05-04T11:59:00Z"}
    return {key: value for key, value in (plain | changes).items() if value is not ...}


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    ledger = SqlLedger(sqlite_url, patience=20)
    yield Site(ledger)
    ledger.close()


@pytest.fixture
def either(ledger: SqlLedger) -> Site:
    """The same over either database."""
    return Site(ledger)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return status and sentence of a refusal."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    return answer.status_code, answer.json()["error"]


class TestTaking:
    def test_readings_are_taken_and_counted(self, either: Site) -> None:
        answer = either.push(reading(), reading(at="2026-05-04T13:58:30.25+02:00", version=..., value=1))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "duplicates": 0})
        assert [(one.version, one.at, one.value, one.received_at, one.client) for one in either.kept()] == [
            (0, datetime(2026, 5, 4, 11, 58, 30, 250_000, tzinfo=UTC), 1.0, NOW, "ci"),
            (7, datetime(2026, 5, 4, 11, 59, tzinfo=UTC), 0.91, NOW, "ci"),
        ]

    def test_the_same_again_is_a_duplicate_and_the_first_value_stays(self, either: Site) -> None:
        either.push()
        answer = either.push(reading(value=0.5), reading(at="2026-05-04T11:00:00Z"))
        assert answer.json() == {"accepted": 1, "duplicates": 1}
        assert sorted(one.value for one in either.kept()) == [0.91, 0.91]

    def test_a_thousand_at_once(self, site: Site) -> None:
        many = [reading(at=f"2026-05-04T11:{at // 60:02}:{at % 60:02}Z") for at in range(1000)]
        assert site.push(*many).json() == {"accepted": 1000, "duplicates": 0}

    @pytest.mark.parametrize(
        ("value", "of"),
        [(12, 340), (0, 0), (1.5, 1.5), (0.91, None), (0.91, ...)],
        ids=["a count", "nothing counted", "not whole", "null", "left out"],
    )
    def test_a_count_is_kept_as_it_was_pushed(self, either: Site, value: float, of: Any) -> None:
        assert either.push(reading(value=value, of=of)).status_code == 202
        total = of if isinstance(of, int | float) else None
        assert [(one.value, one.total) for one in either.kept()] == [(value, total)]

    @pytest.mark.parametrize("version", [7, "7", "v7", "V007"])
    def test_a_version_may_be_a_number_or_a_text(self, site: Site, version: int | str) -> None:
        site.push(reading(version=version))
        assert [one.version for one in site.kept()] == [7]

    def test_a_model_that_nobody_knows_is_taken(self, site: Site) -> None:
        assert site.push(reading(model="churn of tomorrow")).status_code == 202

    def test_the_source_push_need_not_be_named(self, site: Site) -> None:
        assert site.push(source="push").status_code == 202

    def test_a_day_ahead_of_its_time_in_another_zone_is_none(self, site: Site) -> None:
        assert site.push(reading(at="2026-05-05T01:30:00+13:30")).status_code == 202

    @pytest.mark.parametrize("kind", ["application/json", "application/JSON; charset=utf-8"])
    def test_json_by_its_name(self, site: Site, kind: str) -> None:
        assert site.push(Content_Type=kind).status_code == 202


class TestCallers:
    @pytest.mark.parametrize(
        ("token", "why"),
        [
            (None, "Send Authorization: Bearer … with the token of a client."),
            ("", "This token is that of no client."),
            ("t0ken-of-c", "This token is that of no client."),
            ("t0ken-of-ci2", "This token is that of no client."),
            ("é", "This token is that of no client."),
        ],
    )
    def test_whoever_has_no_token_is_refused(self, site: Site, token: str | None, why: str) -> None:
        answer = site.push(token=token)
        assert refused(answer) == (401, why)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert site.kept() == []

    @pytest.mark.parametrize("header", ["t0ken-of-ci", "Basic t0ken-of-ci", "Bearert0ken-of-ci", "Token t0ken-of-ci"])
    def test_another_scheme_is_none(self, site: Site, header: str) -> None:
        assert site.push(token=None, Authorization=header).status_code == 401

    @pytest.mark.parametrize("header", ["bearer t0ken-of-ci", "BEARER   t0ken-of-ci "])
    def test_the_scheme_may_be_written_in_any_way(self, site: Site, header: str) -> None:
        assert site.push(token=None, Authorization=header).status_code == 202

    def test_without_clients_the_policy_s_lack_is_named(self, site: Site) -> None:
        site.policy = policy({})
        assert refused(site.push()) == (
            401,
            "The policy names no clients; add one under clients, with a token and may: [push].",
        )

    def test_an_edited_policy_holds_at_once(self, site: Site) -> None:
        assert site.push().status_code == 202
        site.policy = policy({name: one for name, one in CLIENTS.items() if name != "ci"})
        assert site.push().status_code == 401

    def test_a_client_that_may_not_push(self, site: Site) -> None:
        assert refused(site.push(token="t0ken-of-reader")) == (
            403,
            "The policy does not let “reader” push; it needs may: [push].",
        )

    def test_one_model_that_is_not_its_own_refuses_all(self, site: Site) -> None:
        answer = site.push(reading(), reading(model="fraud"))
        assert refused(answer) == (403, "The policy does not let “ci” push readings of “fraud”.")
        assert site.kept() == []
        assert site.push(reading(model="fraud"), token="t0ken-of-scorer").status_code == 202

    def test_a_token_from_a_file(self, site: Site, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("from-a-file\n", encoding="utf-8")
        site.policy = policy({"filed": {"token_file": str(tmp_path / "token"), "may": ["push"]}})
        assert site.push(token="from-a-file").status_code == 202
        (tmp_path / "token").write_bytes(b"\xff")
        assert site.push(token="from-a-file").status_code == 401

    def test_a_token_that_two_clients_have_proves_nobody(self, site: Site) -> None:
        site.policy = policy({name: {"token_env": "TWIN", "may": ["push"]} for name in ("a", "b")})
        assert refused(site.push(token="twin")) == (401, "Several clients have this token; give each its own.")

    def test_no_answer_tells_a_token(self, site: Site) -> None:
        for answer in (site.push(token="wrong"), site.push(signed="wrong"), site.push(token="t0ken-of-reader")):
            assert "t0ken" not in answer.text + str(answer.headers)


class TestSignatures:
    def test_beside_a_token_it_has_to_hold(self, site: Site) -> None:
        assert site.push(signed="t0ken-of-ci").status_code == 202
        assert refused(site.push(signed="t0ken-of-scorer")) == (401, "The signature does not hold.")

    def test_alone_it_proves_whose_token_it_holds_with(self, site: Site) -> None:
        assert site.push(token=None, signed="t0ken-of-scorer").status_code == 202
        assert [one.client for one in site.kept()] == ["scorer"]
        assert refused(site.push(token=None, signed="another")) == (401, "The signature does not hold.")

    @pytest.mark.parametrize(("age", "status"), [(0, 202), (300, 202), (-300, 202), (301, 401), (-301, 401)])
    def test_it_is_good_for_five_minutes(self, site: Site, age: float, status: int) -> None:
        assert site.push(signed="t0ken-of-ci", at=NOW.timestamp() - age).status_code == status

    @pytest.mark.parametrize(
        "headers",
        [
            {"X_Registrar_Timestamp": "1777896000"},
            {"X_Registrar_Signature": "v1=" + "0" * 64},
            {"X_Registrar_Timestamp": "now", "X_Registrar_Signature": "v1=" + "0" * 64},
            {"X_Registrar_Timestamp": "٣", "X_Registrar_Signature": "v1=" + "0" * 64},
            {"X_Registrar_Timestamp": "1777896000", "X_Registrar_Signature": "v0=" + "0" * 64},
            {"X_Registrar_Timestamp": "1777896000", "X_Registrar_Signature": "é"},
            {"X_Registrar_Timestamp": "", "X_Registrar_Signature": ""},
        ],
    )
    def test_half_a_signature_is_refused_also_beside_a_token(self, site: Site, headers: dict[str, Any]) -> None:
        assert refused(site.push(**headers)) == (
            401,
            "A signature takes X-Registrar-Timestamp, in seconds, and X-Registrar-Signature: v1=….",
        )

    def test_another_body_or_time_breaks_it(self, site: Site) -> None:
        body = json.dumps({"source": "live", "readings": [reading()]}).encode()
        stamp = int(NOW.timestamp())
        headers = {
            "X-Registrar-Timestamp": str(stamp),
            "X-Registrar-Signature": signature("t0ken-of-ci", str(stamp), body),
        }
        assert site.send(body.replace(b"0.91", b"0.92"), headers).status_code == 401
        assert site.send(body, headers | {"X-Registrar-Timestamp": str(stamp + 1)}).status_code == 401
        assert site.send(body, headers).status_code == 202

    def test_a_source_can_insist_on_it(self, site: Site) -> None:
        assert refused(site.push(source="strict")) == (401, "The source “strict” takes only what is signed.")
        assert site.push(source="strict", signed="t0ken-of-ci").status_code == 202
        assert site.push(source="strict", signed="t0ken-of-ci", token=None).json() == {"accepted": 0, "duplicates": 1}

    def test_it_is_what_openssl_makes_of_time_dot_body(self) -> None:
        assert signature("secret", "1777896000", b"{}") == (
            "v1=fd386d0e63ce9038c73dd6f79a016fe9698adc7dd054bbbf9241def3fe8792ed"
        )


class TestBodies:
    @pytest.mark.parametrize("source", ["other", "prom", "mlflow", "Live", "\ud800", "x" * 999])
    def test_a_source_that_is_none(self, site: Site, source: str) -> None:
        status, why = refused(site.push(source=source))
        assert status == 404
        assert why.startswith("The policy has no source “")

    def test_a_source_that_is_set_up_wrongly_says_so(self, site: Site) -> None:
        assert refused(site.push(source="odd")) == (503, "sources.odd.require_signature: must be true or false.")

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"value": ...}, "readings.1.value: is missing."),
            ({"at": ...}, "readings.1.at: is missing."),
            ({"model": ...}, "readings.1.model: is missing."),
            ({"metric": ...}, "readings.1.metric: is missing."),
            ({"verison": 7}, "readings.1.verison: unknown key; known are model, version, metric, value, of, at."),
            ({"value": "0.9"}, "readings.1.value: must be a number."),
            ({"value": None}, "readings.1.value: must be a number."),
            ({"value": True}, "readings.1.value: must be a number."),
            ({"value": [1]}, "readings.1.value: must be a number."),
            *(
                ({"value": value}, "readings.1.value: must be a finite number; leave out what could not be measured.")
                for value in (float("nan"), float("inf"), float("-inf"), 10**400)
            ),
            *(({"of": of}, "readings.1.of: must be a number.") for of in ("340", True, [1])),
            ({"of": float("inf")}, "readings.1.of: must be a finite number; leave out what could not be measured."),
            ({"of": -1}, "readings.1.of: must be 0 or more."),
            *(
                ({"value": value, "of": of}, "readings.1.value: must be between 0 and the total (of).")
                for value, of in ((13, 12), (-1, 12), (0.5, 0))
            ),
            *(
                ({"version": version}, "readings.1.version: must be the number of a version, such as 7.")
                for version in (0, -1, 7.0, True, "seven", "", "1.2.0", 10**9, [7], "٣")
            ),
            *(
                ({"at": at}, "readings.1.at: must be a time with its zone, such as 2026-05-04T12:00:00Z.")
                for at in (1777896000, None, "now", "2026-05-04", "2026-05-04T11:00:00", "20260504T110000Z", "")
            ),
            ({"at": "2026-02-30T00:00:00Z"}, "readings.1.at: is no time."),
            ({"at": "2026-05-04T11:00:00+99:00"}, "readings.1.at: is no time."),
            ({"at": "0001-01-01T00:00:00+12:00"}, "readings.1.at: is no time."),
            ({"at": "1969-12-31T23:59:59Z"}, "readings.1.at: is before 1970."),
            ({"at": "2026-05-04T12:05:01Z"}, "readings.1.at: lies in the future."),
            ({"model": ""}, "readings.1.model: A model's name is missing."),
            ({"model": 7}, "readings.1.model: must be a text."),
            ({"model": " churn"}, "readings.1.model: has spaces around it."),
            (
                {"model": "a/b"},
                "readings.1.model: “a/b” is no model name: MLflow allows no slash, colon or control character.",
            ),
            ({"metric": ""}, "readings.1.metric: must be the name of a metric."),
            ({"metric": 7}, "readings.1.metric: must be the name of a metric."),
            *(
                (
                    {"metric": name},
                    "readings.1.metric: must be at most 250 characters that can be seen, without spaces around them.",
                )
                for name in ("x" * 251, " f1", "f\x001", "f\u202e1", "\ud800")
            ),
        ],
    )
    def test_a_fault_is_named_with_its_place_and_nothing_is_taken(
        self, site: Site, changes: dict[str, Any], why: str
    ) -> None:
        assert refused(site.push(reading(), reading(**changes))) == (422, why)
        assert site.kept() == []

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"source=live"])
    def test_what_is_no_json(self, site: Site, body: bytes) -> None:
        answer = site.send(body, {"Authorization": "Bearer t0ken-of-ci"})
        assert refused(answer) == (422, "The body is no JSON.")

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ([], "The body must be a JSON object with source and readings."),
            (None, "The body must be a JSON object with source and readings."),
            ({}, "source: the name of a source is missing. readings: a list of readings is missing."),
            (
                {"source": 1, "readings": {}},
                "source: the name of a source is missing. readings: a list of readings is missing.",
            ),
            ({"source": "live", "readings": [[]]}, "readings.0: must be an object."),
            (
                {"source": "live", "readings": [reading()], "reading": 1},
                "reading: unknown key; known are source, readings.",
            ),
        ],
    )
    def test_another_shape(self, site: Site, body: Any, why: str) -> None:
        answer = site.send(json.dumps(body).encode(), {"Authorization": "Bearer t0ken-of-ci"})
        assert refused(answer) == (422, why)

    def test_of_many_faults_some_are_named_and_the_rest_counted(self, site: Site) -> None:
        _, why = refused(site.push(*[reading(value=None)] * 8))
        assert why.endswith("readings.4.value: must be a number. And 3 more.")

    def test_too_many_and_too_long(self, site: Site) -> None:
        assert refused(site.push(*[reading()] * 1001)) == (
            413,
            "readings: 1001 are more than one call may hold (1000); send several calls.",
        )
        answer = site.send(b" " * (BODY_MOST + 1), {"Authorization": "Bearer t0ken-of-ci"})
        assert refused(answer) == (413, "The body is longer than 1,000,000 bytes; send several calls.")

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
    def test_another_type(self, site: Site, kind: str) -> None:
        assert refused(site.push(Content_Type=kind)) == (415, "Send the body as application/json.")

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
    def test_nothing_makes_it_stumble(self, body: Any) -> None:
        with pytest.raises(BadInput):
            parse_push(json.dumps(body).encode(), NOW)


class TestKeys:
    def test_the_same_again_gets_the_same_answer_and_inserts_nothing(self, either: Site) -> None:
        first = either.push(Idempotency_Key="k1")
        with either.ledger.write() as tx:
            tx.sweep(measurements=NOW, readings=NOW)  # even if the readings are gone meanwhile
        again = either.push(Idempotency_Key="k1")
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.json() == {"accepted": 1, "duplicates": 0}
        assert len(either.kept()) == 1

    def test_another_body_under_the_same_key_is_refused(self, either: Site) -> None:
        either.push(Idempotency_Key="k1")
        answer = either.push(reading(value=0.5, at="2026-05-04T11:00:00Z"), Idempotency_Key="k1")
        assert refused(answer) == (409, "This Idempotency-Key came with another body before.")
        assert len(either.kept()) == 1

    def test_a_key_is_its_client_s_own(self, site: Site) -> None:
        site.push(Idempotency_Key="k1")
        answer = site.push(reading(metric="f1"), token="t0ken-of-scorer", Idempotency_Key="k1")
        assert answer.json() == {"accepted": 1, "duplicates": 0}

    def test_a_refusal_uses_no_key_up(self, site: Site) -> None:
        assert site.push(reading(value=None), Idempotency_Key="k1").status_code == 422
        assert site.push(Idempotency_Key="k1").status_code == 202

    @pytest.mark.parametrize("key", ["", "x" * 201, "two words", "é"])
    def test_a_key_that_is_none(self, site: Site, key: str) -> None:
        assert refused(site.push(Idempotency_Key=key)) == (
            422,
            "Idempotency-Key must be 1 to 200 visible ASCII characters.",
        )

    @pytest.mark.parametrize("same", [True, False])
    def test_of_two_at_once_one_counts_and_both_hear_the_same(self, either: Site, same: bool) -> None:
        bodies = [reading(value=0.1), reading(value=0.1) if same else reading(value=0.2, metric="f1")]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda at: either.push(bodies[at % 2], Idempotency_Key="k"), range(8)))
        statuses = sorted(one.status_code for one in answers)
        assert statuses == ([202] * 8 if same else [202] * 4 + [409] * 4)
        assert {one.text for one in answers if one.status_code == 202} == {'{"accepted": 1, "duplicates": 0}'}
        assert len(either.kept()) + len(either.kept("f1")) == 1

    def test_one_that_was_faster_takes_back_what_this_one_wrote(self, site: Site) -> None:
        real = site.ledger

        class Late:
            """A ledger in which the other call's key shows up only when ours is written."""

            @contextmanager
            def write(self) -> Iterator[Writing]:
                site.ledger = real
                site.push(reading(metric="f1"), Idempotency_Key="k")
                with real.write() as tx:
                    tx.call = lambda client, key: None  # type: ignore[method-assign]
                    yield tx

        site.ledger = cast(Ledger, Late())
        assert site.push(Idempotency_Key="k").status_code == 409
        assert (site.kept(), len(site.kept("f1"))) == ([], 1)


class TestTrouble:
    def test_a_ledger_that_does_not_answer(self, site: Site) -> None:
        site.ledger = SqlLedger("sqlite:////nowhere/at/all/ledger.db")
        answer = site.push()
        assert refused(answer)[0] == 503
        assert answer.headers["retry-after"] == "5"
        assert refused(site.push(token="wrong"))[0] == 401

    def test_a_fault_of_ours_has_an_id_and_tells_nothing_else(self, site: Site) -> None:
        site.ledger = cast(Ledger, object())
        status, why = refused(site.push())
        assert status == 500
        assert "Tell whoever runs Registrar this id" in why
        assert "object" not in why

    def test_a_ledger_that_falls_silent_while_saving(self, site: Site) -> None:
        class Silent:
            @contextmanager
            def write(self) -> Iterator[Writing]:
                raise LedgerUnavailable("It fell silent.")
                yield

        site.ledger = cast(Ledger, Silent())
        assert refused(site.push()) == (503, "It fell silent.")


class TestRefusalsAreWrittenDown:
    def refusals(self, site: Site) -> list[tuple[str, str, str]]:
        found = [link.event for link in links(site.ledger, Tag.METRICS_REFUSED)]
        return [(str(line(one)), one.evidence["address"], one.origin) for one in found]

    def test_once_a_minute_for_each_address(self, site: Site) -> None:
        why = "? was refused: to push readings: This token is that of no client."
        for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
            site.send(b"{}", {"Authorization": "Bearer wrong"}, address=address)
        assert self.refusals(site) == [(why, "10.0.0.1", "api"), (why, "10.0.0.2", "api")]
        site.seconds = 60.0
        site.push(token="wrong")
        assert len(self.refusals(site)) == 3

    def test_once_a_minute_for_each_client(self, site: Site) -> None:
        for _ in range(3):
            site.push(token="t0ken-of-reader")
            site.push(reading(model="fraud"))
        assert [words for words, _, _ in self.refusals(site)] == [
            "reader was refused: to push readings: The policy does not let “reader” push; it needs may: [push].",
            "ci was refused: to push readings: The policy does not let “ci” push readings of “fraud”.",
        ]

    def test_many_addresses_do_not_flood_it(self, site: Site) -> None:
        for at in range(CALLERS_MOST + 20):
            site.send(b"{}", {}, address=f"10.0.{at // 256}.{at % 256}")
        assert len(self.refusals(site)) == CALLERS_MOST

    def test_what_is_only_wrong_is_not_written_down(self, site: Site) -> None:
        site.push(reading(value=None))
        site.push(source="other")
        assert self.refusals(site) == []


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """Serve the application on a socket, and give where."""
    with listen(Settings(REGISTRAR_PORT=0)) as listener:
        server = uvicorn.Server(uvicorn.Config(site.web, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield "http://{}:{}".format(*listener.getsockname())
        server.should_exit = True
        thread.join(timeout=10)


def test_the_example_of_the_docs_pushes(site: Site, address: str) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is ours
    site.now = datetime.now(UTC)  # by which the example signs
    answers = [scope["push"](address, "t0ken-of-ci", "strict", [reading()]) for _ in range(2)]
    assert answers == [{"accepted": 1, "duplicates": 0}] * 2
    assert len(site.kept(source="strict")) == 1


def get(site: Site, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(site.web)
        async with httpx.AsyncClient(transport=transport, base_url="http://registrar") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_openapi_describes_it(site: Site) -> None:
    described = get(site, "/openapi.json").json()
    operation = described["paths"]["/v1/metrics"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["readings"]["items"]["required"] == ["model", "metric", "value", "at"]
    assert {"202", "401", "403", "404", "409", "413", "415", "422", "503"} <= operation["responses"].keys()
    assert operation["security"] == [{"HTTPBearer": []}]
    assert "$ref" not in json.dumps(schema)
    assert get(site, "/docs").status_code == 200
    assert get(site, "/v1/metrics").status_code == 405
