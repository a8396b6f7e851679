"""Access to uploaded files: with a token at url_private, or through a permalink."""

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

# An uploaded file of any type must not run as part of the page.
UNTRUSTED_FILE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=600",
}


class FileEndpoints:
    """Endpoints for the URLs in file objects."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def routes(self) -> list[BaseRoute]:
        """Return the routes for files."""
        return [
            Route("/files-pri/{team}-{file}/download/{name}", self.download),
            Route("/files-pri/{team}-{file}/{name}", self.download),
            Route("/files-tmb/{team}-{file}/{name}", self.download),
            Route("/files/{user}/{file}/{name}", self.open_on_page),
        ]

    async def download(self, request: Request) -> Response:
        """Send the bytes if the request has the bot's token with files:read; otherwise, redirect to the page."""
        backend = self._backend
        try:
            if read_token(request, {}) != backend.secrets.bot_token:
                raise SlackError("not_authed")
            backend.require_scope("files:read")
            file = backend.workspace.file(request.path_params["file"])
        except SlackError as refusal:
            backend.report_problem(f"couldn't read {request.url.path}: {refusal.code}")
            return RedirectResponse(backend.base_url, status_code=302)
        return file_response(file, backend.workspace.file_content(file))

    async def open_on_page(self, request: Request) -> Response:
        """Redirect to the first message that shares the file, or to the page if no message does."""
        workspace, file_id = self._backend.workspace, request.path_params["file"]
        messages = (message for channel in workspace.channels.values() for message in workspace.messages(channel))
        first_message = next((message for message in messages if file_id in files_shown_in(workspace, message)), None)
        return RedirectResponse(
            objects.permalink(workspace, first_message) if first_message else workspace.team.url, status_code=302
        )


def file_response(file: File, content: bytes) -> Response:
    """Return a response with a file; browsers show pictures and download everything else."""
    disposition = "inline" if file.mimetype in PICTURE_TYPES else "attachment"
    headers = {"Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(file.name, safe='')}"}
    return Response(content, media_type=file.mimetype, headers=UNTRUSTED_FILE_HEADERS | headers)
