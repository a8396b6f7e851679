"""Clicking buttons and choosing options in messages, modals, and Home tabs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from localslack import payloads
from localslack.backend import Backend
from localslack.blocks.input_state import Answers, element_state, state_values
from localslack.interactions.access import element_at, require_active_user, require_visible_message
from localslack.workspace import objects
from localslack.workspace.records import JSON, Conversation, PostedMessage, User

BUTTON_TYPES = ("button", "workflow_button", "icon_button")


@dataclass(frozen=True, kw_only=True)
class Click:
    """A click on an element.

    answer: the choice, or None for a button. answers: the other inputs' current values.
    """

    block_id: str
    action_id: str
    answer: Any = None
    answers: Answers = field(default_factory=dict)


class BlockActions:
    """Sends block_actions for clicks, and stores people's choices in messages."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # People's choices in a version of a message: (person, channel, ts, edited) -> answers.
        self._answers_by_message: dict[tuple[str, str, str, str], dict[str, dict[str, Any]]] = {}

    async def in_message(self, user: str, channel_name: str, ts: str, click: Click) -> JSON:
        """Click a button or choose an option in a message, and return the acknowledgment. Raises SlackError."""
        person, channel, message = require_visible_message(self._backend, user, channel_name, ts)
        payload = self._message_payload(person, channel, message, click)
        return (await self._backend.router.send_interaction(payload)).acknowledgement()

    async def in_view(self, user: str, view_id: str, click: Click) -> JSON:
        """Click a button or choose an option in a modal or on the Home tab, and return the acknowledgment.

        Raises SlackError.
        """
        backend, person = self._backend, require_active_user(self._backend, user)
        view = backend.views.visible_view(person.id, view_id)
        action = self._action(view["blocks"], click)
        payload = payloads.click_in_view(
            action,
            actor=backend.actor(person),
            view=backend.views.save_answers(view, click.answers),
            origin=backend.installation,
            # Only a trigger from a modal can push another one.
            trigger_id=backend.triggers.issue(person.id, view_id if view["type"] == "modal" else None),
        )
        return (await backend.router.send_interaction(payload)).acknowledgement()

    def _message_payload(self, person: User, channel: Conversation, message: PostedMessage, click: Click) -> JSON:
        backend, blocks = self._backend, message.all_blocks
        message_object, is_ephemeral = objects.message_object(backend.workspace, message), message.audience is not None
        return payloads.block_actions(
            self._action(blocks, click),
            actor=backend.actor(person),
            container=payloads.container_of(message_object, channel.id, is_ephemeral=is_ephemeral),
            origin=backend.installation,
            place=backend.channel_ref(channel),
            # Slack doesn't send ephemeral messages back to the app.
            message=None if is_ephemeral else message_object,
            state=state_values(blocks, self._merge_answers(person, message, click)),
            response_url=backend.base_url + backend.response_urls.issue("actions", person.id, channel.id, message.ts),
            trigger_id=backend.triggers.issue(person.id),
        )

    def _action(self, blocks: list[JSON], click: Click) -> JSON:
        element = element_at(blocks, click.block_id, click.action_id)
        action_ts = self._backend.workspace.next_ts()
        if element["type"] in BUTTON_TYPES:
            return payloads.button_action(element, click.block_id, action_ts)
        action = {"action_id": click.action_id, "block_id": click.block_id}
        action |= element_state(element, click.answer)
        action |= {name: element[name] for name in ("placeholder", "confirm") if name in element}
        return action | {"action_ts": action_ts}

    def _merge_answers(self, person: User, message: PostedMessage, click: Click) -> Answers:
        version = message.edited["ts"] if message.edited else ""
        answers = self._answers_by_message.setdefault((person.id, message.channel, message.ts, version), {})
        for block_id, block_answers in click.answers.items():
            answers.setdefault(block_id, {}).update(block_answers)
        if click.answer is not None:
            answers.setdefault(click.block_id, {})[click.action_id] = click.answer
        return answers
