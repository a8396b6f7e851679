"""The MCP server: lists the tools and calls them, over HTTP and, on the bot's machine, over stdio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from starlette.types import Receive, Scope, Send

from bot import logging_context
from bot.domain.commands.base import MissingArguments
from bot.domain.commands.rule_flags import flag_of
from bot.domain.core.actors import actor_id
from bot.domain.core.errors import QuotaExceeded, RegistrarError
from bot.version import version
from handlers.api.body import MAX_BODY_BYTES
from handlers.api.calls import ApiCall, ApiError
from handlers.errors import explain, new_error_id
from handlers.mcp.calls import ToolCall
from handlers.mcp.catalog import INSTRUCTIONS, TOOLS
from handlers.mcp.results import to_error, to_result
from handlers.terminal.session import TerminalSession

Context = ServerRequestContext[Any, Any]
AdmitCall = Callable[[Context], Awaitable[ApiCall]]
ListTools = Callable[[Context, PaginatedRequestParams | None], Awaitable[ListToolsResult]]
CallTool = Callable[[Context, CallToolRequestParams], Awaitable[CallToolResult]]


def build_server(session: TerminalSession, admit: AdmitCall) -> Server[Any]:
    """Return the MCP server. `admit` returns the admitted call that a tool request belongs to, or raises."""

    waits: Counter[str] = Counter()

    async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[tool.describe() for tool in TOOLS.values()])

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
        if (tool := TOOLS.get(params.name)) is None:
            raise MCPError(INVALID_PARAMS, f"There's no tool {params.name[:60]!r}. Use {', '.join(TOOLS)}.")
        with logging_context.bound(quote=new_error_id()):
            try:
                call = await admit(context)
                introduction = context.session.client_params and context.session.client_params.client_info
                logging_context.bind(actor=actor_id(call.client), tool=tool.name)
                tool_call = ToolCall(
                    call=call,
                    session=session,
                    agent=call.identify_agent(introduction.title or introduction.name, introduction.version)
                    if introduction
                    else call.identify_agent(),
                    report_progress=context.session.report_progress,
                    waits=waits,
                )
                return to_result(await tool_call.execute(tool, params.arguments or {}))
            except ApiError as error:
                return _refusal(error)
            except Exception as error:  # an unexpected one has an ID to report
                return _error(error)

    return new_server(list_tools, call_tool)


def new_server(list_tools: ListTools, call_tool: CallTool) -> Server[Any]:
    """Return an MCP server that answers with these two functions, and introduces itself as Registrar."""
    return Server(
        "registrar",
        title="Registrar",
        version=version(),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_request(server: Server[Any], scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request. Each request has its own session manager, since no session is kept."""
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY_BYTES)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def _refusal(error: ApiError) -> CallToolResult:
    """Return the result of a call that the API's rules refused."""
    details = {key: value for key, value in error.document.items() if key not in {"error", "kind", "field"}}
    code = str(error.document.get("kind") or {401: "Unauthorized", 404: "UnknownRequest"}.get(error.status, "Refused"))
    return to_error(code, str(error), str(error.document.get("field", "")), **details)


def _error(error: Exception) -> CallToolResult:
    """Return the result of a call that raised an error."""
    if not isinstance(error, RegistrarError):
        return to_error("InternalError", str(explain(error)))
    if isinstance(error, MissingArguments):
        return to_error(error.code, f"Missing: {', '.join(error.missing)}.", error.missing[0])
    details = {"retry_after": int(error.retry_after.total_seconds())} if isinstance(error, QuotaExceeded) else {}
    message, flag = str(explain(error)), f"{flag_of(error.field)}: "
    message = f"{error.field}: {message.removeprefix(flag)}" if message.startswith(flag) else message  # no flags here
    return to_error(error.code, message, error.field, **details)
