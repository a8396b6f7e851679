"""Reading uploaded files: with a token at url_private, and by a permalink on the page."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.web.requests import read_token
from localslack.workspace import objects
from localslack.workspace.file_objects import files_shown_in
from localslack.workspace.file_types import PICTURE_TYPES
from localslack.workspace.records import File

# What somebody uploaded must not act as a part of the page, whatever it says it is.
UNTRUSTED_FILE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=600",
}


class FileEndpoints:
    """The addresses in file objects."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def routes(self) -> list[BaseRoute]:
        """The routes of this side."""
        return [
            Route("/files-pri/{team}-{file}/download/{name}", self.download),
            Route("/files-pri/{team}-{file}/{name}", self.download),
            Route("/files-tmb/{team}-{file}/{name}", self.download),
            Route("/files/{user}/{file}/{name}", self.open_on_page),
        ]

    async def download(self, request: Request) -> Response:
        """Give the bytes to whoever has the bot's token and files:read; like Slack send others to the page."""
        backend = self._backend
        try:
            if read_token(request, {}) != backend.secrets.bot_token:
                raise SlackError("not_authed")
            backend.require_scope("files:read")
            held = backend.workspace.file(request.path_params["file"])
        except SlackError as refusal:
            backend.report_problem(f"{request.url.path} was not read: {refusal.code}")
            return RedirectResponse(backend.base_url, status_code=302)
        return file_response(held, backend.workspace.file_content(held))

    async def open_on_page(self, request: Request) -> Response:
        """Open the page at the message that shares the file."""
        workspace, wanted = self._backend.workspace, request.path_params["file"]
        messages = (message for room in workspace.channels.values() for message in workspace.messages(room))
        found = next((one for one in messages if wanted in files_shown_in(workspace, one)), None)
        return RedirectResponse(objects.permalink(workspace, found) if found else workspace.team.url, status_code=302)


def file_response(file: File, content: bytes) -> Response:
    """The bytes of a file: pictures to be seen, everything else to be saved."""
    way = "inline" if file.mimetype in PICTURE_TYPES else "attachment"
    named = {"Content-Disposition": f"{way}; filename*=UTF-8''{quote(file.name, safe='')}"}
    return Response(content, media_type=file.mimetype, headers=UNTRUSTED_FILE_HEADERS | named)
