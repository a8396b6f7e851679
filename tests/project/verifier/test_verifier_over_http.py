"""The verifier asks Registrar: what it sends, and which answers it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registrar import verifier
from registrar.verifier import NotVerified, Verifier
from tests.support.integrity.signed_bundles import bundle
from tests.support.integrity.verifying import KEY, check, refusal
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver


def asked(folder: Path, trusted: Path, *replies: PlannedReply, version: int | None = 4) -> tuple[Any, HttpReceiver]:
    """Verify the folder with these answers of Registrar's; return the refusal or what was verified, and the server."""
    with run_receiver() as receiver:
        receiver.replies = list(replies)
        checking = Verifier([trusted], f"{receiver.url}/", token="a token")
        try:
            return checking.check(folder, model="churn", version=version), receiver
        except NotVerified as refused:
            return refused, receiver


def reply(document: Any, status: int = 200) -> PlannedReply:
    return PlannedReply(status, json.dumps(document).encode())


def test_registrar_is_asked_for_the_bundle_with_the_token(folder: Path, trusted: Path) -> None:
    verified, receiver = asked(folder, trusted, reply(bundle(KEY)))
    [got] = receiver.got
    assert verified.bundle["type"] == "urn:registrar:passport-bundle:v1"
    assert (got.path, got.headers["authorization"]) == (
        "/v1/passports/bundle/churn/4?stage=Production",
        "Bearer a token",
    )


def test_without_a_version_the_status_list_says_which_one_was_approved(folder: Path, trusted: Path) -> None:
    given = bundle(KEY)
    verified, receiver = asked(folder, trusted, reply(given["status"]), reply(given), version=None)
    assert verified.passport["version"] == 4
    assert receiver.got[0].path == "/v1/passports/status"


def test_without_a_version_a_list_without_a_valid_one_is_refused(folder: Path, trusted: Path) -> None:
    refused, _ = asked(folder, trusted, reply(bundle(KEY, state="rolled_back")["status"]), version=None)
    assert str(refused) == "No version of churn has a valid passport for Production."


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("no_passport", "churn v4 has no passport for Production: nobody approved it."),
        ("not_issued_yet", "The passport of churn for Production hasn't been issued yet. Its files are being hashed."),
    ],
)
def test_registrar_says_that_there_is_no_passport(folder: Path, trusted: Path, code: str, said: str) -> None:
    refused, _ = asked(folder, trusted, reply({"error": "Its files are being hashed.", "kind": code}, 404))
    assert (refused.code, str(refused)) == (code, said)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (PlannedReply(404, b"Not Found"), "malformed"),
        (reply({"error": "…", "kind": "valid"}, 404), "malformed"),
        (reply([], 404), "malformed"),
        (PlannedReply(200, b"<html>"), "malformed"),
        (PlannedReply(401), "call_refused"),
        (PlannedReply(422), "call_refused"),
        (PlannedReply(429), "unreachable"),
        (PlannedReply(503), "unreachable"),
        (PlannedReply(204), "unreachable"),
    ],
)
def test_any_other_answer_is_refused(folder: Path, trusted: Path, answer: PlannedReply, code: str) -> None:
    refused, _ = asked(folder, trusted, answer)
    assert refused.code == code


def test_a_redirect_is_not_followed_because_the_token_would_be_sent_there(folder: Path, trusted: Path) -> None:
    with run_receiver() as elsewhere:
        refused, _ = asked(folder, trusted, PlannedReply(302, headers={"Location": elsewhere.url}))
        assert (refused.code, elsewhere.got) == ("unreachable", [])


def test_an_answer_that_is_too_long_is_refused(folder: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "LARGEST_ANSWER", 1_000)
    assert asked(folder, trusted, reply(bundle(KEY)))[0].code == "malformed"
    assert refusal(lambda: check(folder, trusted))[0] == "malformed"


def test_registrar_is_unreachable(folder: Path, trusted: Path) -> None:
    checking = Verifier([trusted], "http://127.0.0.1:9")
    said = refusal(lambda: checking.check(folder, model="churn", version=4))
    assert said == ("unreachable", "Registrar isn't responding at http://127.0.0.1:9 (URLError).")


def test_a_server_that_sends_one_byte_after_another_cannot_delay_a_check(
    folder: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "TIMEOUT", 0.2)
    refused, _ = asked(folder, trusted, PlannedReply(drips=True))
    assert str(refused).endswith("(TimeoutError).")


def test_a_token_cannot_add_a_header(folder: Path, trusted: Path) -> None:
    checking = Verifier([trusted], "http://127.0.0.1:9", token="a\r\nX-Evil: 1")
    assert refusal(lambda: checking.check(folder, model="churn", version=4))[0] == "unreachable"


def test_a_bundle_that_cannot_be_read_is_refused(folder: Path, trusted: Path) -> None:
    for source in (folder, folder / "gone.json", "a\0b"):
        checking = Verifier([trusted], source)
        assert refusal(lambda it=checking: it.check(folder, model="churn"))[0] == "no_bundle"  # type: ignore[misc]
