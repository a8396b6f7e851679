"""Runs workflow files of GitHub Actions on this machine: their `run:` steps, in order, in a real bash.

It runs jobs in the order of their `needs`, and follows GitHub's documentation of environments, outputs, conditions, and
composite actions. The checkout is this repository, and Python the tests' own. What it does not understand is an error,
so that nothing of a workflow is passed over without a word.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.support.github.expressions import (
    NotUnderstoodError,
    Scope,
    asks_for_status,
    condition,
    fill,
    functions,
    is_true,
)
from tests.support.paths import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
LONG = 110  # seconds for one step
REPOSITORY = "acme/churn"
SHA = "0123456789abcdef0123456789abcdef01234567"

# Actions of others, which are not run, and the outputs that they have here.
FOREIGN = {"actions/checkout": {}, "actions/setup-python": {"python-path": sys.executable, "python-version": "3"}}
_WORKFLOW = {"name", "run-name", "on", "permissions", "concurrency", "defaults", "env", "jobs"}
_JOB = {"name", "if", "needs", "runs-on", "timeout-minutes", "permissions", "environment", "outputs", "env", "steps"}
_STEP = {"name", "id", "if", "uses", "with", "env", "run", "shell", "working-directory"}
_ACTION = {"name", "description", "inputs", "outputs", "runs"}
_serial = itertools.count(1)


@dataclass
class Step:
    """The result of a step."""

    name: str
    outcome: str  # success, failure or skipped
    code: int = 0
    said: str = ""


@dataclass
class Job:
    """The result of a job; `code` is the exit code of the step that failed."""

    result: str
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def code(self) -> int:
        """The exit code of the first failed step."""
        return next((step.code for step in self.steps if step.outcome == "failure"), 0)

    @property
    def said(self) -> str:
        """The output of all steps."""
        return "".join(f"── {step.name} ({step.outcome} {step.code})\n{step.said}" for step in self.steps)


@dataclass(frozen=True)
class Repository:
    """A GitHub repository: its settings, and the PATH of its runners."""

    folder: Path  # the runner's own folders
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    programs: Path | None = None  # first on the PATH
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that the runner sets
    id_tokens: str = ""  # where jobs with the permission get ID tokens; pull requests from forks get none

    def run(
        self,
        workflow: str,
        event: str,
        payload: Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        run_id: int | None = None,
        attempt: int = 1,
    ) -> dict[str, Job]:
        """Run a workflow for an event, and return the results of its jobs.

        A second `attempt` of the same `run_id` is what *Re-run all jobs* does.
        """
        run = Run(self, read(WORKFLOWS / workflow), event, dict(payload or {}), run_id or next(_serial), attempt)
        return run.jobs(inputs or {})


def read(file: Path) -> dict[str, Any]:
    """Return a workflow or an action. YAML reads its key `on` as true."""
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in data.items()}


def expect(where: str, found: Mapping[str, Any], known: set[str]) -> None:
    """Raise NotUnderstoodError for a key that would be ignored."""
    if strange := set(found) - known:
        raise NotUnderstoodError(f"{where}: what is {', '.join(sorted(strange))}?")


class Run:
    """One run of a workflow."""

    def __init__(
        self,
        repository: Repository,
        workflow: dict[str, Any],
        event: str,
        payload: dict[str, Any],
        run_id: int,
        attempt: int,
    ) -> None:
        expect("workflow", workflow, _WORKFLOW)
        if event not in workflow["on"]:
            raise NotUnderstoodError(f"{workflow['name']} is not started by {event}")
        self.repository = repository
        self.workflow = workflow
        self.event = event
        self.folder = repository.folder / f"run-{run_id}-{attempt}"
        pull_request = payload.get("pull_request", {})
        self.github = {
            "workflow": workflow["name"],
            "event_name": event,
            "event": payload,
            "repository": REPOSITORY,
            "run_id": str(run_id),
            "run_attempt": str(attempt),
            "actor": "alice",
            "sha": SHA,
            "ref": f"refs/pull/{pull_request['number']}/merge" if pull_request else "refs/heads/main",
            "ref_name": f"{pull_request['number']}/merge" if pull_request else "main",
            "head_ref": pull_request.get("head", {}).get("ref", ""),
            "server_url": "https://github.example",
        }

    def jobs(self, given: Mapping[str, Any]) -> dict[str, Job]:
        """Run each job after the jobs that it needs."""
        inputs = self._inputs(given)
        for part in ("run-name", "concurrency"):  # their expressions have to make sense, too
            values = self.workflow.get(part, {})
            for text in values.values() if isinstance(values, dict) else [values]:
                fill(text, self._scope(inputs=inputs))
        done: dict[str, Job] = {}
        waiting = dict(self.workflow["jobs"])
        while waiting:
            ready = [name for name, job in waiting.items() if not set(_list(job.get("needs"))) - set(done)]
            if not ready:
                raise NotUnderstoodError(f"{', '.join(waiting)}: they need each other")
            job = waiting.pop(ready[0])
            expect(ready[0], job, _JOB)
            done[ready[0]] = self._job(ready[0], job, inputs, done)
        return done

    def _inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs with their defaults; for events other than a manual start, all are null, as on GitHub."""
        declared = (self.workflow["on"].get("workflow_dispatch") or {}).get("inputs", {})
        if self.event != "workflow_dispatch":
            return dict.fromkeys(declared)
        if strange := set(given) - set(declared):
            raise NotUnderstoodError(f"There is no input {', '.join(strange)}")
        if missing := [name for name, one in declared.items() if one.get("required") and name not in given]:
            raise NotUnderstoodError(f"The inputs {', '.join(missing)} are required")
        return {name: given.get(name, one.get("default", "")) for name, one in declared.items()}

    def _scope(self, *, success: bool = True, failure: bool = False, **contexts: Any) -> Scope:
        known = {"github": self.github, "vars": self.repository.variables, "secrets": self.repository.secrets}
        return Scope(known | contexts, functions(success=success, failure=failure))

    def _job(self, name: str, job: dict[str, Any], inputs: Mapping[str, Any], done: Mapping[str, Job]) -> Job:
        needs = {one: {"result": done[one].result, "outputs": done[one].outputs} for one in _list(job.get("needs"))}
        before = [done[one].result for one in self._all_needs(job)]
        scope = self._scope(success=set(before) <= {"success"}, failure="failure" in before, inputs=inputs, needs=needs)
        if not _goes_on(job.get("if"), scope):
            return Job("skipped")
        permissions = job.get("permissions", self.workflow.get("permissions", {}))
        self.github["token"] = "ghs_" + ",".join(f"{what}={how}" for what, how in permissions.items())
        return _Steps(self, name, job, {"inputs": inputs, "needs": needs}).run()

    def _all_needs(self, job: dict[str, Any]) -> Iterator[str]:
        """Yield a job's direct and indirect dependencies: GitHub's success() checks all of them."""
        for name in _list(job.get("needs")):
            yield name
            yield from self._all_needs(self.workflow["jobs"][name])


