"""Test controls under /_control/: faults, time, people, connections, and the call log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from localslack.backend import Backend
from localslack.calls.fault_injection import InjectedFault
from localslack.core.errors import SlackError
from localslack.seed import ChannelSeed, GroupSeed, PersonSeed
from localslack.web.app_endpoints import AppEndpoints
from localslack.web.requests import read_json_object
from localslack.workspace import objects

JSON = dict[str, Any]
# How many event loop iterations to wait after moving the clock, so that everything that's due has run.
EVENT_LOOP_TURNS = 25


class ControlEndpoints:
    """JSON endpoints that change the workspace."""

    def __init__(self, backend: Backend, app_endpoints: AppEndpoints) -> None:
        self._backend = backend
        self._app_endpoints = app_endpoints

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the controls; each accepts a JSON object in a POST request."""
        actions: dict[str, Callable[[JSON], Awaitable[JSON]]] = {
            "status": self._status,
            "faults": self._inject_fault,
            "heal": self._heal,
            "calls": self._calls,
            "advance": self._advance,
            "disconnect": self._disconnect,
            "deliver": self._set_request_url,
            "reset": self._reset,
            "keep": self._take_snapshot,
            "put_back": self._restore_snapshot,
            "person": self._person,
            "channel": self._channel,
            "group": self._group,
        }
        return [Route(f"/_control/{name}", _endpoint(action), methods=["POST"]) for name, action in actions.items()]

    async def _status(self, _: JSON) -> JSON:
        backend = self._backend
        return {
            "url": backend.base_url,
            "api_url": backend.base_url + "api/",
            "team_id": backend.workspace.team.id,
            "secrets": asdict(backend.secrets),
            "connections": len(backend.router.socket_mode.connections),
            "connections_so_far": backend.router.socket_mode.connections_so_far,
            "request_url": backend.router.request_url,
            "now": backend.clock.now(),
            "problems": list(backend.problems),
        }

    async def _inject_fault(self, body: JSON) -> JSON:
        self._backend.faults.inject(InjectedFault(**body))
        return {}

    async def _heal(self, _: JSON) -> JSON:
        self._backend.faults.heal()
        return {}

    async def _calls(self, body: JSON) -> JSON:
        calls = self._backend.calls.calls_to(body.get("method"))
        if body.get("clear"):
            self._backend.calls.clear()
        return {"calls": calls}

    async def _advance(self, body: JSON) -> JSON:
        now = self._backend.clock.advance(float(body["seconds"]))
        # Before this returns, everything that's due has timed out, been redelivered, or started its next wait.
        for _ in range(EVENT_LOOP_TURNS):
            await asyncio.sleep(0)
        return {"now": now}

    async def _disconnect(self, body: JSON) -> JSON:
        reason = body.get("reason", "refresh_requested")
        return {"disconnected": await self._app_endpoints.disconnect(body.get("how", "graceful"), reason)}

    async def _set_request_url(self, body: JSON) -> JSON:
        await self._backend.router.set_request_url(body.get("url"))
        return {}

    async def _reset(self, _: JSON) -> JSON:
        self._backend.reset()
        return {}

    async def _take_snapshot(self, _: JSON) -> JSON:
        self._backend.take_snapshot()
        return {}

    async def _restore_snapshot(self, _: JSON) -> JSON:
        self._backend.restore_snapshot()
        return {}

    async def _person(self, body: JSON) -> JSON:
        workspace = self._backend.workspace
        if "who" in body:
            person = workspace.change_person(body["who"], **body.get("changes", {}))
        else:
            person = workspace.add_person(PersonSeed(**body))
        return {"user": objects.user_object(workspace, person)}

    async def _channel(self, body: JSON) -> JSON:
        workspace = self._backend.workspace
        if "where" not in body:
            members = body.pop("members", None)
            channel = workspace.add_channel(ChannelSeed(**body, members=None if members is None else tuple(members)))
        else:
            channel = workspace.channel(body["where"])
            if "members" in body:
                workspace.set_members(channel, list(body["members"]))
            if "is_archived" in body:
                workspace.archive(channel, bool(body["is_archived"]))
            if "rename" in body:
                workspace.rename(channel, str(body["rename"]))
            if "posting" in body:
                workspace.limit_posting(channel, str(body["posting"]))
        return {"channel": objects.conversation_object(workspace, channel) | {"members": channel.members}}

    async def _group(self, body: JSON) -> JSON:
        seed = GroupSeed(**{**body, "members": tuple(body.get("members", ()))})
        group = self._backend.workspace.set_user_group(seed)
        return {"usergroup": objects.user_group_object(self._backend.workspace, group, with_users=True)}


def _endpoint(action: Callable[[JSON], Awaitable[JSON]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            result = await action(await read_json_object(request))
        except SlackError as refusal:
            return JSONResponse(refusal.body(), status_code=400)
        except (TypeError, ValueError, KeyError) as refusal:
            return JSONResponse(SlackError("invalid_arguments", messages=[str(refusal)]).body(), 400)
        return JSONResponse({"ok": True, **result})

    return endpoint
