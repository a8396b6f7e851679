"""Who may do what where."""

from __future__ import annotations

from collections.abc import Sequence

from localslack.backend import Core
from localslack.blocks.input_state import elements
from localslack.core.errors import SlackError
from localslack.workspace.records import JSON, Channel, Message, Person


def awake(core: Core, who: str) -> Person:
    """The person, if the account is in use; raises user_not_found, account_inactive."""
    person = core.space.person(who)
    if person.deleted:
        raise SlackError("account_inactive")
    return person


def enter(core: Core, who: str, where: str, *, to_write: bool) -> tuple[Person, Channel]:
    """The person and the conversation, if they may act there.

    Raises user_not_found, account_inactive, channel_not_found, not_in_channel, is_archived.
    """
    person, channel = awake(core, who), core.space.channel(where)
    is_member = person.id in channel.members
    if not is_member and (channel.is_private or channel.is_im):
        raise SlackError("channel_not_found")
    if not is_member and to_write:
        raise SlackError("not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    return person, channel


def message_for(core: Core, who: str, where: str, ts: str) -> tuple[Person, Channel, Message]:
    """The person, the conversation, and a message that the person sees there; raises message_not_found, too."""
    person, channel = enter(core, who, where, to_write=False)
    message = core.space.anything_at(channel, ts)
    if message is None or message.audience not in (None, person.id):
        raise SlackError("message_not_found")
    return person, channel, message


def element_at(blocks: Sequence[JSON], block_id: str, action_id: str) -> JSON:
    """The element with these ids; raises not_found."""
    for block, element in elements(blocks):
        if (block["block_id"], element["action_id"]) == (block_id, action_id):
            return element
    raise SlackError("not_found", messages=[f"there is no element {block_id}/{action_id}"])
