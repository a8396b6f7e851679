"""Read the policy file from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy


def load_policy(path: Path) -> Policy:
    """Return the policy in the file. Raises Misconfigured if it's missing, isn't YAML, or has errors."""
    return parse_policy(read_policy_text(path), path)


class LocalPolicyFile:
    """`bot.ports.PolicyFile` on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The name that people know it by."""
        return str(self._path)

    def change_marker(self) -> tuple[int, ...] | None:
        """Return a value that changes when the file is written or replaced; None if there's no file."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def read_text(self) -> str:
        """Return the file's text. Raises Misconfigured."""
        return read_policy_text(self._path)

    def parse(self, text: str) -> Policy:
        """Return the parsed policy. Raises Misconfigured with every error."""
        return parse_policy(text, self._path)


def read_policy_text(path: Path) -> str:
    """Return the file's text. Raises Misconfigured if it doesn't exist or can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Misconfigured(
            say(
                "No policy file at {path}. To create one, run {init}.",
                path=Code(path),
                init=Code("registrar init"),
            )
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(say("Can't read {path}: {why}.", path=Code(path), why=error)) from error


def parse_policy(text: str, path: Path) -> Policy:
    """Return the parsed policy. Errors name `path`. Raises Misconfigured with every error."""
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that also rejects duplicate keys
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-13-45, or endless nesting
        raise Misconfigured(
            say("{path} isn't valid YAML. {why}", path=Code(path), why=_describe_location(error))
        ) from error
    return validate_policy(data)


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also rejects duplicate keys instead of silently ignoring the first one."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # rejected below
        if key.value in keys:
            raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value}", problem_mark=key.start_mark)
        keys.add(str(key.value))
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def _describe_location(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"Line {mark.line + 1}, column {mark.column + 1}: {error.problem}."
    return "It can't be parsed."
