"""The base of every command: a pydantic model, and how each of its fields is typed: how words become values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Annotated, Any, ClassVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.fields import FieldInfo

from bot.domain.core.durations import serialize_duration
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Code, Name, sanitize_text, say
from bot.domain.core.strict_model import error_message
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import (
    Stage,
    VersionRef,
    check_model_name,
    parse_target_stage,
    parse_version_ref,
    product,
)
from bot.domain.registry.semver import Bump
from bot.domain.transitions.registry_tags import RESERVED_TAGS

MAX_REASON_LENGTH = 1000  # characters; a card shows all of it
MAX_DESCRIPTION_LENGTH = 4000  # characters; MLflow on PostgreSQL stores 5,000, and a promotion adds a line
MAX_TAG_LENGTH = 1000  # characters of a tag's value
MAX_EVENT_NUMBER = 10**15  # more than an audit log will ever have, and within a database's integers


@dataclass(frozen=True, slots=True)
class Argument:
    """How a field is typed: by position or with flags, its name in the help, and what it means.

    `takes_many`: it takes every word that is left, or its flag can be given again. `accepts`: an optional argument in
    the middle is left out where the word at its place is none of its kind.
    """

    placeholder: str
    help: str
    positional: bool = True
    flags: tuple[str, ...] = ()
    takes_many: bool = False
    accepts: Callable[[str], bool] = lambda word: True


class MissingArguments(BadInput):
    """A command lacks arguments. Slack opens a modal with those given; the terminal says what's missing."""

    def __init__(self, command_class: type[Command], given: dict[str, str], missing: list[str]) -> None:
        self.command_class, self.given, self.missing = command_class, given, missing
        super().__init__(
            say(
                "{missing} missing. Write it so: {usage}",
                missing=_join_missing(missing),
                usage=Code(command_class.usage()),
            )
        )


def _parse_reason(text: object) -> str:
    reason = sanitize_text(str(text)).strip()
    if len(reason) > MAX_REASON_LENGTH:
        raise BadInput(
            f"The reason is longer than {MAX_REASON_LENGTH:,} characters. Say it shorter, and link to the rest."
        )
    return reason


ModelName = Annotated[
    str,
    BeforeValidator(lambda text: check_model_name(str(text))),
    Argument("MODEL", "the registered model's name", flags=("--model-name", "--model")),
]
Reason = Annotated[
    str,
    BeforeValidator(_parse_reason),
    Argument("TEXT", "why, for the card and the audit", positional=False, flags=("--reason",)),
]
OptionalModelName = Annotated[
    str | None,
    BeforeValidator(lambda text: None if text is None else check_model_name(str(text))),
    get_args(ModelName)[-1],
]
AllModels = Annotated[bool, Argument("", "every model", positional=False, flags=("--all",))]
_MESSAGES_BY_ERROR_TYPE = {
    "int_parsing": "it should be a whole number, such as 2",
    "int_type": "it should be a valid integer",
    "int_from_float": "it should be a valid integer, got a number with a fractional part",
    "float_parsing": "it should be a number, such as 0.85",
    "float_type": "it should be a valid number",
    "finite_number": "it should be a finite number",
    "greater_than": "it should be greater than {gt}",
    "greater_than_equal": "it should be greater than or equal to {ge}",
    "less_than": "it should be less than {lt}",
    "less_than_equal": "it should be less than or equal to {le}",
    "literal_error": "it should be {expected}",
    "enum": "it should be {expected}",
    "bool_type": "it should be a valid boolean",
    "bool_parsing": "it should be a valid boolean, unable to interpret input",
    "string_type": "it should be a valid string",
    "string_too_short": "it should have at least {min_length} character{s}",
    "string_too_long": "it should have at most {max_length} character{s}",
    "string_pattern_mismatch": "it should match pattern '{pattern}'",
}


def validation_message(error: Mapping[str, Any]) -> str:
    """Return pydantic's error in words for people, who don't think in inputs and strings."""
    if (template := _MESSAGES_BY_ERROR_TYPE.get(error["type"])) is None:
        return error_message(error)
    bounds = {
        name: int(bound) if isinstance(bound, float) and bound.is_integer() else bound
        for name, bound in error.get("ctx", {}).items()
    }
    return template.format(**bounds, s="" if 1 in bounds.values() else "s")


