"""auth.test and apps.connections.open: who am I, and where do I connect."""

from __future__ import annotations

from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.backend import Core


def test(core: Core, args: Args) -> JSON:
    """auth.test with the bot token."""
    space = core.space
    return {
        "enterprise_id": space.enterprise["id"] if space.enterprise else None,
        "url": core.base_url,
        "team": space.team.name,
        "user": space.app.bot_handle,
        "team_id": space.team.id,
        "user_id": space.app.bot_user_id,
        "bot_id": space.app.bot_id,
        "is_enterprise_install": False,
    }


def connect(core: Core, args: Args) -> JSON:
    """apps.connections.open: a WebSocket URL that works once."""
    host = core.base_url.removeprefix("http://")
    return {"url": f"ws://{host}link/?ticket={core.post.sockets.ticket()}&app_id={core.space.app.id}"}


# slack-ruby/slack-api-ref, methods/auth and apps.
METHODS = {
    "auth.test": Method(test, tier=4),
    "apps.connections.open": Method(connect, tier=3, caller="app"),
}
