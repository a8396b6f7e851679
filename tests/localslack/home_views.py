"""Views for the Home tab, and their visible text."""

from __future__ import annotations

import json
from typing import Any

from tests.localslack.block_builders import plain

JSON = dict[str, Any]


STAGES = [{"text": plain("Staging"), "value": "s"}, {"text": plain("Production"), "value": "p"}]


def section(text: str) -> JSON:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def texts_of(view: JSON | None) -> list[str]:
    return [block["text"]["text"] for block in (view or {"blocks": []})["blocks"] if "text" in block]


def acknowledge(socket: Any, envelope: JSON) -> None:
    socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
