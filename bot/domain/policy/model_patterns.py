"""Patterns for model names, as in the policy file: which one wins, and which names two of them share."""

from __future__ import annotations

import itertools
import re
from fnmatch import fnmatchcase

MAX_STARS = 8  # stars of a pattern that are tried, since each one doubles the work


def is_literal(pattern: str) -> bool:
    """Return whether the pattern has no wildcard, and so is one model's name."""
    return not set("*?[") & set(pattern)


def covers(broader: str, narrower: str) -> bool:
    """Return whether `broader` matches every name that `narrower` does. False for brackets, which aren't compared.

    A star is tried as nothing and as a long run of characters that no pattern contains.
    """
    if "[" in broader + narrower or narrower.count("*") > MAX_STARS:
        return False
    parts = [
        ["\ue000"] if part == "?" else ["", "\ue001" * (len(broader) + 1)] if part == "*" else [part]
        for part in re.sub(r"\*+", "*", narrower)
    ]
    return all(fnmatchcase("".join(name), broader) for name in itertools.product(*parts))


def can_overlap(first: str, second: str) -> bool:
    """Return whether both patterns can match the same name. A bracket counts as any character."""
    left, right = _tokenize(first), _tokenize(second)
    ends = [[False] * (len(right) + 1) for _ in range(len(left) + 1)]
    for at in range(len(left), -1, -1):
        for by in range(len(right), -1, -1):
            ends[at][by] = _can_rest_match(left, right, at, by, ends)
    return ends[0][0]


def _can_rest_match(
    first_tokens: list[str], second_tokens: list[str], first_index: int, second_index: int, matches: list[list[bool]]
) -> bool:
    """Return whether the rest of both patterns can match the same text."""
    here = first_tokens[first_index] if first_index < len(first_tokens) else ""
    there = second_tokens[second_index] if second_index < len(second_tokens) else ""
    if here == "*":
        return matches[first_index + 1][second_index] or (bool(there) and matches[first_index][second_index + 1])
    if there == "*":
        return matches[first_index][second_index + 1] or (bool(here) and matches[first_index + 1][second_index])
    if not here or not there:
        return not here and not there
    return (here == there or "?" in {here, there}) and matches[first_index + 1][second_index + 1]


def _tokenize(pattern: str) -> list[str]:
    return ["?" if len(part) > 1 else part for part in re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)]
