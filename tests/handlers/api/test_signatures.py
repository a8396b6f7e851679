"""Signed calls: `v2=` covers the whole call and is accepted once."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.core.signing import sign_body, sign_call
from bot.ledger import SqlLedger
from tests.support.app.harness import audit_links
from tests.support.app.metrics_api import NOW, MetricsApi, policy, reading, refused

BODY = json.dumps({"source": "strict", "readings": [reading()]}).encode()
STAMP = str(int(NOW.timestamp()))
NONCE = "0123456789abcdef"
SIGNED: dict[str, Any] = {
    "method": "POST",
    "path": b"/v1/metrics",
    "nonce": NONCE,
    "timestamp": STAMP,
    "body": BODY,
}
USED = (
    401,
    "“ci” has already used this X-Registrar-Nonce. Use a new one for each call, even for a retry.",
)


def headers(token: str = "t0ken-of-ci", **changes: Any) -> dict[str, str]:
    """Return the headers of a call that's signed with these changes."""
    signed = SIGNED | changes
    return {
        "X-Registrar-Timestamp": signed["timestamp"],
        "X-Registrar-Nonce": signed["nonce"],
        "X-Registrar-Signature": sign_call(token, **signed),
    }


def push(api: MetricsApi, sent_to: str = "/v1/metrics", *, at: str = "10.0.0.1", **changes: Any) -> httpx2.Response:
    """Push a reading with a signature that has these changes."""
    return api.send(BODY, headers(**changes), path=sent_to, address=at)


def test_a_signed_call_is_accepted_without_a_token(either: MetricsApi) -> None:
    assert push(either).json() == {"accepted": 1, "duplicates": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "DELETE"},
        {"method": "post"},
        {"path": b"/v1/requests"},
        {"path": b"/v1/metrics?"},
        {"path": b"/v1/metrics?a=1"},
        {"body": BODY + b" "},
        {"token": "t0ken-of-nobody"},
    ],
)
def test_a_signature_of_another_call_is_refused(api: MetricsApi, changes: dict[str, Any]) -> None:
    assert refused(push(api, **changes)) == (401, "The signature isn't valid.")


@pytest.mark.parametrize("header", ["X-Registrar-Nonce", "X-Registrar-Timestamp"])
def test_another_nonce_or_timestamp_invalidates_the_signature(api: MetricsApi, header: str) -> None:
    changed = {"X-Registrar-Nonce": "f" * 16, "X-Registrar-Timestamp": str(int(STAMP) + 1)}[header]
    assert refused(api.send(BODY, headers() | {header: changed})) == (401, "The signature isn't valid.")


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("/v1/metrics?a=1&b=%20", b"/v1/metrics?a=1&b=%20"),
        ("/v1/m%65trics", b"/v1/m%65trics"),
    ],
)
def test_the_path_is_signed_as_it_is_sent(api: MetricsApi, sent: str, signed: bytes) -> None:
    assert push(api, sent, path=signed).status_code == 202


def test_a_decoded_path_is_another_path(api: MetricsApi) -> None:
    assert refused(push(api, "/v1/m%65trics")) == (401, "The signature isn't valid.")


