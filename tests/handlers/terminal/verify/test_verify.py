"""`registrar verify` on a real MLflow, with passports from a server that answers as Registrar does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import canonical_time
from bot.domain.registry.model import Stage
from bot.registry.mlflow.files import LocalFiles
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.integrity.signed_bundles import CONTENTS, SigningKey, bundle, in_time, write_files
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner, CommandOutput, command

KEY = SigningKey()
WRONG_WORDS = "Name a URI, such as models:/churn@champion, or a folder and --model NAME. Only a URI can be downloaded."


@pytest.fixture
def churn(mlflow_backend: MlflowBackend, mlflow_sqlite: str, tmp_path: Path) -> Iterator[MlflowRegistry]:
    """A model with v1, which @champion names, in Production, and v2 with other files."""
    mlflow_backend.add_model("churn")
    for number, stage in ((1, Stage.PRODUCTION), (2, Stage.NONE)):
        files = write_files(tmp_path / f"v{number}", CONTENTS | {"model.skops": bytes([number])})
        mlflow_backend.add_version("churn", source=str(files), run_id=mlflow_backend.add_run(), stage=stage)
    registry = MlflowRegistry(mlflow_sqlite, mlflow_sqlite)
    registry.set_alias("churn", "champion", 1)
    yield registry
    registry.close()


@pytest.fixture
def passport(churn: MlflowRegistry) -> Callable[..., dict[str, Any]]:
    """Return a function that issues the bundle of a version of churn."""

    def issue(version: int = 1, **changed: Any) -> dict[str, Any]:
        found = churn.version("churn", version)
        assert found.created_at
        about = {"version": version, "run": found.run_id, "created": canonical_time(found.created_at)}
        return bundle(KEY, CONTENTS | {"model.skops": bytes([version])}, **about | changed)

    return issue


@pytest.fixture
def server() -> Iterator[HttpReceiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def verify(
    churn: MlflowRegistry,
    passport: Callable[..., dict[str, Any]],
    server: HttpReceiver,
    mlflow_sqlite: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CliRunner:
    """Return the command. Registrar has a passport for v1 in Production."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").mkdir()
    KEY.save(tmp_path / "keys")
    server.replies = [reply(passport())]
    settings = {
        "MLFLOW_TRACKING_URI": mlflow_sqlite,
        "REGISTRAR_KEYS": str(tmp_path / "keys"),
        "REGISTRAR_URL": server.url,
        "REGISTRAR_TOKEN": "token",
    }
    run = command(monkeypatch, capsys)
    return lambda *words, **more: run("verify", *map(str, words), **settings | more)


def reply(document: Any, status: int = 200) -> PlannedReply:
    return PlannedReply(status, json.dumps(document).encode())


def outcome(said: CommandOutput) -> tuple[int, str]:
    """Return the exit code, and the sentence of a refusal."""
    return said.code, (said.err or said.out).strip()


@pytest.mark.parametrize("uri", ["models:/churn@champion", "models:/churn/1", "models:/churn/Production"])
def test_the_approved_version_is_verified_where_it_is_stored(verify: CliRunner, uri: str, server: HttpReceiver) -> None:
    said = verify(uri)
    assert (said.code, said.out.splitlines()[0]) == (
        0,
        "churn v1 is verified: its 4 files are those that were approved for Production.",
    )
    assert [got.path for got in server.got] == ["/v1/passports/bundle/churn/1?stage=Production"]


@pytest.mark.parametrize(
    ("approvers", "named"),
    [(["slack:T1/U2", "slack:T1/U3"], "Approved by @U2, @U3."), ([], "Moved without approvals by @U9.")],
)
def test_the_verdict_says_who_decided_and_when(
    verify: CliRunner,
    server: HttpReceiver,
    passport: Callable[..., dict[str, Any]],
    approvers: list[str],
    named: str,
) -> None:
    issued = "2026-10-01T09:30:00.000000+00:00"
    server.replies = [reply(passport(approved_by=approvers, executed_for="slack:T1/U9", issued=issued))]
    decision = f"{named} The passport was issued at 2026-10-01 09:30 UTC."
    assert decision in verify("models:/churn@champion").out.splitlines()


