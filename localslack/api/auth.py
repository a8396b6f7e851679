"""auth.test and apps.connections.open."""

from __future__ import annotations

from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.backend import Backend


def test(backend: Backend, args: Arguments) -> JSON:
    """auth.test: return the workspace and the bot user that the bot token belongs to."""
    workspace = backend.workspace
    return {
        "enterprise_id": workspace.enterprise["id"] if workspace.enterprise else None,
        "url": backend.base_url,
        "team": workspace.team.name,
        "user": workspace.app.bot_handle,
        "team_id": workspace.team.id,
        "user_id": workspace.app.bot_user_id,
        "bot_id": workspace.app.bot_id,
        "is_enterprise_install": False,
    }


def connect(backend: Backend, args: Arguments) -> JSON:
    """apps.connections.open: return a WebSocket URL that works once."""
    host = backend.base_url.removeprefix("http://")
    return {
        "url": f"ws://{host}link/?ticket={backend.router.socket_mode.issue_ticket()}&app_id={backend.workspace.app.id}"
    }


# slack-ruby/slack-api-ref, methods/auth and apps.
METHODS = {
    "auth.test": ApiMethod(test, tier=4),
    "apps.connections.open": ApiMethod(connect, tier=3, caller="app"),
}
