"""Passports over HTTP: what programs get, and an independent script that verifies it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.domain.audit.events import canonical_time
from bot.domain.integrity.manifest import parse_manifest
from bot.key_folder import KeyFolder
from registrar.verifier import Verifier
from tests.support.app.app_fixture import CHANNEL, MANIFEST, RunningApp, make_policy, running_app
from tests.support.app.workspaces import local_slack
from tests.support.passports.harness import new_key, opened_envelope
from tests.support.paths import ROOT
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

CLIENTS = {
    "reader": {"token_env": "READER", "may": ["read"], "models": ["churn*"]},
    "elsewhere": {"token_env": "ELSEWHERE", "may": ["read"], "models": ["fraud"]},
    "pusher": {"token_env": "PUSHER", "may": ["push"]},
}
SCRIPT = ROOT / "examples" / "verify_envelope.py"


@dataclass(frozen=True, kw_only=True)
class PassportApi:
    """A bot with v4 of `churn` in Production, and a program that asks it for passports."""

    app: RunningApp
    keys: Path

    def get(self, path: str, token: str = "reader") -> tuple[int, dict[str, Any]]:
        """Return the status and the document of a call."""
        headers = {"Authorization": f"Bearer token-of-{token}"}
        answer = httpx2.get(f"{self.app.service.address}/v1/passports/{path}", headers=headers)
        return answer.status_code, answer.json()

    @property
    def public_key(self) -> Path:
        """The file with the public key."""
        [path] = self.keys.glob("*.pub")
        return path


@contextmanager
def promoted_bot(home: Path, integrity: str = "recorded") -> Iterator[PassportApi]:
    """Run a bot with a key, in a workspace of its own, and promote v4 of `churn`."""
    new_key(KeyFolder(home / "keys"))
    rule = {"approvers": ["lead"], "integrity": integrity}
    policy = make_policy({"clients": CLIENTS, "models": {"*": {"production": rule}}})
    with pytest.MonkeyPatch.context() as patch, local_slack(MANIFEST) as slack:
        for name in CLIENTS:
            patch.setenv(name.upper(), f"token-of-{name}")
        with running_app(slack, home, MemoryRegistry(), policy=policy) as app:
            app.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
            app.bob.clicks(app.card(), "Approve")
            app.card(holds="Verified in MLflow")
            yield PassportApi(app=app, keys=home / "keys")


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassportApi]:
    """A bot that has issued the passport of v4; nothing changes afterward."""
    with promoted_bot(tmp_path_factory.mktemp("issued")) as api:
        wait_until(lambda: api.get("churn/4")[0] == 200)
        yield api


def opened(envelope: dict[str, Any], issued: PassportApi) -> dict[str, Any]:
    return opened_envelope(json.dumps(envelope), issued.public_key)


def test_a_program_gets_the_passport_the_manifest_and_the_state(issued: PassportApi) -> None:
    status, document = issued.get("churn/4")
    predicate = opened(document["passport"], issued)["predicate"]
    manifest = parse_manifest(document["manifest"]["predicate"])
    assert (status, document["state"]) == (200, "valid")
    assert [(file.path, file.size) for file in manifest.files] == [("MLmodel", 15)]
    assert document["manifest"] == manifest.statement("churn/4")
    assert predicate["manifest"]["sha256"] == manifest.digest
    assert (predicate["model"], predicate["version"], predicate["stage"]) == ("churn", 4, "Production")
    assert predicate["approved_by"] == [f"slack:{issued.app.slack.team_id}/U0BOB"]


def test_a_bundle_has_the_passport_and_the_status_list_of_its_model(issued: PassportApi) -> None:
    status, bundle = issued.get("bundle/churn/4")
    [entry] = opened(bundle["status"], issued)["passports"]
    predicate = opened(bundle["passport"], issued)["predicate"]
    assert (status, bundle["type"]) == (200, "urn:registrar:passport-bundle:v1")
    assert (entry["id"], entry["status"], entry["since"]) == (predicate["id"], "valid", None)


def test_a_client_s_status_list_has_only_its_models(issued: PassportApi) -> None:
    (_, own), (_, others) = issued.get("status"), issued.get("status", "elsewhere")
    assert len(opened(own, issued)["passports"]) == 1
    assert opened(others, issued)["passports"] == []


@pytest.mark.parametrize("path", ["churn/4", "bundle/churn/4"])
def test_a_client_reads_only_its_models_passports(issued: PassportApi, path: str) -> None:
    assert issued.get(path, "elsewhere")[0] == 403


@pytest.mark.parametrize("path", ["churn/4", "bundle/churn/4", "status"])
def test_reading_passports_needs_a_right(issued: PassportApi, path: str) -> None:
    assert issued.get(path, "pusher")[0] == 403
    assert issued.get(path, "stranger")[0] == 401


@pytest.mark.parametrize("path", ["churn/3", "churn/4?stage=Staging", "bundle/churn/1"])
def test_what_nobody_approved_has_no_passport(issued: PassportApi, path: str) -> None:
    status, error = issued.get(path)
    assert (status, error["kind"]) == (404, "no_passport")
    assert "nobody moved it there with Registrar" in error["error"]


def test_a_passport_that_is_not_issued_yet_says_why(tmp_path: Path) -> None:
    with promoted_bot(tmp_path, integrity="off") as api:
        why = "The files of “churn” v4 aren't recorded yet. The policy says integrity: off."
        assert missing(api, "churn/4") == (404, "not_issued_yet", why)
        (api.keys / "active").unlink()
        for path in ("churn/4", "bundle/churn/4", "status"):
            status, kind, sentence = missing(api, path)
            assert (status, kind, "registrar keys init" in sentence) == (404, "not_issued_yet", True)


def test_the_verifier_accepts_what_registrar_serves(issued: PassportApi) -> None:
    version, url = issued.app.registry.version("churn", 4), issued.app.service.address
    assert version.created_at is not None
    verified = Verifier([issued.public_key], url, token="token-of-reader").check_passport(
        model="churn", run=version.run_id or "", created=canonical_time(version.created_at)
    )
    assert verified.passport["version"] == 4


def missing(api: PassportApi, path: str) -> tuple[int, str, str]:
    status, error = api.get(path)
    return status, error["kind"], error["error"]


@pytest.mark.parametrize("path", ["churn/0", "churn/x", "churn/4?stage=Archived", "churn/4?stage=x", "bundle/a:b/1"])
def test_what_cannot_be_asked_is_refused(issued: PassportApi, path: str) -> None:
    assert issued.get(path)[0] == 422


# -- without Registrar's code ------------------------------------------------------------------------------------------


def verify(envelope: dict[str, Any], key: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the example script, isolated from this checkout."""
    file = folder / "envelope.json"
    file.write_text(json.dumps(envelope))
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, key, file], capture_output=True, text=True, check=False, cwd=folder
    )


def test_an_independent_script_verifies_a_passport(issued: PassportApi, tmp_path: Path) -> None:
    done = verify(issued.get("churn/4")[1]["passport"], issued.public_key, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["predicate"]["version"] == 4


def test_an_independent_script_verifies_a_status_list(issued: PassportApi, tmp_path: Path) -> None:
    done = verify(issued.get("status")[1], issued.public_key, tmp_path)
    assert json.loads(done.stdout)["type"] == "urn:registrar:passport-status:v1"


def test_an_independent_script_refuses_another_statement(issued: PassportApi, tmp_path: Path) -> None:
    envelope = issued.get("churn/4")[1]["passport"]
    payload = base64.b64decode(envelope["payload"]).replace(b'"version":4', b'"version":5')
    forged = envelope | {"payload": base64.b64encode(payload).decode()}
    done = verify(forged, issued.public_key, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "signature" in done.stderr


def test_an_independent_script_refuses_another_key(issued: PassportApi, tmp_path: Path) -> None:
    other = KeyFolder(tmp_path / "other").create()
    done = verify(issued.get("churn/4")[1]["passport"], tmp_path / "other" / f"{other}.pub", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")


def test_the_script_is_short_enough_to_read() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
