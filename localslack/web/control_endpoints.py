"""The switches for tests, under /_control/: faults, time, people, disconnections, and what was called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from localslack.backend import Core
from localslack.calls.fault_injection import Fault
from localslack.core.errors import SlackError
from localslack.seed import ChannelSeed, GroupSeed, PersonSeed
from localslack.web.app_endpoints import AppSide
from localslack.web.requests import json_object
from localslack.workspace import objects

JSON = dict[str, Any]
# How often everything that is ready goes on before time is said to have passed.
TURNS = 25


class Control:
    """JSON endpoints that change the workspace from outside."""

    def __init__(self, core: Core, apps: AppSide) -> None:
        self._core = core
        self._apps = apps

    def routes(self) -> list[BaseRoute]:
        """The routes of this side: POST with a JSON object each."""
        acts: dict[str, Callable[[JSON], Awaitable[JSON]]] = {
            "status": self._status,
            "faults": self._fault,
            "heal": self._heal,
            "calls": self._calls,
            "advance": self._advance,
            "disconnect": self._disconnect,
            "deliver": self._deliver,
            "reset": self._reset,
            "keep": self._keep,
            "put_back": self._put_back,
            "person": self._person,
            "channel": self._channel,
            "group": self._group,
        }
        return [Route(f"/_control/{name}", _endpoint(act), methods=["POST"]) for name, act in acts.items()]

    async def _status(self, _: JSON) -> JSON:
        core = self._core
        return {
            "url": core.base_url,
            "api_url": core.base_url + "api/",
            "team_id": core.space.team.id,
            "secrets": asdict(core.secrets),
            "connections": len(core.post.sockets.open),
            "connections_so_far": core.post.sockets.joined,
            "request_url": core.post.request_url,
            "now": core.clock.now(),
            "problems": list(core.problems),
        }

    async def _fault(self, body: JSON) -> JSON:
        self._core.faults.order(Fault(**body))
        return {}

    async def _heal(self, _: JSON) -> JSON:
        self._core.faults.heal()
        return {}

    async def _calls(self, body: JSON) -> JSON:
        calls = self._core.calls.of(body.get("method"))
        if body.get("clear"):
            self._core.calls.clear()
        return {"calls": calls}

    async def _advance(self, body: JSON) -> JSON:
        now = self._core.clock.advance(float(body["seconds"]))
        # What was due has given up, been sent again or begun its next wait when the caller moves on.
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return {"now": now}

    async def _disconnect(self, body: JSON) -> JSON:
        reason = body.get("reason", "refresh_requested")
        return {"disconnected": await self._apps.disconnect(body.get("how", "graceful"), reason)}

    async def _deliver(self, body: JSON) -> JSON:
        await self._core.post.deliver_to(body.get("url"))
        return {}

    async def _reset(self, _: JSON) -> JSON:
        self._core.reset()
        return {}

    async def _keep(self, _: JSON) -> JSON:
        self._core.keep()
        return {}

    async def _put_back(self, _: JSON) -> JSON:
        self._core.put_back()
        return {}

    async def _person(self, body: JSON) -> JSON:
        space = self._core.space
        if "who" in body:
            person = space.change_person(body["who"], **body.get("changes", {}))
        else:
            person = space.add_person(PersonSeed(**body))
        return {"user": objects.user(space, person)}

    async def _channel(self, body: JSON) -> JSON:
        space = self._core.space
        if "where" not in body:
            members = body.pop("members", None)
            room = space.add_channel(ChannelSeed(**body, members=None if members is None else tuple(members)))
        else:
            room = space.channel(body["where"])
            if "members" in body:
                space.set_members(room, list(body["members"]))
            if "is_archived" in body:
                space.archive(room, bool(body["is_archived"]))
            if "rename" in body:
                space.rename(room, str(body["rename"]))
            if "posting" in body:
                space.limit_posting(room, str(body["posting"]))
        return {"channel": objects.channel(space, room) | {"members": room.members}}

    async def _group(self, body: JSON) -> JSON:
        seed = GroupSeed(**{**body, "members": tuple(body.get("members", ()))})
        group = self._core.space.set_group(seed)
        return {"usergroup": objects.group(self._core.space, group, with_users=True)}


def _endpoint(act: Callable[[JSON], Awaitable[JSON]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            result = await act(await json_object(request))
        except SlackError as refusal:
            return JSONResponse(refusal.body(), status_code=400)
        except (TypeError, ValueError, KeyError) as refusal:
            return JSONResponse(SlackError("invalid_arguments", messages=[str(refusal)]).body(), 400)
        return JSONResponse({"ok": True, **result})

    return endpoint
