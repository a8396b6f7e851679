"""CI jobs authenticate with ID tokens: which ones are accepted, and how their issuer's keys are fetched and cached."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import OctKey

from bot import id_tokens
from bot.id_tokens import FETCH_PAUSE, KEYS_LIFETIME, REFRESH_AFTER
from tests.support.app.metrics_api import CLIENTS, NOW, MetricsApi, policy, refused
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.network.oidc_issuer import DISCOVERY, KEYS, OidcIssuer, make_key

SIGNATURE_INVALID = (401, "The ID token's signature isn't valid.")
NOT_RESPONDING = (503, "The issuer of the ID token isn't responding. Try again in a moment.")
NO_SUCH_KEY = (401, "The issuer doesn't publish the ID token's key.")
USED = (401, "This ID token has already been used for a change. Get a new one for each change.")


@pytest.fixture
def issuer(api: MetricsApi) -> Iterator[OidcIssuer]:
    """Yield an issuer by the API's clock, with a client for its jobs in the policy."""
    with run_receiver(OidcIssuer(lambda: api.now)) as issuer:
        assert isinstance(issuer, OidcIssuer)
        api.policy = job_policy(issuer)
        yield issuer


def job_policy(issuer: OidcIssuer, **more: Any) -> Any:
    claims = more.pop("claims", {"repository": "acme/churn", "ref": ["refs/heads/main", "refs/tags/*"]})
    identity = {"issuer": issuer.url, "audience": "registrar", "claims": claims}
    return policy(CLIENTS | {"job": {"oidc": identity, "may": ["push"]}} | more)


def push(api: MetricsApi, token: str, **more: Any) -> tuple[int, str]:
    """Push a reading with this token; return the status, and the error's sentence."""
    answer = api.push(token=token, **more)
    return answer.status_code, answer.json().get("error", "")


