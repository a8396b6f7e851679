"""`registrar compare` and `best` on a real MLflow: output and exit codes."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.commands.parser import parse_command
from bot.domain.commands.registry import Compare, FindBest
from bot.domain.registry import comparison
from bot.domain.registry.comparison import Comparison, to_csv
from bot.registry.mlflow.registry import MlflowRegistry
from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from tests.support.network.ports import free_port
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner


def found_by(mlflow_uri: str, text: str) -> Comparison:
    """Return the service's result, to compare with the terminal's output."""
    command = parse_command(text)
    with closing(MlflowRegistry(mlflow_uri)) as registry:
        versions = registry.versions(command.model)  # type: ignore[union-attr]
        runs = registry.tracker.runs([one.run_id for one in versions if one.run_id])
    return comparison.compare_versions("churn", versions, runs)


# -- compare -----------------------------------------------------------------------------------------------------------


def test_a_comparison_starts_with_the_sentence_and_the_newest_version(registrar: CliRunner, churn: str) -> None:
    said = registrar("compare", churn)
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0].startswith("v3 has no metrics to compare with Production v1")
    assert lines[2].split() == ["Version", "Semver", "Stage", "f1", "latency_ms"]
    assert [line.split()[0] for line in lines[4:7]] == ["v3", "v2", "v1"]
    assert lines[5].split() == ["v2", "1.1.0", "–", "0.91★", "+0.61", "–"]
    assert lines[6].split() == ["v1", "1.0.0", "Production", "0.3", "12★"]


def test_comparison_json_has_the_documented_keys(registrar: CliRunner, churn: str) -> None:
    said = registrar("compare", churn, "--json")
    document = said.document
    assert (said.code, said.err, list(document)) == (0, "", list(DOCUMENT_KEYS[Compare]))
    assert (document["model"], document["incumbent"]) == ("churn", 1)
    assert document["metrics"] == [
        {"name": "f1", "direction": "higher", "best": 2},
        {"name": "latency_ms", "direction": "lower", "best": 1},
    ]
    assert [version["version"] for version in document["versions"]] == [3, 2, 1]
    assert document["versions"][0]["metrics"] == {"f1": None, "latency_ms": None}
    assert document["versions"][2]["metrics"] == {"f1": 0.1 + 0.2, "latency_ms": 12.0}
    assert document["versions"][1]["deltas"] == {"f1": 0.91 - (0.1 + 0.2), "latency_ms": None}
    created = datetime.fromisoformat(document["versions"][0]["created_at"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 600
    assert {"semver", "stage", "run_id"} <= set(document["versions"][0])


def test_comparison_csv_has_the_entire_table(registrar: CliRunner, churn: str, mlflow_sqlite: str) -> None:
    said = registrar("compare", churn, "--csv")
    assert (said.code, said.err) == (0, "")
    assert said.out == to_csv(found_by(mlflow_sqlite, "compare churn"))


def test_versions_and_metrics_are_selected_as_in_slack(registrar: CliRunner, churn: str) -> None:
    document = registrar("compare", "--version", "v2", "--model-name", churn, "--metrics", "f1", "--json").document
    assert [version["version"] for version in document["versions"]] == [2, 1]  # the version in Production is added
    assert [metric["name"] for metric in document["metrics"]] == ["f1"]
    last = registrar("compare", churn, "--last", "1", "--json").document
    assert [version["version"] for version in last["versions"]] == [3, 1]


def test_an_existing_policy_sets_which_direction_is_better(registrar: CliRunner, churn: str, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("models: {}\ndirections: {f1: lower}")
    assert registrar("compare", churn, "--json").document["metrics"][0]["best"] == 1


def test_an_invalid_policy_stops_the_command(registrar: CliRunner, churn: str, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("modles: {}")
    said = registrar("compare", churn)
    assert (said.code, said.out) == (2, "")
    assert "did you mean models?" in said.err


def test_a_missing_configured_policy_causes_a_warning(registrar: CliRunner, churn: str) -> None:
    said = registrar("compare", churn, "--json", REGISTRAR_POLICY="elsewhere.yml")
    assert (said.code, said.document["model"]) == (0, "churn")
    assert "No policy file at elsewhere.yml" in said.err


@pytest.mark.parametrize("words", ["compare churn", "best churn f1", "list", "show churn", "show churn 2"])
def test_queries_need_and_create_no_ledger(registrar: CliRunner, churn: str, tmp_path: Path, words: str) -> None:
    said = registrar(*words.split(), REGISTRAR_DATABASE_URL="oracle://nowhere")
    assert said.code == 0
    assert not (tmp_path / ".registrar").exists()


def test_the_number_of_requests_is_independent_of_the_versions(
    registrar: CliRunner, churn: str, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
) -> None:
    patient = {"MLFLOW_TRACKING_URI": mlflow_server.uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    asked = []
    for _ in range(2):
        mlflow_server.requests.clear()
        assert registrar("compare", churn, **patient).code == 0
        asked.append(len(mlflow_server.requests))
        for _ in range(7):
            mlflow_backend.add_version(churn, run_id=mlflow_backend.add_run(metrics={"f1": 0.5}))
    assert asked == [3, 3]  # versions, experiments, runs


@pytest.mark.parametrize("verb", [["compare", "chrun"], ["best", "chrun", "f1"]], ids=str)
def test_an_unknown_model_suggests_the_closest_name(registrar: CliRunner, churn: str, verb: list[str]) -> None:
    said = registrar(*verb, "--json")
    assert (said.code, said.out) == (2, "")
    assert "Did you mean “churn”?" in said.err


def test_an_unknown_metric_suggests_the_closest_name(registrar: CliRunner, churn: str) -> None:
    said = registrar("compare", churn, "--metrics", "latency")
    assert said.code == 2
    assert "Did you mean latency_ms?" in said.err


@pytest.mark.parametrize("verb", ["compare churn", "best churn f1"])
def test_an_unresponsive_mlflow_is_reported(registrar: CliRunner, verb: str) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    said = registrar(*verb.split(), "--json", MLFLOW_TRACKING_URI=uri)
    assert (said.code, said.out) == (3, "")
    assert uri in said.err


# -- best --------------------------------------------------------------------------------------------------------------


def test_the_best_version_is_named_in_a_sentence(registrar: CliRunner, churn: str) -> None:
    said = registrar("best", churn, "f1")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("v2 (no stage) has the highest f1: 0.910, 0.610 ahead of v1 in Production.")


def test_best_json_has_the_documented_keys(registrar: CliRunner, churn: str) -> None:
    document = registrar("best", churn, "f1", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[FindBest])
    assert (document["version"], document["value"], document["margin"]) == (2, 0.91, 0.91 - (0.1 + 0.2))
    assert (document["direction"], document["stage"], document["semver"]) == ("higher", "None", "1.1.0")


def test_lowest_selects_the_lowest_value(registrar: CliRunner, churn: str) -> None:
    document = registrar("best", churn, "f1", "--lowest", "--json").document
    assert (document["version"], document["direction"], document["margin"]) == (1, "lower", None)


def test_best_csv_is_one_row_with_the_same_keys(registrar: CliRunner, churn: str) -> None:
    [row] = csv.DictReader(io.StringIO(registrar("best", churn, "f1", "--csv").out))
    assert (list(row), row["version"], row["value"]) == (list(DOCUMENT_KEYS[FindBest]), "2", "0.91")
