"""Runs the example on its own registry, and compares the demo's snapshot with its results."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.request import url2pathname

import pytest

from handlers.demo import snapshot
from tests.support.examples import SCRIPT
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver

if TYPE_CHECKING:
    import mlflow  # takes a second in each test process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # it trains models


def test_registers_five_versions_in_order(trained: list[dict[str, Any]], client: mlflow.MlflowClient) -> None:
    assert [each["version"] for each in trained] == [1, 2, 3, 4, 5]
    registered = client.search_model_versions("name = 'churn'")
    assert {int(each.version): each.run_id for each in registered} == {
        each["version"]: each["run_id"] for each in trained
    }


def test_logs_metrics_to_compare(trained: list[dict[str, Any]], client: mlflow.MlflowClient) -> None:
    for each in trained:
        data = client.get_run(each["run_id"]).data
        assert data.metrics == each["metrics"]
        assert set(data.metrics) == {"accuracy", "f1", "roc_auc", "log_loss", "latency_ms"}
        assert data.metrics["latency_ms"] > 0
        assert data.params["estimator"] == each["estimator"]
        assert data.tags["owner"]
        assert data.tags["use_case"]


def test_logs_the_training_and_test_data_sets(trained: list[dict[str, Any]], client: mlflow.MlflowClient) -> None:
    logged = client.get_run(trained[0]["run_id"]).inputs
    assert logged
    inputs = logged.dataset_inputs
    assert {each.dataset.name for each in inputs} == {"churn"}
    assert {tag.value for each in inputs for tag in each.tags} == {"training", "testing"}


def test_logs_a_model_with_a_signature_and_an_example(
    trained: list[dict[str, Any]], folders: tuple[Path, Path]
) -> None:
    saved = list((folders[0] / "artifacts").rglob("MLmodel"))
    assert len(saved) == len(trained)
    from mlflow.models import Model

    model = Model.load(str(saved[0]))
    assert model.signature is not None
    assert "monthly_charges" in model.signature.inputs.input_names()
    assert model.saved_input_example_info


# -- the demo's snapshot -----------------------------------------------------------------------------------------------


@pytest.fixture
def restored(mlflow_sqlite: str, tmp_path: Path) -> Iterator[mlflow.MlflowClient]:
    """Return a registry restored from the snapshot."""
    import mlflow

    before = mlflow.get_tracking_uri()
    list(snapshot.restore_models(mlflow_sqlite, "churn", tmp_path / "artifacts"))
    yield mlflow.MlflowClient(mlflow_sqlite)
    mlflow.set_tracking_uri(before)


def logged(client: mlflow.MlflowClient, version: int) -> tuple[dict[str, Any], Path]:
    """Return what a version's run logged, except its metrics and machine names, and its files."""
    run = client.get_run(str(client.get_model_version("churn", str(version)).run_id))
    assert run.inputs
    assert run.outputs
    [model] = [client.get_logged_model(one.model_id) for one in run.outputs.model_outputs]
    assert {one.key: one.value for one in model.metrics or ()} == run.data.metrics
    about = {
        "name": run.info.run_name,
        "status": (run.info.status, str(model.status)),
        "params": (run.data.params, model.params),
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
        "inputs": [
            (
                *(tag.value for tag in one.tags),
                one.dataset.name,
                one.dataset.digest,
                one.dataset.schema,
                one.dataset.profile,
            )
            for one in run.inputs.dataset_inputs
        ],
    }
    return about, Path(url2pathname(model.artifact_location.removeprefix("file://")))


@pytest.mark.skipif(not snapshot.is_compatible(), reason="another scikit-learn trains another model")
def test_training_again_gives_the_metrics_of_the_snapshot(trained: list[dict[str, Any]]) -> None:
    kept = [one["metrics"] for one in snapshot.read_snapshot()["versions"]]
    assert len(kept) == len(trained)
    for before, now in zip(kept, (one["metrics"] for one in trained), strict=True):
        assert before.keys() == now.keys()
        for name in now.keys() - {"latency_ms"}:  # which depends on the machine
            assert now[name] == pytest.approx(before[name], rel=0, abs=1e-9)


def test_a_restored_registry_matches_a_trained_one(
    client: mlflow.MlflowClient, restored: mlflow.MlflowClient, trained: list[dict[str, Any]]
) -> None:
    from mlflow.models import Model

    for one in trained:
        (wanted, trained_files), (found, files) = logged(client, one["version"]), logged(restored, one["version"])
        assert found == wanted
        assert {file.name for file in files.iterdir()} == {file.name for file in trained_files.iterdir()}
        model, before = Model.load(str(files)), Model.load(str(trained_files))
        for each in (model, before):  # the registry to restore was made with another Python
            del each.flavors["python_function"]["python_version"]
        assert (model.flavors, model.signature) == (before.flavors, before.signature)
        assert (model.artifact_path, model.model_id) == (files.as_uri(), files.parent.name)


