"""A fake `gh` for runners, and a fake GitHub: it stores comments and releases, and checks permissions.

    python tests/support/github/fake_github.py FOLDER WORDS…     what the script does that `put_on_path` writes

A token has its job's permissions: `ghs_contents=read,pull-requests=write`, as workflow_runner.py creates it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = 2  # comments per page, so that a client that reads only one page fails


@dataclass(frozen=True)
class GitHub:
    """A GitHub repository's comments and releases, in a file."""

    file: Path

    @property
    def state(self) -> dict[str, Any]:
        """Comments and releases, and the command lines so far."""
        empty: dict[str, Any] = {"comments": [], "releases": {}, "calls": []}
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else empty

    @property
    def comments(self) -> list[dict[str, Any]]:
        """The comments under all pull requests, oldest first."""
        return list(self.state["comments"])

    @property
    def releases(self) -> dict[str, dict[str, str]]:
        """The releases by their tag."""
        return dict(self.state["releases"])

    def says(self, number: int, body: str, kind: str = "User") -> None:
        """Add a person's comment."""
        state = self.state
        state["comments"].append(_comment(len(state["comments"]) + 1, number, body, kind))
        self.keep(state)

    def keep(self, state: dict[str, Any]) -> None:
        """Save the state."""
        self.file.write_text(json.dumps(state), encoding="utf-8")

    def put_on_path(self, folder: Path) -> None:
        """Write a `gh` that talks to this GitHub."""
        command = folder / "gh"
        words = [sys.executable, str(Path(__file__).resolve()), str(self.file)]
        command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        command.chmod(0o755)


def _comment(number: int, issue: int, body: str, kind: str) -> dict[str, Any]:
    page = f"https://github.example/pull/{issue}#{number}"
    return {"id": number, "issue": issue, "body": body, "user": {"type": kind}, "html_url": page}


class _RefusedError(Exception):
    """GitHub or gh refuses."""


def _needs(what: str) -> None:
    granted = os.environ.get("GH_TOKEN", "").removeprefix("ghs_").split(",")
    if f"{what}=write" not in granted:
        raise _RefusedError(f"HTTP 403: Resource not accessible by integration (it needs {what}: write)")


def _api(state: dict[str, Any], words: Sequence[str], given: str) -> str:
    parser = argparse.ArgumentParser(prog="gh api")
    parser.add_argument("path")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--paginate", action="store_true")
    parser.add_argument("--input")
    chosen = parser.parse_args(words)
    parts, _, _ = chosen.path.partition("?")
    match [chosen.method, *parts.split("/")]:
        case ["GET", "repos", _, _, "issues", number, "comments"]:
            found = [one for one in state["comments"] if one["issue"] == int(number)]
            pages = [found[start : start + PAGE] for start in range(0, len(found), PAGE)] or [[]]
            return "".join(json.dumps(page) for page in (pages if chosen.paginate else pages[:1]))
        case ["POST", "repos", _, _, "issues", number, "comments"]:
            _needs("pull-requests")
            state["comments"].append(
                _comment(len(state["comments"]) + 1, int(number), json.loads(given)["body"], "Bot")
            )
            return json.dumps(state["comments"][-1])
        case ["PATCH", "repos", _, _, "issues", "comments", number]:
            _needs("pull-requests")
            [one] = [one for one in state["comments"] if one["id"] == int(number)]
            one["body"] = json.loads(given)["body"]
            return json.dumps(one)
    raise _RefusedError(f"HTTP 404: {chosen.method} {parts}")


def _release(state: dict[str, Any], words: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(prog="gh release")
    parser.add_argument("act", choices=["view", "create", "edit"])
    parser.add_argument("tag")
    for flag in ("--title", "--notes-file", "--target"):
        parser.add_argument(flag)
    chosen = parser.parse_args(words)
    if not os.environ.get("GH_REPO"):
        raise _RefusedError("not a git repository; name one in GH_REPO")
    is_there = chosen.tag in state["releases"]
    if is_there == (chosen.act == "create"):
        raise _RefusedError("a release with the same tag name already exists" if is_there else "release not found")
    if chosen.act != "view":
        _needs("contents")
        release = state["releases"].setdefault(chosen.tag, {})
        release |= {"title": chosen.title, "target": chosen.target} if chosen.act == "create" else {}
        release["body"] = Path(chosen.notes_file).read_text(encoding="utf-8")
    return f"https://github.example/releases/tag/{chosen.tag}\n"


def main(words: Sequence[str]) -> int:
    """Do what gh would do; anything unsupported is an error."""
    github = GitHub(Path(words[0]))
    state = github.state
    state["calls"].append(list(words[1:]))
    try:
        if not os.environ.get("GH_TOKEN"):
            raise _RefusedError("To use GitHub CLI in a GitHub Actions workflow, set GH_TOKEN.")
        if words[1] == "api":
            print(_api(state, words[2:], sys.stdin.read() if "--input" in words else ""), end="")
        elif words[1] == "release":
            print(_release(state, words[2:]), end="")
        else:
            raise _RefusedError(f"unknown command {words[1]}")
    except _RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        github.keep(state)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
