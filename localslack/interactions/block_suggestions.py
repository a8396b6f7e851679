"""Typing into a menu that the app fills: the options that it offers for the typed text."""

from __future__ import annotations

from dataclasses import dataclass

from localslack import payloads
from localslack.backend import Core
from localslack.blocks.composition_objects import OPTION_GROUP, PLAIN_OPTION
from localslack.blocks.input_state import EXTERNAL, options
from localslack.blocks.rules import array, shape
from localslack.core.errors import SlackError
from localslack.interactions.access import awake, element_at, message_for
from localslack.workspace import objects
from localslack.workspace.records import JSON

OPTIONS_MAX = 100
# Slack doesn't ask the app earlier: https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element
MIN_LETTERS = 3
INVALID = "invalid_options"
_ANSWER = shape(
    {},
    {
        "options": array(PLAIN_OPTION, most=OPTIONS_MAX, least=0),
        "option_groups": array(OPTION_GROUP, most=OPTIONS_MAX, least=0),
    },
)


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What has been typed so far, and into which menu."""

    block_id: str
    action_id: str
    value: str


async def in_message(core: Core, who: str, where: str, ts: str, typed: Typed) -> JSON:
    """Type into a menu in a message; raises SlackError."""
    person, channel, message = message_for(core, who, where, ts)
    ephemeral, shown = message.audience is not None, objects.message(core.space, message)
    payload = payloads.block_suggestion(
        vars(typed),
        actor=core.actor(person),
        container=payloads.container_of(shown, channel.id, is_ephemeral=ephemeral),
        origin=core.origin,
        place=core.place(channel),
        message=None if ephemeral else shown,
    )
    return await _offers(core, message.all_blocks, typed, payload)


async def in_view(core: Core, who: str, view_id: str, typed: Typed) -> JSON:
    """Type into a menu in a modal or on the Home tab; raises SlackError."""
    person = awake(core, who)
    view = core.views.shown(person.id, view_id)
    payload = payloads.block_suggestion(
        vars(typed),
        actor=core.actor(person),
        container={"type": "view", "view_id": view["id"]},
        origin=core.origin,
        view=view,
    )
    return await _offers(core, view["blocks"], typed, payload)


async def _offers(core: Core, blocks: list[JSON], typed: Typed, payload: JSON) -> JSON:
    menu = element_at(blocks, typed.block_id, typed.action_id)
    if menu["type"] not in EXTERNAL:
        raise SlackError("invalid_arguments", messages=[f"{typed.action_id} isn't a menu that the app fills"])
    least = menu.get("min_query_length")
    if len(typed.value) < (MIN_LETTERS if least is None else least):
        return {"acked": False, "seconds": 0.0, "error": None, "options": []}
    outcome = await core.post.interaction(payload)
    answer, error = outcome.answer or {}, outcome.error
    if broken := list(_ANSWER(answer, "")):
        core.problem(f"the options for {typed.action_id} were refused: {broken}")
        answer, error = {}, INVALID
    return outcome.told() | {"error": error, "options": options(answer)}
