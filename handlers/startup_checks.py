"""Checks that `registrar run` and `registrar worker` make before serving. Quick to import, unlike the server."""

from __future__ import annotations

import socket
from collections.abc import Callable

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.policy import Policy
from bot.policy_file import load_policy
from bot.settings import Settings


def run(settings: Settings, print_line: Callable[[str], None], *, is_worker: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then finish work in progress. `print_line` prints a line for people.

    Raises Misconfigured and SlackUnreachable before anything is served.
    """
    policy = load_required_policy(settings, is_worker=is_worker)
    with open_listener(settings) as listener:
        from handlers.serve import serve  # noqa: PLC0415 - it loads Bolt, FastAPI, and the chart libraries

        serve(settings, policy, listener, print_line, is_worker=is_worker)


def load_required_policy(settings: Settings, *, is_worker: bool) -> Policy:
    """Return the policy.

    Raises Misconfigured. If a setting is missing and the policy is wrong, it names both, so that they can be fixed
    together.
    """
    fault = _setting_fault(settings, is_worker=is_worker)
    try:
        policy = load_policy(settings.policy)
    except Misconfigured as error:
        raise Misconfigured(say("{one}\n{two}", one=fault, two=error.sentence) if fault else error.sentence) from error
    if fault:
        raise Misconfigured(fault)
    return policy


def _setting_fault(settings: Settings, *, is_worker: bool) -> Sentence | None:
    """Return what's missing: a token and where to get it, or a ledger that a worker can share; otherwise, None."""
    if is_worker:
        from bot.bootstrap import ledger_tools  # noqa: PLC0415 - SQLAlchemy takes a second to load

        if not ledger_tools.supports_several_processes(settings.ledger_url):
            return say(
                "A worker shares a ledger with other processes, but SQLite supports only one. Set {name} to a "
                "PostgreSQL database (see docs/how-to/move-to-postgresql.md).",
                name=Code("REGISTRAR_DATABASE_URL"),
            )
    if settings.slack_bot_token is None:
        return _missing_token("SLACK_BOT_TOKEN", "OAuth & Permissions → Bot User OAuth Token, xoxb-…")
    if not is_worker and settings.slack_app_token is None and settings.slack_signing_secret is None:
        return _missing_token(
            "SLACK_APP_TOKEN",
            "Basic Information → App-Level Tokens, with connections:write, xapp-…; "
            "for HTTP, set SLACK_SIGNING_SECRET from the same page instead",
        )
    return None


def _missing_token(name: str, where: str) -> Sentence:
    return say(
        "{name} isn't set. Copy it from your app's page at api.slack.com/apps: {where}. "
        "To try Registrar without Slack, run {demo}.",
        name=Code(name),
        where=where,
        demo=Code("registrar demo"),
    )


def open_listener(settings: Settings) -> socket.socket:
    """Return the listening socket, so that a port in use is reported first and no early connection is refused.

    Binding isn't enough: until a process listens, Linux lets two processes bind the same port and refuses connections.
    Raises Misconfigured if the address can't be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Name the protocol, because asyncio turns off Nagle's delay (45 ms per answer) only then.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise Misconfigured(
            say(
                "Can't serve on {host}:{port}: {why}. Choose another port with {name}.",
                host=settings.host,
                port=str(settings.port),
                why=error.strerror,
                name=Code("REGISTRAR_PORT"),
            )
        ) from error
    return listener
