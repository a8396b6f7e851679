"""GitHub's `${{ … }}` expressions, as far as the workflows use them; the rest is an error."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

WORDS = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.-]*)"
    r"|(?P<sign>==|!=|&&|\|\||[!(),]))"
)
CONSTANTS = {"true": True, "false": False, "null": None}
Function = Callable[..., Any]


class NotUnderstoodError(Exception):
    """A workflow uses something that this interpreter or GitHub doesn't support."""


@dataclass(frozen=True)
class Scope:
    """The contexts of an expression. In an `open` context, missing names are null."""

    contexts: Mapping[str, Mapping[str, Any]]
    functions: Mapping[str, Function]
    open: frozenset[str] = frozenset({"vars", "secrets", "env", "event"})

    def look_up(self, path: str) -> Any:
        """Return the value of a path such as `github.event.number`. Raises NotUnderstoodError if it's undeclared."""
        first, *rest = path.split(".")
        if first not in self.contexts:
            raise NotUnderstoodError(f"There is no context {first} here ({path})")
        found: Any = self.contexts[first]
        is_open = first in self.open
        for name in rest:
            is_there = isinstance(found, Mapping) and name in found
            if not is_there and not is_open:
                raise NotUnderstoodError(f"{path}: nobody has declared {name}")
            found = found[name] if is_there else None
            is_open = is_open or name in {"event", "outputs"}  # GitHub fills them as it goes
        return found


def fill(text: Any, scope: Scope) -> str:
    """Return a text with its expressions filled in."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: as_text(evaluate(found[1], scope)), as_text(text), flags=re.DOTALL)


def condition(text: Any, scope: Scope) -> Any:
    """Return the value of an `if:`, whose `${{ }}` is optional."""
    found = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", as_text(text), flags=re.DOTALL)
    return evaluate(found[1] if found else as_text(text), scope)


def asks_for_status(text: Any) -> bool:
    """Return whether a condition has a status function; otherwise, GitHub adds `success() &&`."""
    return bool(re.search(r"\b(success|failure|always|cancelled)\s*\(", as_text(text)))


def evaluate(text: str, scope: Scope) -> Any:
    """Return the value of one expression."""
    words: list[tuple[str, str]] = []
    place, text = 0, text.rstrip()
    while place < len(text):
        found = WORDS.match(text, place)
        if not found or not found.lastgroup:
            raise NotUnderstoodError(f"{text.strip()}: what is {text[place:].strip()}?")
        words.append((found.lastgroup, found[found.lastgroup]))
        place = found.end()
    reader = _Reader(words, scope)
    value = reader.any_of()
    if reader.words:
        raise NotUnderstoodError(f"{text.strip()}: what is {reader.words[0][1]} doing there?")
    return value


class _Reader:
    """Parses from left to right; `||` binds less than `&&`, which binds less than a comparison."""

    def __init__(self, words: list[tuple[str, str]], scope: Scope) -> None:
        self.words = words
        self.scope = scope

    def any_of(self) -> Any:
        value = self.all_of()
        while self._takes("||"):
            other = self.all_of()
            value = value if is_true(value) else other
        return value

    def all_of(self) -> Any:
        value = self.compared()
        while self._takes("&&"):
            other = self.compared()
            value = other if is_true(value) else value
        return value

    def compared(self) -> Any:
        value = self.one()
        for sign in ("==", "!="):
            if self._takes(sign):
                return are_equal(value, self.one()) is (sign == "==")
        return value

    def one(self) -> Any:
        if self._takes("!"):
            return not is_true(self.one())
        if self._takes("("):
            value = self.any_of()
            self._needs(")")
            return value
        if not self.words:
            raise NotUnderstoodError("the expression ends too early")
        kind, word = self.words.pop(0)
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return float(word)
        if kind != "name":
            raise NotUnderstoodError(f"what is {word} doing there?")
        if self._takes("("):
            return self._called(word)
        return CONSTANTS[word] if word in CONSTANTS else self.scope.look_up(word)

    def _called(self, name: str) -> Any:
        arguments: list[Any] = []
        while not self._takes(")"):
            arguments.append(self.any_of())
            if not self._takes(","):
                self._needs(")")
                break
        if name not in self.scope.functions:
            raise NotUnderstoodError(f"{name}() is not known here")
        return self.scope.functions[name](*arguments)

    def _takes(self, sign: str) -> bool:
        if self.words and self.words[0] == ("sign", sign):
            self.words.pop(0)
            return True
        return False

    def _needs(self, sign: str) -> None:
        if not self._takes(sign):
            raise NotUnderstoodError(f"a {sign} is missing")


def is_true(value: Any) -> bool:
    """Return whether a value is truthy for GitHub: not false, null, 0, or an empty string."""
    return value not in (False, None, 0, "")


def are_equal(one: Any, other: Any) -> bool:
    """Compare like GitHub: strings ignoring case, different types as numbers."""
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() == other.casefold()
    return one is other if type(one) is type(other) else _number(one) == _number(other)


def _number(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def as_text(value: Any) -> str:
    """Return a value as GitHub inserts it into text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def formatted(template: str, *values: Any) -> str:
    """Format like GitHub's format()."""
    return re.sub(r"\{(\d+)\}", lambda found: as_text(values[int(found[1])]), template)


def functions(*, success: bool, failure: bool, cancelled: bool = False) -> dict[str, Function]:
    """Return the functions for this status of earlier jobs or steps."""
    return {
        "success": lambda: success,
        "failure": lambda: failure,
        "cancelled": lambda: cancelled,
        "always": lambda: True,
        "format": formatted,
    }
