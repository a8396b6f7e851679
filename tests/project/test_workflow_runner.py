"""The tests' workflow runner behaves like GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.github import workflow_runner
from tests.support.github.expressions import NotUnderstoodError, Scope, evaluate, fill, functions
from tests.support.github.workflow_runner import Job, Repository, read_pairs

SCOPE = Scope(
    {
        "github": {"event_name": "push", "event": {"pull_request": {"number": 12}}, "actor": "alice"},
        "vars": {"URL": "http://x"},
        "secrets": {},
        "inputs": {"skip": False, "version": "7"},
        "needs": {"train": {"result": "success", "outputs": {"report": "well"}}},
    },
    functions(success=True, failure=False),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.event.pull_request.number", 12),
        ("github.event.pull_request.head.ref", None),
        ("vars.URL != '' && secrets.TOKEN != ''", False),
        ("vars.URL", "http://x"),
        ("secrets.TOKEN || '6000'", "6000"),
        ("!inputs.skip", True),
        ("github.event_name == 'PUSH'", True),
        ("!cancelled() && (needs.train.result == 'success' || needs.train.result == 'skipped')", True),
        ("format('{0} v{1}', github.actor, inputs.version)", "alice v7"),
        ("'it''s'", "it's"),
        ("true == 1", True),
        ("null == ''", True),
        ("'a' == 1", False),
        ("needs.train.outputs.other", None),
    ],
)
def test_an_expression_means_what_github_says(text: str, value: Any) -> None:
    assert evaluate(text, SCOPE) == value


@pytest.mark.parametrize(
    "text",
    [
        "github.evnt",
        "steps.none.outputs.x",
        "needs.test.result",
        "inputs.verison",
        "hashFiles('x')",
        "a b",
        "(true",
        "'open",
        "1 +",
        "",
    ],
)
def test_an_unknown_expression_is_an_error(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        evaluate(text, SCOPE)


def test_values_are_filled_in_as_text() -> None:
    assert fill("${{ inputs.skip }} ${{ secrets.NO }} ${{ 1 }}", SCOPE) == "false  1"


# -- jobs and steps ----------------------------------------------------------------------------------------------------


def play(monkeypatch: pytest.MonkeyPatch, folder: Path, jobs: str, head: str = "") -> dict[str, Job]:
    """Run a workflow with these jobs."""
    frame = f"name: Test\non: {{push: null}}\npermissions: {{}}\ndefaults: {{run: {{shell: bash}}}}\n{head}\n"
    (folder / "test.yml").write_text(frame + yaml.safe_dump({"jobs": yaml.safe_load(jobs)}, sort_keys=False))
    monkeypatch.setattr(workflow_runner, "WORKFLOWS", folder)
    return Repository(folder=folder, variables={"NAME": "Ada"}).run("test.yml", "push")


def test_environments_and_outputs_are_passed_to_later_steps_and_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jobs = play(
        monkeypatch,
        tmp_path,
        """
        first:
          runs-on: x
          outputs: {told: "${{ steps.tell.outputs.name }}"}
          env: {WHO: "${{ vars.NAME }}", LEVEL: job}
          steps:
            - run: |
                echo "WHO=$WHO Lovelace" >>"$GITHUB_ENV"
                echo "$LEVEL" >>"$GITHUB_STEP_SUMMARY"
            - id: tell
              env: {LEVEL: step}
              run: |
                echo "name=$WHO $LEVEL $TOP" >>"$GITHUB_OUTPUT"
        second:
          runs-on: x
          needs: first
          steps:
            - {run: 'echo "heard $TOLD"', env: {TOLD: "${{ needs.first.outputs.told }}"}}
        """,
        "env: {TOP: workflow, LEVEL: workflow}",
    )
    assert jobs["first"].outputs == {"told": "Ada Lovelace step workflow"}
    assert jobs["first"].summary == "job\n"
    assert "heard Ada Lovelace step workflow" in jobs["second"].said


def test_a_failing_step_ends_its_job_and_later_conditions_still_apply(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jobs = play(
        monkeypatch,
        tmp_path,
        """
        broken:
          runs-on: x
          steps:
            - run: (exit 4) | cat
            - run: echo never
            - {run: echo always, if: "${{ !cancelled() }}"}
            - {run: echo sorry, if: failure()}
        after: {runs-on: x, needs: broken, steps: [{run: echo never}]}
        anyway: {runs-on: x, needs: after, if: "!cancelled()", steps: [{run: "true"}]}
        """,
    )
    assert [step.outcome for step in jobs["broken"].steps] == ["failure", "skipped", "success", "success"]
    assert (jobs["broken"].result, jobs["broken"].code) == ("failure", 4)
    assert (jobs["after"].result, jobs["anyway"].result) == ("skipped", "success")


def test_a_skipped_job_skips_later_jobs_without_a_condition(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs = play(
        monkeypatch,
        tmp_path,
        """
        first: {runs-on: x, if: "vars.NAME == 'Bob'", steps: [{run: "true"}]}
        second: {runs-on: x, needs: first, if: "!cancelled()", steps: [{run: "true"}]}
        third: {runs-on: x, needs: second, steps: [{run: "true"}]}
        """,
    )
    assert [job.result for job in jobs.values()] == ["skipped", "success", "skipped"]


@pytest.mark.parametrize(
    "job",
    [
        "{runs-on: x, steps: [{run: 'true', continue-on-error: true}]}",
        "{runs-on: x, strategy: {}, steps: []}",
        "{runs-on: x, steps: [{uses: 'acme/strange@v1'}]}",
        "{runs-on: x, steps: [{uses: 'actions/checkout@v4'}]}",
        "{runs-on: x, steps: [{run: 'true', shell: sh}]}",
        "{runs-on: x, needs: one, steps: []}",
        "{runs-on: x, steps: [{run: 'echo lost >>\"$GITHUB_OUTPUT\"'}]}",
    ],
)
def test_an_unsupported_key_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, job: str) -> None:
    with pytest.raises(NotUnderstoodError):
        play(monkeypatch, tmp_path, f"one: {job}")


def test_a_multiline_output_is_read_completely(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a=1\nreport<<end-7\n# Title\n\nx=y\nend-7\nb=2\n")
    assert read_pairs(tmp_path / "out") == {"a": "1", "report": "# Title\n\nx=y", "b": "2"}
