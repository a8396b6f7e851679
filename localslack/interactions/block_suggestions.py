"""Typing into menus with external options."""

from __future__ import annotations

from dataclasses import dataclass

from localslack import payloads
from localslack.backend import Backend
from localslack.blocks.composition_objects import OPTION_GROUP, PLAIN_OPTION
from localslack.blocks.input_state import EXTERNAL_SELECT_TYPES, options
from localslack.blocks.rules import array, object_of
from localslack.core.errors import SlackError
from localslack.interactions.access import element_at, require_active_user, require_visible_message
from localslack.workspace import objects
from localslack.workspace.records import JSON

OPTIONS_MAX = 100
# Slack doesn't ask the app before that: https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element
DEFAULT_MIN_QUERY_LENGTH = 3
INVALID_OPTIONS = "invalid_options"
_OPTIONS_ANSWER = object_of(
    {},
    {
        "options": array(PLAIN_OPTION, max_items=OPTIONS_MAX, min_items=0),
        "option_groups": array(OPTION_GROUP, max_items=OPTIONS_MAX, min_items=0),
    },
)


@dataclass(frozen=True, kw_only=True)
class MenuQuery:
    """A menu, and the text typed into it so far."""

    block_id: str
    action_id: str
    value: str


async def in_message(backend: Backend, user: str, channel_name: str, ts: str, query: MenuQuery) -> JSON:
    """Type into a menu in a message, and return the app's options. Raises SlackError.

    The result also contains the acknowledgment.
    """
    person, channel, message = require_visible_message(backend, user, channel_name, ts)
    is_ephemeral, message_object = message.audience is not None, objects.message_object(backend.workspace, message)
    payload = payloads.block_suggestion(
        vars(query),
        actor=backend.actor(person),
        container=payloads.container_of(message_object, channel.id, is_ephemeral=is_ephemeral),
        origin=backend.installation,
        place=backend.channel_ref(channel),
        message=None if is_ephemeral else message_object,
    )
    return await _request_options(backend, message.all_blocks, query, payload)


async def in_view(backend: Backend, user: str, view_id: str, query: MenuQuery) -> JSON:
    """Type into a menu in a modal or on the Home tab, and return the app's options.

    The result also contains the acknowledgment. Raises SlackError.
    """
    person = require_active_user(backend, user)
    view = backend.views.visible_view(person.id, view_id)
    payload = payloads.block_suggestion(
        vars(query),
        actor=backend.actor(person),
        container={"type": "view", "view_id": view["id"]},
        origin=backend.installation,
        # Slack doesn't say what's chosen in the other menus: https://github.com/slackapi/java-slack-sdk/issues/1292
        view=view | {"state": {"values": {}}},
    )
    return await _request_options(backend, view["blocks"], query, payload)


async def _request_options(backend: Backend, blocks: list[JSON], query: MenuQuery, payload: JSON) -> JSON:
    menu = element_at(blocks, query.block_id, query.action_id)
    if menu["type"] not in EXTERNAL_SELECT_TYPES:
        raise SlackError("invalid_arguments", messages=[f"{query.action_id} isn't a menu with external options"])
    min_length = menu.get("min_query_length")
    if len(query.value) < (DEFAULT_MIN_QUERY_LENGTH if min_length is None else min_length):
        return {"acked": False, "seconds": 0.0, "error": None, "options": []}
    result = await backend.router.send_interaction(payload)
    answer, error = result.answer or {}, result.error
    if problems := list(_OPTIONS_ANSWER(answer, "")):
        backend.report_problem(f"the options for {query.action_id} were rejected: {problems}")
        answer, error = {}, INVALID_OPTIONS
    return result.acknowledgement() | {"error": error, "options": options(answer)}
