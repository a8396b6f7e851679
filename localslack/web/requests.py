"""Reading requests: arguments in every form that Slack takes."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from localslack.errors import SlackError

JSON = dict[str, Any]


async def arguments(request: Request, *, reads_json: bool) -> JSON:
    """Query, form and JSON arguments together; raises invalid_json or invalid_form_data."""
    found: JSON = dict(request.query_params)
    if request.method != "POST":
        return found
    if _is_json(request):
        body = await json_object(request)
        # A method that reads no JSON behaves as if nothing had been sent.
        return found | (body if reads_json else {})
    form = await request.form()
    return found | dict(form)


async def json_object(request: Request) -> JSON:
    """The JSON object in the body, empty if there is no body; raises invalid_json or json_not_object."""
    raw = await request.body()
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(body, dict):
        raise SlackError("json_not_object")
    return body


def token_of(request: Request, found: JSON) -> str:
    """The token in the Authorization header, or else among the arguments."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else str(found.get("token", ""))


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip() == "application/json"