class Command(BaseModel):
    """A request to the bot, named in the imperative. Its fields are in typing order.

    Each field's Argument says what it means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    verb: ClassVar[str]
    summary: ClassVar[str]
    example: ClassVar[str]
    permission: ClassVar[Permission | None] = None  # None: it's about a request, whose service checks it
    needs_policy: ClassVar[bool] = True  # otherwise, the terminal executes it without a policy file, too

    @property
    def required_permission(self) -> Permission | None:
        """The permission that the caller needs."""
        return self.permission

    @field_validator("*", mode="wrap")
    @classmethod
    def _name_field(cls, value: Any, parse: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Let errors carry the field that they're about."""
        try:
            return parse(value)
        except RegistrarError as error:
            error.field = error.field or info.field_name or ""
            raise

    @classmethod
    def arguments(cls) -> Iterator[tuple[str, FieldInfo, Argument]]:
        """Yield each field's name and how it's typed."""
        for name, field in cls.model_fields.items():
            yield name, field, next(item for item in field.metadata if isinstance(item, Argument))

    @classmethod
    def usage(cls) -> str:
        """Return the command's syntax, with optional parts in brackets."""
        words = [cls.verb]
        for _, field, arg in cls.arguments():
            word = arg.placeholder if arg.positional else f"{arg.flags[0]} {arg.placeholder}".strip()
            word += "…" if arg.takes_many and arg.positional else ""
            words.append(word if field.is_required() else f"[{word}]")
        return " ".join(words)

    def dump(self) -> dict[str, Any]:
        """Return the command as plain JSON values, with its verb; `load_command` reads it."""
        return {"verb": self.verb} | {name: _to_json(getattr(self, name)) for name in type(self).model_fields}


class QueryCommand(Command):
    """A command that only reads, maybe from the registry: Slack answers it after the acknowledgement."""

    permission = Permission.READ
    needs_policy = False
    needs_ledger: ClassVar[bool] = False  # whether it reads nothing but the ledger


class Change(Command):
    """A command that changes the ledger in one transaction, and says what follows."""

    is_slow: ClassVar[bool] = False  # whether it reads more than the ledger first: then Slack doesn't wait for it


class RegistryChange(Command):
    """A command that is stored first, then executed, and retried while the registry is unavailable."""


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return serialize_duration(value)
    if isinstance(value, date):  # includes datetime
        return value.isoformat()
    return str(value) if isinstance(value, VersionRef) else value


def _join_missing(words: list[str]) -> str:
    return f"{' and '.join(words)} {'is' if len(words) == 1 else 'are'}"


# -- arguments of single commands --------------------------------------------------------------------------------------


def _parse_request_id(text: object) -> str:
    word = str(text).strip().lstrip("#").lower()
    if not re.fullmatch(r"[a-z0-9]{4,16}", word):
        raise BadInput(
            say(
                "{word} is no request. Its short id stands on the card, like {like}.",
                word=Name(str(text)[:40]),
                like=Code("r4k7q"),
            )
        )
    return word


def parse_run_id(text: object) -> str:
    """Parse an MLflow run id. Raises BadInput."""
    word = str(text).strip()
    if not re.fullmatch(r"\w{1,64}", word, re.ASCII):
        raise BadInput(say("{word} is no run id. Copy it from {product}: 32 letters and digits.", word=Name(word[:80])))
    return word


def is_version_ref(text: str) -> bool:
    """Return whether a word can name a version: a number, a semver, an alias, or a stage."""
    try:
        parse_version_ref(text)
    except BadInput:
        return False
    return True