class TestAccepting:
    @pytest.mark.parametrize(
        ("kind", "alg"),
        [
            ("RSA", "RS256"),
            ("RSA", "RS512"),
            ("RSA", "PS384"),
            ("P-256", "ES256"),
            ("P-521", "ES512"),
            ("Ed25519", "Ed25519"),
        ],
    )
    def test_a_job_of_the_repository_is_the_client(
        self, api: MetricsApi, issuer: OidcIssuer, kind: str, alg: str
    ) -> None:
        issuer.keys = [key := make_key(kind)]
        assert api.push(token=issuer.sign(key=key, alg=alg)).status_code == 202
        assert [one.client for one in api.kept()] == ["job"]

    def test_static_tokens_still_work(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert api.push(token="t0ken-of-ci").status_code == 202
        assert issuer.got == []

    def test_one_of_several_audiences_is_enough(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert api.push(token=issuer.sign({"aud": ["other", "registrar"]})).status_code == 202

    @pytest.mark.parametrize("change", [{"iat": 60, "nbf": 60}, {"exp": -59}])
    def test_clocks_can_differ_by_a_minute(self, api: MetricsApi, issuer: OidcIssuer, change: dict[str, int]) -> None:
        times = {name: int(NOW.timestamp()) + seconds for name, seconds in change.items()}
        assert api.push(token=issuer.sign(times)).status_code == 202

    def test_numbers_and_booleans_compare_as_in_json(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        api.policy = job_policy(issuer, claims={"repository_id": "12", "protected": "true"})
        assert api.push(token=issuer.sign({"repository_id": 12, "protected": True})).status_code == 202


class TestClaims:
    @pytest.mark.parametrize(
        ("claims", "names"),
        [
            ({"repository": "acme/other"}, "repository"),
            ({"repository": "mallory/acme/churn"}, "repository"),
            ({"repository": "acme/churn\n"}, "repository"),
            ({"repository": ["acme/churn"]}, "repository"),
            ({"repository": ...}, "repository"),
            ({"ref": "refs/heads/main2"}, "ref"),
            ({"ref": "refs/tags/a/b"}, "ref"),
            ({"aud": "registrar2"}, "aud"),
            ({"aud": ["registrar2", "sts"]}, "aud"),
            ({"aud": ...}, "aud"),
        ],
    )
    def test_another_value_is_refused(
        self, api: MetricsApi, issuer: OidcIssuer, claims: dict[str, Any], names: str
    ) -> None:
        assert push(api, issuer.sign(claims)) == (401, f"No client in the policy matches this ID token's {names}.")
        assert api.kept() == []

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"exp": -61}, "The ID token has expired."),
            ({"exp": ...}, "The ID token's exp isn't valid."),
            ({"exp": "never"}, "The ID token's exp isn't valid."),
            ({"iat": ...}, "The ID token's iat isn't valid."),
            ({"iat": 61}, "The ID token's iat isn't valid."),
            ({"nbf": 61}, "The ID token's nbf isn't valid."),
            ({"exp": 86_401}, "The ID token is valid for more than 24 hours."),
            ({"exp": 10**400}, "The ID token is valid for more than 24 hours."),
        ],
    )
    def test_another_time_is_refused(
        self, api: MetricsApi, issuer: OidcIssuer, changes: dict[str, Any], sentence: str
    ) -> None:
        now = int(NOW.timestamp())
        times = {name: now + value if isinstance(value, int) else value for name, value in changes.items()}
        assert push(api, issuer.sign(times)) == (401, sentence)

    def test_a_token_that_matches_two_clients_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        twin = {"issuer": issuer.url, "audience": "registrar", "claims": {"repository": "acme/*"}}
        api.policy = job_policy(issuer, twin={"oidc": twin, "may": ["push"]})
        assert push(api, issuer.sign()) == (
            401,
            "Several clients match this ID token. Make the claims of each client different.",
        )

    def test_a_right_that_the_client_does_not_have_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        identity = {"issuer": issuer.url, "audience": "registrar", "claims": {"repository": "acme/churn"}}
        api.policy = policy({"job": {"oidc": identity, "may": ["read"]}})
        assert push(api, issuer.sign())[0] == 403

    def test_a_removed_client_is_refused_immediately(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        api.policy = policy(CLIENTS)
        assert push(api, issuer.sign()) == (401, "This token doesn't belong to a client in the policy.")
        assert issuer.got == []

    def test_a_call_with_an_id_token_cannot_also_be_signed(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert push(api, issuer.sign(), signed="t0ken-of-ci") == (401, "A call with an ID token can't also be signed.")

    def test_a_source_that_requires_signatures_refuses_it(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert push(api, issuer.sign(), source="strict")[0] == 401


class TestForgedTokens:
    def test_another_key_with_the_same_id_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert push(api, issuer.sign(key=make_key("RSA", "first", x="forged"))) == SIGNATURE_INVALID

    def test_alg_none_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        header, payload, _ = issuer.sign().split(".")
        none = encode({"alg": "none", "kid": "first"})
        assert push(api, f"{none}.{payload}.") == SIGNATURE_INVALID
        assert push(api, f"{header}.{payload}.") == SIGNATURE_INVALID

    def test_the_public_key_as_a_shared_secret_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        secret = make_key().as_pem(private=False)  # type: ignore[union-attr]
        signed = f"{encode({'alg': 'HS256', 'kid': 'first'})}.{issuer.sign().split('.')[1]}"
        assert push(api, f"{signed}.{to_base64(hmac.digest(secret, signed.encode(), 'sha256'))}") == SIGNATURE_INVALID

    @pytest.mark.parametrize("header", ["jku", "x5u"])
    def test_an_address_for_keys_in_the_token_is_refused_and_never_called(
        self, api: MetricsApi, issuer: OidcIssuer, header: str
    ) -> None:
        with run_receiver() as elsewhere:
            assert push(api, issuer.sign(header={header: f"{elsewhere.url}/keys"})) == SIGNATURE_INVALID
            assert elsewhere.got == []

    @pytest.mark.parametrize("kid", ["own", "first"])
    def test_a_key_in_the_token_is_refused(self, api: MetricsApi, issuer: OidcIssuer, kid: str) -> None:
        own = make_key("P-256", "own")
        header = {"jwk": own.as_dict(private=False), "kid": kid}
        assert push(api, issuer.sign(key=own, alg="ES256", header=header)) == SIGNATURE_INVALID

    @pytest.mark.parametrize("header", [{"x5c": ["MIIB"]}, {"crit": ["kid"]}, {"cty": "JWT"}])
    def test_an_unexpected_header_is_refused_even_with_a_valid_signature(
        self, api: MetricsApi, issuer: OidcIssuer, header: dict[str, Any]
    ) -> None:
        assert push(api, issuer.sign(header=header)) == SIGNATURE_INVALID

    @pytest.mark.parametrize(
        ("member", "alg"),
        [({"use": "enc"}, "RS256"), ({"alg": "RS512"}, "RS256"), ({"key_ops": ["encrypt"]}, "RS256"), ({}, "ES256")],
    )
    def test_a_key_for_another_purpose_is_refused(
        self, api: MetricsApi, issuer: OidcIssuer, member: dict[str, Any], alg: str
    ) -> None:
        issuer.keys = [make_key().as_dict(private=False) | member]
        signer = make_key("P-256") if alg == "ES256" else make_key()
        assert push(api, issuer.sign(key=signer, alg=alg)) == SIGNATURE_INVALID

    def test_a_symmetric_key_that_the_issuer_publishes_is_never_used(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        issuer.keys = [{"kty": "oct", "kid": "first", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2g"}]
        secret = OctKey.import_key(issuer.keys[0])
        assert push(api, issuer.sign(key=secret, alg="HS256")) == NO_SUCH_KEY

    @pytest.mark.parametrize("header", [{"crit": 1}, {"alg": []}, {"alg": None}, {"kid": {}}])
    def test_a_header_of_another_type_is_refused(
        self, api: MetricsApi, issuer: OidcIssuer, header: dict[str, Any]
    ) -> None:
        claims, _, signature = issuer.sign().partition(".")[2].partition(".")
        token = f"{encode({'alg': 'RS256', 'kid': 'x'} | header)}.{claims}.{signature}"
        assert push(api, token)[0] == 401

    @pytest.mark.parametrize("token", ["a.b.c", "..", "e30.e30.e30", "é.é.é", "W10.W10.", f"e30.{'W' * 2000}.e30"])
    def test_a_malformed_token_is_refused_like_an_unknown_one(
        self, api: MetricsApi, issuer: OidcIssuer, token: str
    ) -> None:
        assert push(api, token) == (401, "This token doesn't belong to a client in the policy.")
        assert issuer.got == []

    def test_an_issuer_outside_the_policy_is_never_called(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        with run_receiver(OidcIssuer(lambda: api.now)) as stranger:
            assert isinstance(stranger, OidcIssuer)
            assert push(api, stranger.sign()) == (401, "This token doesn't belong to a client in the policy.")
            assert (stranger.got, issuer.got) == ([], [])


class TestReplays:
    def test_a_token_makes_one_change(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        token = issuer.sign()
        assert push(api, token)[0] == 202
        assert push(api, token) == USED

    def test_a_token_with_the_same_id_makes_no_second_change(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert push(api, issuer.sign({"jti": "same"}))[0] == 202
        assert push(api, issuer.sign({"jti": "same", "sub": "other"})) == USED

    def test_a_token_without_an_id_makes_one_change_however_its_signature_is_written(
        self, api: MetricsApi, issuer: OidcIssuer
    ) -> None:
        issuer.keys = [key := make_key("P-256")]
        token = issuer.sign({"jti": ...}, key=key, alg="ES256")
        assert push(api, token)[0] == 202
        assert push(api, token) == USED
        assert push(api, f"{token}==")[0] == 401
        assert push(api, other_signature(token)) == USED

    def test_a_refused_call_does_not_use_up_the_token(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        token, admitted = issuer.sign(), api.policy
        api.policy = job_policy(issuer, claims={"repository": "acme/other"})
        assert push(api, token)[0] == 401
        api.policy = admitted
        assert push(api, token)[0] == 202

    def test_another_process_refuses_a_used_token(self, either: MetricsApi) -> None:
        with run_receiver(OidcIssuer(lambda: either.now)) as issuer:
            assert isinstance(issuer, OidcIssuer)
            other = MetricsApi(either.ledger)
            either.policy = other.policy = job_policy(issuer)
            token = issuer.sign()
            assert [push(either, token)[0], push(other, token)] == [202, USED]

    def test_two_calls_at_once_make_one_change(self, either: MetricsApi) -> None:
        with run_receiver(OidcIssuer(lambda: either.now)) as issuer:
            assert isinstance(issuer, OidcIssuer)
            either.policy = job_policy(issuer)
            assert push(either, issuer.sign())[0] == 202  # the keys are cached
            token, answers = issuer.sign(), list[int]()
            calls = [threading.Thread(target=lambda: answers.append(push(either, token)[0])) for _ in range(4)]
            for call in calls:
                call.start()
            for call in calls:
                call.join()
            assert sorted(answers) == [202, 401, 401, 401]


class TestKeys:
    def test_keys_are_fetched_once(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        for _ in range(3):
            assert push(api, issuer.sign())[0] == 202
        assert issuer.paths() == [DISCOVERY, KEYS]

    def test_a_new_key_works_without_waiting_for_the_cache(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        push(api, issuer.sign())
        issuer.keys.append(second := make_key("P-256", "second"))
        api.seconds = FETCH_PAUSE
        assert push(api, issuer.sign(key=second, alg="ES256"))[0] == 202

    def test_a_removed_key_stops_working_with_the_next_fetch(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        push(api, issuer.sign())
        issuer.keys = [make_key("P-256", "second")]
        assert push(api, issuer.sign())[0] == 202
        api.seconds = REFRESH_AFTER
        assert push(api, issuer.sign()) == NO_SUCH_KEY

    def test_made_up_key_ids_cause_one_fetch_in_thirty_seconds(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        for at in range(20):
            assert push(api, issuer.sign(header={"kid": f"made-up-{at}"})) == NO_SUCH_KEY
        assert issuer.paths() == [DISCOVERY, KEYS]
        api.seconds = FETCH_PAUSE
        push(api, issuer.sign(header={"kid": "made-up"}))
        assert len(issuer.got) == 4

    def test_a_token_without_a_key_id_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        assert push(api, issuer.sign(header={"kid": ...})) == NO_SUCH_KEY

    def test_cached_keys_work_while_the_issuer_is_down_until_they_expire(
        self, api: MetricsApi, issuer: OidcIssuer
    ) -> None:
        push(api, issuer.sign())
        issuer.planned = {DISCOVERY: PlannedReply(status=502)}
        api.seconds = KEYS_LIFETIME - 1
        assert push(api, issuer.sign())[0] == 202
        assert push(api, issuer.sign(header={"kid": "new"})) == NOT_RESPONDING
        api.seconds = KEYS_LIFETIME
        assert push(api, issuer.sign()) == NOT_RESPONDING
        issuer.planned = {}
        api.seconds = KEYS_LIFETIME + FETCH_PAUSE
        assert push(api, issuer.sign())[0] == 202

    def test_a_slow_issuer_delays_only_the_call_that_fetches(
        self, api: MetricsApi, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(id_tokens, "FETCH_TIMEOUT", 60)
        issuer.planned = {DISCOVERY: PlannedReply(status=500, hold=(hold := threading.Event()))}
        first = threading.Thread(target=push, args=(api, issuer.sign()))
        first.start()
        assert issuer.is_asked.wait(10)
        for _ in range(10):
            assert push(api, issuer.sign(header={"kid": "made-up"})) == NOT_RESPONDING
        assert push(api, "t0ken-of-ci")[0] == 202
        assert first.is_alive()
        hold.set()
        first.join()
        assert issuer.paths() == [DISCOVERY]

    def test_a_failure_says_when_to_try_again(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        issuer.planned = {DISCOVERY: PlannedReply(status=500)}
        answer = api.push(token=issuer.sign())
        assert refused(answer) == NOT_RESPONDING
        assert answer.headers["retry-after"] == "5"

    @pytest.mark.parametrize(
        "reply",
        [
            PlannedReply(status=404),
            PlannedReply(status=302, headers={"Location": "http://127.0.0.1:1/"}),
            PlannedReply(body=b"<html>"),
            PlannedReply(body=b"[]"),
            PlannedReply(body=b"[" * 150_000),
            PlannedReply(body=b'{"keys": [' + b" " * 300_000 + b"]}"),
        ],
        ids=["missing", "a redirect", "no JSON", "a list", "deep", "too long"],
    )
    @pytest.mark.parametrize("path", [DISCOVERY, KEYS])
    def test_an_invalid_response_counts_as_no_response(
        self, api: MetricsApi, issuer: OidcIssuer, path: str, reply: PlannedReply
    ) -> None:
        issuer.planned = {path: reply}
        assert push(api, issuer.sign()) == NOT_RESPONDING

    def test_a_discovery_document_of_another_issuer_is_refused(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        issuer.discovery = {"issuer": "https://issuer.example"}
        assert push(api, issuer.sign()) == NOT_RESPONDING

    @pytest.mark.parametrize(
        "address", ["http://keys.example/", "file:///etc/passwd", "//keys.example", None, "http://["]
    )
    def test_keys_without_https_are_not_fetched(self, api: MetricsApi, issuer: OidcIssuer, address: str | None) -> None:
        issuer.discovery = {"jwks_uri": address}
        assert push(api, issuer.sign()) == NOT_RESPONDING

    def test_a_key_that_cannot_be_read_is_left_out(self, api: MetricsApi, issuer: OidcIssuer) -> None:
        odd = [None, 7, {}, {"kty": "AKP"}, {"kty": "RSA"}, {"kty": "RSA", "n": "!", "e": 3}, {"kty": "EC", "use": []}]
        issuer.keys = [*({"wrapped": one} if not isinstance(one, dict) else one for one in odd), make_key()]
        assert push(api, issuer.sign())[0] == 202


def encode(document: dict[str, Any]) -> str:
    return to_base64(json.dumps(document).encode())


def to_base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def other_signature(token: str) -> str:
    """Return the token with the other valid ECDSA signature: (r, n - s) instead of (r, s)."""
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return f"{signed}.{to_base64(raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32))}"
