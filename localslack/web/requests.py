"""Reading requests: arguments in every form that Slack takes."""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from localslack.core.errors import SlackError

JSON = dict[str, Any]
FORM_OVERHEAD_BYTES = 10_000


async def read_arguments(request: Request, *, reads_json: bool) -> JSON:
    """Query, form and JSON arguments together; raises invalid_json or invalid_form_data."""
    arguments: JSON = dict(request.query_params)
    if request.method != "POST":
        return arguments
    if _is_json(request):
        body = await read_json_object(request)
        # A method that reads no JSON behaves as if nothing had been sent.
        return arguments | (body if reads_json else {})
    try:
        async with request.form() as form:
            # Of a file only its name is an argument; bytes go to the address of an upload.
            return arguments | {name: part if isinstance(part, str) else part.filename for name, part in form.items()}
    except HTTPException:  # as Starlette reports it, also by its MultiPartException
        raise SlackError("invalid_form_data") from None


async def read_json_object(request: Request) -> JSON:
    """The JSON object in the body, empty if there is no body; raises invalid_json or json_not_object."""
    raw = await request.body()
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(body, dict):
        raise SlackError("json_not_object")
    return body


async def read_upload(request: Request, max_bytes: int) -> bytes:
    """The bytes of a file: the whole body, or the first file in a multipart form; raises file_too_large."""
    if int(request.headers.get("content-length", 0)) > max_bytes + FORM_OVERHEAD_BYTES:
        raise SlackError("file_too_large", status=413)
    # urllib calls raw bytes a form, so only a multipart form is one.
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    async with request.form() as form:
        files = [part for part in form.values() if isinstance(part, UploadFile)]
        return await files[0].read() if files else b""


def read_token(request: Request, arguments: JSON) -> str:
    """The token in the Authorization header, or else among the arguments."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else str(arguments.get("token", ""))


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip() == "application/json"
