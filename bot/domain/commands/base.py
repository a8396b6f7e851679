"""What every verb is made of: a pydantic model, and how each of its fields is typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo

from bot.domain.core.durations import write_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, clean, say
from bot.domain.registry.model import VersionRef, check_model_name

REASON_MOST = 1000  # characters; a card shows it whole


@dataclass(frozen=True, slots=True)
class Arg:
    """How a field is typed: its place or its flags, what the help calls it, and what it means.

    `many`: it takes every word that is left, or its flag can be given again. `takes`: an optional argument in the
    middle is left out where the word at its place is none of its kind.
    """

    shown: str
    means: str
    positional: bool = True
    flags: tuple[str, ...] = ()
    many: bool = False
    takes: Callable[[str], bool] = lambda word: True


class MissingArguments(BadInput):
    """A verb lacks arguments. Slack opens a modal with what was given; the terminal says what is missing."""

    def __init__(self, verb: type[Command], given: dict[str, str], missing: list[str]) -> None:
        self.verb, self.given, self.missing = verb, given, missing
        super().__init__(
            say("{missing} missing. Write it so: {usage}", missing=_and(missing), usage=Code(verb.usage()))
        )


def _reason(text: object) -> str:
    reason = clean(str(text)).strip()
    if len(reason) > REASON_MOST:
        raise BadInput(f"The reason is longer than {REASON_MOST:,} characters. Say it shorter, and link to the rest.")
    return reason


Model = Annotated[
    str,
    BeforeValidator(lambda text: check_model_name(str(text))),
    Arg("MODEL", "the registered model's name", flags=("--model-name", "--model")),
]
Reason = Annotated[
    str, BeforeValidator(_reason), Arg("TEXT", "why, for the card and the audit", positional=False, flags=("--reason",))
]
OptionalModel = Annotated[
    str | None, BeforeValidator(lambda text: None if text is None else check_model_name(str(text))), get_args(Model)[-1]
]
Everywhere = Annotated[bool, Arg("", "every model", positional=False, flags=("--all",))]


_KINDS = {
    "int_parsing": "it should be a whole number, such as 2",
    "float_parsing": "it should be a number, such as 0.85",
}


def amiss(fault: Mapping[str, Any]) -> str:
    """Return what pydantic finds wrong with a value, in words for people, who know of no input and no string."""
    return _KINDS.get(str(fault["type"])) or re.sub(r"^(Input|String) should", "it should", str(fault["msg"]))


class Command(BaseModel):
    """What somebody wants. Imperative; its fields are in the order in which they are typed."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    verb: ClassVar[str]
    summary: ClassVar[str]
    example: ClassVar[str]

    @classmethod
    def args(cls) -> Iterator[tuple[str, FieldInfo, Arg]]:
        """Yield each field with how it is typed."""
        for name, field in cls.model_fields.items():
            yield name, field, next(one for one in field.metadata if isinstance(one, Arg))

    @classmethod
    def usage(cls) -> str:
        """Return how the verb is typed, optional parts in brackets."""
        words = [cls.verb]
        for _, field, arg in cls.args():
            word = arg.shown if arg.positional else f"{arg.flags[0]} {arg.shown}".strip()
            word += "…" if arg.many and arg.positional else ""
            words.append(word if field.is_required() else f"[{word}]")
        return " ".join(words)

    def dump(self) -> dict[str, Any]:
        """Return the command as plain JSON values, its verb among them; `load` reads it again."""
        return {"verb": self.verb} | {name: _plain(getattr(self, name)) for name in type(self).model_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return write_duration(value)
    if isinstance(value, date):  # a moment is one, too
        return value.isoformat()
    return str(value) if isinstance(value, VersionRef) else value


def _and(words: list[str]) -> str:
    return f"{' and '.join(words)} {'is' if len(words) == 1 else 'are'}"