class TestNonces:
    def test_a_call_is_accepted_once(self, either: MetricsApi) -> None:
        assert push(either).status_code == 202
        assert refused(push(either)) == USED

    def test_another_process_refuses_it_too(self, either: MetricsApi, ledger_url: str) -> None:
        push(either)
        other = SqlLedger(ledger_url, timeout=20)
        assert refused(push(MetricsApi(other))) == USED
        other.close()

    def test_another_path_or_body_needs_another_nonce(self, api: MetricsApi) -> None:
        push(api)
        assert refused(push(api, "/v1/metrics?a=1", path=b"/v1/metrics?a=1")) == USED

    def test_a_retry_with_a_new_nonce_and_the_same_key_gets_the_same_answer(self, api: MetricsApi) -> None:
        key = {"Idempotency-Key": "k1"}
        answers = [api.send(BODY, headers(nonce=nonce) | key) for nonce in ("n" * 16, "m" * 16)]
        assert [(one.status_code, one.json()["accepted"]) for one in answers] == [(202, 1)] * 2

    def test_each_client_has_its_own(self, api: MetricsApi) -> None:
        push(api)
        assert push(api, token="t0ken-of-scorer").status_code == 202

    def test_an_invalid_signature_does_not_use_one_up(self, api: MetricsApi) -> None:
        push(api, token="t0ken-of-nobody")
        assert push(api).status_code == 202

    @pytest.mark.parametrize("age", [-300, 300])
    def test_one_is_kept_as_long_as_its_signature_is_valid(self, either: MetricsApi, age: int) -> None:
        stamp = str(int(STAMP) - age)
        push(either, timestamp=stamp)
        either.now = NOW + timedelta(seconds=300 - age)
        with either.ledger.write() as tx:
            tx.purge(measurements_before=NOW, readings_before=NOW, now=either.now)
        assert refused(push(either, timestamp=stamp)) == USED

    def test_a_replay_is_recorded_as_a_stranger_s(self, api: MetricsApi) -> None:
        push(api)
        push(api, at="10.6.6.6")
        [event] = [link.event for link in audit_links(api.ledger, EventTag.METRICS_REFUSED)]
        assert (event.actor.name, event.evidence["address"]) == ("?", "10.6.6.6")  # type: ignore[union-attr]

    def test_a_call_whose_nonce_cannot_be_stored_is_not_accepted(
        self, api: MetricsApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> Any:
            raise LedgerUnavailable("The ledger isn't responding.")

        with monkeypatch.context() as patch:
            patch.setattr(api, "write", fail)
            assert push(api).status_code == 503
        assert push(api).status_code == 202


class TestDowngrades:
    def test_a_v1_signature_with_a_nonce_is_refused(self, api: MetricsApi) -> None:
        mixed = headers() | {"X-Registrar-Signature": sign_body("t0ken-of-ci", STAMP, BODY)}
        assert api.send(BODY, mixed).status_code == 401

    def test_a_v2_signature_renamed_to_v1_is_refused(self, api: MetricsApi) -> None:
        value = headers()["X-Registrar-Signature"].replace("v2=", "v1=")
        renamed = {"X-Registrar-Timestamp": STAMP, "X-Registrar-Signature": value}
        assert refused(api.send(BODY, renamed)) == (401, "The signature isn't valid.")

    @pytest.mark.parametrize("is_first", [True, False])
    def test_two_signatures_are_refused(self, api: MetricsApi, is_first: bool) -> None:
        old = ("X-Registrar-Signature", sign_body("t0ken-of-ci", STAMP, BODY))
        sent = [*headers().items()]
        sent = [old, *sent] if is_first else [*sent, old]
        assert api.send(BODY, sent).status_code == 401

    def test_pushes_can_be_signed_with_v1_without_a_warning(
        self, api: MetricsApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = api.push(token=None, signed="t0ken-of-ci")
        assert (answer.status_code, "deprecation" in answer.headers, caplog.text) == (202, False, "")


def test_a_client_without_the_right_still_gets_its_refusal(api: MetricsApi) -> None:
    api.policy = policy({"ci": {"token_env": "CI", "may": ["read"]}})
    assert push(api).status_code == 403


def test_the_signature_matches_openssl_s_hmac() -> None:
    signed = b"\n".join([b"POST", b"/v1/requests?a=1", NONCE.encode(), b"1777896000", b'{"a":\n1}'])
    command = ["openssl", "dgst", "-sha256", "-hmac", "secret", "-r"]
    expected = subprocess.run(command, input=signed, capture_output=True, check=True).stdout.decode().split()[0]
    assert (
        sign_call(
            "secret",
            method="POST",
            path=b"/v1/requests?a=1",
            nonce=NONCE,
            timestamp="1777896000",
            body=b'{"a":\n1}',
        )
        == f"v2={expected}"
    )


LINES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=4)
CALLS = st.fixed_dictionaries(
    {
        "method": LINES,
        "path": LINES.map(str.encode),
        "nonce": LINES,
        "timestamp": LINES,
        "body": st.binary(max_size=8) | LINES.map(lambda line: f"{line}\n{line}".encode()),
    }
)


@given(CALLS, CALLS)
def test_no_two_calls_are_signed_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (sign_call("s", **one) == sign_call("s", **other)) is (one == other)
