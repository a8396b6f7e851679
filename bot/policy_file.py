"""Reading the policy file from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say
from bot.domain.policy.parser import read_policy
from bot.domain.policy.policy import Policy


def load_policy(path: Path) -> Policy:
    """Return the policy in the file. Raises Misconfigured: no file, no YAML, or a fault with its path."""
    return parse_policy(read_text(path), path)


class PolicyFile:
    """`bot.ports.PolicyFile` on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self._path)

    def mark(self) -> tuple[int, ...] | None:
        """Return a word that changes when the file is written or replaced; None where there is none."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def text(self) -> str:
        """Return what is in the file. Raises Misconfigured."""
        return read_text(self._path)

    def parse(self, text: str) -> Policy:
        """Return the policy that a text means. Raises Misconfigured with every fault."""
        return parse_policy(text, self._path)


def read_text(path: Path) -> str:
    """Return the text of the file. Raises Misconfigured where it is not there or cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Misconfigured(
            say(
                "There is no policy file {path}. {init} writes one with comments.",
                path=Code(path),
                init=Code("registrar init"),
            )
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(say("{path} cannot be read: {why}.", path=Code(path), why=error)) from error


def parse_policy(text: str, path: Path) -> Policy:
    """Return the policy that a text means; `path` is named in errors. Raises Misconfigured with every fault."""
    try:
        data = yaml.load(text, Loader=_Strict)  # noqa: S506 - a SafeLoader that also refuses doubled keys
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a day such as 2026-13-45; nested without end
        raise Misconfigured(say("{path} is no YAML. {why}", path=Code(path), why=_where(error))) from error
    return read_policy(data)


class _Strict(yaml.SafeLoader):
    """YAML's safe loader that refuses a key which stands twice: the first one would silently not hold."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # refused below
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
        seen.add(str(key.value))
    return loader.construct_mapping(node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _where(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"Line {mark.line + 1}, column {mark.column + 1}: {error.problem}."
    return "It cannot be read."
