"""The MCP server: lists the tools and calls them, over HTTP at `/mcp` and, on the bot's machine, over stdio."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ErrorData,
    JSONRPCError,
    ListToolsResult,
    PaginatedRequestParams,
)
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from bot import logging_context
from bot.domain.audit.events import EventTag
from bot.domain.commands.base import MissingArguments
from bot.domain.commands.rule_flags import flag_of
from bot.domain.core.actors import actor_id
from bot.domain.core.errors import QuotaExceeded, RegistrarError, Unreachable
from bot.domain.core.sentence import say
from bot.version import version
from handlers.api.body import MAX_BODY_BYTES, read_body
from handlers.api.calls import HEADERS_BY_STATUS, JSON_TYPE, ApiCall, ApiError, ApiServices, Right
from handlers.errors import explain, new_error_id
from handlers.mcp.calls import ToolCall
from handlers.mcp.catalog import INSTRUCTIONS, TOOLS
from handlers.mcp.results import to_error, to_result
from handlers.terminal.session import TerminalSession
from handlers.web import connections

PATH = "/mcp"
REFUSED_CALL = -32001  # in the range that JSON-RPC leaves to servers
RIGHTS: tuple[Right, ...] = ("read", "request")  # a client that has neither can't even list the tools
_CALL = "registrar_call"  # where a request's scope has its admitted call

Context = ServerRequestContext[Any, Any]
AdmitCall = Callable[[Context], Awaitable[ApiCall]]
ListTools = Callable[[Context, PaginatedRequestParams | None], Awaitable[ListToolsResult]]
CallTool = Callable[[Context, CallToolRequestParams], Awaitable[CallToolResult]]


def build_server(session: TerminalSession, admit: AdmitCall) -> Server[Any]:
    """Return the MCP server. `admit`: returns the admitted call that a request for a tool belongs to, or raises."""

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


def mount_mcp(web: FastAPI, session: TerminalSession) -> None:
    """Serve MCP at `/mcp` of this application, for the clients of its API. It keeps no sessions."""

    async def admit(context: Context) -> ApiCall:
        call: ApiCall = context.request.scope[_CALL]  # type: ignore[union-attr]  # it came over HTTP
        return call

    manager = StreamableHTTPSessionManager(
        build_server(session, admit), stateless=True, max_request_body_size=MAX_BODY_BYTES
    )

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        async with manager.run():
            yield

    web.router.lifespan_context = run
    web.router.routes.append(Route(PATH, _Endpoint(web, manager), include_in_schema=False))


class _Endpoint:
    """Admits a client's call before MCP's code sees it. The client is checked again at each call."""

    def __init__(self, web: FastAPI, manager: StreamableHTTPSessionManager) -> None:
        self._web, self._manager = web, manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._admit(request)
        except ClientDisconnect:
            return
        except ApiError as error:
            answer = _refuse_call(error)
        except Exception as error:  # an internal error: the caller gets an ID to report
            answer = _refuse_call(ApiError(503 if isinstance(error, Unreachable) else 500, explain(error)))
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        else:
            await self._manager.handle_request(scope, _replay(answer, receive), send)

    async def _admit(self, request: Request) -> Response | bytes:
        """Return the body of an admitted call, or how to answer it instead. Raises ApiError."""
        if request.method != "POST":  # a stream without a request, and the end of a session: there are none
            return Response(status_code=405, headers={"Allow": "POST"})
        origin = request.headers.get("origin")
        if origin and origin.partition("://")[2] != request.headers.get("host"):  # a page of another site
            return Response(status_code=403)
        if (body := await read_body(request)) is None:
            raise ApiError(413, say("The body is over {n} bytes.", n=f"{MAX_BODY_BYTES:,}"))
        services: ApiServices = self._web.state.api_services
        async with services.turns[EventTag.API_REFUSED]:
            call = ApiCall(services, request, body, EventTag.API_REFUSED)
            await run_in_threadpool(call.admit, "use MCP", RIGHTS, is_change=False)
        connections.authenticated(request.scope, actor_id(call.client))
        request.scope[_CALL] = call
        return body


def _refuse_call(error: ApiError) -> Response:
    """Return HTTP's answer, with an error of MCP's own kind, so that its client shows the sentence."""
    fault = ErrorData(code=REFUSED_CALL, message=str(error), data=error.document)
    body = JSONRPCError(jsonrpc="2.0", id=None, error=fault).model_dump_json(by_alias=True, exclude_unset=True)
    return Response(body, error.status, HEADERS_BY_STATUS.get(error.status), JSON_TYPE)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return the channel from which MCP's code reads the body that was read to check its signature."""
    is_read = False

    async def replay() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


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
