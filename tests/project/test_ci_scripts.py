"""The example's scripts for CI, piece by piece."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.paths import ROOT

FOLDER = ROOT / "examples" / "churn"


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """Import the scripts next to each other, as when one is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import register_model  # type: ignore[import-not-found]  # they lie in a folder of their own
        import report  # type: ignore[import-not-found]
        import validate_model  # type: ignore[import-not-found]

        yield SimpleNamespace(registering=register_model, report=report, validating=validate_model)
    for name in ("register_model", "report", "validate_model", "train"):
        sys.modules.pop(name, None)


@pytest.fixture
def report(scripts: SimpleNamespace) -> ModuleType:
    module: ModuleType = scripts.report
    return module


# -- choosing the best -------------------------------------------------------------------------------------------------


def runs(**values: float) -> list[dict[str, Any]]:
    return [{"run_id": name, "metrics": {"f1": value}} for name, value in values.items()]


def test_the_best_run_has_the_highest_or_with_lowest_the_lowest_value(scripts: SimpleNamespace) -> None:
    some = runs(a=0.5, b=0.9, c=0.1)
    assert scripts.registering.best(some, "f1", lowest=False)["run_id"] == "b"
    assert scripts.registering.best(some, "f1", lowest=True)["run_id"] == "c"


def test_a_nan_or_infinite_value_never_wins(scripts: SimpleNamespace) -> None:
    some = runs(a=float("nan"), b=0.2, c=float("inf"))
    assert scripts.registering.best(some, "f1", lowest=False)["run_id"] == "b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "has no runs"),
        ("nothing", "isn't the output of train.py --json"),
        ('[{"version": 1}]', "isn't the output of train.py --json"),
        ('[{"run_id": "a", "metrics": {"accuracy": 1}}]', "No run has the metric f1"),
    ],
)
def test_an_invalid_input_is_reported_with_exit_code_2(
    scripts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (tmp_path / "trained.json").write_text(text)
    assert scripts.registering.main([str(tmp_path / "trained.json")]) == 2
    assert words in capsys.readouterr().err


def test_a_refusal_has_registrar_s_exit_code(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registrar").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "registrar").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(runs(a=0.5))))
    assert scripts.registering.main(["-"]) == 3


# -- comparing with what was logged ------------------------------------------------------------------------------------


def test_a_metric_over_the_tolerance_or_nan_differs(scripts: SimpleNamespace) -> None:
    measured = {"f1": 0.7, "accuracy": 0.9004, "auc": float("nan"), "new": 1.0}
    logged = {"f1": 0.8, "accuracy": 0.9, "auc": 0.9}
    differs = scripts.validating.different(measured, logged, 0.001)
    assert list(differs) == ["f1", "auc"]
    assert differs["f1"] == pytest.approx(-0.1)


@pytest.mark.parametrize("word", ["4", "v4", "2.1.0", "@champion", "production"])
def test_a_version_is_found_by_all_its_names(scripts: SimpleNamespace, word: str) -> None:
    third, fourth = (
        SimpleNamespace(version=version, tags={"semver": semver}, current_stage=stage)
        for version, semver, stage in [("3", "2.0.0", "Staging"), ("4", "2.1.0", "Production")]
    )
    client = SimpleNamespace(
        get_model_version=lambda name, version: {"3": third, "4": fourth}[version],
        get_model_version_by_alias=lambda name, alias: {"champion": fourth}[alias],
        search_model_versions=lambda query, order_by: [fourth, third],
    )
    assert scripts.validating.find(client, "churn", word) is fourth
    with pytest.raises(scripts.validating.NotFoundError, match="has no version 9"):
        scripts.validating.find(client, "churn", "9.9.9")


# -- what people read --------------------------------------------------------------------------------------------------

REGISTERED = {"model": "churn", "version": 4, "semver": "1.1.0", "why": "parameters changed", "sentence": ""}
COMPARISON = {
    "incumbent": 3,
    "metrics": [{"name": "f1", "direction": "higher"}, {"name": "latency_ms", "direction": "lower"}],
    "versions": [
        {"version": 4, "metrics": {"f1": 0.8, "latency_ms": 5.0}, "deltas": {"f1": 0.1, "latency_ms": 1.0}},
        {"version": 3, "metrics": {"f1": 0.7, "latency_ms": 4.0}, "deltas": {"f1": 0.0, "latency_ms": 0.0}},
    ],
    "sentence": "v4 beats Production v3 on f1 by +0.1.",
}
GATES = {
    "passed": False,
    "sentence": "1 of 2 gates failed.",
    "gates": [
        {"name": "f1", "bound": "≥ 0.9", "value": "0.8", "passed": False},
        {"name": "semver", "bound": "set", "value": "1.1.0", "passed": True},
    ],
}


def written(folder: Path, **documents: Any) -> Path:
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def test_the_comment_shows_metrics_against_production_and_what_fails(report: ModuleType, tmp_path: Path) -> None:
    validated = {"passed": True, "sentence": "These match the logged metrics."}
    folder = written(tmp_path, registered=REGISTERED, comparison=COMPARISON, gates=GATES, validated=validated)
    text = report.training(folder, {})
    assert text.startswith(report.MARK)
    assert "| f1 | 0.8 | 0.7 | +0.1 | better |" in text
    assert "| latency\\_ms | 5 | 4 | +1 | worse |" in text
    assert "- f1 is 0.8, required: ≥ 0.9" in text
    assert "shouldn't be promoted" in text
    text = report.training(written(tmp_path, gates={"passed": True, "sentence": "All pass.", "gates": []}), {})
    assert "`/model promote churn 4 production`" in text
    assert "nothing was registered there" in report.training(tmp_path, {"IS_SHARED": "false"})


def test_an_unfinished_step_is_reported(report: ModuleType, tmp_path: Path) -> None:
    assert "Nothing was registered" in report.training(tmp_path, {})
    (tmp_path / "gates.json").write_text("")  # as `tee` writes it for a program without output
    text = report.training(written(tmp_path, registered=REGISTERED), {})
    assert "couldn't be loaded and scored" in text
    assert "couldn't be checked" in text


def test_outside_names_are_plain_text_without_mentions(report: ModuleType) -> None:
    shown = report.plain("@everyone | <img> [a](b) `x` #12\n# Title")
    for live in ("@everyone", "<img>", "[a](b)", " | ", "#12", "\n"):
        assert live not in shown
    assert report.code("a`b") == "`ab`"


def test_a_card_marks_missing_values(report: ModuleType) -> None:
    shown = report.card(
        {"owner": None, "metrics": {"f1": 0.8}, "dependencies": ["a==1", "b==2"], "missing": ["owner"]}, {}
    )
    assert "| owner | *missing* |" in shown
    assert "| metrics | f1 = 0.8 |" in shown
    assert "| dependencies | a==1<br>b==2 |" in shown
    assert "| missing |" not in shown


def test_a_promoted_version_s_card_names_the_approvers(report: ModuleType) -> None:
    votes = [
        {"by": "slack:T0/U0BOB", "choice": "approve", "counts": True},
        {"by": "slack:T0/U0CAROL", "choice": "approve", "counts": True},
    ]
    request = {
        "to": "Production",
        "votes": votes,
        "decided_by": "slack:T0/U0CAROL",
        "decided_at": "2026-11-27T18:00:00Z",
        "reason": "better f1",
        "sentence": "churn v4 is in Production.",
    }
    shown = report.card({"approver": None, "approval_status": None}, request)
    assert shown.startswith("churn v4 is in Production.\n")
    assert "| approver | slack:T0/U0BOB<br>slack:T0/U0CAROL |" in shown
    assert "| approval\\_status | approved\\_production |" in shown


def test_pages_of_comments_are_read_with_any_separator(report: ModuleType) -> None:
    for text in ('[{"id": 1}][{"id": 2}]', '[{"id": 1},{"id": 2}]', '[{"id": 1}]\n[{"id": 2}]\n'):
        assert [one["id"] for one in report.documents(text)] == [1, 2]


def test_only_the_workflow_s_own_comment_is_updated(report: ModuleType) -> None:
    def by(kind: str, body: str) -> dict[str, Any]:
        return {"user": {"type": kind}, "body": body}

    assert report.is_ours(by("Bot", f"{report.MARK}\n\nhello"))
    assert not report.is_ours(by("User", f"{report.MARK}\n\nhello"))
    assert not report.is_ours(by("Bot", f"> {report.MARK}"))


def test_an_output_cannot_contain_its_own_delimiter(report: ModuleType, tmp_path: Path) -> None:
    from tests.support.github.workflow_runner import read_pairs

    text = "one\nend\nEOF\nother=1\n"
    report.tell_later_jobs({"GITHUB_OUTPUT": str(tmp_path / "out")}, report=text, version="4")
    assert read_pairs(tmp_path / "out") == {"report": text.rstrip("\n"), "version": "4"}
