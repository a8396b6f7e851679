"""The grammar that the rules are written in: each rule looks at a value and yields what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

# A rule takes a value and its JSON pointer.
Rule = Callable[[Any, str], Iterator[str]]
Fields = Mapping[str, Rule]


def problem(what: str, at: str) -> str:
    """One broken rule in Slack's notation."""
    return f"{what} [json-pointer:{at}]"


def anything(value: Any, at: str) -> Iterator[str]:
    """No rule at all."""
    return iter(())


def boolean(value: Any, at: str) -> Iterator[str]:
    """true or false."""
    if not isinstance(value, bool):
        yield problem("must provide a boolean", at)


def string(most: int, least: int = 1) -> Rule:
    """Text of a length."""

    def rule(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield problem("must provide a string", at)
        elif len(value) < least:
            yield problem(f"must be more than {least - 1} characters", at)
        elif len(value) > most:
            yield problem(f"must be less than {most + 1} characters", at)

    return rule


def integer(least: int, most: int) -> Rule:
    """A whole number in a range."""

    def rule(value: Any, at: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int):
            yield problem("must provide an integer", at)
        elif not least <= value <= most:
            yield problem(f"must be between {least} and {most}", at)

    return rule


def choice(*allowed: str) -> Rule:
    """One of some words."""

    def rule(value: Any, at: str) -> Iterator[str]:
        if value not in allowed:
            yield problem(f"must be one of: {', '.join(allowed)}", at)

    return rule


def array(item: Rule, *, most: int, least: int = 1) -> Rule:
    """A list of a length, each item under the same rule."""

    def rule(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield problem("must provide an array", at)
            return
        if len(value) < least:
            yield problem(f"no fewer than {least} items allowed", at)
        if len(value) > most:
            yield problem(f"no more than {most} items allowed", at)
        for number, one in enumerate(value):
            yield from item(one, f"{at}/{number}")

    return rule


def shape(required: Fields, optional: Fields | None = None, *also: Rule) -> Rule:
    """An object with required and optional fields and no others, and rules between the fields."""
    fields: dict[str, Rule] = {"type": anything, **required, **(optional or {})}

    def rule(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield problem("must provide an object", at)
            return
        for name in required:
            if value.get(name) is None:
                yield problem(f"missing required field: {name}", at)
        for name, held in value.items():
            if name not in fields:
                yield problem(f"invalid additional property: {name}", at)
            elif held is not None:
                yield from fields[name](held, f"{at}/{name}")
        for between in also:
            yield from between(value, at)

    return rule


def by_type(rules: Mapping[str, Rule], known: Collection[str] = ()) -> Rule:
    """An object whose type says which rule holds; known types are told apart from made-up ones."""

    def rule(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield problem("must provide an object", at)
            return
        kind = value.get("type")
        if kind is None:
            yield problem("missing required field: type", at)
        elif isinstance(kind, str) and kind in rules:
            yield from rules[kind](value, at)
        else:
            why = "is not allowed here" if isinstance(kind, str) and kind in known else "does not exist"
            yield problem(f"unsupported type: {kind} {why}", f"{at}/type")

    return rule


def either(first: str, second: str, *, both: bool = False) -> Rule:
    """At least one of two fields, and not both unless allowed."""

    def rule(value: Any, at: str) -> Iterator[str]:
        has_first, has_second = value.get(first) is not None, value.get(second) is not None
        if not has_first and not has_second:
            yield problem(f"must define either `{first}` or `{second}`", at)
        elif has_first and has_second and not both:
            yield problem(f"must not define both `{first}` and `{second}`", at)

    return rule
