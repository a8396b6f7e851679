"""Sentences that read the same in Slack, in the terminal, and in the audit log.

A sentence keeps its template and values separate until it's rendered. That lets Slack turn a person into a mention and
escape outside text, lets the terminal print plain text, and keeps a model name from ever pinging a channel.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any


class Name(str):
    """A name from outside (a model, a verb, a file), set apart from the words around it."""

    __slots__ = ()


class Code(str):
    """Text to type verbatim: a command, an ID, a setting."""

    __slots__ = ()


class Channel(str):
    """A channel as the policy names it: `#name`, or an ID, which Slack displays as the name."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Mention:
    """A person in a sentence, by user ID."""

    user: str


@dataclass(frozen=True, slots=True)
class MessageLink:
    """A link to one of Registrar's own messages: in Slack, `label` as a link; elsewhere, `label` and the channel.

    `message` is the message's ordering key, and `posted_by` is the key of the outbox message that posts it. `url` is
    filled in when the sentence is delivered; a link without one names the channel.
    """

    message: str
    channel: str
    label: str
    posted_by: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template and its values. `str()` gives plain text; Slack renders it in bot/slack/core/blocks.py.

    `code` identifies the sentence in code; it stays the same when the words change.
    """

    template: str
    args: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    code: str = field(default="", compare=False)

    def with_code(self, code: str) -> Sentence:
        """Return the sentence with this code."""
        return replace(self, code=code)

    def render(self, format_value: Callable[[object], str]) -> str:
        """Return the text, with `format_value` applied to each value."""
        return self.template.format_map(
            {
                name: ", ".join(map(format_value, value))
                if isinstance(value, Iterable) and not isinstance(value, str)
                else format_value(value)
                for name, value in self.args.items()
            }
        )

    def __str__(self) -> str:
        return self.render(to_plain_text)


_read_product_name: list[Callable[[], str]] = [lambda: "The registry"]


def set_product_name(read_name: Callable[[], str]) -> None:
    """Set how `say` reads the registry product's name, which replaces `{product}`."""
    _read_product_name[:] = [read_name]


def say(template: str, /, **args: object) -> Sentence:
    """Build a sentence. `template` must be a literal, never built from outside text; values go into `args`.

    `{product}` becomes the name of the registry's product, such as MLflow.
    """
    if "{product}" in template:
        template = template.replace("{product}", _read_product_name[0]())
    return Sentence(template, MappingProxyType(args))


def join_sentences(sentences: Iterable[Sentence], separator: str) -> Sentence:
    """Join sentences into one. `separator` must be a literal."""
    parts = list(sentences)
    return say(
        separator.join(f"{{part{at}}}" for at in range(len(parts))),
        **{f"part{at}": part for at, part in enumerate(parts)},
    )


def join_with_conjunction(values: Sequence[object], conjunction: str) -> Sentence:
    """Return a list such as `a`, `a or b`, or `a, b, or c`. `conjunction` must be a literal."""
    names = [f"{{one{at}}}" for at in range(len(values))]
    rest, last = names[:-1], names[-1:]
    comma = "," if len(rest) > 1 else ""
    template = f"{', '.join(rest)}{comma} {conjunction} {last[0]}" if rest else "".join(last)
    return say(template, **{f"one{at}": value for at, value in enumerate(values)})


def links_in(value: object) -> Iterator[MessageLink]:
    """Yield the links to messages in a sentence or one of its values."""
    if isinstance(value, MessageLink):
        yield value
    elif isinstance(value, Sentence):
        yield from links_in(value.args.values())
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in value:
            yield from links_in(item)


def with_urls(sentence: Sentence, urls: Mapping[MessageLink, str]) -> Sentence:
    """Return the sentence with its links' URLs filled in."""

    def fill_in(value: object) -> object:
        if isinstance(value, MessageLink):
            return replace(value, url=urls[value])
        return with_urls(value, urls) if isinstance(value, Sentence) else value

    args = {name: fill_in(value) for name, value in sentence.args.items()}
    return replace(sentence, args=MappingProxyType(args))


def to_plain_text(value: object) -> str:
    """Return one value as plain text."""
    if isinstance(value, Name):
        return f"“{sanitize_text(value)}”"
    if isinstance(value, Mention):
        return f"@{value.user}"
    if isinstance(value, MessageLink):
        return sanitize_text(f"{value.label} in {value.channel}")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, Sentence):
        return str(value)
    return sanitize_text(str(value))


def sanitize_text(text: str) -> str:
    """Return outside text without control, bidirectional, and zero-width characters; line breaks become spaces."""
    spaced = re.sub(r"[\r\n\t\u2028\u2029]+", " ", text)
    return "".join(
        char for char in spaced if unicodedata.category(char) not in _INVISIBLE_CATEGORIES or char == "\u200d"
    )


def truncate(text: str, max_length: int) -> str:
    """Return `text` cut to at most `max_length` characters, with `…` at the end if it was cut."""
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


# Control, format (bidi, zero width), surrogate, and private-use characters. The zero-width joiner is kept: without it,
# a family emoji falls apart, and it can't hide anything.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co"})


_PARSERS_BY_KIND: dict[str, Callable[[Any], object]] = {
    "name": Name,
    "code": Code,
    "channel": Channel,
    "mention": Mention,
    "time": datetime.fromisoformat,
    "text": str,
    "int": int,
    "link": lambda fields: MessageLink(**fields),
}


def pack_sentence(sentence: Sentence) -> dict[str, object]:
    """Return the sentence as plain JSON values, for an outbox row."""
    packed: dict[str, object] = {
        "template": sentence.template,
        "args": {name: _pack_argument(value) for name, value in sentence.args.items()},
    }
    return packed | ({"code": sentence.code} if sentence.code else {})


def unpack_sentence(data: Mapping[str, object]) -> Sentence:
    """Return the sentence that `pack_sentence` wrote."""
    args = data["args"]
    if not isinstance(args, Mapping):
        raise TypeError("a packed sentence must have its values by name")
    values = {str(name): _unpack_argument(value) for name, value in args.items()}
    return say(str(data["template"]), **values).with_code(str(data.get("code", "")))


def _pack_argument(value: object) -> object:
    if isinstance(value, Sentence):
        return {"say": pack_sentence(value)}
    if isinstance(value, Mention):
        return {"mention": value.user}
    if isinstance(value, MessageLink):
        return {"link": asdict(value)}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, int):
        return {"int": value}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return {"list": [_pack_argument(item) for item in value]}
    kinds: dict[type, str] = {Name: "name", Code: "code", Channel: "channel"}
    return {kinds.get(type(value), "text"): str(value)}


def _unpack_argument(packed: object) -> object:
    if not isinstance(packed, Mapping):
        raise TypeError("a packed value must have a kind")
    [(kind, value)] = packed.items()
    if kind == "say":
        return unpack_sentence(value)
    if kind == "list":
        return [_unpack_argument(item) for item in value]
    return _PARSERS_BY_KIND[kind](value)


def ended_with_period(text: str) -> str:
    """Return a person's text, adding a period unless it already ends with punctuation."""
    return text if text.rstrip()[-1:] in {".", "!", "?", "…"} else f"{text.rstrip()}."
