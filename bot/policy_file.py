"""Reading the policy file from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bot.domain.errors import Misconfigured
from bot.domain.policy import Policy, read_policy
from bot.domain.text import Code, say


def load_policy(path: Path) -> Policy:
    """Return the policy in the file. Raises Misconfigured: no file, no YAML, or a fault with its path."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Misconfigured(
            say("There is no policy file {path}. {init} writes one with comments.",
                path=Code(path), init=Code("registrar init"))
        ) from None  # fmt: skip
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(say("{path} cannot be read: {why}.", path=Code(path), why=error)) from error
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
