"""The base class of every command, and the field types that turn typed words into values."""

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
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.fields import FieldInfo

from bot.domain.core.durations import serialize_duration
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Code, Name, join_with_conjunction, sanitize_text, say
from bot.domain.core.strict_model import error_message
from bot.domain.policy.authorization import Permission
from bot.domain.policy.callers.quotas import Quota
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
MAX_TAG_LENGTH = 1000  # characters in a tag's value
# In one command, because its events repeat them, and many receivers of the audit log accept only 1 MB.
MAX_TAGS, MAX_RESULTS = 50, 100
MAX_EVENT_NUMBER = 10**15  # more than an audit log will ever have, and within a database's integer range


@dataclass(frozen=True, slots=True)
class Argument:
    """How a field is typed (by position or with flags), its name in the help, and its description.

    `takes_many`: whether it takes all remaining words and its flag can be repeated. `accepts` returns whether a word
    can be this argument; if not, an optional argument is skipped when required ones follow.
    """

    placeholder: str
    help: str
    positional: bool = True
    flags: tuple[str, ...] = ()
    takes_many: bool = False
    accepts: Callable[[str], bool] = lambda word: True


class MissingArguments(BadInput):
    """A command is missing arguments. Slack opens a modal with the given ones; the terminal lists the missing ones."""

    def __init__(self, command_class: type[Command], given: dict[str, str], missing: list[str]) -> None:
        self.command_class, self.given, self.missing = command_class, given, missing
        super().__init__(
            say(
                "Missing {missing}. Usage: {usage}",
                missing=join_with_conjunction(missing, "and"),
                usage=Code(command_class.usage()),
            )
        )


def parse_reason(text: object) -> str:
    """Return a reason as it's stored. Raises BadInput if it's too long."""
    reason = sanitize_text(str(text)).strip()
    if len(reason) > MAX_REASON_LENGTH:
        raise BadInput(f"The reason is over {MAX_REASON_LENGTH:,} characters. Shorten it, and link to the details.")
    return reason


ModelName = Annotated[
    str,
    BeforeValidator(lambda text: check_model_name(str(text))),
    Argument("MODEL", "the registered model's name", flags=("--model-name", "--model")),
]
Reason = Annotated[
    str,
    BeforeValidator(parse_reason),
    Argument("TEXT", "the reason; shown on the card and in the audit log", positional=False, flags=("--reason",)),
]
OptionalModelName = Annotated[
    str | None,
    BeforeValidator(lambda text: None if text is None else check_model_name(str(text))),
    get_args(ModelName)[-1],
]
AllModels = Annotated[bool, Argument("", "every model", positional=False, flags=("--all",))]
_MESSAGES_BY_ERROR_TYPE = {
    "int_parsing": "must be a whole number, such as 2",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number, without a fraction",
    "float_parsing": "must be a number, such as 0.85",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} character{s}",
    "string_too_long": "must have at most {max_length} character{s}",
    "too_long": "can be given at most {max_length} times",
    "string_pattern_mismatch": "must match the pattern '{pattern}'",
}


def validation_message(error: Mapping[str, Any]) -> str:
    """Return a pydantic error in plain words, without terms such as input or string."""
    if (template := _MESSAGES_BY_ERROR_TYPE.get(error["type"])) is None:
        return error_message(error)
    bounds = {
        name: int(bound) if isinstance(bound, float) and bound.is_integer() else bound
        for name, bound in error.get("ctx", {}).items()
    }
    return template.format(**bounds, s="" if 1 in bounds.values() else "s")


class Command(BaseModel):
    """A command to the bot, named in the imperative. Its fields are in the order they're typed.

    Each field's Argument says what it means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    verb: ClassVar[str]
    summary: ClassVar[str]  # short enough for a phone's line
    details: ClassVar[str] = ""  # more sentences for the command's own help
    example: ClassVar[str]
    permission: ClassVar[Permission | None] = None  # None: for commands about a request, its service checks it
    quota: ClassVar[Quota | None] = None  # the quota that it counts against
    needs_policy: ClassVar[bool] = True  # if not, the terminal executes it even without a policy file

    @property
    def required_permission(self) -> Permission | None:
        """The permission that the caller needs."""
        return self.permission

    @property
    def has_form(self) -> bool:
        """Whether a form can show and edit everything in the command."""
        return False

    @field_validator("*", mode="wrap")
    @classmethod
    def _name_field(cls, value: Any, parse: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Parse a field's value, adding the field's name to any RegistrarError."""
        try:
            return parse(value)
        except RegistrarError as error:
            error.field = error.field or info.field_name or ""
            raise

    @classmethod
    def arguments(cls) -> Iterator[tuple[str, FieldInfo, Argument]]:
        """Yield each field's name, the pydantic field, and how it's typed."""
        for name, field in cls.model_fields.items():
            for item in field.metadata:
                if isinstance(item, Argument):
                    yield name, field, item

    @classmethod
    def explanation(cls) -> str:
        """Return the summary and the details as sentences."""
        return f"{cls.summary}. {cls.details}".rstrip()

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
    """A command that only reads, possibly from the registry. In Slack, it's answered after the acknowledgment."""

    permission = Permission.READ
    needs_policy = False
    needs_ledger: ClassVar[bool] = False  # whether it reads only the ledger


class Change(Command):
    """A command that changes the ledger in one transaction, and returns its result."""

    is_slow: ClassVar[bool] = False  # whether it first reads more than the ledger; then Slack doesn't wait for it


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


# -- arguments of some commands ----------------------------------------------------------------------------------------


def _parse_request_id(text: object) -> str:
    if word := _parse_id(text):
        return word
    raise BadInput(
        say(
            "Can't read {word} as a request ID. Copy the ID from the card, such as {like}.",
            word=Name(str(text)[:40]),
            like=Code("r4k7q"),
        )
    )


