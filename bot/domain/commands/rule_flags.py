"""Flags for the `monitor` commands, generated from the fields of MonitorConfig."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from bot.domain.commands.base import Argument, validation_message
from bot.domain.core.durations import format_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, say
from bot.domain.policy.effect_size import MinimumEffect
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.monitor_validation import find_config_problem

UNSET_WORD = "none"  # what to type to unset a setting


def flag_of(field: str) -> str:
    """Return a field's flag."""
    return f"--{field.replace('_', '-')}"


def value_type(annotation: Any) -> Any:
    """Return a field's type, or its Literal of choices, without Annotated and None; for a union, the first type."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return value_type(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return value_type(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation


def _placeholder(field: str, info: FieldInfo) -> str:
    kind = value_type(info.annotation)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return {float: "X", int: "N", timedelta: "TIME", MinimumEffect: "EFFECT"}.get(kind, field.upper())


def rule_flags(*, with_defaults: bool) -> tuple[tuple[str, FieldInfo, Argument], ...]:
    """Return a rule's fields except `name`, each with its flag and, if `with_defaults`, its default as typed text."""
    flags = []
    for field, info in MonitorConfig.model_fields.items():
        if field == "name":
            continue
        default = format_duration(info.default) if isinstance(info.default, timedelta) else info.default
        default = str(default) if isinstance(default, MinimumEffect) else default
        argument = Argument(_placeholder(field, info), str(info.description), False, (flag_of(field),))
        is_shown = with_defaults and isinstance(default, str | int | float) and default != ""
        flags.append((field, FieldInfo(annotation=str, default=default if is_shown else None), argument))
    return tuple(flags)


def build_rule(settings: Mapping[str, Any]) -> MonitorConfig:
    """Build the rule from typed settings.

    Raises BadInput, which names the flag and the field, if a value is invalid or the rule could never give a verdict.
    """
    try:
        rule = MonitorConfig(**{field: _normalize_choice(field, value) for field, value in settings.items()})
    except ValidationError as error:
        raise _to_input_error(error.errors()[0]) from error
    if problem := find_config_problem(rule):
        raise BadInput(say("{flag}: {why}", flag=Code(flag_of(problem.field)), why=problem.reason), problem.field)
    return rule


def _normalize_choice(field: str, value: Any) -> Any:
    """Return a choice as the rule spells it; accepts variants such as `dry-run` and `Notify`."""
    if isinstance(value, str) and get_origin(value_type(MonitorConfig.model_fields[field].annotation)) is Literal:
        return value.strip().lower().replace("-", "_")
    return value.strip() if isinstance(value, str) else value


def _to_input_error(fault: Any) -> BadInput:
    words = re.sub(r"datetime\.timedelta\(0\)", "zero", validation_message(fault))
    words = re.sub(
        r"\b[a-z]+(?:_[a-z]+)+\b",
        lambda match: flag_of(match[0]) if match[0] in MonitorConfig.model_fields else match[0],
        words,
    )
    if not fault["loc"]:
        sentence = say("{what}.", what=words[:1].upper() + words[1:] if not words.startswith("--") else words)
        return BadInput(sentence, getattr(fault.get("ctx", {}).get("error"), "field", ""))
    field = str(fault["loc"][0])
    return BadInput(say("{flag}: {what}.", flag=Code(flag_of(field)), what=words), field)


def is_unset(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == UNSET_WORD
