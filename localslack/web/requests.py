"""Parses requests in every format that Slack accepts."""

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
    """Return the combined arguments from the query, form, and JSON. Raises invalid_json or invalid_form_data.

    reads_json: whether the method accepts JSON; if not, it's ignored. Also raises json_not_object.
    """
    arguments: JSON = dict(request.query_params)
    if request.method != "POST":
        return arguments
    if _is_json(request):
        body = await read_json_object(request)
        # A method that doesn't accept JSON ignores it.
        return arguments | (body if reads_json else {})
    try:
        async with request.form() as form:
            # Only the file's name is an argument; its bytes go to an upload URL.
            return arguments | {name: part if isinstance(part, str) else part.filename for name, part in form.items()}
    except HTTPException:  # Starlette turns its MultiPartException into this one
        raise SlackError("invalid_form_data") from None


async def read_json_object(request: Request) -> JSON:
    """Return the JSON object in the body, or {} if it's empty. Raises invalid_json or json_not_object."""
    raw = await request.body()
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(body, dict):
        raise SlackError("json_not_object")
    return body


async def read_upload(request: Request, max_bytes: int) -> bytes:
    """Return a file's bytes: the complete body, or the first file in a multipart form.

    Raises file_too_large if the body is larger than max_bytes plus some overhead for a form.
    """
    if int(request.headers.get("content-length", 0)) > max_bytes + FORM_OVERHEAD_BYTES:
        raise SlackError("file_too_large", status=413)
    # urllib labels raw bytes as a form, so only multipart counts as one.
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    async with request.form() as form:
        files = [part for part in form.values() if isinstance(part, UploadFile)]
        return await files[0].read() if files else b""


def read_token(request: Request, arguments: JSON) -> str:
    """Return the token from the Authorization header or, if it has none, from the arguments."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else str(arguments.get("token", ""))


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip() == "application/json"
