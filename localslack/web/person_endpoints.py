"""The endpoints for people, used by the page and by tests."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from localslack.backend import Backend
from localslack.core.errors import SlackError, missing_field
from localslack.interactions import block_suggestions, reactions, shortcuts
from localslack.interactions.block_actions import BlockActions, Click
from localslack.interactions.home_tab import open_home
from localslack.interactions.messages import MessageComposer
from localslack.interactions.modals import ModalInteractions
from localslack.interactions.person_view import PersonView
from localslack.web import file_endpoints
from localslack.web.requests import read_json_object

JSON = dict[str, Any]
LONGEST_WAIT = 30.0


class PersonEndpoints:
    """JSON endpoints under /_ui/."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._composer = MessageComposer(backend)
        self._block_actions = BlockActions(backend)
        self._modals = ModalInteractions(backend)
        self._person_view = PersonView(backend)

    def routes(self) -> list[BaseRoute]:
        """Return the routes for people."""
        queries = {
            "people": lambda _: {"people": self._person_view.people()},
            "overview": lambda q: self._person_view.overview(q("user")),
            "messages": lambda q: {"messages": self._person_view.messages(q("user"), q("channel"))},
            "thread": lambda q: {"messages": self._person_view.thread(q("user"), q("channel"), q("ts"))},
            "modals": lambda q: {"views": self._person_view.modals(q("user"))},
            "home": lambda q: {"view": self._person_view.home(q("user"))},
            "direct": lambda q: {"channel": self._person_view.direct_channel(q("user")).id},
        }
        actions = {
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
        query_routes = [
            Route(f"/_ui/{name}", _query_endpoint(query), methods=["GET"]) for name, query in queries.items()
        ]
        action_routes = [
            Route(f"/_ui/{name}", _action_endpoint(action), methods=["POST"]) for name, action in actions.items()
        ]
        changes = Route("/_ui/changes", self.changes, methods=["GET"])
        return [changes, Route("/_ui/file", self.file, methods=["GET"]), *query_routes, *action_routes]

    async def changes(self, request: Request) -> Response:
        """Return the changes after a number; if there are none, wait for one.

        The query's `wait` limits the wait, in seconds: 0 by default, and at most 30.
        """
        query = request.query_params
        try:
            after, wait = int(query.get("after", "0")), float(query.get("wait", "0"))
        except ValueError:
            return JSONResponse(SlackError("invalid_arguments").body(), status_code=400)
        return JSONResponse(await self._backend.changes.wait(after, min(max(wait, 0.0), LONGEST_WAIT)))

    async def _type(self, body: JSON) -> JSON:
        return await self._composer.send(
            _required_field(body, "user"),
            _required_field(body, "channel"),
            _required_field(body, "text"),
            body.get("thread_ts"),
        )

    async def file(self, request: Request) -> Response:
        """Return a file's bytes to a person who owns it or sees it somewhere."""
        query: JSON = dict(request.query_params)
        try:
            file = self._person_view.file(_required_field(query, "user"), _required_field(query, "id"))
        except SlackError as refusal:
            return JSONResponse(refusal.body(), status_code=404)
        return file_endpoints.file_response(file, self._backend.workspace.file_content(file))

    async def _upload(self, body: JSON) -> JSON:
        content = base64.b64decode(_required_field(body, "content"), validate=True)
        user, channel_name, name = (
            _required_field(body, "user"),
            _required_field(body, "channel"),
            _required_field(body, "name"),
        )
        return self._composer.upload(user, channel_name, name, content, body.get("thread_ts"))

    async def _click(self, body: JSON) -> JSON:
        user = _required_field(body, "user")
        click = Click(
            block_id=_required_field(body, "block_id"),
            action_id=_required_field(body, "action_id"),
            answer=body.get("answer"),
            answers=body.get("answers", {}),
        )
        if view_id := body.get("view_id"):
            return await self._block_actions.in_view(user, view_id, click)
        return await self._block_actions.in_message(
            user, _required_field(body, "channel"), _required_field(body, "ts"), click
        )

    async def _suggest(self, body: JSON) -> JSON:
        ids = {"block_id": _required_field(body, "block_id"), "action_id": _required_field(body, "action_id")}
        user, query = (
            _required_field(body, "user"),
            block_suggestions.MenuQuery(**ids, value=str(body.get("value", ""))),
        )
        if view_id := body.get("view_id"):
            return await block_suggestions.in_view(self._backend, user, view_id, query)
        return await block_suggestions.in_message(
            self._backend, user, _required_field(body, "channel"), _required_field(body, "ts"), query
        )

    async def _submit(self, body: JSON) -> JSON:
        return await self._modals.submit(
            _required_field(body, "user"), _required_field(body, "view_id"), body.get("answers", {})
        )

    async def _close(self, body: JSON) -> JSON:
        return await self._modals.close(
            _required_field(body, "user"), _required_field(body, "view_id"), bool(body.get("everything"))
        )

    async def _open_home(self, body: JSON) -> JSON:
        return open_home(self._backend, _required_field(body, "user"))

    async def _shortcut(self, body: JSON) -> JSON:
        user, name = _required_field(body, "user"), _required_field(body, "name")
        if not body.get("ts"):
            return await shortcuts.use_global_shortcut(self._backend, user, name)
        return await shortcuts.use_message_shortcut(
            self._backend, user, name, _required_field(body, "channel"), body["ts"]
        )

    async def _react(self, body: JSON) -> JSON:
        user, channel_name, ts = _message_address(body)
        return reactions.react(
            self._backend, user, channel_name, ts, _required_field(body, "name"), remove=bool(body.get("remove"))
        )

    async def _edit(self, body: JSON) -> JSON:
        return self._composer.edit(*_message_address(body), _required_field(body, "text"))

    async def _delete(self, body: JSON) -> JSON:
        return self._composer.delete(*_message_address(body))

    async def _mark_read(self, body: JSON) -> JSON:
        self._person_view.mark_read(_required_field(body, "user"), _required_field(body, "channel"))
        return {}


def _query_endpoint(lookup: Callable[[Callable[[str], str]], JSON]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        query: JSON = dict(request.query_params)
        return _query_response(lambda: lookup(lambda name: _required_field(query, name)))

    return endpoint


def _action_endpoint(action: Callable[[JSON], Awaitable[JSON]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            result = await action(await read_json_object(request))
        except SlackError as refusal:
            return JSONResponse(refusal.body(), status_code=400)
        except ValueError as refusal:
            return JSONResponse(SlackError("invalid_arguments", messages=[str(refusal)]).body(), 400)
        return JSONResponse({"ok": True, **result})

    return endpoint


def _query_response(query: Callable[[], JSON]) -> Response:
    try:
        return JSONResponse({"ok": True, **query()})
    except SlackError as refusal:
        return JSONResponse(refusal.body(), status_code=400)


def _message_address(body: JSON) -> tuple[str, str, str]:
    return _required_field(body, "user"), _required_field(body, "channel"), _required_field(body, "ts")


def _required_field(body: JSON, name: str) -> str:
    if not (value := body.get(name)):
        raise missing_field(name)
    return str(value)
