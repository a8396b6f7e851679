"""Changes documents as an attacker would, who has old and other documents, and another key, but not a trusted one."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.domain.integrity.manifest import canonical_bytes
from tests.support.integrity.signed_bundles import SigningKey

Place = tuple[Any, Any]  # a dict or a list, and the key or the index of a value in it

ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        4,
        -4,
        4.0,
        4.5,
        1e308,
        float("nan"),
        float("inf"),
        10**400,
        -(2**63),
        "4",
        "4.0",
        "1e0",
    ),
    *(
        "",
        " ",
        "valid",
        "Production",
        "churn",
        "сhurn",
        "chu\u200brn",
        "Ｃhurn",
        "churn\u0000",
        "\ud800",
        "\ufeff",
        "%s{0}",
    ),
    *(
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "a\\b",
        "C:\\x",
        "a/./b",
        "a//b",
        "~",
        "con",
        "\u202etxt.exe",
        "x" * 5_000,
    ),
    *("2099-01-01T00:00:00.000000+00:00", "2099-01-01", "9999-12-31T23:59:59.999999-23:59", "inf", "٤"),
    *([], {}, [[]], {"": None}, ["churn"], {"sha256": "0" * 64}, [None] * 50, {"__class__": "x", "__proto__": {}}),
)
TEXT_CHANGES: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.swapcase,
    lambda text: text + " ",
    lambda text: "\n" + text,
    lambda text: text[:-1],
    lambda text: text[1:],
    lambda text: text + "=",
    lambda text: text.rstrip("=") or "=",
    lambda text: text.replace("+", "-").replace("/", "_"),
    lambda text: text[::-1],
    lambda text: text + text,
    lambda text: text.replace("a", "а"),  # Cyrillic
    lambda text: text.replace("e", "e\u0301"),
    lambda text: text[:40] + "\r\n" + text[40:],
)


def places(document: Any) -> Iterator[Place]:
    """Yield every place in a document."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from places(document[key])


class Mutator:
    """Changes a bundle. With the same seed, it makes the same changes.

    `strangers` are authentic documents about other things, or older ones, from which parts are taken.
    """

    def __init__(self, seed: int, bundle: Mapping[str, Any], strangers: Sequence[Mapping[str, Any]]) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - it must be repeatable
        self._bundle, self._strangers = bundle, strangers
        self._key = SigningKey(Ed25519PrivateKey.from_private_bytes(self._dice.randbytes(32)))

    def mutant(self) -> bytes:
        """Return a changed bundle as a file's contents. It never says the same as the original."""
        while True:
            changed = copy.deepcopy(dict(self._bundle))
            for _ in range(self._dice.choice((1, 1, 1, 2, 3))):
                self._dice.choice((self._change_wrapper, self._change_payload, self._change_payload, self._transplant))(
                    changed
                )
            data = self._write(changed)
            if not _says_the_same(data, self._bundle):
                return data

    def _change_wrapper(self, bundle: dict[str, Any]) -> None:
        self._change(bundle)

    def _change_payload(self, bundle: dict[str, Any]) -> None:
        """Change what's signed; leave the signature, sign with another key, or claim a trusted key's signature."""
        name = self._dice.choice(("passport", "status"))
        with suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):  # damaged by another change
            envelope: Any = bundle[name]
            kept, kind = envelope["signatures"], envelope["payloadType"]
            document = json.loads(base64.b64decode(envelope["payload"]))
            self._change(document)
            payload = self._dice.choice((canonical_bytes, _loose_bytes))(document)
            signed = self._key.sign(kind, self._change_bytes(payload) if self._dice.random() < 0.1 else payload)
            way = self._dice.randrange(3)
            if way == 0:
                signed["signatures"] = kept
            elif way == 1:
                signed["signatures"][0]["keyid"] = kept[0]["keyid"]
            bundle[name] = signed

    def _transplant(self, bundle: dict[str, Any]) -> None:
        """Replace a part by the same or another part of an authentic document."""
        stranger = copy.deepcopy(dict(self._dice.choice([*self._strangers, self._bundle])))
        there, theirs = self._dice.choice(list(places(stranger)))
        here, ours = self._dice.choice(
            [place for place in places(bundle) if place[1] == theirs] or list(places(bundle))
        )
        here[ours] = there[theirs]

    def _change(self, document: Any) -> None:
        """Change one place: remove it, rename it, give it another value, move it, double it, or nest it."""
        where, key = self._dice.choice(list(places(document)))
        other, other_key = self._dice.choice(list(places(document)))
        value = where[key]
        way = self._dice.randrange(8)
        if way == 0:
            del where[key]
        elif way == 1 and isinstance(where, dict):
            where[self._dice.choice(TEXT_CHANGES)(str(key)) + self._dice.choice(("", "2"))] = where.pop(key)
        elif way == 2 and isinstance(value, str):
            where[key] = self._dice.choice(TEXT_CHANGES)(value)
        elif way == 3 and isinstance(value, str) and value:
            at = self._dice.randrange(len(value))
            where[key] = value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
        elif way == 4:
            where[key], other[other_key] = copy.deepcopy(other[other_key]), copy.deepcopy(value)
        elif way == 5 and isinstance(where, list):
            where.insert(self._dice.randrange(len(where) + 1), copy.deepcopy(value))
        elif way == 6:
            where[key] = self._dice.choice(([value], {"value": value}, {str(key): value}, str(value), [value, value]))
        else:
            where[key] = copy.deepcopy(self._dice.choice(ODD_VALUES))

    def _write(self, bundle: Any) -> bytes:
        """Return the bundle as JSON, sometimes damaged."""
        data = _loose_bytes(bundle)
        return self._change_bytes(data) if self._dice.random() < 0.15 else data

    def _change_bytes(self, data: bytes) -> bytes:
        at = self._dice.randrange(len(data) + 1)
        key = self._dice.choice(
            (b'"type":1,', b'"payload":"e30=",', b'"version":4,', b'"status":"valid",', b'"passport":{},')
        )
        return self._dice.choice(
            (
                data[:at],
                data[at:],
                data[:at] + bytes([self._dice.randrange(256)]) + data[at + 1 :],
                data.replace(b"{", b"{" + key, 1),
                data.replace(b"}", b"," + key.rstrip(b",") + b"}", self._dice.randrange(1, 4)),
                b"\xef\xbb\xbf" + data,
                data.decode(errors="replace").encode("utf-16"),
                data + data,
                data + b"\0",
                b"[" * 100_000 + data,
                b'{"type":' * 100_000,
                data.replace(
                    b":4,", self._dice.choice((b":4.0,", b":04,", b":4e0,", b":+4,", b":" + b"4" * 5_000 + b","))
                ),
                data.replace(b'"churn"', rb'"\u0063hurn"'),
            )
        )


def _loose_bytes(document: Any) -> bytes:
    """Return JSON as most programs write it, with NaN and lone surrogates."""
    return json.dumps(document).encode()


def _says_the_same(data: bytes, bundle: Mapping[str, Any]) -> bool:
    """Return whether a strict reader gets the original; the form of a number counts, and the order of keys doesn't."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        return canonical_bytes(json.loads(data.decode(), object_pairs_hook=once)) == canonical_bytes(bundle)
    except (ValueError, RecursionError):
        return False
