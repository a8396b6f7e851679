"""Reading uploaded files: with a token at url_private, and by a permalink on the page."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.web.requests import token_of
from localslack.workspace import objects
from localslack.workspace.file_objects import shown_in
from localslack.workspace.file_types import PICTURES
from localslack.workspace.records import File

# What somebody uploaded must not act as a part of the page, whatever it says it is.
HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=600",
}


class FileSide:
    """The addresses in file objects."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> list[BaseRoute]:
        """The routes of this side."""
        return [
            Route("/files-pri/{team}-{file}/download/{name}", self.read),
            Route("/files-pri/{team}-{file}/{name}", self.read),
            Route("/files-tmb/{team}-{file}/{name}", self.read),
            Route("/files/{user}/{file}/{name}", self.show),
        ]

    async def read(self, request: Request) -> Response:
        """Give the bytes to whoever has the bot's token and files:read; like Slack send others to the page."""
        core = self._core
        try:
            if token_of(request, {}) != core.secrets.bot_token:
                raise SlackError("not_authed")
            core.require_scope("files:read")
            held = core.space.file(request.path_params["file"])
        except SlackError as refusal:
            core.problem(f"{request.url.path} was not read: {refusal.code}")
            return RedirectResponse(core.base_url, status_code=302)
        return answer(held, core.space.content(held))

    async def show(self, request: Request) -> Response:
        """Open the page at the message that shares the file."""
        space, wanted = self._core.space, request.path_params["file"]
        messages = (message for room in space.channels.values() for message in space.messages(room))
        found = next((one for one in messages if wanted in shown_in(space, one)), None)
        return RedirectResponse(objects.link(space, found) if found else space.team.url, status_code=302)


def answer(held: File, content: bytes) -> Response:
    """The bytes of a file: pictures to be seen, everything else to be saved."""
    way = "inline" if held.mimetype in PICTURES else "attachment"
    named = {"Content-Disposition": f"{way}; filename*=UTF-8''{quote(held.name, safe='')}"}
    return Response(content, media_type=held.mimetype, headers=HARMLESS | named)