class _Steps:
    """The steps of a job, in order, on their own machine."""

    def __init__(self, run: Run, name: str, job: dict[str, Any], contexts: dict[str, Any]) -> None:
        self._run = run
        self._job = job
        self._contexts = contexts
        self._folder = run.folder / name
        self._temp = self._folder / "temp"
        self._temp.mkdir(parents=True)
        self._path: list[str] = []
        self._steps: dict[str, dict[str, Any]] = {}
        self._files = itertools.count(1)
        self.done = Job("success")
        scope = run._scope(**contexts)
        self._env = {key: fill(value, scope) for key, value in run.workflow.get("env", {}).items()}
        self._env |= {key: fill(value, scope) for key, value in job.get("env", {}).items()}

    def run(self) -> Job:
        """Run the steps, and return their results."""
        default = self._run.workflow.get("defaults", {}).get("run", {}).get("shell")
        for step in self._job["steps"]:
            self._one(step, self._contexts, self._steps, {}, default)
        scope = self._run._scope(steps=self._steps, **self._contexts)
        self.done.outputs = {name: fill(value, scope) for name, value in self._job.get("outputs", {}).items()}
        summary = self._folder / "summary"
        self.done.summary = summary.read_text(encoding="utf-8") if summary.exists() else ""
        return self.done

    def _one(
        self,
        step: dict[str, Any],
        contexts: Mapping[str, Any],
        steps: dict[str, dict[str, Any]],
        outer: Mapping[str, str],
        shell: str | None,
    ) -> None:
        """Run one step of the job or of a local action; `outer` is the environment of the step that uses the action."""
        name = step.get("name") or step.get("uses") or step["run"].splitlines()[0]
        expect(name, step, _STEP)
        scope = self._run._scope(
            success=self.done.result == "success",
            failure=self.done.result == "failure",
            steps=steps,
            env={**self._env, **outer},
            runner={"temp": str(self._temp), "os": "Linux"},
            **contexts,
        )
        entry = steps.setdefault(step.get("id") or f"step {len(steps)}", {})
        if not _goes_on(step.get("if"), scope):
            entry |= {"outcome": "skipped", "outputs": {}}
            self.done.steps.append(Step(name, "skipped"))
            return
        env = {**outer, **{key: fill(value, scope) for key, value in step.get("env", {}).items()}}
        if uses := step.get("uses"):
            given = {key: fill(value, scope) for key, value in step.get("with", {}).items()}
            before = self.done.result
            outputs = self._ours(uses, given, env) if uses.startswith("./") else _foreign(uses)
            entry |= {"outcome": "success" if self.done.result == before else "failure", "outputs": outputs}
            return
        if step.get("shell", shell) != "bash":
            raise NotUnderstoodError(f"{name}: say `shell: bash`; what GitHub takes without it knows no pipefail")
        code, said, outputs = self._in_bash(fill(step["run"], scope), env, fill(step.get("working-directory"), scope))
        outcome = "failure" if code else "success"
        entry |= {"outcome": outcome, "outputs": outputs}
        self.done.steps.append(Step(name, outcome, code, said))
        if code:
            self.done.result = "failure"

    def _ours(self, uses: str, given: dict[str, str], env: Mapping[str, str]) -> dict[str, str]:
        """Run a composite action of this repository, and return its outputs."""
        folder = ROOT / uses
        action = read(folder / "action.yml")
        expect(uses, action, _ACTION)
        declared = action.get("inputs", {})
        if action["runs"]["using"] != "composite" or set(given) - set(declared):
            raise NotUnderstoodError(f"{uses}: it is no composite action, or has no inputs {', '.join(given)}")
        inputs = {name: given.get(name, one.get("default", "")) for name, one in declared.items()}
        steps: dict[str, dict[str, Any]] = {}
        for step in action["runs"]["steps"]:
            self._one(step, {"inputs": inputs}, steps, {**env, "GITHUB_ACTION_PATH": str(folder)}, None)
        scope = self._run._scope(steps=steps, inputs=inputs)
        return {name: fill(one["value"], scope) for name, one in action.get("outputs", {}).items()}

    def _in_bash(self, script: str, env: Mapping[str, str], where: str) -> tuple[int, str, dict[str, str]]:
        """Run a script; return its exit code, what it printed, and its outputs."""
        number = next(self._files)
        files = {name: self._folder / f"{name}-{number}" for name in ("script", "output", "env", "path")}
        files["script"].write_text(script, encoding="utf-8")
        for name in ("output", "env", "path"):
            files[name].touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", files["script"]],
            cwd=ROOT / where,
            env={**self._environment(files), **self._env, **env},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONG,
            check=False,
        )
        self._env |= read_pairs(files["env"])
        self._path[:0] = files["path"].read_text(encoding="utf-8").split()
        return done.returncode, done.stdout, read_pairs(files["output"])

    def _environment(self, files: Mapping[str, Path]) -> dict[str, str]:
        repository, github = self._run.repository, self._run.github
        programs = [str(repository.programs)] if repository.programs else []
        told = {
            f"GITHUB_{key.upper()}": github[key]
            for key in (
                "repository",
                "run_id",
                "run_attempt",
                "sha",
                "ref",
                "ref_name",
                "head_ref",
                "event_name",
                "actor",
                "server_url",
                "workflow",
            )
        }
        if repository.id_tokens and self._job.get("permissions", {}).get("id-token") == "write":
            # What the issuer writes into the tokens; GitHub has an opaque token here.
            claims = {name: github[name] for name in ("repository", "run_id", "run_attempt", "sha", "ref", "actor")}
            claims |= {"environment": self._job["environment"]} if "environment" in self._job else {}
            told |= {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{repository.id_tokens}?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": json.dumps(claims),
            }
        return {
            **repository.environment,
            **told,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "HOME": str(self._folder),
            "PATH": os.pathsep.join([*self._path, *programs, os.environ["PATH"]]),
            "LANG": "C.UTF-8",
            "RUNNER_TEMP": str(self._temp),
            "GITHUB_WORKSPACE": str(ROOT),
            "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_ENV": str(files["env"]),
            "GITHUB_PATH": str(files["path"]),
            "GITHUB_STEP_SUMMARY": str(self._folder / "summary"),
        }


def read_pairs(file: Path) -> dict[str, str]:
    """Return what a step wrote to GITHUB_OUTPUT or GITHUB_ENV: `name=value`, or `name<<END`, lines, `END`."""
    pairs: dict[str, str] = {}
    lines = iter(file.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if block := re.fullmatch(r"([\w-]+)<<(\S+)", line):
            pairs[block[1]] = "\n".join(iter(partial(next, lines), block[2]))
        elif pair := re.fullmatch(r"([\w-]+)=(.*)", line):
            pairs[pair[1]] = pair[2]
        elif line:
            raise NotUnderstoodError(f"GitHub would not take this line: {line}")
    return pairs


def _foreign(uses: str) -> dict[str, str]:
    name, _, commit = uses.partition("@")
    if name not in FOREIGN or not re.fullmatch("[0-9a-f]{40}", commit):
        raise NotUnderstoodError(f"{uses}: this action is not known here, or not pinned to a commit")
    return FOREIGN[name]


def _goes_on(text: Any, scope: Scope) -> bool:
    """Return whether a job or a step starts."""
    if text is None:
        return bool(scope.functions["success"]())
    if not asks_for_status(text) and not scope.functions["success"]():
        return False
    return is_true(condition(text, scope))


def _list(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
