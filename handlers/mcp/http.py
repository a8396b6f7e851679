"""MCP over HTTP, at `/mcp`, for the API's clients.

The SDK and the tools are loaded at the first admitted call, because they take 20 MB and many teams have no agents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import actor_id
from bot.domain.core.errors import Unreachable
from bot.domain.core.sentence import say
from handlers.api.body import MAX_BODY_BYTES, read_body
from handlers.api.calls import ApiCall, ApiError, ApiServices, Right, json_response
from handlers.errors import explain
from handlers.terminal.session import TerminalSession
from handlers.web import connections

if TYPE_CHECKING:
    from mcp.server import Server

    from handlers.mcp.server import Context

PATH = "/mcp"
REFUSED_CALL = -32001  # in the range that JSON-RPC leaves to servers
RIGHTS: tuple[Right, ...] = ("read", "request")  # a client that has neither can't even list the tools
_CALL = "registrar_call"  # where a request's scope has its admitted call


def mount_mcp(web: FastAPI, session: TerminalSession) -> None:
    """Serve MCP at `/mcp` in this application, for its API's clients. No sessions are kept."""
    web.router.routes.append(Route(PATH, _Endpoint(web, session), include_in_schema=False))


class _Endpoint:
    """Admits a client's call before the MCP SDK sees it, checking the client again at each call."""

    def __init__(self, web: FastAPI, session: TerminalSession) -> None:
        self._web, self._session = web, session
        self._server: Server[Any] | None = None

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
            await self._serve(scope, _replay(answer, receive), send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the MCP SDK answer an admitted call."""
        mcp_server = await run_in_threadpool(_load_server)  # it takes half a second once
        if self._server is None:  # all calls share a server: it counts what each client waits for
            self._server = mcp_server.build_server(self._session, _admitted_call)
        await mcp_server.serve_request(self._server, scope, receive, send)

    async def _admit(self, request: Request) -> Response | bytes:
        """Return the body of an admitted call, or the response to send instead. Raises ApiError."""
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


def _load_server() -> Any:
    from handlers.mcp import server  # noqa: PLC0415 - see the module's docstring

    return server


async def _admitted_call(context: Context) -> ApiCall:
    call: ApiCall = context.request.scope[_CALL]  # type: ignore[union-attr]  # it came over HTTP
    return call


def _refuse_call(error: ApiError) -> Response:
    """Return an HTTP response with an MCP error in its body, so that the MCP client shows the sentence."""
    fault = {"code": REFUSED_CALL, "message": str(error), "data": error.document}
    body = {"jsonrpc": "2.0", "id": None, "error": fault}
    return json_response(error.status, body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a channel that gives the MCP SDK the body again, since checking its signature consumed it."""
    is_read = False

    async def replay() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
