"""blocks.validate: are these blocks, this message or this view what Slack would take?"""

from __future__ import annotations

from typing import Any

from localslack import blocks as rules
from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.workspace.message_content import decoded

KINDS = ("blocks", "message", "view")


def validate(core: Core, args: Args) -> JSON:
    """blocks.validate: exactly one of its three arguments, as JSON."""
    given = [kind for kind in KINDS if args.raw.get(kind)]
    if len(given) != 1:
        raise SlackError("invalid_arguments", messages=[f"provide exactly one of {', '.join(KINDS)}"])
    kind = given[0]
    held = decoded(args.raw[kind], "invalid_arguments")
    if problems := _problems(core, kind, held):
        raise SlackError(f"invalid_{kind}", messages=problems)
    return {}


def _problems(core: Core, kind: str, held: Any) -> list[str]:
    if kind == "blocks":
        return rules.message_problems(held, has_picture=core.has_picture)
    if not isinstance(held, dict):
        return [f"{kind} must be an object"]
    if kind == "message":
        return rules.message_problems(held.get("blocks", []), "/message/blocks", core.has_picture)
    return rules.view_problems(held, core.has_picture, "home" if held.get("type") == "home" else "modal")


# slack-ruby/slack-api-ref, methods/blocks: no scope, no tier of its own.
METHODS = {"blocks.validate": Method(validate)}