def parse_each(parse_word: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a parser that makes a tuple of one word or several, each parsed by `parse_word`."""
    return lambda words: tuple(parse_word(word) for word in ([words] if isinstance(words, str) else words))


def parse_metric_names(text: object) -> tuple[str, ...]:
    """Parse metric names separated by commas, without duplicates."""
    words = text.split(",") if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))


def _parse_tag(text: object) -> str:
    """Check that a registry can store both parts of `key=value`, and return it as typed."""
    key, equals, value = str(text).partition("=")
    key = key.strip()
    if not equals or not key:
        raise BadInput(say("{word} is no tag. Write it so: {like}", word=Name(str(text)[:80]), like=Code("owner=ann")))
    if not re.fullmatch(r"[\w.\-: /]{1,250}", key) or ".." in key or key.startswith("/"):
        raise BadInput(say("{product} takes no tag called {key}. Use letters, digits and _ . - : /", key=Name(key)))
    if product().owns_tag(key) or key in RESERVED_TAGS:
        who = f"{product().name} itself" if product().owns_tag(key) else "Registrar"
        raise BadInput(say("The tag {key} is kept by {who}; set another.", key=Code(key), who=who))
    if len(value) > MAX_TAG_LENGTH:
        raise BadInput(say("The value of {key} is longer than {n} characters.", key=Code(key), n=f"{MAX_TAG_LENGTH:,}"))
    return f"{key}={value.strip()}"


def _parse_result(text: object) -> str:
    """Check that the text is `metric=number`, and return it as typed."""
    name, equals, value = str(text).partition("=")
    name = name.strip()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise BadInput(
            say("{word} is no result. Write it so: {like}", word=Name(str(text)[:80]), like=Code("accuracy=0.92"))
        )
    if not re.fullmatch(r"[\w.\-: /]{1,200}", name) or ".." in name or name.startswith("/"):
        raise BadInput(say("{product} takes no metric called {key}. Use letters, digits and _ . - : /", key=Name(name)))
    return f"{name}={value.strip()}"


def _parse_results(text: object) -> tuple[str, ...]:
    words = [text] if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(_parse_result(part) for word in words for part in str(word).split(",") if part.strip())


def parse_description(text: object) -> str:
    """Return a description as it's stored. Raises BadInput if it's too long."""
    words = sanitize_text(str(text)).strip()
    if len(words) > MAX_DESCRIPTION_LENGTH:
        raise BadInput(
            f"The description is longer than {MAX_DESCRIPTION_LENGTH:,} characters. Say it shorter, and link."
        )
    return words


def parse_bump(text: object) -> Bump:
    """Parse which part of a semver to raise: major, minor, or patch. Raises BadInput."""
    if isinstance(text, Bump):
        return text
    try:
        return Bump(str(text).strip().lower())
    except ValueError:
        parts = [Code(bump.value) for bump in Bump]
        raise BadInput(
            say("{word} is no bump. It is one of {parts}.", word=Name(str(text)[:40]), parts=parts)
        ) from None


VersionArgument = Annotated[
    VersionRef,
    BeforeValidator(lambda text: text if isinstance(text, VersionRef) else parse_version_ref(str(text))),
    Argument("VERSION", "7, v7, 2.1.0, @alias, staging, production or latest", flags=("--version",)),
]
TargetArgument = Annotated[
    Stage,
    BeforeValidator(lambda text: text if isinstance(text, Stage) else parse_target_stage(str(text))),
    Argument("STAGE", "staging or production", flags=("--to",)),
]
OptionalVersionArgument = Annotated[
    VersionRef | None,
    get_args(VersionArgument)[1],
    Argument(
        "VERSION", "7, v7, 2.1.0, @alias, staging, production or latest", flags=("--version",), accepts=is_version_ref
    ),
]
TagsArgument = Annotated[tuple[str, ...], BeforeValidator(parse_each(_parse_tag))]
ResultsArgument = Annotated[
    tuple[str, ...],
    BeforeValidator(_parse_results),
    Argument(
        "METRIC=VALUE", "a result of your own validation; can be given again", False, ("--validation",), takes_many=True
    ),
]
RequestIdArgument = Annotated[
    str, BeforeValidator(_parse_request_id), Argument("REQUEST", "the short id on the card", flags=("--request",))
]


def results_by_metric(pairs: Sequence[str]) -> dict[str, float]:
    """Return results typed as `metric=number`, by metric; the last one wins."""
    return {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}
