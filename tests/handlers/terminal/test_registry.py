"""`registrar register`, `validate`, `compare` and `best` on a real MLflow: what they print, and how they end."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from bot.domain import comparison
from bot.domain.commands import Best, Compare, Register, Validate
from bot.domain.comparison import Comparison, to_csv
from bot.domain.events import Event, Tag
from bot.domain.moves import Move, MoveKind, MoveState
from bot.domain.parsing import parse
from bot.domain.people import Operator
from bot.domain.registry import RunInfo, Stage, VersionInfo
from bot.ledger import SqlLedger
from bot.registry.mlflow import MlflowRegistry
from handlers.cli import main
from handlers.terminal import grammar, tables
from handlers.terminal.counter import operator
from handlers.terminal.documents import KEYS
from tests.support.app.cli_runner import Registrar, command
from tests.support.registry.registries import MlflowServer, MlflowShelf, free_port


@pytest.fixture
def registrar(
    mlflow_sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Registrar:
    """Return the terminal's command in a folder with nothing but MLflow; settings are given by their names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
    return command(monkeypatch, capsys)


@pytest.fixture
def churn(mlflow_shelf: MlflowShelf) -> str:
    """Return a model: v1 in Production, v2 without latency, v3 without a run."""
    first = mlflow_shelf.add_run(metrics={"f1": 0.1 + 0.2, "latency_ms": 12.0})
    second = mlflow_shelf.add_run(metrics={"f1": 0.91})
    mlflow_shelf.add("churn")
    mlflow_shelf.add_version("churn", run_id=first, stage=Stage.PRODUCTION, tags={"semver": "1.0.0"})
    mlflow_shelf.add_version("churn", run_id=second, tags={"semver": "1.1.0"})
    mlflow_shelf.add_version("churn")
    return "churn"


def found_by(mlflow_uri: str, text: str) -> Comparison:
    """Return what the service finds, for what the terminal makes of it."""
    command = parse(text)
    with closing(MlflowRegistry(mlflow_uri)) as registry:
        versions = registry.versions(command.model)  # type: ignore[union-attr]
        runs = registry.runs([one.run_id for one in versions if one.run_id])
    return comparison.compare("churn", versions, runs)


# -- compare -----------------------------------------------------------------------------------------------------------


def test_comparing_says_the_sentence_first_and_then_the_newest_version(registrar: Registrar, churn: str) -> None:
    said = registrar("compare", churn)
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0].startswith("v3 has no metrics to compare with Production v1")
    assert lines[2].split() == ["Version", "Semver", "Stage", "f1", "latency_ms"]
    assert [line.split()[0] for line in lines[4:7]] == ["v3", "v2", "v1"]
    assert lines[5].split() == ["v2", "1.1.0", "–", "0.91★", "+0.61", "–"]
    assert lines[6].split() == ["v1", "1.0.0", "Production", "0.3", "12★"]


def test_a_comparison_as_json_has_the_keys_that_are_promised(registrar: Registrar, churn: str) -> None:
    said = registrar("compare", churn, "--json")
    document = said.document
    assert (said.code, said.err, list(document)) == (0, "", list(KEYS[Compare]))
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


def test_a_comparison_as_csv_is_the_whole_frame(registrar: Registrar, churn: str, mlflow_sqlite: str) -> None:
    said = registrar("compare", churn, "--csv")
    assert (said.code, said.err) == (0, "")
    assert said.out == to_csv(found_by(mlflow_sqlite, "compare churn"))


def test_versions_and_metrics_are_chosen_as_in_slack(registrar: Registrar, churn: str) -> None:
    document = registrar("compare", "--version", "v2", "--model-name", churn, "--metrics", "f1", "--json").document
    assert [version["version"] for version in document["versions"]] == [2, 1]  # Production joins them
    assert [metric["name"] for metric in document["metrics"]] == ["f1"]
    last = registrar("compare", churn, "--last", "1", "--json").document
    assert [version["version"] for version in last["versions"]] == [3, 1]