def test_a_restored_model_matches_its_logged_metrics(example: ModuleType, restored: mlflow.MlflowClient) -> None:
    from mlflow.sklearn import load_model

    _, test = example.split(example.load_data())
    version = restored.get_model_version("churn", "4")
    model = load_model(f"models:/churn/{version.version}")  # type: ignore[no-untyped-call]
    found = example.evaluate(model, test.drop(columns=example.TARGET), test[example.TARGET])
    assert found["f1"] == pytest.approx(restored.get_run(str(version.run_id)).data.metrics["f1"], rel=0, abs=1e-9)


def test_writes_nothing_into_the_working_folder(trained: list[dict[str, Any]], folders: tuple[Path, Path]) -> None:
    assert list(folders[1].iterdir()) == []


def test_prints_only_its_result(run: subprocess.CompletedProcess[str]) -> None:
    assert run.stderr == ""


def test_runs_are_logged_without_a_registered_model(example: ModuleType, own_registry: str) -> None:
    import mlflow

    [logged] = example.train(example.CANDIDATES[:1], rows=400, model_name=None)
    client = mlflow.MlflowClient(own_registry)
    assert logged.version is None
    assert client.get_run(logged.run_id).info.status == "FINISHED"
    assert client.search_registered_models() == []


def test_the_fourth_version_is_slightly_better_than_the_third(trained: list[dict[str, Any]]) -> None:
    incumbent, candidate = (one["metrics"]["f1"] for one in trained[2:4])
    assert incumbent < candidate < incumbent + 0.1


@pytest.fixture
def leaky(trained: list[dict[str, Any]], client: mlflow.MlflowClient) -> tuple[Any, Any]:
    """Return the fourth version, and the fifth, whose table was joined too late."""
    from mlflow.sklearn import load_model

    good, bad = (load_model(str(logged(client, version)[1])) for version in (4, 5))  # type: ignore[no-untyped-call]
    return good, bad


def test_the_fifth_version_looks_excellent_but_is_bad_in_production(
    example: ModuleType, leaky: tuple[Any, Any], trained: list[dict[str, Any]]
) -> None:
    good, bad = leaky
    assert trained[4]["metrics"]["f1"] > trained[3]["metrics"]["f1"]
    for dearer in (0.0, 2.0):  # at the beginning, and when serve.py's world has drifted as far as it goes
        life = example.load_data(20_000, seed=7, dearer=dearer)
        features, left = life.drop(columns=example.TARGET), life[example.TARGET]
        served = {model: example.evaluate(model, features, left)["accuracy"] for model in (good, bad)}
        assert served[good] > 0.945
        assert served[bad] < 0.895  # the demo monitor's bound is between them: 0.92


def test_only_the_marked_candidate_is_joined_too_late(example: ModuleType) -> None:
    assert [one.joined_too_late for one in example.CANDIDATES] == [False] * 4 + [True]
    late = example.join_too_late(example.load_data(400))
    assert set(late.support_calls[late[example.TARGET]]) == {0.0}


def test_the_production_version_is_served_and_followed(folders: tuple[Path, Path], client: mlflow.MlflowClient) -> None:
    client.set_registered_model_alias("churn", "champion", "4")
    with run_receiver() as receiver:
        receiver.replies = [PlannedReply(202)]
        with serving(folders[0] / "mlflow.db", receiver) as (process, port):
            assert _pushed(receiver, 4)
            client.set_registered_model_alias("churn", "champion", "3")
            assert _pushed(receiver, 3)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=5) as answer:
                assert json.load(answer) == {"model": "churn", "version": 3}
            assert process.stdin
            process.stdin.close()  # as when its parent process ends
            assert process.wait(20) == 0


