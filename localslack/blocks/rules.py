"""Building blocks for rules. A rule checks a value, and yields the problems with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

# A rule gets a value and its JSON pointer.
Rule = Callable[[Any, str], Iterator[str]]
Fields = Mapping[str, Rule]


def problem(description: str, pointer: str) -> str:
    """Return a problem in Slack's notation."""
    return f"{description} [json-pointer:{pointer}]"


def anything(value: Any, pointer: str) -> Iterator[str]:
    """Accept every value."""
    return iter(())


def boolean(value: Any, pointer: str) -> Iterator[str]:
    """Require true or false."""
    if not isinstance(value, bool):
        yield problem("must provide a boolean", pointer)


def string(max_length: int, min_length: int = 1) -> Rule:
    """Return the rule for a string whose length is in a range."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield problem("must provide a string", pointer)
        elif len(value) < min_length:
            yield problem(f"must be more than {min_length - 1} characters", pointer)
        elif len(value) > max_length:
            yield problem(f"must be less than {max_length + 1} characters", pointer)

    return rule


def integer(minimum: int, maximum: int) -> Rule:
    """Return the rule for an integer in a range."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int):
            yield problem("must provide an integer", pointer)
        elif not minimum <= value <= maximum:
            yield problem(f"must be between {minimum} and {maximum}", pointer)

    return rule


def choice(*allowed: str) -> Rule:
    """Return the rule for a string that's one of those allowed."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if value not in allowed:
            yield problem(f"must be one of: {', '.join(allowed)}", pointer)

    return rule


def array(item: Rule, *, max_items: int, min_items: int = 1) -> Rule:
    """Return the rule for a list whose length is in a range and whose items all satisfy one rule."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield problem("must provide an array", pointer)
            return
        if len(value) < min_items:
            yield problem(f"no fewer than {min_items} items allowed", pointer)
        if len(value) > max_items:
            yield problem(f"no more than {max_items} items allowed", pointer)
        for index, element in enumerate(value):
            yield from item(element, f"{pointer}/{index}")

    return rule


def object_of(required: Fields, optional: Fields | None = None, *cross_field_rules: Rule) -> Rule:
    """Return the rule for an object with these fields and, except for its type, no others.

    cross_field_rules: rules that involve several fields; each one gets the complete object.
    """
    fields: dict[str, Rule] = {"type": anything, **required, **(optional or {})}

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield problem("must provide an object", pointer)
            return
        for name in required:
            if value.get(name) is None:
                yield problem(f"missing required field: {name}", pointer)
        for name, field_value in value.items():
            if name not in fields:
                yield problem(f"invalid additional property: {name}", pointer)
            elif field_value is not None:
                yield from fields[name](field_value, f"{pointer}/{name}")
        for cross_field_rule in cross_field_rules:
            yield from cross_field_rule(value, pointer)

    return rule


def by_type(rules: Mapping[str, Rule], known_types: Collection[str] = ()) -> Rule:
    """Return the rule for an object whose type selects which of these rules applies.

    known_types: types that exist but aren't allowed here; the problem with such an object says so.
    """

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield problem("must provide an object", pointer)
            return
        kind = value.get("type")
        if kind is None:
            yield problem("missing required field: type", pointer)
        elif isinstance(kind, str) and kind in rules:
            yield from rules[kind](value, pointer)
        else:
            reason = "is not allowed here" if isinstance(kind, str) and kind in known_types else "does not exist"
            yield problem(f"unsupported type: {kind} {reason}", f"{pointer}/type")

    return rule


def either(first: str, second: str, *, allow_both: bool = False) -> Rule:
    """Return the rule that an object has at least one of two fields; it can have both only with allow_both."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        has_first, has_second = value.get(first) is not None, value.get(second) is not None
        if not has_first and not has_second:
            yield problem(f"must define either `{first}` or `{second}`", pointer)
        elif has_first and has_second and not allow_both:
            yield problem(f"must not define both `{first}` and `{second}`", pointer)

    return rule