def test_the_verdict_as_json_has_the_signed_passport(verify: CliRunner) -> None:
    document = verify("models:/churn@champion", "--json").document
    assert (document["verified"], document["code"], document["warning"]) == (True, "verified", None)
    assert document["passport"]["approved_by"] == ["slack:T1/U2"]


def test_a_flipped_byte_in_the_store_is_refused(verify: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "v1" / "model.skops").write_bytes(b"\2")
    assert outcome(verify("models:/churn@champion")) == (6, "model.skops was changed after the approval.")


def test_an_alias_that_was_set_by_hand_is_refused(
    verify: CliRunner, churn: MlflowRegistry, server: HttpReceiver
) -> None:
    churn.set_alias("churn", "champion", 2)
    server.replies = [reply({"error": "v2 of churn has no passport.", "kind": "no_passport"}, 404)]
    assert outcome(verify("models:/churn@champion")) == (
        7,
        "churn v2 has no passport for Production: nobody approved it.",
    )


def test_an_alias_that_was_set_by_hand_is_refused_offline(
    verify: CliRunner, churn: MlflowRegistry, tmp_path: Path
) -> None:
    assert verify("models:/churn@champion", "--save-bundle", tmp_path / "bundle.json").code == 0
    churn.set_alias("churn", "champion", 2)
    said = verify("models:/churn@champion", "--bundle", tmp_path / "bundle.json")
    assert outcome(said) == (9, "The passport is for churn v1, not v2.")


def test_a_version_that_was_rolled_back_is_refused(
    verify: CliRunner, passport: Callable[..., dict[str, Any]], server: HttpReceiver
) -> None:
    server.replies = [reply(passport(state="rolled_back"))]
    assert outcome(verify("models:/churn@champion")) == (4, "churn v1 was rolled back.")


def test_a_version_that_was_created_again_is_refused(
    verify: CliRunner, passport: Callable[..., dict[str, Any]], server: HttpReceiver
) -> None:
    server.replies = [reply(passport(created="2026-05-04T12:00:00.000000+00:00"))]
    sentence = "churn v1 was deleted and created again after the approval."
    assert outcome(verify("models:/churn@champion")) == (9, sentence)


def test_a_passport_by_another_key_is_refused(verify: CliRunner, tmp_path: Path) -> None:
    said = verify("models:/churn@champion", "--key", SigningKey().save(tmp_path), "--json")
    assert (said.code, said.document["code"], said.document["verified"], said.err) == (8, "wrong_key", False, "")


def test_an_expired_status_is_accepted_with_grace_and_a_warning(
    verify: CliRunner, passport: Callable[..., dict[str, Any]], server: HttpReceiver
) -> None:
    server.replies = [reply(passport(status={"expires": in_time(hours=-1)}))]
    assert verify("models:/churn@champion").code == 4
    said = verify("models:/churn@champion", "--grace", "2h")
    assert (said.code, said.out.splitlines()[2][:28]) == (0, "The status list expired at 2")


def test_the_stage_of_a_challenger_is_staging(verify: CliRunner, churn: MlflowRegistry, server: HttpReceiver) -> None:
    churn.set_alias("churn", "challenger", 1)
    assert outcome(verify("models:/churn@challenger")) == (9, "The passport is for Production, not Staging.")
    assert server.got[0].path.endswith("?stage=Staging")


def test_without_registrar_nothing_new_is_verified(verify: CliRunner) -> None:
    said = verify("models:/churn@champion", REGISTRAR_URL="http://127.0.0.1:9")
    assert outcome(said) == (3, "Registrar isn't responding at http://127.0.0.1:9 (URLError).")


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_verified_offline_without_mlflow(
    verify: CliRunner, passport: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps(passport()))
    said = verify(
        tmp_path / "v1",
        "--model",
        "churn",
        "--bundle",
        tmp_path / "bundle.json",
        MLFLOW_TRACKING_URI="",
        REGISTRAR_URL="",
    )
    assert (said.code, said.err) == (0, "")


