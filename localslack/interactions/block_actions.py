"""Clicking: buttons and choices in messages, modals and Home tabs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from localslack import payloads
from localslack.backend import Core
from localslack.blocks.input_state import Answers, element_state, state_values
from localslack.interactions.access import awake, element_at, message_for
from localslack.workspace import objects
from localslack.workspace.records import JSON, Channel, Message, Person

BUTTONS = ("button", "workflow_button", "icon_button")


@dataclass(frozen=True, kw_only=True)
class Click:
    """One click: on which element, with what choice, and what else is answered at that moment."""

    block_id: str
    action_id: str
    answer: Any = None
    answers: Answers = field(default_factory=dict)


class Clicking:
    """The mouse of the people."""

    def __init__(self, core: Core) -> None:
        self._core = core
        # What people have chosen in a version of a message: (person, channel, ts, edited) -> answers.
        self._chosen: dict[tuple[str, str, str, str], dict[str, dict[str, Any]]] = {}

    async def in_message(self, who: str, where: str, ts: str, click: Click) -> JSON:
        """Press a button or choose something in a message; raises SlackError."""
        person, channel, message = message_for(self._core, who, where, ts)
        payload = self._payload(person, channel, message, click)
        return (await self._core.post.interaction(payload)).told()

    async def in_view(self, who: str, view_id: str, click: Click) -> JSON:
        """Press a button or choose something in a modal or on the Home tab, with what is filled in.

        Raises SlackError.
        """
        core, person = self._core, awake(self._core, who)
        view = core.views.shown(person.id, view_id)
        action = self._action(view["blocks"], click)
        payload = payloads.click_in_view(
            action,
            actor=core.actor(person),
            view=core.views.fill(view, click.answers),
            origin=core.origin,
            # Only on a modal can another one be put.
            trigger_id=core.triggers.issue(person.id, view_id if view["type"] == "modal" else None),
        )
        return (await core.post.interaction(payload)).told()

    def _payload(self, person: Person, channel: Channel, message: Message, click: Click) -> JSON:
        core, blocks = self._core, message.all_blocks
        shape, ephemeral = objects.message(core.space, message), message.audience is not None
        return payloads.block_actions(
            self._action(blocks, click),
            actor=core.actor(person),
            container=payloads.container_of(shape, channel.id, is_ephemeral=ephemeral),
            origin=core.origin,
            place=core.place(channel),
            # Slack does not repeat ephemeral messages to the app.
            message=None if ephemeral else shape,
            state=state_values(blocks, self._remember(person, message, click)),
            response_url=core.base_url + core.hooks.issue("actions", person.id, channel.id, message.ts),
            trigger_id=core.triggers.issue(person.id),
        )

    def _action(self, blocks: list[JSON], click: Click) -> JSON:
        element = element_at(blocks, click.block_id, click.action_id)
        action_ts = self._core.space.next_ts()
        if element["type"] in BUTTONS:
            return payloads.button_action(element, click.block_id, action_ts)
        action = {"action_id": click.action_id, "block_id": click.block_id}
        action |= element_state(element, click.answer)
        action |= {name: element[name] for name in ("placeholder", "confirm") if name in element}
        return action | {"action_ts": action_ts}

    def _remember(self, person: Person, message: Message, click: Click) -> Answers:
        version = message.edited["ts"] if message.edited else ""
        answers = self._chosen.setdefault((person.id, message.channel, message.ts, version), {})
        for block_id, given in click.answers.items():
            answers.setdefault(block_id, {}).update(given)
        if click.answer is not None:
            answers.setdefault(click.block_id, {})[click.action_id] = click.answer
        return answers
