"""TODO bot.domain.commands.rule_flags"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from bot.domain.commands.base import Arg, amiss
from bot.domain.core.durations import write_duration
from bot.domain.core.errors import BadInput, WrongField
from bot.domain.core.sentence import Code, say
from bot.domain.policy.effect_size import Effect
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.policy.monitor_validation import unfit

NONE = "none"  # what is typed to take a setting away again


def flag(field: str) -> str:
    """Return how a field of the rule is typed."""
    return f"--{field.replace('_', '-')}"


def _kind(annotation: Any) -> Any:
    """Return the type that a field holds, or the Literal of its choices."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return _kind(next(one for one in get_args(annotation) if one is not type(None)))
    return annotation


def _shown(field: str, info: FieldInfo) -> str:
    kind = _kind(info.annotation)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return {float: "X", int: "N", timedelta: "TIME", Effect: "EFFECT"}.get(kind, field.upper())


def _written(default: object) -> object:
    """Return a default as it is typed; nothing where there is none."""
    if isinstance(default, timedelta):
        return _short_duration(default)
    if isinstance(default, Effect):
        return str(default)
    return default if isinstance(default, str | int | float) and default != "" else None


def _short_duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return write_duration(span)


def _flags(*, with_defaults: bool) -> tuple[tuple[str, FieldInfo, Arg], ...]:
    found = []
    for field, info in MonitorRule.model_fields.items():
        if field != "name":
            arg = Arg(_shown(field, info), info.description or field.replace("_", " "), False, (flag(field),))
            found.append(
                (field, FieldInfo(annotation=str, default=_written(info.default) if with_defaults else None), arg)
            )
    return tuple(found)


def rule_of(settings: Mapping[str, Any]) -> MonitorRule:
    """Return the rule of these settings. Raises BadInput with one sentence that names the flag.

    That is WrongField where one field is wrong, also where the rule could never judge.
    """
    try:
        rule = MonitorRule(**{field: _understood(field, value) for field, value in settings.items()})
    except ValidationError as error:
        raise _fault(error.errors()[0]) from error
    if found := unfit(rule):
        raise WrongField(found.field, say("{flag}: {why}", flag=Code(flag(found.field)), why=found.why))
    return rule


def _understood(field: str, value: Any) -> Any:
    """Return a choice as the rule spells it: `dry-run` and `Notify` are understood."""
    if isinstance(value, str) and get_origin(_kind(MonitorRule.model_fields[field].annotation)) is Literal:
        return value.strip().lower().replace("-", "_")
    return value.strip() if isinstance(value, str) else value


def _fault(fault: Any) -> BadInput:
    words = re.sub(r"^Value error, ", "", amiss(fault))
    words = re.sub(r"datetime\.timedelta\(0\)", "nothing", words)
    words = re.sub(
        r"\b[a-z]+(?:_[a-z]+)+\b", lambda it: flag(it[0]) if it[0] in MonitorRule.model_fields else it[0], words
    )
    if not fault["loc"]:
        return BadInput(say("{what}.", what=words[:1].upper() + words[1:] if not words.startswith("--") else words))
    field = str(fault["loc"][0])
    return WrongField(field, say("{flag}: {what}.", flag=Code(flag(field)), what=words))


def _is_none(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == NONE
