"""Checks on what a person can access."""

from __future__ import annotations

from collections.abc import Sequence

from localslack.backend import Backend
from localslack.blocks.input_state import interactive_elements
from localslack.core.errors import SlackError
from localslack.workspace.records import JSON, Conversation, PostedMessage, User


def require_active_user(backend: Backend, user: str) -> User:
    """Return the person with this ID or handle. Raises user_not_found or account_inactive."""
    person = backend.workspace.person(user)
    if person.deleted:
        raise SlackError("account_inactive")
    return person


def require_access(backend: Backend, user: str, channel_name: str, *, to_write: bool) -> tuple[User, Conversation]:
    """Return the person and the conversation, if the person can act there.

    to_write: whether the person must be a member. Raises user_not_found, account_inactive, channel_not_found,
    not_in_channel, or is_archived.
    """
    person, channel = require_active_user(backend, user), backend.workspace.channel(channel_name)
    is_member = person.id in channel.members
    if not is_member and (channel.is_private or channel.is_im):
        raise SlackError("channel_not_found")
    if not is_member and to_write:
        raise SlackError("not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    return person, channel


def require_visible_message(
    backend: Backend, user: str, channel_name: str, ts: str
) -> tuple[User, Conversation, PostedMessage]:
    """Return the person, the conversation, and the message, if the person can see the message.

    Raises message_not_found, or the same errors as `require_access`.
    """
    person, channel = require_access(backend, user, channel_name, to_write=False)
    message = backend.workspace.find_message(channel, ts)
    if message is None or message.audience not in (None, person.id):
        raise SlackError("message_not_found")
    return person, channel, message


def element_at(blocks: Sequence[JSON], block_id: str, action_id: str) -> JSON:
    """Return the element with these IDs. Raises not_found."""
    for block, element in interactive_elements(blocks):
        if (block["block_id"], element["action_id"]) == (block_id, action_id):
            return element
    raise SlackError("not_found", messages=[f"no element {block_id}/{action_id}"])
