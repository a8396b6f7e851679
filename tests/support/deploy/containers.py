"""Reads deploy/Dockerfile and deploy/compose.yaml, and runs their commands on this machine, without a container.

Every command is in exec form, so it runs unchanged, except that a container's folders become folders of the
test's, and the names and ports of its network those of this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"
LONG = 110  # seconds for one command

# A container's folders; other paths are parts of URLs, or on this machine.
_FOLDERS = re.compile(r"(?<![\w./])/(?=(?:opt|build|etc/registrar|etc/prometheus|prometheus|var/lib|tmp)\b)")
_UNSET = re.compile(r"\$\{(?P<name>\w+)(?P<how>:-|:\?)?(?P<word>[^}]*)\}")


@dataclass(frozen=True)
class ContainerCommand:
    """A command in one of the files. `where` names it: `Dockerfile build RUN 2`, `compose postgres healthcheck`."""

    where: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class BuildStage:
    """A stage of the Dockerfile: its base and its instructions, in order."""

    name: str
    base: str
    steps: tuple[tuple[str, str], ...]


def stages(text: str | None = None) -> list[BuildStage]:
    """Return the stages of the Dockerfile, in order."""
    text = DOCKERFILE.read_text(encoding="utf-8") if text is None else text
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found: list[BuildStage] = []
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(BuildStage(name.strip(), base.strip(), ()))
        elif word:
            last = found.pop()
            found.append(BuildStage(last.name, last.base, (*last.steps, (word, rest.strip()))))
    return found


def in_dockerfile(text: str | None = None) -> Iterator[ContainerCommand]:
    """Yield the Dockerfile's commands. Raises ValueError for shell form."""
    for stage in stages(text):
        count = 0
        for word, rest in stage.steps:
            if word == "RUN":
                count += 1
                yield ContainerCommand(f"Dockerfile {stage.name} RUN {count}", _words(rest))
            elif word == "HEALTHCHECK":
                yield ContainerCommand(f"Dockerfile {stage.name} HEALTHCHECK", _words(rest.partition("CMD ")[2]))
        said = dict(stage.steps)
        if "ENTRYPOINT" in said:
            whole = (*_words(said["ENTRYPOINT"]), *_words(said.get("CMD", "[]")))
            yield ContainerCommand(f"Dockerfile {stage.name} CMD", whole)


def in_compose(services: Mapping[str, Any] | None = None) -> Iterator[ContainerCommand]:
    """Yield compose.yaml's commands. Raises ValueError for shell form."""
    for name, service in (services or compose()["services"]).items():
        said = {"command": service.get("command"), "healthcheck": service.get("healthcheck", {}).get("test")}
        for key, value in said.items():
            if value is None:
                continue
            if not isinstance(value, list) or value[0] == "CMD-SHELL":
                raise ValueError(f"{name}: {key} is a line of a shell's, not a list of words")
            words = tuple(str(word) for word in value)
            if key == "healthcheck":
                words = words[1:]
            elif "entrypoint" in service:
                words = (*service["entrypoint"], *words)
            elif target := service.get("build", {}).get("target"):
                words = (*entrypoint(target), *words)
            yield ContainerCommand(f"compose {name} {key}", words)


def commands() -> list[ContainerCommand]:
    """Return every command of both files."""
    return [*in_dockerfile(), *in_compose()]


def command(where: str) -> ContainerCommand:
    """Return the command with this name."""
    return next(one for one in commands() if one.where == where)


def entrypoint(target: str) -> tuple[str, ...]:
    """Return an image's entrypoint."""
    return _words(dict(next(one for one in stages() if one.name == target).steps)["ENTRYPOINT"])


def compose() -> dict[str, Any]:
    """Return compose.yaml."""
    data: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return data


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return a service's variables, filled in from the given ones like Compose does. Raises KeyError."""
    said = compose()["services"][name].get("environment", {})
    return {key: fill(str(value), given) for key, value in said.items()}


def fill(text: str, given: Mapping[str, str]) -> str:
    """Return a string with its variables filled in: `${A:?why}` is required, `${A:-word}` isn't."""

    def value(found: re.Match[str]) -> str:
        if given.get(found["name"]):
            return given[found["name"]]
        if found["how"] == ":-":
            return found["word"]
        raise KeyError(found["name"])

    return _UNSET.sub(value, text)


