"""Ask a serving endpoint over HTTP which version it serves."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from bot import http_client
from bot.domain.core.errors import Unreachable
from bot.domain.core.sentence import Code, sanitize_text, say, truncate
from bot.domain.policy.policy import ServingProbe

TIMEOUT_SECONDS = 5.0  # for one complete probe
MAX_BODY_BYTES = 64 * 1024  # of a response; the rest isn't read
MAX_VERSION_LENGTH = 60  # characters


class HttpServingProbes:
    """Implements `bot.ports.ServingProbes` over HTTP.

    A response is either JSON with the version at the configured path, or just the version.
    """

    def serving_version(self, probe: ServingProbe, model: str) -> str:
        """Return the version that the endpoint reports. Raises Unreachable with the reason if there's no version."""
        url = probe.url.replace("{model}", quote(model, safe=""))
        answer = http_client.send_request(
            "GET",
            url,
            timeout=TIMEOUT_SECONDS,
            headers={"Accept": "application/json, text/plain;q=0.9"},
            max_bytes=MAX_BODY_BYTES,
        )
        if not answer.is_success:
            raise Unreachable(f"HTTP {answer.status}")
        return parse_reported_version(answer.body, probe.json_path)


def parse_reported_version(body: bytes, path: str) -> str:
    """Return the version in a response: the JSON value at `path`, or the body itself if it's a single value."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, dict | list):
        value = _value_at(value, path)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    version = sanitize_text(str(value)).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not version or len(version) > MAX_VERSION_LENGTH:
        raise Unreachable(say("the response has no version at {path}", path=Code(truncate(path, 60))))
    return version


def _value_at(data: Any, path: str) -> Any:
    """Return the value at a path such as `data.models.0.version`, or None."""
    for word in path.split("."):
        if isinstance(data, list) and word.isdecimal() and int(word) < len(data):
            data = data[int(word)]
        elif isinstance(data, dict):
            data = data.get(word)
        else:
            return None
    return data
