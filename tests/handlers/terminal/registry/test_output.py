"""Command lines and tables: help, errors, colors, and terminals of every width."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.cells import cell_len

from bot.domain.registry import comparison
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.model import RunInfo, Stage, VersionInfo
from handlers.terminal.command_line import grammar
from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from handlers.terminal.main import main
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner
from tests.support.terminal.registry_commands import lines

# -- command lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["compare --help", "best churn -h", "help register", "validate -h"])
def test_help_is_generated_from_the_definitions(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    verb = grammar.TERMINAL_COMMANDS[next(word for word in words.split() if word in grammar.TERMINAL_COMMANDS)]
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert " ".join(text.split("\n\n", maxsplit=1)[0].split()) == f"usage: {grammar.usage_line(verb)}"
    for _, _, arg in verb.arguments():
        assert all(flag in text for flag in arg.flags)
        assert " ".join(arg.help.split()) in " ".join(text.split())
    assert all(f"  {key} " in text for key in DOCUMENT_KEYS[verb])
    assert max(map(len, text.replace(f"Example: registrar {verb.example}", "").splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("cmopare churn", "Did you mean registrar compare?"),
        ("rum", "Did you mean registrar run?"),
        ("fly", "Unknown command “fly”. To list commands, run registrar help."),
        ("compare", "Missing MODEL"),
        ("compare churn --metrcs f1", "Did you mean --metrics?"),
        ("compare churn --json --csv", "Choose one of --json, --csv"),
        ("register 0a churn --csv", "--csv"),
        ("best churn", "Missing METRIC"),
        ("best churn f1 more", "Unexpected word"),
        ("compare churn --last 0", "--last"),
        ("compare [bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_invalid_input_is_explained(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert hint in printed.err
    assert printed.out == ""


def test_after_two_dashes_nothing_is_a_flag(registrar: CliRunner, mlflow_backend: MlflowBackend) -> None:
    mlflow_backend.add_model("--json", versions=1)
    assert registrar("compare", "--json", "--", "--json").document["model"] == "--json"


ODD = ["[bold]x", "it's", 'a "b"', "модель 模型 نموذج", "{braces} %s"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_printed_unchanged(registrar: CliRunner, mlflow_backend: MlflowBackend, name: str) -> None:
    mlflow_backend.add_model(name)
    run = mlflow_backend.add_run(metrics={"f1": 0.5})
    mlflow_backend.add_version(name, run_id=run, tags={"semver": "[red]\x1b[31m1.0.0"})
    assert registrar("compare", name, "--json").document["model"] == name
    assert registrar("best", name, "f1", "--json").document["model"] == name
    table = registrar("compare", name, COLUMNS="120").out
    assert "[red][31m1.0.0" in table
    assert "\x1b" not in table
    assert f"“{name}”" in registrar("best", name, "f2").err


def test_characters_outside_the_encoding_are_escaped(
    registrar: CliRunner, mlflow_backend: MlflowBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_backend.add_model("модель", versions=1)
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", out)
    assert main(["compare", "модель", "--json"]) == 0
    out.seek(0)
    assert json.loads(out.read())["model"] == "модель"


# -- tables ------------------------------------------------------------------------------------------------------------


def many(metrics: int, versions: int = 3, name: str = "metric_{}") -> Comparison:
    """Return a comparison with this many versions and metrics; v1 is in Production."""
    rows = [VersionInfo(model="churn", version=at, run_id=f"r{at}", stage=Stage.NONE) for at in range(1, versions + 1)]
    rows[0] = replace(rows[0], stage=Stage.PRODUCTION)
    runs = {
        f"r{at}": RunInfo(id=f"r{at}", metrics={name.format(one): at / 7 + one for one in range(metrics)})
        for at in range(1, versions + 1)
    }
    return comparison.compare_versions("churn", rows, runs)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_of_30_metrics_fits_the_width_and_lists_the_rest(width: int) -> None:
    found = many(30)
    text = lines(found, width)
    assert max(map(cell_len, text)) <= width
    shown = [name for name in found.metrics if any(line.split()[3:].count(name) for line in text if "Semver" in line)]
    assert shown == list(found.metrics[: len(shown)])
    rest = " ".join(text).split(f"{30 - len(shown)} of 30 metrics don't fit in {width} columns: ")[1]
    assert rest.startswith(", ".join(found.metrics[len(shown) :]) + ". ")
    assert "--metrics" in rest
    assert "--csv" in rest


def test_several_metrics_fit_at_80_columns() -> None:
    heading = next(line for line in lines(many(30)) if "Semver" in line)
    assert len(heading.split()) >= 3 + 3


def test_no_cell_is_truncated() -> None:
    found = many(2, name="a_metric_with_a_name_that_is_very_long_indeed_{}")
    text = "".join("".join(line.split()) for line in lines(found))
    assert "…" not in text
    assert [line.split()[0] for line in lines(found) if line.startswith("v") and line[1].isdigit()][-3:] == [
        "v3",
        "v2",
        "v1",
    ]
    assert "0.4286" in text


def test_all_1000_versions_are_shown() -> None:
    text = lines(many(2, versions=1000))
    assert [line.split()[0] for line in text if line.startswith("v")][1:] == [f"v{at}" for at in range(1000, 0, -1)]


def test_a_models_versions_are_shown_in_pages_with_status_and_run(
    registrar: CliRunner, mlflow_backend: MlflowBackend
) -> None:
    runs = [mlflow_backend.add_run() for _ in range(2)]
    mlflow_backend.add_model("many", versions=50)
    for run in runs:
        mlflow_backend.add_version("many", run_id=run)
    first = registrar("show", "many", COLUMNS="200").out
    assert "52 versions; older ones: registrar show many --page 2" in first
    [newest] = [line for line in first.splitlines() if line.strip().startswith("v52")]
    assert ["ready", runs[1]] == [word for word in newest.split() if word in {"ready", runs[1]}]
    second = registrar("show", "many", "--page", "2").out
    assert [line.split()[0] for line in second.splitlines() if line.strip().startswith("v")] == ["v2", "v1"]
    assert registrar("show", "many", "--page", "9").out == "Page 9 is empty; the last page is 2.\n"
    told = registrar("show", "many", "--json").document["versions"]
    assert (len(told), told[0]["status"], told[0]["run_id"]) == (52, "READY", runs[1])


def test_a_narrow_terminal_still_shows_every_version() -> None:
    text = lines(many(3), width=20)
    assert {"v1", "v2", "v3"} <= {word for line in text for word in line.split()}
    assert "3 of 3 metrics don't fit" in " ".join(text)


def test_the_best_value_is_green_only_with_color_support(registrar: CliRunner, churn: str) -> None:
    plain = registrar("compare", churn).out
    assert "\x1b" not in plain
    green = registrar("compare", churn, FORCE_COLOR="1", TERM="xterm-256color").out
    assert "\x1b[1;38;5;29m" in green
    assert "\x1b" not in registrar("compare", churn, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").out


def test_a_model_without_versions_or_metrics_is_reported(registrar: CliRunner, mlflow_backend: MlflowBackend) -> None:
    mlflow_backend.add_model("empty")
    mlflow_backend.add_model("bare", versions=2)
    assert registrar("compare", "empty").out == "“empty” has no versions to compare.\n"
    assert registrar("compare", "empty", "--json").document["versions"] == []
    assert [line.split() for line in registrar("compare", "bare").out.splitlines()[-2:]] == [
        ["v2", "–", "–"],
        ["v1", "–", "–"],
    ]
    assert registrar("best", "bare", "f1").code == 2


def test_nan_and_infinity_are_null(registrar: CliRunner, mlflow_backend: MlflowBackend) -> None:
    run = mlflow_backend.add_run(metrics={"f1": math.nan, "auc": math.inf, "r2": -1.5e-300})
    mlflow_backend.add_model("churn")
    mlflow_backend.add_version("churn", run_id=run)
    [version] = registrar("compare", "churn", "--json").document["versions"]
    assert version["metrics"] == {"auc": None, "f1": None, "r2": -1.5e-300}