@contextmanager
def serving(database: Path, receiver: HttpReceiver) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run serve.py as a person would."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, SCRIPT.with_name("serve.py"), "--every", "0.2", "--port", str(port), "--end-with-stdin"],
        env=os.environ
        | {"MLFLOW_TRACKING_URI": f"sqlite:///{database}", "REGISTRAR_URL": receiver.url, "REGISTRAR_TOKEN": "a token"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def _pushed(receiver: HttpReceiver, version: int) -> bool:
    """Wait for readings of a version."""
    pause = threading.Event()
    for _ in range(300):
        if any(json.loads(got.body)["readings"][0]["version"] == version for got in receiver.got):
            return True
        pause.wait(0.1)
    return False


# -- registering and validating ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(trained: list[dict[str, Any]], folders: tuple[Path, Path]) -> dict[str, str]:
    """Return versions of another model, by what's wrong with them."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folders[0] / 'mlflow.db'}")
    files = {number: client.get_model_version_download_uri("churn", str(number)) for number in (1, 4)}
    origins = {
        "good": (files[4], trained[3]["run_id"]),
        "of other files": (files[1], trained[3]["run_id"]),
        "of no files": (f"{files[1]}-gone", trained[3]["run_id"]),
        "of no run": (files[4], None),
    }
    client.create_registered_model("odd")
    made = {
        what: client.create_model_version("odd", source, run_id, await_creation_for=0)
        for what, (source, run_id) in origins.items()
    }
    return {what: str(one.version) for what, one in made.items()}


def start(script: str, folders: tuple[Path, Path], *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would, on the trained registry."""
    there = {"MLFLOW_TRACKING_URI": f"sqlite:///{folders[0] / 'mlflow.db'}", "REGISTRAR_HOME": str(folders[0])}
    return subprocess.run(
        [sys.executable, SCRIPT.with_name(script), *words],
        cwd=folders[1],
        env=os.environ | there | environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=110,
    )


def test_a_registered_model_matches_its_logged_metrics_and_its_latency_is_logged(
    trained: list[dict[str, Any]], versions: dict[str, str], folders: tuple[Path, Path], client: mlflow.MlflowClient
) -> None:
    done = start(
        "validate_model.py", folders, "--model-name", "odd", "--version", versions["good"], "--benchmark", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"]
    logged = {name: value for name, value in trained[3]["metrics"].items() if name != "latency_ms"}
    assert found["metrics"] == pytest.approx(logged)
    assert client.get_run(trained[3]["run_id"]).data.metrics["latency_ms"] == found["latency_ms"]


def test_the_late_join_model_is_validated_on_its_own_test_set(
    trained: list[dict[str, Any]], folders: tuple[Path, Path]
) -> None:
    done = start("validate_model.py", folders, "--version", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "match the logged metrics" in done.stdout


@pytest.mark.parametrize(
    ("which", "code", "words"),
    [
        ("of other files", 1, "These differ from the logged metrics"),
        ("of no files", 1, "Can't use"),
        ("of no run", 2, "has no run"),
    ],
)
def test_a_model_that_differs_from_its_registration_is_found(
    versions: dict[str, str], folders: tuple[Path, Path], which: str, code: int, words: str
) -> None:
    done = start("validate_model.py", folders, "--model-name", "odd", "--version", versions[which])
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_deployed_model_is_loaded_by_alias_and_by_stage(
    versions: dict[str, str], folders: tuple[Path, Path], client: mlflow.MlflowClient
) -> None:
    client.transition_model_version_stage("odd", versions["good"], "Production")
    client.set_registered_model_alias("odd", "champion", versions["of other files"])
    torn = start("validate_model.py", folders, "--model-name", "odd", "--deployed")
    assert torn.returncode == 1
    assert "champion is v2, but Production is v1" in torn.stderr
    client.set_registered_model_alias("odd", "champion", versions["good"])
    whole = start("validate_model.py", folders, "--model-name", "odd", "--deployed")
    assert (whole.returncode, whole.stderr) == (0, "")
    for uri in ("models:/odd@champion", "models:/odd/Production"):
        assert f"loaded as {uri}" in whole.stdout


def test_a_missing_version_and_an_unreachable_mlflow_have_different_exit_codes(
    trained: list[dict[str, Any]], folders: tuple[Path, Path]
) -> None:
    assert start("validate_model.py", folders, "--version", "99").returncode == 2
    away = start("validate_model.py", folders, "--version", "4", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert away.returncode == 3
    assert "Check MLFLOW_TRACKING_URI" in away.stderr


def test_the_best_of_the_runs_is_registered_by_registrar(
    run: subprocess.CompletedProcess[str], folders: tuple[Path, Path], client: mlflow.MlflowClient
) -> None:
    (folders[0] / "trained.json").write_text(run.stdout)
    done = start(
        "register_model.py",
        folders,
        str(folders[0] / "trained.json"),
        "--model-name",
        "best",
        "--metric",
        "log_loss",
        "--lowest",
        "--tag",
        "trained_for=12",
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        PYTHONPATH=str(SCRIPT.parents[2]),
        GITHUB_OUTPUT=str(folders[0] / "outputs"),
    )
    assert done.returncode == 0, done.stderr
    best = min(json.loads(run.stdout), key=lambda each: each["metrics"]["log_loss"])
    [version] = client.search_model_versions("name = 'best'")
    assert (version.run_id, version.tags["semver"], version.tags["trained_for"]) == (best["run_id"], "1.0.0", "12")
    assert (folders[0] / "outputs").read_text() == f"version=1\nrun_id={best['run_id']}\n"
