"""The side of the people: what they see and do, for the page and for tests alike."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from localslack.backend import Core
from localslack.core.errors import SlackError, missing
from localslack.interactions import block_suggestions, reactions, shortcuts
from localslack.interactions.block_actions import Click, Clicking
from localslack.interactions.home_tab import opens_home
from localslack.interactions.messages import Writing
from localslack.interactions.modals import Filling
from localslack.interactions.person_view import Eyes
from localslack.web import file_endpoints
from localslack.web.requests import json_object

JSON = dict[str, Any]
LONGEST_WAIT = 30.0


class PeopleSide:
    """JSON endpoints under /_ui/."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writing = Writing(core)
        self._clicking = Clicking(core)
        self._filling = Filling(core)
        self._eyes = Eyes(core)

    def routes(self) -> list[BaseRoute]:
        """The routes of this side."""
        seen = {
            "people": lambda _: {"people": self._eyes.people()},
            "overview": lambda q: self._eyes.overview(q("user")),
            "messages": lambda q: {"messages": self._eyes.messages(q("user"), q("channel"))},
            "thread": lambda q: {"messages": self._eyes.thread(q("user"), q("channel"), q("ts"))},
            "modals": lambda q: {"views": self._eyes.modals(q("user"))},
            "home": lambda q: {"view": self._eyes.home(q("user"))},
            "direct": lambda q: {"channel": self._eyes.direct(q("user")).id},
        }
        done = {
            "type": self._type,
            "upload": self._upload,
            "click": self._click,
            "suggest": self._suggest,
            "submit": self._submit,
            "close": self._close,
            "open_home": self._open_home,
            "shortcut": self._shortcut,
            "react": self._react,
            "edit": self._edit,
            "delete": self._delete,
            "read": self._mark_read,
        }
        looks = [Route(f"/_ui/{name}", _look(act), methods=["GET"]) for name, act in seen.items()]
        acts = [Route(f"/_ui/{name}", _act(act), methods=["POST"]) for name, act in done.items()]
        changes = Route("/_ui/changes", self.changes, methods=["GET"])
        return [changes, Route("/_ui/file", self.file, methods=["GET"]), *looks, *acts]

    async def changes(self, request: Request) -> Response:
        """The changes after a number, waiting for one if there is none."""
        query = request.query_params
        try:
            after, wait = int(query.get("after", "0")), float(query.get("wait", "0"))
        except ValueError:
            return JSONResponse(SlackError("invalid_arguments").body(), status_code=400)
        return JSONResponse(await self._core.changes.wait(after, min(max(wait, 0.0), LONGEST_WAIT)))

    async def _type(self, body: JSON) -> JSON:
        return await self._writing.types(
            _field(body, "user"), _field(body, "channel"), _field(body, "text"), body.get("thread_ts")
        )

    async def file(self, request: Request) -> Response:
        """The bytes of a file, for somebody who sees it."""
        query: JSON = dict(request.query_params)
        try:
            held = self._eyes.file(_field(query, "user"), _field(query, "id"))
        except SlackError as refusal:
            return JSONResponse(refusal.body(), status_code=404)
        return file_endpoints.answer(held, self._core.space.content(held))

    async def _upload(self, body: JSON) -> JSON:
        content = base64.b64decode(_field(body, "content"), validate=True)
        who, where, name = _field(body, "user"), _field(body, "channel"), _field(body, "name")
        return self._writing.uploads(who, where, name, content, body.get("thread_ts"))

    async def _click(self, body: JSON) -> JSON:
        user = _field(body, "user")
        click = Click(
            block_id=_field(body, "block_id"),
            action_id=_field(body, "action_id"),
            answer=body.get("answer"),
            answers=body.get("answers", {}),
        )
        if view_id := body.get("view_id"):
            return await self._clicking.in_view(user, view_id, click)
        return await self._clicking.in_message(user, _field(body, "channel"), _field(body, "ts"), click)

    async def _suggest(self, body: JSON) -> JSON:
        ids = {"block_id": _field(body, "block_id"), "action_id": _field(body, "action_id")}
        user, typed = _field(body, "user"), block_suggestions.Typed(**ids, value=str(body.get("value", "")))
        if view_id := body.get("view_id"):
            return await block_suggestions.in_view(self._core, user, view_id, typed)
        return await block_suggestions.in_message(self._core, user, _field(body, "channel"), _field(body, "ts"), typed)

    async def _submit(self, body: JSON) -> JSON:
        return await self._filling.submits(_field(body, "user"), _field(body, "view_id"), body.get("answers", {}))

    async def _close(self, body: JSON) -> JSON:
        return await self._filling.closes(_field(body, "user"), _field(body, "view_id"), bool(body.get("everything")))

    async def _open_home(self, body: JSON) -> JSON:
        return opens_home(self._core, _field(body, "user"))

    async def _shortcut(self, body: JSON) -> JSON:
        user, name = _field(body, "user"), _field(body, "name")
        if not body.get("ts"):
            return await shortcuts.uses(self._core, user, name)
        return await shortcuts.uses_on(self._core, user, name, _field(body, "channel"), body["ts"])

    async def _react(self, body: JSON) -> JSON:
        who, where, ts = _message(body)
        return reactions.reacts(self._core, who, where, ts, _field(body, "name"), remove=bool(body.get("remove")))

    async def _edit(self, body: JSON) -> JSON:
        return self._writing.edits(*_message(body), _field(body, "text"))

    async def _delete(self, body: JSON) -> JSON:
        return self._writing.deletes(*_message(body))

    async def _mark_read(self, body: JSON) -> JSON:
        self._eyes.has_read(_field(body, "user"), _field(body, "channel"))
        return {}


def _look(look: Callable[[Callable[[str], str]], JSON]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        query: JSON = dict(request.query_params)
        return _answer(lambda: look(lambda name: _field(query, name)))

    return endpoint


def _act(act: Callable[[JSON], Awaitable[JSON]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            result = await act(await json_object(request))
        except SlackError as refusal:
            return JSONResponse(refusal.body(), status_code=400)
        except ValueError as refusal:
            return JSONResponse(SlackError("invalid_arguments", messages=[str(refusal)]).body(), 400)
        return JSONResponse({"ok": True, **result})

    return endpoint


def _answer(look: Callable[[], JSON]) -> Response:
    try:
        return JSONResponse({"ok": True, **look()})
    except SlackError as refusal:
        return JSONResponse(refusal.body(), status_code=400)


def _message(body: JSON) -> tuple[str, str, str]:
    return _field(body, "user"), _field(body, "channel"), _field(body, "ts")


def _field(body: JSON, name: str) -> str:
    if not (value := body.get(name)):
        raise missing(name)
    return str(value)
