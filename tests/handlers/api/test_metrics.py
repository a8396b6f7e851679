"""Readings pushed over HTTP: permissions, validation, and that nothing is stored twice or partly."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from bot.domain.audit.events import Event, EventTag
from bot.domain.audit.messages import describe_event
from bot.domain.core.actors import Client
from bot.domain.core.signing import sign_body
from bot.settings import Settings
from handlers.api.refusals import MAX_REFUSED_ADDRESSES
from handlers.startup_checks import open_listener
from tests.support.app.harness import audit_links
from tests.support.app.metrics_api import CLIENTS, NOW, MetricsApi, policy, reading, refused
from tests.support.paths import ROOT


class TestAccepting:
    def test_readings_are_stored_and_counted(self, either: MetricsApi) -> None:
        answer = either.push(reading(), reading(at="2026-05-04T13:58:30.25+02:00", version=..., value=1))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "duplicates": 0})
        assert [(one.version, one.at, one.value, one.received_at, one.client) for one in either.kept()] == [
            (0, datetime(2026, 5, 4, 11, 58, 30, 250_000, tzinfo=UTC), 1.0, NOW, "ci"),
            (7, datetime(2026, 5, 4, 11, 59, tzinfo=UTC), 0.91, NOW, "ci"),
        ]

    def test_a_repeated_reading_is_a_duplicate_and_the_first_value_stays(self, either: MetricsApi) -> None:
        either.push()
        answer = either.push(reading(value=0.5), reading(at="2026-05-04T11:00:00Z"))
        assert answer.json() == {"accepted": 1, "duplicates": 1}
        assert sorted(one.value for one in either.kept()) == [0.91, 0.91]

    def test_a_thousand_readings_are_accepted(self, api: MetricsApi) -> None:
        many = [reading(at=f"2026-05-04T11:{at // 60:02}:{at % 60:02}Z") for at in range(1000)]
        assert api.push(*many).json() == {"accepted": 1000, "duplicates": 0}

    @pytest.mark.parametrize(
        ("value", "of"),
        [(12, 340), (0, 0), (1.5, 1.5), (0.91, None), (0.91, ...)],
        ids=["a count", "nothing counted", "not whole", "null", "left out"],
    )
    def test_a_count_is_stored_as_pushed(self, either: MetricsApi, value: float, of: Any) -> None:
        assert either.push(reading(value=value, of=of)).status_code == 202
        total = of if isinstance(of, int | float) else None
        assert [(one.value, one.total) for one in either.kept()] == [(value, total)]

    @pytest.mark.parametrize("version", [7, "7", "v7", "V007"])
    def test_a_version_can_be_a_number_or_a_string(self, api: MetricsApi, version: int | str) -> None:
        api.push(reading(version=version))
        assert [one.version for one in api.kept()] == [7]

    def test_an_unknown_model_is_accepted(self, api: MetricsApi) -> None:
        assert api.push(reading(model="churn of tomorrow")).status_code == 202

    def test_the_source_push_needs_no_definition(self, api: MetricsApi) -> None:
        assert api.push(source="push").status_code == 202

    def test_a_later_date_in_another_time_zone_is_not_in_the_future(self, api: MetricsApi) -> None:
        assert api.push(reading(at="2026-05-05T01:30:00+13:30")).status_code == 202

    @pytest.mark.parametrize("kind", ["application/json", "application/JSON; charset=utf-8"])
    def test_json_content_types_are_accepted(self, api: MetricsApi, kind: str) -> None:
        assert api.push(Content_Type=kind).status_code == 202


class TestCallers:
    @pytest.mark.parametrize(
        ("token", "why"),
        [
            (None, "Missing client token. Send it as Authorization: Bearer …."),
            ("", "This token doesn't belong to a client in the policy."),
            ("t0ken-of-c", "This token doesn't belong to a client in the policy."),
            ("t0ken-of-ci2", "This token doesn't belong to a client in the policy."),
            ("é", "This token doesn't belong to a client in the policy."),
        ],
    )
    def test_a_call_without_a_valid_token_is_refused(self, api: MetricsApi, token: str | None, why: str) -> None:
        answer = api.push(token=token)
        assert refused(answer) == (401, why)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert api.kept() == []

    @pytest.mark.parametrize("header", ["t0ken-of-ci", "Basic t0ken-of-ci", "Bearert0ken-of-ci", "Token t0ken-of-ci"])
    def test_another_scheme_is_refused(self, api: MetricsApi, header: str) -> None:
        assert api.push(token=None, Authorization=header).status_code == 401

    @pytest.mark.parametrize("header", ["bearer t0ken-of-ci", "BEARER   t0ken-of-ci "])
    def test_the_scheme_is_case_insensitive(self, api: MetricsApi, header: str) -> None:
        assert api.push(token=None, Authorization=header).status_code == 202

    def test_a_policy_without_clients_is_reported(self, api: MetricsApi) -> None:
        api.policy = policy({})
        assert refused(api.push()) == (
            401,
            "The policy has no clients. Add one under clients, with a token and may: [push].",
        )

    def test_an_edited_policy_applies_immediately(self, api: MetricsApi) -> None:
        assert api.push().status_code == 202
        api.policy = policy({name: one for name, one in CLIENTS.items() if name != "ci"})
        assert api.push().status_code == 401

    def test_a_client_without_the_right_to_push_is_refused(self, api: MetricsApi) -> None:
        assert refused(api.push(token="t0ken-of-reader")) == (
            403,
            "The policy doesn't let “reader” push. Add may: [push] to the client.",
        )

    def test_one_forbidden_model_refuses_all_readings(self, api: MetricsApi) -> None:
        answer = api.push(reading(), reading(model="fraud"))
        assert refused(answer) == (403, "The policy doesn't let “ci” push readings for “fraud”.")
        assert api.kept() == []
        assert api.push(reading(model="fraud"), token="t0ken-of-scorer").status_code == 202

    def test_a_token_can_come_from_a_file(self, api: MetricsApi, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("from-a-file\n", encoding="utf-8")
        api.policy = policy({"filed": {"token_file": str(tmp_path / "token"), "may": ["push"]}})
        assert api.push(token="from-a-file").status_code == 202
        (tmp_path / "token").write_bytes(b"\xff")
        assert api.push(token="from-a-file").status_code == 401

    def test_a_token_shared_by_two_clients_is_refused(self, api: MetricsApi) -> None:
        api.policy = policy({name: {"token_env": "TWIN", "may": ["push"]} for name in ("a", "b")})
        assert refused(api.push(token="twin")) == (401, "Several clients share this token. Give each client its own.")

    def test_no_response_contains_a_token(self, api: MetricsApi) -> None:
        for answer in (api.push(token="wrong"), api.push(signed="wrong"), api.push(token="t0ken-of-reader")):
            assert "t0ken" not in answer.text + str(answer.headers)


class TestSignatures:
    def test_a_signature_with_a_token_must_be_valid(self, api: MetricsApi) -> None:
        assert api.push(signed="t0ken-of-ci").status_code == 202
        assert refused(api.push(signed="t0ken-of-scorer")) == (401, "The signature isn't valid.")

    def test_a_signature_alone_identifies_the_client(self, api: MetricsApi) -> None:
        assert api.push(token=None, signed="t0ken-of-scorer").status_code == 202
        assert [one.client for one in api.kept()] == ["scorer"]
        assert refused(api.push(token=None, signed="another")) == (401, "The signature isn't valid.")

    @pytest.mark.parametrize(("age", "status"), [(0, 202), (300, 202), (-300, 202), (301, 401), (-301, 401)])
    def test_a_signature_is_valid_for_five_minutes(self, api: MetricsApi, age: float, status: int) -> None:
        assert api.push(signed="t0ken-of-ci", at=NOW.timestamp() - age).status_code == status

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
            {"X_Registrar_Timestamp": "1777896000", "X_Registrar_Signature": "v2=" + "0" * 64},
            {"X_Registrar_Nonce": "0123456789abcdef"},
            {
                "X_Registrar_Timestamp": "1777896000",
                "X_Registrar_Signature": "v2=" + "0" * 64,
                "X_Registrar_Nonce": "0123456789abcde",
            },
            {
                "X_Registrar_Timestamp": "1777896000",
                "X_Registrar_Signature": "v2=" + "0" * 64,
                "X_Registrar_Nonce": "x" * 129,
            },
            {
                "X_Registrar_Timestamp": "1777896000",
                "X_Registrar_Signature": "v2=" + "0" * 64,
                "X_Registrar_Nonce": "0123456789 abcdef",
            },
        ],
    )
    def test_an_incomplete_signature_is_refused_even_with_a_token(
        self, api: MetricsApi, headers: dict[str, Any]
    ) -> None:
        assert refused(api.push(**headers)) == (
            401,
            "A signed call needs X-Registrar-Timestamp (in Unix seconds), X-Registrar-Nonce, and "
            "X-Registrar-Signature: v2=…. The nonce must be 16 to 128 visible ASCII characters.",
        )

    def test_another_body_or_timestamp_invalidates_the_signature(self, api: MetricsApi) -> None:
        body = json.dumps({"source": "live", "readings": [reading()]}).encode()
        stamp = int(NOW.timestamp())
        headers = {
            "X-Registrar-Timestamp": str(stamp),
            "X-Registrar-Signature": sign_body("t0ken-of-ci", str(stamp), body),
        }
        assert api.send(body.replace(b"0.91", b"0.92"), headers).status_code == 401
        assert api.send(body, headers | {"X-Registrar-Timestamp": str(stamp + 1)}).status_code == 401
        assert api.send(body, headers).status_code == 202

    def test_a_source_can_require_a_signature(self, api: MetricsApi) -> None:
        assert refused(api.push(source="strict")) == (401, "The source “strict” accepts only signed readings.")
        assert api.push(source="strict", signed="t0ken-of-ci").status_code == 202
        assert api.push(source="strict", signed="t0ken-of-ci", token=None).json() == {"accepted": 0, "duplicates": 1}

    def test_the_signature_matches_openssl_s_hmac(self) -> None:
        assert sign_body("secret", "1777896000", b"{}") == (
            "v1=fd386d0e63ce9038c73dd6f79a016fe9698adc7dd054bbbf9241def3fe8792ed"
        )


class TestRefusalsAreRecorded:
    def recorded(self, api: MetricsApi) -> list[Event]:
        return [link.event for link in audit_links(api.ledger, EventTag.METRICS_REFUSED)]

    def refusals(self, api: MetricsApi) -> list[tuple[str, str, str]]:
        return [(str(describe_event(one)), one.evidence["address"], one.origin) for one in self.recorded(api)]

    def test_once_a_minute_for_each_address(self, api: MetricsApi) -> None:
        why = "? wasn't allowed to push readings: This token doesn't belong to a client in the policy."
        for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
            api.send(b"{}", {"Authorization": "Bearer wrong"}, address=address)
        assert self.refusals(api) == [(why, "10.0.0.1", "api"), (why, "10.0.0.2", "api")]
        api.seconds = 60.0
        api.push(token="wrong")
        assert len(self.refusals(api)) == 3

    def test_once_a_minute_for_each_client(self, api: MetricsApi) -> None:
        for _ in range(3):
            api.push(token="t0ken-of-reader")
            api.push(reading(model="fraud"))
        assert [words for words, _, _ in self.refusals(api)] == [
            "reader wasn't allowed to push readings: The policy doesn't let “reader” push. "
            "Add may: [push] to the client.",
            "ci wasn't allowed to push readings: The policy doesn't let “ci” push readings for “fraud”.",
        ]

    def strangers(self, api: MetricsApi, count: int) -> None:
        for at in range(count):
            api.send(b"{}", {}, address=f"10.0.{at // 256}.{at % 256}")

    def test_many_addresses_do_not_flood_the_audit_log(self, api: MetricsApi) -> None:
        self.strangers(api, MAX_REFUSED_ADDRESSES + 20)
        assert len(self.recorded(api)) == MAX_REFUSED_ADDRESSES + 1

    def test_strangers_do_not_keep_a_client_s_refusal_out(self, api: MetricsApi) -> None:
        self.strangers(api, MAX_REFUSED_ADDRESSES)
        api.push(token="t0ken-of-reader")
        assert self.recorded(api)[-1].actor == Client("reader")

    def test_clients_do_not_keep_a_stranger_s_refusal_out(self, api: MetricsApi) -> None:
        names = [f"c{at}" for at in range(MAX_REFUSED_ADDRESSES)]
        api.environ |= {name: f"t0ken-of-{name}" for name in names}
        api.policy = policy({name: {"token_env": name} for name in names})
        for name in names:
            api.push(token=f"t0ken-of-{name}")
        api.push(token="wrong")
        assert self.recorded(api)[-1].actor == Client("?")

    @pytest.mark.parametrize(
        ("addresses", "count"),
        [
            (["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:1::"], 1),
            (["2001:db8::1", "2001:db8:0:1::1"], 2),
            (["::ffff:10.0.0.1", "10.0.0.1"], 1),
            (["::ffff:10.0.0.1", "::ffff:10.0.0.2"], 2),
            (["fe80::1%eth0", "fe80::2%eth1"], 1),
            (["", "a socket"], 2),
        ],
    )
    def test_an_ipv6_network_counts_as_one_address(self, api: MetricsApi, addresses: list[str], count: int) -> None:
        for address in addresses:
            api.send(b"{}", {}, address=address)
        assert len(self.recorded(api)) == count

    def test_what_is_not_recorded_is_counted_and_reported_once_a_minute(self, api: MetricsApi) -> None:
        self.strangers(api, MAX_REFUSED_ADDRESSES + 5)
        api.seconds = 60.0
        self.strangers(api, 2)
        first, last = [one for one in self.recorded(api) if "unrecorded" in one.evidence]
        assert (first.evidence, last.evidence) == ({"unrecorded": 1}, {"unrecorded": 4})
        assert str(describe_event(last)) == (
            "? wasn't allowed to push readings: 4 more refusals from other addresses. "
            "Only 100 addresses are recorded per minute."
        )

    def test_a_repeated_refusal_is_not_counted(self, api: MetricsApi) -> None:
        self.strangers(api, MAX_REFUSED_ADDRESSES)
        self.strangers(api, MAX_REFUSED_ADDRESSES)
        assert len(self.recorded(api)) == MAX_REFUSED_ADDRESSES

    def test_invalid_input_is_not_recorded(self, api: MetricsApi) -> None:
        api.push(reading(value=None))
        api.push(source="other")
        assert self.refusals(api) == []


@pytest.fixture
def address(api: MetricsApi) -> Iterator[str]:
    """Serve the application on a socket, and yield its address."""
    with open_listener(Settings(REGISTRAR_PORT=0)) as listener:
        server = uvicorn.Server(uvicorn.Config(api.web, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield "http://{}:{}".format(*listener.getsockname())
        server.should_exit = True
        thread.join(timeout=10)


def test_the_docs_example_makes_signed_calls(api: MetricsApi, address: str) -> None:
    page = (ROOT / "docs" / "reference/api.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is ours
    api.now = datetime.now(UTC)  # by which the example signs
    url, body = f"{address}/v1/metrics?from=docs%20page", {"source": "strict", "readings": [reading()]}
    answers = [scope["call"]("POST", url, "t0ken-of-ci", body, **{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert answers == [{"accepted": 1, "duplicates": 0}] * 2
    assert len(api.kept(source="strict")) == 1


def get(api: MetricsApi, path: str) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(api.web)
        async with httpx2.AsyncClient(transport=transport, base_url="http://registrar") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_openapi_describes_the_call(api: MetricsApi) -> None:
    described = get(api, "/openapi.json").json()
    operation = described["paths"]["/v1/metrics"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["readings"]["items"]["required"] == ["model", "metric", "value", "at"]
    assert {"202", "401", "403", "404", "409", "413", "415", "422", "503"} <= operation["responses"].keys()
    assert operation["security"] == [{"HTTPBearer": []}]
    assert "$ref" not in json.dumps(schema)
    assert get(api, "/docs").status_code == 200
    assert get(api, "/v1/metrics").status_code == 405