def test_a_folder_with_another_version_is_refused(verify: CliRunner, tmp_path: Path) -> None:
    said = verify(tmp_path / "v2", "--model", "churn", "--version", "1")
    assert outcome(said) == (6, "model.skops was changed after the approval.")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["folder"], WRONG_WORDS),
        (["models:/churn/1", "--model", "churn"], WRONG_WORDS),
        (["models:/churn/1", "--version", "0"], WRONG_WORDS),
        (["folder", "--model", "churn", "--download", "x"], WRONG_WORDS),
        (["models:/churn/7"], "“churn” has no version v7. Newest versions: v2, v1."),
        (["models:/churn"], "Can't read “churn” as a version. Try 7, 2.1.0, @champion, staging, or latest."),
        (["models:/churn/1", "--key", "gone.pub"], "gone.pub isn't an Ed25519 public key in a PEM file."),
        (
            ["models:/churn/1", "--bundle", "gone.json"],
            "gone.json isn't a bundle's file, or a URL that starts with https://.",
        ),
    ],
)
def test_what_cannot_be_verified_is_explained(verify: CliRunner, words: list[str], sentence: str) -> None:
    assert outcome(verify(*words)) == (2, sentence)


def test_without_a_key_or_a_source_nothing_is_verified(verify: CliRunner, tmp_path: Path) -> None:
    assert outcome(verify("models:/churn/1", REGISTRAR_KEYS=str(tmp_path / "none"))) == (
        2,
        "There's no trusted key. Copy a .pub file from Registrar's folder of keys.",
    )
    assert outcome(verify("models:/churn/1", REGISTRAR_URL="")) == (
        2,
        "Set REGISTRAR_URL to the bot's address, or add --bundle FILE.",
    )


# -- downloads ---------------------------------------------------------------------------------------------------------


def test_verified_files_are_downloaded_with_their_bundle(verify: CliRunner, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "models" / "churn"
    for _ in range(2):  # a second time, it replaces its own files
        assert verify("models:/churn@champion", "--download", folder).code == 0
    assert (folder / "data-b/größe.txt").read_bytes() == b"1,2"
    assert {file.name for file in folder.parent.iterdir()} == {"churn", "churn.bundle.json"}
    assert verify(folder, "--model", "churn", "--bundle", f"{folder}.bundle.json").code == 0


def test_files_that_are_not_verified_are_not_left_on_the_disk(verify: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "v1" / "model.skops").write_bytes(b"\2")
    (tmp_path / "models").mkdir()
    assert verify("models:/churn@champion", "--download", tmp_path / "models" / "churn").code == 6
    assert list((tmp_path / "models").iterdir()) == []


def test_a_download_ends_where_the_approved_file_ends(
    verify: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(LocalFiles, "chunks", lambda *_: repeat(b"x"))  # it never ends
    said = verify("models:/churn@champion", "--download", tmp_path / "models" / "churn")
    assert outcome(said) == (6, "MLmodel was changed after the approval. In all, 4 files differ.")


def test_an_earlier_download_stays_if_the_next_one_is_refused(
    verify: CliRunner, passport: Callable[..., dict[str, Any]], server: HttpReceiver, tmp_path: Path
) -> None:
    folder = tmp_path / "churn"
    assert verify("models:/churn@champion", "--download", folder).code == 0
    server.replies = [reply(passport(state="replaced"))]
    assert verify("models:/churn@champion", "--download", folder).code == 4
    assert (folder / "MLmodel").exists()


def test_a_folder_that_is_not_a_download_is_not_replaced(verify: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    said = verify("models:/churn@champion", "--download", tmp_path / "mine")
    assert outcome(said) == (2, f"{tmp_path / 'mine'} already exists. Choose another folder.")


def test_a_disk_that_cannot_be_written_is_reported(verify: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    said = verify("models:/churn@champion", "--download", tmp_path / "taken" / "churn")
    assert outcome(said) == (2, f"Can't write {tmp_path / 'taken' / 'churn'}: File exists.")
