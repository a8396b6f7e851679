"""The serving example with --trust: it loads only what was approved in Registrar."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.examples import imported_serve
from tests.support.integrity.signed_bundles import SigningKey, bundle, in_time
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, ReceivedRequest, run_receiver
from tests.support.paths import ROOT
from tests.support.registry.registries import MlflowBackend

KEY = SigningKey()
VERSIONS = {3: ROOT / "examples/churn/snapshot/v3", 4: ROOT / "examples/churn/snapshot/v4"}


class Registry:
    """A registry with real versions of churn."""

    def __init__(self, example: ModuleType) -> None:
        self.production, self.contents = (
            4,
            {
                version: {file.name: file.read_bytes() for file in folder.iterdir()}
                for version, folder in VERSIONS.items()
            },
        )
        self._example = example

    def in_production(self, name: str, alias: str) -> int:
        return self.production

    def files(self, name: str, version: int, folder: Path) -> Path:
        for path, content in self.contents[version].items():
            (folder / path).write_bytes(content)
        return folder

    def load(self, files: Path) -> Any:
        return self._example.load(files / "model.skops", trusted=self._example.TREES)


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with imported_serve() as serve:
        yield serve


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def registry(example: ModuleType) -> Registry:
    return Registry(example)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def serving(example: ModuleType, registry: Registry, receiver: HttpReceiver, tmp_path: Path, told: list[str]) -> Any:
    """Return the example, which trusts the key and keeps a copy. Registrar approved v4."""
    receiver.replies = [approved(registry, 4)]
    trust = example.Trust([KEY.save(tmp_path)], receiver.url, "token", timedelta(days=2))
    return example.Serving("churn", registry=registry, tell=told.append, keep=tmp_path / "kept", trust=trust)


def approved(registry: Registry, version: int, **changed: Any) -> PlannedReply:
    return reply(bundle(KEY, registry.contents[version], version=version, **changed))


def reply(document: Any, status: int = 200) -> PlannedReply:
    return PlannedReply(status, json.dumps(document).encode())


def restarted(serving: Any, example: ModuleType) -> Any:
    """Return the same example after a restart, without MLflow."""
    again = example.Serving("churn", registry=None, tell=serving.tell, keep=serving.keep, trust=serving.trust)
    again.resume()
    return again


def expire(serving: Any, registry: Registry, **delta: float) -> None:
    """Have the kept status list expire that long from now."""
    kept = bundle(KEY, registry.contents[4], status={"expires": in_time(**delta)})
    (serving.keep / "churn-4" / "bundle.json").write_text(json.dumps(kept))


def test_an_approved_version_serves(serving: Any) -> None:
    serving.follow()
    assert serving.now.version == 4


def test_a_version_that_nobody_approved_is_not_even_downloaded(
    serving: Any, registry: Registry, receiver: HttpReceiver, told: list[str]
) -> None:
    serving.follow()
    receiver.replies = [reply({"error": "…", "kind": "no_passport"}, 404)]
    registry.production = 3
    registry.contents.clear()
    serving.follow()
    assert serving.now.version == 4
    assert told[-1].endswith("NotVerified: churn v3 has no passport for Production: nobody approved it.")


def test_changed_files_are_not_loaded(
    serving: Any, registry: Registry, receiver: HttpReceiver, told: list[str]
) -> None:
    serving.follow()
    receiver.replies = [approved(registry, 3)]
    registry.production = 3
    registry.contents[3]["model.skops"] = registry.contents[4]["model.skops"]
    serving.follow()
    assert serving.now.version == 4
    assert told[-1].endswith("NotVerified: model.skops was changed after the approval.")


def test_an_outage_of_registrar_stops_nothing(serving: Any, registry: Registry, receiver: HttpReceiver) -> None:
    serving.follow()
    receiver.replies = [PlannedReply(503)]
    registry.production = 3
    serving.follow()
    assert serving.now.version == 4


def test_after_a_restart_during_an_outage_the_kept_version_serves(
    serving: Any, example: ModuleType, registry: Registry, receiver: HttpReceiver
) -> None:
    serving.follow()
    receiver.replies = [PlannedReply(503)]
    expire(serving, registry, hours=-47)
    assert restarted(serving, example).now.version == 4


def test_after_the_grace_period_the_kept_version_does_not_serve(
    serving: Any, example: ModuleType, registry: Registry, receiver: HttpReceiver, told: list[str]
) -> None:
    serving.follow()
    receiver.replies = [PlannedReply(503)]
    expire(serving, registry, hours=-49)
    assert restarted(serving, example).now is None
    assert "NotVerified: The status list expired at " in told[-1]


def test_after_a_restart_a_version_that_was_rolled_back_does_not_serve(
    serving: Any, example: ModuleType, registry: Registry, receiver: HttpReceiver, told: list[str]
) -> None:
    serving.follow()
    receiver.replies = [approved(registry, 4, state="rolled_back")]
    assert restarted(serving, example).now is None
    assert told[-1].endswith("NotVerified: churn v4 was rolled back.")


def test_a_kept_copy_that_was_changed_does_not_serve(serving: Any, example: ModuleType, told: list[str]) -> None:
    serving.follow()
    shutil.copy(VERSIONS[3] / "model.skops", serving.keep / "churn-4" / "files" / "model.skops")
    assert restarted(serving, example).now is None
    assert told[-1].endswith("NotVerified: model.skops was changed after the approval.")


def test_a_kept_copy_that_is_replaced_after_the_check_is_not_loaded(
    serving: Any, example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.follow()
    kept, hashed = serving.keep / "churn-4" / "files" / "model.skops", serving.trust._verifier.hash_folder
    original, loaded = kept.read_bytes(), list[bytes]()

    def replace_after(folder: Path) -> Any:
        found = hashed(folder)
        kept.write_bytes(b"evil")
        return found

    monkeypatch.setattr(serving.trust._verifier, "hash_folder", replace_after)
    monkeypatch.setattr(example, "load", lambda file, **_: loaded.append(file.read_bytes()))
    restarted(serving, example)
    assert loaded == [original]


def test_a_kept_folder_with_an_odd_name_stops_nothing(serving: Any, example: ModuleType, told: list[str]) -> None:
    (serving.keep / "churn-x1").mkdir(parents=True)
    assert restarted(serving, example).now is None
    assert "churn-x1: ValueError" in told[-1]


def test_the_kept_status_is_refreshed_while_registrar_responds(
    serving: Any, example: ModuleType, registry: Registry, receiver: HttpReceiver
) -> None:
    serving.follow()
    kept = serving.keep / "churn-4" / "bundle.json"
    os.utime(kept, (0, 0))
    receiver.replies = [approved(registry, 4, status={"expires": in_time(hours=9)})]
    before = kept.read_text()
    serving.follow()
    serving.follow()
    assert kept.read_text() != before
    assert len(receiver.got) == 2


def test_trust_needs_an_address_and_a_key(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("REGISTRAR_URL", raising=False)
    assert example.main(["--trust", str(tmp_path / "gone.pub")]) == 2
    monkeypatch.setenv("REGISTRAR_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("REGISTRAR_TOKEN", "token")
    assert example.main(["--trust", str(tmp_path / "gone.pub")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "REGISTRAR_URL isn't set. With --trust, set it to the bot's address.",
        f"{tmp_path / 'gone.pub'} isn't an Ed25519 public key in a PEM file.",
    ]


class RegistrarServer(HttpReceiver):
    """Registrar, which has passports for some versions and accepts all readings."""

    def __init__(self) -> None:
        super().__init__()
        self.passports: dict[str, PlannedReply] = {}

    def reply_to(self, got: ReceivedRequest) -> PlannedReply:
        """Return the bundle of the version in the path."""
        if got.path == "/v1/metrics":
            return PlannedReply(202)
        return self.passports.get(got.path, reply({"error": "…", "kind": "no_passport"}, 404))


def test_the_script_loads_from_mlflow_what_was_approved_and_nothing_else(
    registry: Registry, mlflow_backend: MlflowBackend, mlflow_sqlite: str, tmp_path: Path
) -> None:
    mlflow_backend.add_model("churn")
    for folder in VERSIONS.values():
        mlflow_backend.add_version("churn", source=str(folder))
    mlflow = MlflowRegistry(mlflow_sqlite, mlflow_sqlite)
    mlflow.set_alias("churn", "champion", 1)
    server = RegistrarServer()
    server.passports["/v1/passports/bundle/churn/1?stage=Production"] = reply(
        bundle(KEY, registry.contents[3], version=1)
    )
    words = ["--trust", str(KEY.save(tmp_path)), "--port", "0", "--every", "60", "--end-with-stdin"]
    with (
        run_receiver(server),
        subprocess.Popen(
            [sys.executable, ROOT / "examples/churn/serve.py", *words],
            env=os.environ
            | {"MLFLOW_TRACKING_URI": mlflow_sqlite, "REGISTRAR_URL": server.url, "REGISTRAR_TOKEN": "token"}
            | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout
        assert "serving churn v1" in process.stdout.readline()
        mlflow.set_alias("churn", "champion", 2)
        line = next(line for line in process.stdout if "can't load" in line)
        assert line.endswith("NotVerified: churn v2 has no passport for Production: nobody approved it.\n")
        process.kill()
    mlflow.close()
