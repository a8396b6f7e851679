"""Messages and views from the workspace: their addresses, blocks, and current answers."""

from __future__ import annotations

from typing import Any

from localslack.blocks import input_state

JSON = dict[str, Any]


def current_answers(view: JSON) -> dict[str, dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = {}
    for block_id, states in view["state"]["values"].items():
        answers[block_id] = {action_id: _current_answer(state) for action_id, state in states.items()}
    return answers


def _current_answer(state: JSON) -> Any:
    value = input_state.answer_of(state)
    return value if state["type"] in input_state.EXTERNAL_SELECT_TYPES else _plain_value(value)


def surface_address(surface: JSON) -> JSON:
    """Return the fields that identify this view or message in an action."""
    if "callback_id" in surface:
        return {"view_id": surface["id"]}
    return {"channel": surface["channel"], "ts": surface["ts"]}


def element_ids(block: JSON, element: JSON) -> JSON:
    return {"block_id": block["block_id"], "action_id": element["action_id"]}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict) and "value" in value:
        return value["value"]
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return value


def blocks_of(surface: JSON) -> list[JSON]:
    attached_blocks = [block for attachment in surface.get("attachments", []) for block in attachment.get("blocks", [])]
    return list(surface.get("blocks", [])) + attached_blocks
