"""`registrar mcp`: MCP over stdio, for agents that start their own servers. Executes tool calls or forwards them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    ListToolsResult,
    PaginatedRequestParams,
)
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from bot.bootstrap.build import build_for_terminal
from bot.bootstrap.storage import open_ledger, policy_last_in_force
from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say
from bot.policy_file import load_policy
from bot.settings import Settings, read_settings
from bot.version import version
from handlers.api.calls import ApiCall, ApiServices
from handlers.mcp.http import PATH, RIGHTS
from handlers.mcp.server import AdmitCall, Context, build_server, new_server
from handlers.terminal.remote import bot_address, token_source
from handlers.terminal.session import TerminalSession, print_warning

CALL_TIMEOUT = 60.0  # seconds without anything from the bot, whose stream has pings while a tool waits


def serve_stdio() -> int:
    """Serve MCP on standard input and output until the agent closes them.

    If REGISTRAR_URL is set, the bot there executes the tools; otherwise, this process does, with the local ledger.
    Either way, REGISTRAR_TOKEN determines which client in the policy the agent belongs to. Raises Misconfigured and
    LedgerUnavailable.
    """
    settings = read_settings()
    if settings.bot_url:
        anyio.run(_serve, _forwarding_server(settings))
        return 0
    if settings.bot_token is None:
        raise Misconfigured(say("Set {token} to the token of a client in the policy.", token=Code("REGISTRAR_TOKEN")))
    ledger = open_ledger(settings)
    with closing(ledger):
        policy = (policy_last_in_force(settings, ledger) or (load_policy(settings.policy),))[0]
        with closing(build_for_terminal(settings, policy, ledger, warn=print_warning)) as registrar:
            session = TerminalSession(settings, registrar)
            anyio.run(_serve, build_server(session, _local_caller(session, settings.bot_token.get_secret_value())))
    return 0


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


# -- on the bot's machine ----------------------------------------------------------------------------------------------


def _local_caller(session: TerminalSession, token: str) -> AdmitCall:
    """Return a function that admits a local call as if it came over HTTP with this token."""
    context = session.registrar.context
    services = ApiServices(
        ledger=context.ledger,
        policy=lambda: context.policy,
        requires_signature=lambda source: None,
        clock=context.clock,
        registrar=session.registrar,
    )
    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers, "client": None, "query_string": b""}

    async def admit(_: Context) -> ApiCall:
        if (in_force := await run_in_threadpool(policy_last_in_force, session.settings, context.ledger)) is not None:
            context.active_policy.replace(*in_force)
        call = ApiCall(services, Request(scope), b"", EventTag.API_REFUSED)
        await run_in_threadpool(call.admit, "use MCP", RIGHTS, is_change=False)
        return call

    return admit


# -- on another machine ------------------------------------------------------------------------------------------------


class _Token(httpx2.Auth):
    """Sends the token, which is read again for each call, because GitHub issues a new ID token for each."""

    def __init__(self, read_token: Callable[[], str]) -> None:
        self._read_token = read_token

    def auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:  # type: ignore[override]
        request.headers["Authorization"] = f"Bearer {self._read_token()}"
        yield request


def _forwarding_server(settings: Settings) -> Server[Any]:
    """Return a server that forwards each request to the bot, with the agent's own client information."""
    url = f"{bot_address(settings)}{PATH}"
    _, read_token = token_source(settings, os.environ)

    async def forward(context: Context, use: Callable[[Client], Any]) -> Any:
        params = context.session.client_params
        agent = params.client_info if params else Implementation(name="registrar mcp", version=version())
        try:
            async with AsyncExitStack() as stack:
                http = await stack.enter_async_context(
                    httpx2.AsyncClient(auth=_Token(read_token), timeout=httpx2.Timeout(CALL_TIMEOUT))
                )
                transport = streamable_http_client(url, http_client=http)
                client = await stack.enter_async_context(Client(transport, client_info=agent))
                return await use(client)
        except Exception as error:
            if isinstance(cause := _cause(error), MCPError):  # the bot's answer
                raise cause from None
            print(f"The bot isn't responding at {url}: {error!r}", file=sys.stderr, flush=True)
            raise MCPError(INTERNAL_ERROR, f"The bot isn't responding at {url}.") from error

    async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        result: ListToolsResult = await forward(context, lambda bot: bot.list_tools())
        return result

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
        async def call(bot: Client) -> CallToolResult:
            return await bot.call_tool(params.name, params.arguments, progress_callback=context.session.report_progress)

        result: CallToolResult = await forward(context, call)
        return result

    return new_server(list_tools, call_tool)


def _cause(error: BaseException) -> BaseException:
    """Return the original error from the exception groups that the SDK's tasks wrap around it."""
    return _cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
