"""The Web API: a table of its methods, and the checks that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localslack.api import auth, blocks_validate, chat, conversations, files, reactions, users, views
from localslack.api.arguments import Arguments
from localslack.api.method import ApiMethod
from localslack.backend import Backend
from localslack.core.errors import SlackError

METHODS: Mapping[str, ApiMethod] = {
    **auth.METHODS,
    **blocks_validate.METHODS,
    **chat.METHODS,
    **conversations.METHODS,
    **files.METHODS,
    **users.METHODS,
    **reactions.METHODS,
    **views.METHODS,
}


def call(backend: Backend, name: str, token: str, args: Arguments) -> dict[str, Any]:
    """Handle a Web API call, and return the JSON to send. Raises SlackError if the call fails.

    name: the method, such as chat.postMessage. token: the token sent with the call.
    """
    method = METHODS.get(name)
    if method is None:
        raise unknown_method(name)
    _check_token(backend, method, token)
    backend.require_scope(*method.scopes)
    backend.rate_limiter.count(name, method.tier, _channel_key(backend, args.text("channel")))
    return {"ok": True, **method.handler(backend, args)}


def unknown_method(name: str) -> SlackError:
    """Return the error for an unknown method."""
    return SlackError("unknown_method", req_method=name)


def _channel_key(backend: Backend, name: str) -> str:
    """Return the key of a conversation, which is the same whether `name` is its ID, its #name, or a person's ID.

    If there's no such conversation, return `name`.
    """
    try:
        return "D" + name[1:] if name in backend.workspace.people else backend.workspace.channel(name).id
    except SlackError:
        return name


def _check_token(backend: Backend, method: ApiMethod, token: str) -> None:
    if not token:
        raise SlackError("not_authed")
    kinds = {backend.secrets.bot_token: "bot", backend.secrets.app_token: "app"}
    if token not in kinds:
        raise SlackError("invalid_auth")
    if kinds[token] != method.caller:
        raise SlackError("not_allowed_token_type")
