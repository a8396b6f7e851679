"""Argument types: how typed words become values, and how a command's fields declare them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator

from bot.domain.commands.base import Argument
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, sanitize_text, say
from bot.domain.registry.model import Stage, VersionRef, parse_target_stage, parse_version_ref, product
from bot.domain.registry.semver import Bump
from bot.domain.transitions.registry_tags import RESERVED_TAGS

MAX_DESCRIPTION_LENGTH = 4000  # characters; MLflow on PostgreSQL stores 5,000, and a promotion adds a line
MAX_TAG_LENGTH = 1000  # characters of a tag's value
MAX_EVENT_NUMBER = 10**15  # more than an audit log will ever have, and within a database's integers


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