def test_a_policy_that_is_there_says_which_way_is_better(registrar: Registrar, churn: str, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("models: {}\ndirections: {f1: lower}")
    assert registrar("compare", churn, "--json").document["metrics"][0]["best"] == 1


def test_a_broken_policy_is_told_and_nothing_is_done(registrar: Registrar, churn: str, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("modles: {}")
    said = registrar("compare", churn)
    assert (said.code, said.out) == (2, "")
    assert "did you mean models?" in said.err


def test_a_policy_that_is_named_and_not_there_is_told_beside_the_answer(registrar: Registrar, churn: str) -> None:
    said = registrar("compare", churn, "--json", REGISTRAR_POLICY="elsewhere.yml")
    assert (said.code, said.document["model"]) == (0, "churn")
    assert "no policy file elsewhere.yml" in said.err


def test_looking_makes_no_ledger_and_asks_for_none(registrar: Registrar, churn: str, tmp_path: Path) -> None:
    said = registrar("compare", churn, REGISTRAR_DATABASE_URL="oracle://nowhere")
    assert said.code == 0
    assert not (tmp_path / ".registrar").exists()


def test_the_requests_do_not_grow_with_the_versions(
    registrar: Registrar, churn: str, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
) -> None:
    patient = {"MLFLOW_TRACKING_URI": mlflow_server.uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    asked = []
    for _ in range(2):
        mlflow_server.requests.clear()
        assert registrar("compare", churn, **patient).code == 0
        asked.append(len(mlflow_server.requests))
        for _ in range(7):
            mlflow_shelf.add_version(churn, run_id=mlflow_shelf.add_run(metrics={"f1": 0.5}))
    assert asked == [3, 3]  # versions, experiments, runs


@pytest.mark.parametrize("verb", [["compare", "chrun"], ["best", "chrun", "f1"]], ids=str)
def test_a_model_that_is_not_there_is_answered_with_the_nearest(
    registrar: Registrar, churn: str, verb: list[str]
) -> None:
    said = registrar(*verb, "--json")
    assert (said.code, said.out) == (2, "")
    assert "Did you mean “churn”?" in said.err


def test_a_metric_that_is_not_there_is_answered_with_the_nearest(registrar: Registrar, churn: str) -> None:
    said = registrar("compare", churn, "--metrics", "latency")
    assert said.code == 2
    assert "Did you mean latency_ms?" in said.err


@pytest.mark.parametrize("verb", ["compare churn", "best churn f1"])
def test_an_mlflow_that_does_not_answer_is_told(registrar: Registrar, verb: str) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    said = registrar(*verb.split(), "--json", MLFLOW_TRACKING_URI=uri)
    assert (said.code, said.out) == (3, "")
    assert uri in said.err


# -- best --------------------------------------------------------------------------------------------------------------


def test_the_best_is_named_in_a_sentence(registrar: Registrar, churn: str) -> None:
    said = registrar("best", churn, "f1")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("v2 (no stage) has the highest f1: 0.91, 0.61 ahead of v1 in Production.")


def test_the_best_as_json_has_the_keys_that_are_promised(registrar: Registrar, churn: str) -> None:
    document = registrar("best", churn, "f1", "--json").document
    assert list(document) == list(KEYS[Best])
    assert (document["version"], document["value"], document["margin"]) == (2, 0.91, 0.91 - (0.1 + 0.2))
    assert (document["direction"], document["stage"], document["semver"]) == ("higher", "None", "1.1.0")


def test_the_lowest_wins_where_it_is_asked_for(registrar: Registrar, churn: str) -> None:
    document = registrar("best", churn, "f1", "--lowest", "--json").document
    assert (document["version"], document["direction"], document["margin"]) == (1, "lower", None)


def test_the_best_as_csv_is_one_row_of_the_same(registrar: Registrar, churn: str) -> None:
    [row] = csv.DictReader(io.StringIO(registrar("best", churn, "f1", "--csv").out))
    assert (list(row), row["version"], row["value"]) == (list(KEYS[Best]), "2", "0.91")


# -- validate ----------------------------------------------------------------------------------------------------------

GATES = """
roles: {lead: [U0BOB]}
models:
  "*":
    staging: {approvers: [lead]}
    production:
      approvers: [lead]
      gates:
        - {metric: f1, at_least: 0.9}
        - {metric: latency_ms, at_most: 100}
        - {semver: set}
"""


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    """Return a policy with gates, where it is looked for."""
    path = tmp_path / "registrar.yml"
    path.write_text(GATES)
    return path


def test_every_gate_stands_with_its_value_and_its_bound(registrar: Registrar, churn: str, gates: Path) -> None:
    said = registrar("validate", "--model-name", churn, "--version", "2")
    assert (said.code, said.err) == (1, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert said.out.splitlines()[0] == "churn v2 → Production: 1 of 3 gates fails."
    assert lines[2] == ["Gate", "Value", "Has", "to", "be", "Note"]
    assert lines[4:7] == [
        ["✓", "f1", "0.91", "≥", "0.9"],
        ["✗", "latency_ms", "missing", "≤", "100"],
        ["✓", "semver", "1.1.0", "set"],
    ]


def test_results_of_one_s_own_validation_are_used(registrar: Registrar, churn: str, gates: Path) -> None:
    said = registrar("validate", churn, "2", "--validation", "latency_ms=12", "--validation", "accuracy=0.9")
    assert (said.code, said.err) == (0, "")
    assert "churn v2 → Production: all 3 gates pass." in said.out
    assert "the asker's own validation" in said.out


def test_a_validation_as_json_has_the_keys_that_are_promised(registrar: Registrar, churn: str, gates: Path) -> None:
    said = registrar("validate", churn, "2", "--json", "--validation", "latency_ms=120")
    document = said.document
    assert (said.code, said.err, list(document)) == (1, "", list(KEYS[Validate]))
    assert (document["passed"], document["to"], document["semver"]) == (False, "Production", "1.1.0")
    assert document["validation"] == {"latency_ms": 120.0}
    assert document["gates"][1] == {
        "name": "latency_ms",
        "bound": "≤ 100",
        "value": "120",
        "passed": False,
        "note": "the asker's own validation",
    }


def test_a_stage_without_gates_lets_pass_and_says_so(registrar: Registrar, churn: str, gates: Path) -> None:
    said = registrar("validate", churn, "2", "--to", "staging")
    assert (said.code, said.out) == (0, "The policy has no gates for churn v2 → Staging.\n")


def test_validating_without_a_policy_names_what_writes_one(registrar: Registrar, churn: str) -> None:
    said = registrar("validate", churn, "2", "--json")
    assert (said.code, said.out) == (2, "")
    assert "registrar init" in said.err


def test_validating_makes_no_ledger(registrar: Registrar, churn: str, gates: Path, tmp_path: Path) -> None:
    gates.write_text(GATES.replace("{semver: set}", "{in_staging_for: 1h}"))
    said = registrar("validate", churn, "2")
    assert (said.code, "not in Staging" in said.out) == (1, True)
    assert not (tmp_path / ".registrar").exists()


def test_the_time_in_staging_is_taken_from_a_ledger_that_is_there(
    registrar: Registrar, churn: str, gates: Path, tmp_path: Path, sqlite_template: Path
) -> None:
    gates.write_text(GATES.replace("{semver: set}", "{in_staging_for: 1h}"))
    with closing(MlflowRegistry(os.environ["MLFLOW_TRACKING_URI"])) as registry:
        registry.transition(churn, 2, Stage.STAGING, archive_existing=True)
    assert "1d 6h" not in registrar("validate", churn, "2").out
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    long_ago = datetime.now(UTC) - timedelta(hours=30)
    move = Move(
        id="m1",
        kind=MoveKind.PROMOTION,
        model=churn,
        version=2,
        from_stage=Stage.NONE,
        target=Stage.STAGING,
        expected_incumbent=None,
        actor=operator(),
        intended_at=long_ago,
        finished_at=long_ago,
        state=MoveState.DONE,
    )
    with closing(SqlLedger(f"sqlite:///{tmp_path / '.registrar' / 'ledger.db'}")) as ledger, ledger.write() as tx:
        tx.add_move(move)
    assert "1d 6h" in registrar("validate", churn, "2").out


# -- register ----------------------------------------------------------------------------------------------------------


def events(home: Path) -> list[Event]:
    """Return what the ledger's audit holds."""
    with closing(SqlLedger(f"sqlite:///{home / '.registrar' / 'ledger.db'}")) as ledger, ledger.read() as reading:
        return [link.event for link in reading.links()]


def test_registering_leaves_the_intent_and_the_result_in_the_audit(
    registrar: Registrar, churn: str, mlflow_shelf: MlflowShelf, tmp_path: Path
) -> None:
    run = mlflow_shelf.add_run(metrics={"f1": 0.95}, models=["model"])
    said = registrar("register", "--run-id", run, "--model-name", churn, "--tag", "owner=ann", "--tag", "use_case=x")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Registered v4 of “churn” as ")
    asked, made = events(tmp_path)
    assert (asked.tag, asked.actor, asked.origin) == (Tag.COMMANDED, operator(), "terminal")
    assert (made.tag, made.actor, made.after) == (Tag.REGISTERED, operator(), "v4")
    assert asked.evidence["tags"] == ["owner=ann", "use_case=x"]


def test_registering_answers_programs_with_the_version(
    registrar: Registrar, churn: str, mlflow_shelf: MlflowShelf, mlflow_sqlite: str
) -> None:
    run = mlflow_shelf.add_run(metrics={"f1": 0.95}, models=["model"])
    for number, semver in ((4, "2.0.0"), (5, "3.0.0")):  # the second one of the same run is told from the first
        said = registrar("register", run, churn, "--bump", "major", "--description", "wider trees", "--json")
        document = said.document
        assert (said.code, said.err, list(document)) == (0, "", list(KEYS[Register]))
        assert (document["version"], document["semver"], document["run_id"]) == (number, semver, run)
        assert (document["against"], document["overridden"]) == (1, True)
    with closing(MlflowRegistry(mlflow_sqlite)) as registry:
        newest = registry.versions(churn)[0]
    assert (newest.semver, newest.description) == ("3.0.0", "wider trees")


def test_an_unknown_run_is_refused_and_the_audit_keeps_it(registrar: Registrar, tmp_path: Path) -> None:
    said = registrar("register", "0" * 32, "churn", "--json")
    assert (said.code, said.out) == (2, "")
    assert "MLflow has no run" in said.err
    assert [event.tag for event in events(tmp_path)] == [Tag.COMMANDED, Tag.COMMAND_REFUSED]


def test_what_is_asked_for_while_mlflow_is_away_is_written_down(registrar: Registrar, tmp_path: Path) -> None:
    said = registrar("register", "0" * 32, "churn", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert (said.code, said.out) == (3, "")
    assert "is written down" in said.err
    assert "as soon as MLflow answers" in said.err
    assert [event.tag for event in events(tmp_path)] == [Tag.COMMANDED]


def test_a_ledger_that_does_not_answer_is_told_before_anything_is_made(
    registrar: Registrar, tmp_path: Path, mlflow_sqlite: str
) -> None:
    (tmp_path / ".registrar").write_text("a file where a folder should be")
    assert registrar("register", "0" * 32, "churn").code == 3


def test_the_operator_is_who_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = operator()
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    assert operator() == before != Operator("somebody-else")


# -- the line ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["compare --help", "best churn -h", "help register", "validate -h"])
def test_the_help_comes_from_the_definitions(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    verb = grammar.VERBS[next(word for word in words.split() if word in grammar.VERBS)]
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert " ".join(text.split("\n\n", maxsplit=1)[0].split()) == f"usage: {grammar.usage(verb)}"
    for _, _, arg in verb.args():
        assert all(flag in text for flag in arg.flags)
        assert " ".join(arg.means.split()) in " ".join(text.split())
    assert all(f"  {key} " in text for key in KEYS[verb])
    assert max(map(len, text.replace(f"For example: registrar {verb.example}", "").splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("cmopare churn", "Did you mean registrar compare?"),
        ("rum", "Did you mean registrar run?"),
        ("fly", "Unknown command “fly”. registrar help lists them all."),
        ("compare", "MODEL is missing"),
        ("compare churn --metrcs f1", "Did you mean --metrics?"),
        ("compare churn --json --csv", "Choose one of --json, --csv"),
        ("register 0a churn --csv", "--csv"),
        ("best churn", "METRIC is missing"),
        ("best churn f1 more", "one word too many"),
        ("compare churn --last 0", "--last"),
        ("compare [bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_what_cannot_be_understood_is_told(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert hint in printed.err
    assert printed.out == ""


def test_behind_two_dashes_nothing_is_a_flag(registrar: Registrar, mlflow_shelf: MlflowShelf) -> None:
    mlflow_shelf.add("--json", versions=1)
    assert registrar("compare", "--json", "--", "--json").document["model"] == "--json"


ODD = ["[bold]x", "it's", 'a "b"', "модель 模型 نموذج", "{braces} %s"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_stand_as_they_are(registrar: Registrar, mlflow_shelf: MlflowShelf, name: str) -> None:
    mlflow_shelf.add(name)
    run = mlflow_shelf.add_run(metrics={"f1": 0.5})
    mlflow_shelf.add_version(name, run_id=run, tags={"semver": "[red]\x1b[31m1.0.0"})
    assert registrar("compare", name, "--json").document["model"] == name
    assert registrar("best", name, "f1", "--json").document["model"] == name
    table = registrar("compare", name, COLUMNS="120").out
    assert "[red][31m1.0.0" in table
    assert "\x1b" not in table
    assert f"“{name}”" in registrar("best", name, "f2").err


def test_a_screen_that_lacks_letters_gets_them_written_out(
    registrar: Registrar, mlflow_shelf: MlflowShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_shelf.add("модель", versions=1)
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", out)
    assert main(["compare", "модель", "--json"]) == 0
    out.seek(0)
    assert json.loads(out.read())["model"] == "модель"


# -- the table ---------------------------------------------------------------------------------------------------------


def many(metrics: int, versions: int = 3, name: str = "metric_{}") -> Comparison:
    """Return a comparison of so many versions with so many metrics; v1 is in Production."""
    rows = [VersionInfo(model="churn", version=at, run_id=f"r{at}", stage=Stage.NONE) for at in range(1, versions + 1)]
    rows[0] = replace(rows[0], stage=Stage.PRODUCTION)
    runs = {
        f"r{at}": RunInfo(id=f"r{at}", metrics={name.format(one): at / 7 + one for one in range(metrics)})
        for at in range(1, versions + 1)
    }
    return comparison.compare("churn", rows, runs)


def lines(found: Comparison, width: int = 80) -> list[str]:
    """Return the lines of a screen so wide."""
    console = Console(width=width, file=io.StringIO(), record=True, markup=False)
    for part in tables.comparison(found, width):
        console.print(part)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_of_thirty_metrics_fits_the_screen_and_says_what_is_left_out(width: int) -> None:
    found = many(30)
    text = lines(found, width)
    assert max(map(cell_len, text)) <= width
    shown = [name for name in found.metrics if any(line.split()[3:].count(name) for line in text if "Semver" in line)]
    assert shown == list(found.metrics[: len(shown)])
    rest = " ".join(text).split(f"{30 - len(shown)} of 30 metrics do not fit into {width} columns: ")[1]
    assert rest.startswith(", ".join(found.metrics[len(shown) :]) + ". ")
    assert "--metrics" in rest
    assert "--csv" in rest


def test_at_eighty_columns_several_metrics_are_seen() -> None:
    heading = next(line for line in lines(many(30)) if "Semver" in line)
    assert len(heading.split()) >= 3 + 3


def test_no_cell_is_cut() -> None:
    found = many(2, name="a_metric_with_a_name_that_is_very_long_indeed_{}")
    text = "".join("".join(line.split()) for line in lines(found))
    assert "…" not in text
    assert [line.split()[0] for line in lines(found) if line.startswith("v") and line[1].isdigit()][-3:] == [
        "v3",
        "v2",
        "v1",
    ]
    assert "0.4286" in text


def test_all_of_a_thousand_versions_are_shown() -> None:
    text = lines(many(2, versions=1000))
    assert [line.split()[0] for line in text if line.startswith("v")][1:] == [f"v{at}" for at in range(1000, 0, -1)]


def test_a_model_is_shown_with_status_and_run_of_each_version_page_by_page(
    registrar: Registrar, mlflow_shelf: MlflowShelf
) -> None:
    runs = [mlflow_shelf.add_run() for _ in range(2)]
    mlflow_shelf.add("many", versions=50)
    for run in runs:
        mlflow_shelf.add_version("many", run_id=run)
    first = registrar("show", "many", COLUMNS="200").out
    assert "52 versions; older: registrar show many --page 2" in first
    [newest] = [line for line in first.splitlines() if line.strip().startswith("v52")]
    assert ["ready", runs[1]] == [word for word in newest.split() if word in {"ready", runs[1]}]
    second = registrar("show", "many", "--page", "2").out
    assert [line.split()[0] for line in second.splitlines() if line.strip().startswith("v")] == ["v2", "v1"]
    assert registrar("show", "many", "--page", "9").out == "Page 9 is empty; there are 2.\n"
    told = registrar("show", "many", "--json").document["versions"]
    assert (len(told), told[0]["status"], told[0]["run_id"]) == (52, "READY", runs[1])


def test_a_narrow_screen_still_shows_every_version() -> None:
    text = lines(many(3), width=20)
    assert {"v1", "v2", "v3"} <= {word for line in text for word in line.split()}
    assert "3 of 3 metrics do not fit" in " ".join(text)


def test_the_best_is_green_only_where_there_are_colours(registrar: Registrar, churn: str) -> None:
    plain = registrar("compare", churn).out
    assert "\x1b" not in plain
    green = registrar("compare", churn, FORCE_COLOR="1", TERM="xterm-256color").out
    assert "\x1b[1;32m" in green
    assert "\x1b" not in registrar("compare", churn, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").out


def test_a_model_without_versions_or_metrics_is_told(registrar: Registrar, mlflow_shelf: MlflowShelf) -> None:
    mlflow_shelf.add("empty")
    mlflow_shelf.add("bare", versions=2)
    assert registrar("compare", "empty").out == "There are no versions of “empty” to compare.\n"
    assert registrar("compare", "empty", "--json").document["versions"] == []
    assert [line.split() for line in registrar("compare", "bare").out.splitlines()[-2:]] == [
        ["v2", "–", "–"],
        ["v1", "–", "–"],
    ]
    assert registrar("best", "bare", "f1").code == 2


def test_values_that_are_no_numbers_are_null(registrar: Registrar, mlflow_shelf: MlflowShelf) -> None:
    run = mlflow_shelf.add_run(metrics={"f1": math.nan, "auc": math.inf, "r2": -1.5e-300})
    mlflow_shelf.add("churn")
    mlflow_shelf.add_version("churn", run_id=run)
    [version] = registrar("compare", "churn", "--json").document["versions"]
    assert version["metrics"] == {"auc": None, "f1": None, "r2": -1.5e-300}