def _words(text: str) -> tuple[str, ...]:
    words = json.loads(text)  # a shell's line is no JSON
    if not isinstance(words, list):
        raise ValueError(f"{text} is no list of words")
    return tuple(words)


# -- running -----------------------------------------------------------------------------------------------------------


@dataclass
class LocalMachine:
    """This machine instead of containers. `places` maps addresses of Compose's network to local ones.

    `ran` collects the names of the commands that were run.
    """

    root: Path
    places: dict[str, str] = field(default_factory=dict)
    programs: dict[str, Sequence[str]] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)

    def here(self, word: str) -> str:
        """Return a word with this machine's folders and addresses."""
        word = _FOLDERS.sub(f"{self.root}/", word)
        for place, own in self.places.items():
            word = word.replace(place, own)
        return word

    def words(self, one: ContainerCommand) -> list[str]:
        """Return a command as it runs on this machine."""
        first, *rest = one.words
        return [*self.programs.get(first, [self.here(first)]), *map(self.here, rest)]

    def env(self, target: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an image's variables, plus a service's."""
        found: dict[str, str] = {}
        for stage in _lineage(target, copied=False):
            for word, rest in stage.steps:
                if word == "ENV":
                    found |= dict(re.findall(r"(\w+)=(\S+)", rest))
        own = {name: self.here(value).replace("$PATH", os.environ["PATH"]) for name, value in found.items()}
        passed = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_", "LD_"))}
        return (
            {"PATH": os.environ["PATH"], "HOME": str(self.root)}
            | passed
            | own
            | {name: self.here(value) for name, value in (more or {}).items()}
        )

    def run(
        self, one: ContainerCommand, env: Mapping[str, str], cwd: Path | None = None, limit: float = LONG
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and return the result."""
        self.ran.add(one.where)
        return subprocess.run(
            self.words(one),
            env=dict(env),
            cwd=cwd or self.root,
            text=True,
            capture_output=True,
            check=False,
            timeout=limit,
        )

    def start(
        self, one: ContainerCommand, env: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """Start a server command; its output goes to a file."""
        self.ran.add(one.where)
        with log.open("w") as out:
            return subprocess.Popen(
                self.words(one),
                env=dict(env),
                cwd=cwd or self.root,
                text=True,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def build(self, target: str) -> None:
        """Run the stages that lead to a target. They share one folder, because they have the same paths."""
        for stage in _lineage(target):
            runs = iter([one for one in in_dockerfile() if one.where.startswith(f"Dockerfile {stage.name} RUN ")])
            folder = self.root
            for word, rest in stage.steps:
                if word == "WORKDIR":
                    folder = Path(self.here(rest))
                    folder.mkdir(parents=True, exist_ok=True)
                elif word == "COPY":
                    self._copy(rest, folder)
                elif word == "RUN":
                    self._build_step(next(runs), self.env(stage.name), folder)

    def _build_step(self, one: ContainerCommand, env: Mapping[str, str], folder: Path) -> None:
        if one.where in self.ran:
            return  # another target begins with it, too
        done = self.run(one, env, folder, limit=600)
        assert done.returncode == 0, f"{one.where}\n{done.stdout}{done.stderr}"

    def _copy(self, rest: str, folder: Path) -> None:
        """Copy the files that .dockerignore doesn't exclude."""
        if rest.startswith("--from="):  # the same path in the same folder
            return
        *sources, target = rest.split()
        for name in sources:
            assert is_given(name), f"{name} is copied, and .dockerignore keeps it away"
            source, to = ROOT / name, folder / self.here(target)
            if source.is_dir():
                shutil.copytree(source, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
            else:
                shutil.copy(source, to / source.name if target.endswith("/") else to)


def is_given(name: str) -> bool:
    """Return whether .dockerignore includes a file or folder."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return f"!{name}" in lines


def _lineage(target: str, *, copied: bool = True) -> list[BuildStage]:
    """Return a stage and the stages that it's based on or copies from, the earliest first."""
    known = {stage.name: stage for stage in stages()}
    stage = known[target]
    before = [stage.base]
    if copied:
        before += re.findall(r"--from=(\S+)", " ".join(rest for _, rest in stage.steps))
    found: list[BuildStage] = []
    for name in before:
        if name in known:
            found += [one for one in _lineage(name, copied=copied) if one not in found]
    return [*found, stage]


def base_python() -> str:
    """Return the base Python of the tests' own virtual environment."""
    return str(getattr(sys, "_base_executable", sys.executable))
