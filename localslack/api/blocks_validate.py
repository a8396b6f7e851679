"""blocks.validate: checking blocks, a message, or a view without posting it."""

from __future__ import annotations

from typing import Any

from localslack import blocks as rules
from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace.message_content import decode_json

KINDS = ("blocks", "message", "view")


def validate(backend: Backend, args: Arguments) -> JSON:
    """blocks.validate: check exactly one of blocks, message, and view, given as JSON."""
    given_kinds = [kind for kind in KINDS if args.raw.get(kind)]
    if len(given_kinds) != 1:
        raise SlackError("invalid_arguments", messages=[f"provide exactly one of {', '.join(KINDS)}"])
    kind = given_kinds[0]
    value = decode_json(args.raw[kind], "invalid_arguments")
    if problems := _problems(backend, kind, value):
        raise SlackError(f"invalid_{kind}", messages=problems)
    return {}


def _problems(backend: Backend, kind: str, value: Any) -> list[str]:
    if kind == "blocks":
        return rules.message_problems(value, has_picture=backend.has_picture)
    if not isinstance(value, dict):
        return [f"{kind} must be an object"]
    if kind == "message":
        return rules.message_problems(value.get("blocks", []), "/message/blocks", backend.has_picture)
    return rules.view_problems(value, backend.has_picture, "home" if value.get("type") == "home" else "modal")


# slack-ruby/slack-api-ref, methods/blocks: no scope, no tier of its own.
METHODS = {"blocks.validate": ApiMethod(validate)}
