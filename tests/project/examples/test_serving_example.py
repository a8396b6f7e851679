"""The serving example, piece by piece, with a model that tests can inspect."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import skops.io
from sklearn.dummy import DummyClassifier

from tests.support.examples import imported_serve
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
from tests.support.paths import ROOT

FOLDER = ROOT / "examples" / "churn"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with imported_serve() as serve:
        yield serve


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with run_receiver() as receiver:
        receiver.replies = [PlannedReply(202)]
        yield receiver


def registrar(example: ModuleType, url: str) -> Any:
    return example.Registrar(url.rstrip("/"), "a token", wait=lambda seconds: None)


class Client:
    """An MLflow client for a registry whose Production version a test sets; the alias can be missing."""

    def __init__(self, alias: int | None = None, production: int | None = None) -> None:
        self.alias, self.production = alias, production

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        from mlflow.exceptions import MlflowException

        if self.alias is None:
            raise MlflowException("no such alias")
        return SimpleNamespace(version=str(self.alias))

    def search_model_versions(self, query: str) -> list[Any]:
        stages = [(1, "Archived"), (self.production or 2, "Production" if self.production else "None")]
        return [SimpleNamespace(version=str(version), current_stage=stage) for version, stage in stages]


class Registry:
    """A registry whose models predict that no one leaves."""

    def __init__(self) -> None:
        self.production, self.is_gone = 4, False

    def in_production(self, name: str, alias: str) -> int:
        return self.production

    def files(self, name: str, version: int, folder: Path) -> Path:
        files = folder / f"v{version}"
        files.mkdir()
        skops.io.dump(DummyClassifier(strategy="constant", constant=False).fit([[0]], [False]), files / "model.skops")
        return files

    def load(self, files: Path) -> Any:
        if self.is_gone:
            raise OSError("its files are gone")
        return skops.io.load(files / "model.skops")


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def serving(example: ModuleType, registry: Registry) -> Any:
    return example.Serving("churn", registry=registry, tell=lambda line: None)


def test_a_push_is_signed_and_authenticated(example: ModuleType, receiver: HttpReceiver) -> None:
    said = registrar(example, receiver.url).push("churn", 4, {"accuracy": 0.9, "f1": 0.7}, NOW)
    assert said == "pushed"
    [got] = receiver.got
    assert got.path == "/v1/metrics"
    assert json.loads(got.body) == {
        "source": "live",
        "readings": [
            {"model": "churn", "version": 4, "metric": "accuracy", "value": 0.9, "at": "2026-05-04T12:00:00+00:00"},
            {"model": "churn", "version": 4, "metric": "f1", "value": 0.7, "at": "2026-05-04T12:00:00+00:00"},
        ],
    }
    signed = f"{got.headers['x-registrar-timestamp']}.".encode() + got.body
    wanted = "v1=" + hmac.new(b"a token", signed, hashlib.sha256).hexdigest()
    assert got.headers["x-registrar-signature"] == wanted
    assert got.headers["authorization"] == "Bearer a token"


def test_a_failed_push_is_retried_with_its_key(example: ModuleType, receiver: HttpReceiver) -> None:
    receiver.replies = [PlannedReply(503), PlannedReply(503), PlannedReply(202)]
    assert registrar(example, receiver.url).push("churn", 4, {"f1": 0.7}, NOW) == "pushed"
    assert len({(got.headers["idempotency-key"], got.body) for got in receiver.got}) == 1
    assert len(receiver.got) == 3


def test_a_refused_push_is_not_retried(example: ModuleType, receiver: HttpReceiver) -> None:
    receiver.replies = [PlannedReply(403, b"The policy does not let you push.")]
    assert "403 The policy" in registrar(example, receiver.url).push("churn", 4, {"f1": 0.7}, NOW)
    assert len(receiver.got) == 1


def test_an_unreachable_registrar_stops_nothing(example: ModuleType) -> None:
    assert "not pushed" in registrar(example, "http://127.0.0.1:9").push("churn", 4, {"f1": 0.7}, NOW)


@pytest.mark.parametrize(
    ("client", "serves"), [(Client(4, 3), 4), (Client(None, 3), 3), (Client(), None)], ids=["alias", "stage", "none"]
)
def test_the_alias_or_else_the_stage_decides_which_version_serves(
    example: ModuleType, client: Client, serves: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.MlflowClient", lambda: client)
    assert example.Mlflow().in_production("churn", "champion") == serves


def test_it_follows_production(serving: Any, registry: Registry) -> None:
    serving.follow()
    before = serving.now
    assert before.version == 4
    serving.follow()
    assert serving.now is before
    registry.production = 5
    serving.follow()
    assert serving.now.version == 5


def test_a_version_that_does_not_load_leaves_the_current_one_serving(serving: Any, registry: Registry) -> None:
    serving.follow()
    registry.production, registry.is_gone = 5, True
    serving.follow()
    assert serving.now.version == 4


def test_a_kept_model_serves_before_the_registry_is_queried(
    example: ModuleType, serving: Any, registry: Registry, tmp_path: Path
) -> None:
    serving.keep = tmp_path / "kept"
    for registry.production in (4, 5):
        serving.follow()
    again = example.Serving("churn", registry=None, tell=lambda line: None, keep=serving.keep)
    again.resume()
    assert again.now.version == 5
    assert again.now.model.predict([[1]]) == [False]


def test_a_kept_model_that_does_not_load_is_replaced_from_the_registry(serving: Any, tmp_path: Path) -> None:
    serving.keep = tmp_path
    (tmp_path / "churn-3" / "files").mkdir(parents=True)
    (tmp_path / "churn-3" / "files" / "model.skops").write_text("half")
    serving.resume()
    assert serving.now is None
    serving.follow()
    assert [file.name for file in tmp_path.iterdir()] == ["churn-4"]


def test_it_is_imported_without_mlflow(example: ModuleType) -> None:
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import serve; print('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout == "False\n"


def test_the_probe_is_answered(example: ModuleType, serving: Any) -> None:
    server = example.answer_probes(serving, 0)
    url = f"http://127.0.0.1:{server.server_address[1]}/version"
    try:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(url, timeout=5)
        serving.follow()
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert json.load(answer)["version"] == 4
    finally:
        server.shutdown()
        server.server_close()


def test_each_round_reports_the_version_that_scored(example: ModuleType, serving: Any, registry: Registry) -> None:
    pushed: list[tuple[int, float]] = []

    class Told:
        def push(self, name: str, version: int, metrics: dict[str, float], at: datetime) -> str:
            pushed.append((version, metrics["accuracy"]))
            registry.production = 5
            serving.follow()
            return "pushed"

    serving.follow()
    example.serve(serving, Told(), every=0, seed=1, rounds=3, ended=threading.Event())
    assert [version for version, _ in pushed] == [4, 5]
    assert all(0.85 < accuracy < 0.95 for _, accuracy in pushed)  # one in ten leaves


def test_a_broken_version_is_wrong_until_another_one_replaces_it(
    example: ModuleType, serving: Any, registry: Registry
) -> None:
    serving.follow()
    follow_lines(example, serving, b"break 4\n")
    assert serving.broken == 4
    registry.production = 3
    serving.follow()
    assert serving.broken is None


def test_a_version_can_be_broken_before_it_serves(example: ModuleType, serving: Any, registry: Registry) -> None:
    registry.production = 3
    serving.follow()
    follow_lines(example, serving, b"nonsense\nbreak 4\n")
    registry.production = 4
    serving.follow()
    assert serving.broken == 4


@pytest.mark.parametrize("version", [3, 4])
def test_a_real_version_that_is_broken_is_far_below_the_demo_s_bound(example: ModuleType, version: int) -> None:
    [file] = (FOLDER / "snapshot" / f"v{version}").rglob("*.skops")
    served = example.Served(version, skops.io.load(file, trusted=example.TREES))
    accuracy = [
        example.measured(example.score(served, example.arriving(1, 0), is_broken=is_broken))["accuracy"]
        for is_broken in (False, True)
    ]
    assert accuracy[0] > 0.93
    assert accuracy[1] < 0.85


def follow_lines(example: ModuleType, serving: Any, lines: bytes) -> None:
    """Follow standard input with these lines until it ends."""
    read_end, write_end = os.pipe()
    os.write(write_end, lines)
    os.close(write_end)
    ended = threading.Event()
    example.follow_stdin(serving, ended, read_end)
    os.close(read_end)
    assert ended.is_set()


def test_a_missing_token_is_reported(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("REGISTRAR_TOKEN", raising=False)
    assert example.main([]) == 2
