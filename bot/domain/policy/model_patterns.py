"""Patterns for model names, as in the policy file: whether one covers another, and whether two overlap."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

MAX_STARS = 8  # maximum number of stars to compare, since each one doubles the work


def is_literal(pattern: str) -> bool:
    """Return whether the pattern has no wildcards, so it's a single model's name."""
    return not set("*?[") & set(pattern)


def covers(broader: str, narrower: str) -> bool:
    """Return whether `broader` matches every name that `narrower` matches.

    Return False if either pattern has brackets, which aren't compared, or if `narrower` has more than `MAX_STARS`
    stars. Tries each star as an empty string, and as a long string of characters that no pattern contains.
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
    first_tokens, second_tokens = _tokenize(first), _tokenize(second)
    ends = [[False] * (len(second_tokens) + 1) for _ in range(len(first_tokens) + 1)]
    for at in range(len(first_tokens), -1, -1):
        for by in range(len(second_tokens), -1, -1):
            ends[at][by] = _can_rest_match(first_tokens, second_tokens, at, by, ends)
    return ends[0][0]


def _can_rest_match(
    first_tokens: list[str], second_tokens: list[str], first_index: int, second_index: int, matches: list[list[bool]]
) -> bool:
    """Return whether the remaining tokens of both patterns can match the same text."""
    first_item = first_tokens[first_index] if first_index < len(first_tokens) else ""
    second_item = second_tokens[second_index] if second_index < len(second_tokens) else ""
    if first_item == "*":
        return matches[first_index + 1][second_index] or (bool(second_item) and matches[first_index][second_index + 1])
    if second_item == "*":
        return matches[first_index][second_index + 1] or (bool(first_item) and matches[first_index + 1][second_index])
    if not first_item or not second_item:
        return not first_item and not second_item
    return (first_item == second_item or "?" in {first_item, second_item}) and matches[first_index + 1][
        second_index + 1
    ]


def _tokenize(pattern: str) -> list[str]:
    return ["?" if len(part) > 1 else part for part in re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)]


def shadowed_patterns(patterns: Iterable[str]) -> list[str]:
    """Return the patterns that never apply, each with the pattern that always takes precedence over it."""
    shadowed, order = [], list(patterns)
    for at, pattern in enumerate(order):
        for other in order:
            is_before = (len(other), -order.index(other)) > (len(pattern), -at)
            if other != pattern and is_before and not is_literal(pattern) and covers(other, pattern):
                shadowed.append(f"models.{pattern} ({other} takes precedence)")
                break
    return shadowed
