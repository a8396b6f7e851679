"""The files in deploy/: valid, with the required safety settings. No container engine is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.support.deploy.deployment import (
    DEPLOY,
    DOCKERFILE,
    compose,
    is_given,
    memory_limit,
    stages,
)
from tests.support.paths import DATA, ROOT

OURS = ("registrar", "worker", "upgrade", "mlflow", "mlflow-users")


ONCE = ("upgrade", "mlflow-users")  # they end before the others start


# -- the files ---------------------------------------------------------------------------------------------------------


def test_compose_matches_the_specification() -> None:
    schema = json.loads((DATA / "compose-spec.json").read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(compose())] == []


def test_the_specification_finds_a_misspelled_key() -> None:
    schema = json.loads((DATA / "compose-spec.json").read_text(encoding="utf-8"))
    wrong = compose()
    wrong["services"]["registrar"]["helthcheck"] = {}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def hadolint() -> str:
    """Return this machine's hadolint, or skip."""
    for name in (os.environ.get("HADOLINT", "hadolint"), ROOT / ".tools" / "bin" / "hadolint"):
        if found := shutil.which(name):
            return found
    pytest.skip("no hadolint here; scripts/install-tools fetches one, or name one in HADOLINT")


def test_hadolint_finds_nothing() -> None:
    words = [hadolint(), "--no-color", "--config", str(DEPLOY / "hadolint.yaml"), str(DOCKERFILE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_hadolint_finds_an_error(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /x && pip install y\nCMD run\n")
    done = subprocess.run(
        [hadolint(), tmp_path / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60
    )
    for rule in ("DL3007", "DL3003", "DL3025"):
        assert rule in done.stdout


def test_every_base_image_has_an_exact_tag() -> None:
    own = {stage.name for stage in stages()}
    theirs = [stage.base for stage in stages() if stage.base not in own]
    theirs += [service["image"] for service in compose()["services"].values() if "build" not in service]
    assert [image for image in theirs if image.partition(":")[2].count(".") < 1 or "latest" in image] == []


@pytest.mark.parametrize("target", ["registrar", "mlflow"])
def test_an_image_runs_unprivileged_and_has_a_health_check(target: str) -> None:
    known = {stage.name: stage for stage in stages()}
    steps = dict([*known[known[target].base].steps, *known[target].steps])
    assert steps["USER"] == "10001:10001"
    assert "HEALTHCHECK" in steps
    assert "LABEL" in steps
    assert json.loads(steps["ENTRYPOINT"])


def test_every_service_can_write_only_to_its_volume() -> None:
    for name in OURS:
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_service_has_limits() -> None:
    for name, service in compose()["services"].items():
        assert memory_limit(name) <= 2**31
        assert service["pids_limit"] <= 512


def test_ports_are_published_only_on_this_machine() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_long_running_service_restarts_and_has_time_to_stop() -> None:
    for name, service in compose()["services"].items():
        if name not in ONCE:
            assert service["restart"] == "unless-stopped"
            assert service["stop_grace_period"]


def test_services_start_after_the_upgrade_and_mlflow_s_users() -> None:
    for name in ("registrar", "worker"):
        before = compose()["services"][name]["depends_on"]
        assert before == {one: {"condition": "service_completed_successfully"} for one in ONCE}


def test_more_replicas_can_be_started() -> None:
    for name in ("registrar", "worker"):
        assert not {"hostname", "network_mode", "container_name", "pid"} & set(compose()["services"][name])


def test_the_file_has_no_secrets() -> None:
    given = {line.partition("=")[0] for line in (DEPLOY / ".env.example").read_text().splitlines() if "=" in line}
    secret = ("PASSWORD", "TOKEN", "SECRET", "KEY")
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in secret):
                assert str(value).startswith("${"), f"{name}: {key}"
    for line in (DEPLOY / ".env.example").read_text().splitlines():
        if any(word in line.partition("=")[0] for word in secret) and not line.startswith("#"):
            assert line.endswith("="), "a secret of whoever wrote the example"
    asked = set(_names_in((DEPLOY / "compose.yaml").read_text()))
    assert asked == {name for name in given if not name.startswith("#")}


def test_no_secret_is_part_of_a_url() -> None:
    """A secret can contain characters with a meaning in a URL."""
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            assert not re.search(r"://.*(PASSWORD|TOKEN|SECRET|KEY)", str(value)), f"{name}: {key}"


def _names_in(text: str) -> Iterator[str]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    yield from re.findall(r"\$\{(\w+)", code)


def test_the_builder_gets_the_copied_files_and_no_tokens() -> None:
    copied = [
        word
        for stage in stages()
        for step, rest in stage.steps
        if step == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    ]
    assert [name for name in copied if not is_given(name)] == []
    assert not is_given(".git")
    assert not is_given("deploy/.env")


def test_the_image_copies_all_files_of_the_wheel() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [
        *wheel["only-include"],
        *wheel["force-include"],
        *project["project"]["license-files"],
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
    ]
    [build] = [stage for stage in stages() if stage.name == "build"]
    copied = {word for step, rest in build.steps if step == "COPY" for word in rest.split()[:-1]}
    assert [name for name in needed if name not in copied or not is_given(name)] == []
