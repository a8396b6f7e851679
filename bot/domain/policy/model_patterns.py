"""Patterns for model names, as in the policy file: which one wins, and which names two of them share."""

from __future__ import annotations

import itertools
import re
from fnmatch import fnmatchcase

STARS_MOST = 8  # stars of a pattern that are tried: each doubles the work


def is_plain(pattern: str) -> bool:
    """Tell whether the pattern has no wildcard, so that it is one model's own name."""
    return not set("*?[") & set(pattern)


def covers(wide: str, narrow: str) -> bool:
    """Tell whether `wide` matches every name that `narrow` matches; False for brackets, which are not compared.

    A star is tried as nothing and as a long run of characters that no pattern contains.
    """
    if "[" in wide + narrow or narrow.count("*") > STARS_MOST:
        return False
    parts = [
        ["\ue000"] if part == "?" else ["", "\ue001" * (len(wide) + 1)] if part == "*" else [part]
        for part in re.sub(r"\*+", "*", narrow)
    ]
    return all(fnmatchcase("".join(name), wide) for name in itertools.product(*parts))


def share_a_name(one: str, other: str) -> bool:
    """Tell whether both patterns can match the same name; a bracket counts as any character."""
    left, right = _tokens(one), _tokens(other)
    ends = [[False] * (len(right) + 1) for _ in range(len(left) + 1)]
    for at in range(len(left), -1, -1):
        for by in range(len(right), -1, -1):
            ends[at][by] = _can_end(left, right, at, by, ends)
    return ends[0][0]


def _can_end(left: list[str], right: list[str], at: int, by: int, ends: list[list[bool]]) -> bool:
    """Tell whether what is left of both patterns from here on can match the same text."""
    here = left[at] if at < len(left) else ""
    there = right[by] if by < len(right) else ""
    if here == "*":
        return ends[at + 1][by] or (bool(there) and ends[at][by + 1])
    if there == "*":
        return ends[at][by + 1] or (bool(here) and ends[at + 1][by])
    if not here or not there:
        return not here and not there
    return (here == there or "?" in {here, there}) and ends[at + 1][by + 1]


def _tokens(pattern: str) -> list[str]:
    return ["?" if len(part) > 1 else part for part in re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)]
