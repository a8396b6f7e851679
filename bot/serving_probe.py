"""Asks the serving side which version it serves, over HTTP."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from bot import http_client
from bot.domain.core.errors import Unreachable
from bot.domain.core.sentence import Code, clean, say, short
from bot.domain.policy.policy import ServingProbe

SECONDS = 5.0  # for one probe, all of it
BODY_MOST = 64 * 1024  # bytes that are read of an answer
VERSION_MOST = 60  # characters that a version has at most


class ServingProbes:
    """`bot.ports.ServingProbes` over HTTP: JSON with the version at a path, or nothing but the version."""

    def version(self, probe: ServingProbe, model: str) -> str:
        """Return the version that is reported. Raises Unreachable with a sentence that says why there is none."""
        url = probe.url.replace("{model}", quote(model, safe=""))
        answer = http_client.call(
            "GET", url, seconds=SECONDS, headers={"Accept": "application/json, text/plain;q=0.9"}, most=BODY_MOST
        )
        if not answer.is_fine:
            raise Unreachable(f"HTTP {answer.status}")
        return reported(answer.body, probe.json_path)


def reported(body: bytes, path: str) -> str:
    """Return the version in an answer: what JSON has at `path`, or the answer itself where it is one word."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    if isinstance(found, dict | list):
        found = _at(found, path)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    version = clean(str(found)).strip() if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if not version or len(version) > VERSION_MOST:
        raise Unreachable(say("the answer has no version at {path}", path=Code(short(path, 60))))
    return version


def _at(found: Any, path: str) -> Any:
    """Return what lies at `data.models.0.version`, or None."""
    for word in path.split("."):
        if isinstance(found, list) and word.isdecimal() and int(word) < len(found):
            found = found[int(word)]
        elif isinstance(found, dict):
            found = found.get(word)
        else:
            return None
    return found