def _parse_incident_id(text: object) -> str:
    if word := _parse_id(text):
        return word
    raise BadInput(
        say(
            "Can't read {word} as an incident ID. Copy the ID from the alert, such as {like}.",
            word=Name(str(text)[:40]),
            like=Code("i4k7q"),
        )
    )


def _parse_id(text: object) -> str:
    """Return an ID in lowercase, without a leading `#`, or an empty string if the text can't be one."""
    word = str(text).strip().lstrip("#").lower()
    return word if re.fullmatch(r"[a-z0-9]{4,16}", word) else ""


def parse_run_id(text: object) -> str:
    """Parse an MLflow run ID. Raises BadInput."""
    word = str(text).strip()
    if not re.fullmatch(r"\w{1,64}", word, re.ASCII):
        raise BadInput(
            say("Can't read {word} as a run ID. Copy the 32-character ID from {product}.", word=Name(word[:80]))
        )
    return word


def is_version_ref(text: str) -> bool:
    """Return whether a word can name a version: a number, a semver, an alias, or a stage."""
    try:
        parse_version_ref(text)
    except BadInput:
        return False
    return True


def parse_each(parse_word: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a parser that turns one or more words into a tuple, each parsed by `parse_word`."""
    return lambda words: tuple(parse_word(word) for word in (words if isinstance(words, list | tuple) else [words]))


def parse_metric_names(text: object) -> tuple[str, ...]:
    """Parse comma-separated metric names, dropping duplicates."""
    words = text.split(",") if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))


def _parse_tag(text: object) -> str:
    """Check that a registry can store both parts of `key=value`; return it with both parts trimmed."""
    key, equals, value = str(text).partition("=")
    key = key.strip()
    if not equals or not key:
        raise BadInput(
            say("Can't read {word} as a tag. Try {like}.", word=Name(str(text)[:80]), like=Code("owner=ann"))
        )
    if not re.fullmatch(r"[\w.\-: /]{1,250}", key) or ".." in key or key.startswith("/"):
        raise BadInput(
            say("{product} doesn't accept the tag {key}. Use letters, digits, spaces, and _ . - : /", key=Name(key))
        )
    if product().owns_tag(key) or key in RESERVED_TAGS:
        who = product().name if product().owns_tag(key) else "Registrar"
        raise BadInput(say("{who} manages the tag {key}. Choose another name.", key=Code(key), who=who))
    if len(value) > MAX_TAG_LENGTH:
        raise BadInput(
            say("The value of {key} is over {n} characters. Shorten it.", key=Code(key), n=f"{MAX_TAG_LENGTH:,}")
        )
    return f"{key}={value.strip()}"


def _parse_result(text: object) -> str:
    """Check that the text is `metric=number`; return it with both parts trimmed."""
    name, equals, value = str(text).partition("=")
    name = name.strip()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise BadInput(
            say("Can't read {word} as a result. Try {like}.", word=Name(str(text)[:80]), like=Code("accuracy=0.92"))
        )
    if not re.fullmatch(r"[\w.\-: /]{1,200}", name) or ".." in name or name.startswith("/"):
        raise BadInput(
            say("{product} doesn't accept the metric {key}. Use letters, digits, spaces, and _ . - : /", key=Name(name))
        )
    return f"{name}={value.strip()}"


def _parse_results(text: object) -> tuple[str, ...]:
    words = [text] if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(_parse_result(part) for word in words for part in str(word).split(",") if part.strip())


def parse_description(text: object) -> str:
    """Return a description as it's stored. Raises BadInput if it's too long."""
    words = sanitize_text(str(text)).strip()
    if len(words) > MAX_DESCRIPTION_LENGTH:
        raise BadInput(
            f"The description is over {MAX_DESCRIPTION_LENGTH:,} characters. Shorten it, and link to the details."
        )
    return words


def parse_bump(text: object) -> Bump:
    """Parse which part of a semver to bump: major, minor, or patch. Raises BadInput."""
    if isinstance(text, Bump):
        return text
    try:
        return Bump(str(text).strip().lower())
    except ValueError:
        parts = join_with_conjunction([Code(bump.value) for bump in Bump], "or")
        raise BadInput(
            say("Can't read {word} as a version part. Try {parts}.", word=Name(str(text)[:40]), parts=parts)
        ) from None


VersionArgument = Annotated[
    VersionRef,
    BeforeValidator(lambda text: text if isinstance(text, VersionRef) else parse_version_ref(str(text))),
    Argument("VERSION", "7, v7, 2.1.0, @alias, staging, production, or latest", flags=("--version",)),
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
        "VERSION", "7, v7, 2.1.0, @alias, staging, production, or latest", flags=("--version",), accepts=is_version_ref
    ),
]
TagsArgument = Annotated[tuple[str, ...], Field(max_length=MAX_TAGS), BeforeValidator(parse_each(_parse_tag))]
ResultsArgument = Annotated[
    tuple[str, ...],
    Field(max_length=MAX_RESULTS),
    BeforeValidator(_parse_results),
    Argument("METRIC=VALUE", "a result from your validation; repeatable", False, ("--validation",), takes_many=True),
]
IncidentIdArgument = Annotated[
    str,
    BeforeValidator(_parse_incident_id),
    Argument("INCIDENT", "the incident's ID, shown on its alert", flags=("--incident",)),
]
RequestIdArgument = Annotated[
    str,
    BeforeValidator(_parse_request_id),
    Argument("REQUEST", "the request's ID, shown on its card", flags=("--request",)),
]


def results_by_metric(pairs: Sequence[str]) -> dict[str, float]:
    """Return results typed as `metric=number`, by metric. If a metric is repeated, the last result wins."""
    return {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}
