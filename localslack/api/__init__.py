"""The Web API: a table of methods, and the conditions that hold for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localslack.api import auth, blocks, chat, conversations, files, reactions, users, views
from localslack.api.arguments import Args
from localslack.api.method import Method
from localslack.backend import Core
from localslack.core.errors import SlackError

METHODS: Mapping[str, Method] = {
    **auth.METHODS,
    **blocks.METHODS,
    **chat.METHODS,
    **conversations.METHODS,
    **files.METHODS,
    **users.METHODS,
    **reactions.METHODS,
    **views.METHODS,
}


def call(core: Core, name: str, token: str, args: Args) -> dict[str, Any]:
    """Answer one call; raises SlackError for every refusal."""
    method = METHODS.get(name)
    if method is None:
        raise unknown(name)
    _check_token(core, method, token)
    core.require_scope(*method.scopes)
    core.limits.count(name, method.tier, _conversation(core, args.text("channel")))
    return {"ok": True, **method.handler(core, args)}


def unknown(name: str) -> SlackError:
    """The error for a method that does not exist here."""
    return SlackError("unknown_method", req_method=name)


def _conversation(core: Core, name: str) -> str:
    """One name for each conversation, whether the app gives an id, a #name, or a person."""
    try:
        return "D" + name[1:] if name in core.space.people else core.space.channel(name).id
    except SlackError:
        return name


def _check_token(core: Core, method: Method, token: str) -> None:
    if not token:
        raise SlackError("not_authed")
    kinds = {core.secrets.bot_token: "bot", core.secrets.app_token: "app"}
    if token not in kinds:
        raise SlackError("invalid_auth")
    if kinds[token] != method.caller:
        raise SlackError("not_allowed_token_type")
