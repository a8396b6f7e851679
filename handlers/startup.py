"""What `registrar run` and `registrar worker` check before they serve. Light: the server takes seconds to import."""

from __future__ import annotations

import socket
from collections.abc import Callable

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.policy import Policy
from bot.policy_file import load_policy
from bot.settings import Settings

BACKLOG = 2048  # callers who wait until we begin; uvicorn's own number


def run(settings: Settings, print_line: Callable[[str], None], *, is_worker: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun. `print_line` prints for people.

    Raises Misconfigured and SlackUnreachable before anything is served.
    """
    policy = load_required_policy(settings, is_worker=is_worker)
    with open_listener(settings) as listener:
        from handlers.serve import serve  # noqa: PLC0415 - it loads Bolt, FastAPI, and what draws

        serve(settings, policy, listener, print_line, is_worker=is_worker)


def load_required_policy(settings: Settings, *, is_worker: bool) -> Policy:
    """Return the policy. Raises Misconfigured with everything that's missing, so that it can be fixed in one go."""
    fault = _setting_fault(settings, is_worker=is_worker)
    try:
        policy = load_policy(settings.policy)
    except Misconfigured as error:
        raise Misconfigured(say("{one}\n{two}", one=fault, two=error.sentence) if fault else error.sentence) from error
    if fault:
        raise Misconfigured(fault)
    return policy


def _setting_fault(settings: Settings, *, is_worker: bool) -> Sentence | None:
    """Return what's missing: a token, with where to get it, or a worker's ledger that it can share."""
    if is_worker:
        from bot.bootstrap import ledger_tools  # noqa: PLC0415 - SQLAlchemy takes a second to load

        if not ledger_tools.supports_several_processes(settings.ledger_url):
            return say(
                "A worker shares the ledger of those who run, and SQLite has room for one process: set {name} to a "
                "PostgreSQL, and see docs/operations.md.",
                name=Code("REGISTRAR_DATABASE_URL"),
            )
    if settings.slack_bot_token is None:
        return _missing_token("SLACK_BOT_TOKEN", "OAuth & Permissions → Bot User OAuth Token, xoxb-…")
    if not is_worker and settings.slack_app_token is None and settings.slack_signing_secret is None:
        return _missing_token(
            "SLACK_APP_TOKEN",
            "Basic Information → App-Level Tokens, with connections:write, xapp-…; "
            "or SLACK_SIGNING_SECRET, from the same page, to be reached over HTTP",
        )
    return None


def _missing_token(name: str, where: str) -> Sentence:
    return say(
        "{name} is not set. You find it on your app's page at api.slack.com/apps: {where}. "
        "To try Registrar without Slack, run {demo}.",
        name=Code(name),
        where=where,
        demo=Code("make demo"),
    )


def open_listener(settings: Settings) -> socket.socket:
    """Return the listening socket, so that a taken port is reported before anything starts, and no caller is refused.

    Binding isn't enough: until someone listens, Linux lets two processes bind one port, and refuses early callers.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's delay off (45 ms per answer) only then.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Misconfigured(
            say(
                "Cannot serve on {host}:{port}: {why}. Choose another with {name}.",
                host=settings.host,
                port=str(settings.port),
                why=error.strerror,
                name=Code("REGISTRAR_PORT"),
            )
        ) from error
    return listener
