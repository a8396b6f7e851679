"""Modals in the hands of people: submitting and closing them."""

from __future__ import annotations

import asyncio
from typing import Any

from localslack import payloads
from localslack.backend import Core
from localslack.blocks.input_state import Answers, answer_of, client_errors, elements
from localslack.core.errors import SlackError
from localslack.interactions.access import awake
from localslack.workspace.records import JSON, Person

# What Slack shows when the app did not answer, or with something that cannot be used.
TROUBLE = "We had some trouble connecting. Try again?"
EVERYWHERE = "*"


class Filling:
    """Forms and what becomes of them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def submits(self, who: str, view_id: str, answers: Answers) -> JSON:
        """Submit a modal. The result holds errors by block id, or None when it went well."""
        core, person = self._core, awake(self._core, who)
        view = core.views.fill(core.views.find(person.id, view_id), answers)
        if errors := client_errors(view["blocks"], view["state"]["values"]):
            return {"acked": False, "seconds": 0.0, "error": None, "errors": errors, "sent": False}
        payload = payloads.view_submission(
            view,
            actor=core.actor(person),
            origin=core.origin,
            trigger_id=core.triggers.issue(person.id, view_id),
            response_urls=self._response_urls(person, view),
        )
        outcome = await core.post.interaction(payload)
        taken = self._take(person, view, outcome.answer or {}) if outcome.acked else {EVERYWHERE: TROUBLE}
        return outcome.told() | {"errors": taken, "sent": True}

    async def closes(self, who: str, view_id: str, everything: bool = False) -> JSON:
        """Close a modal, or the whole stack; an app that asked for it is told."""
        core, person = self._core, awake(self._core, who)
        view = core.views.find(person.id, view_id)
        all_of_them = everything or view["clear_on_close"]
        closed = core.views.clear(person.id) if all_of_them else [core.views.close(person.id, view_id)]
        told = [
            payloads.view_closed(one, actor=core.actor(person), origin=core.origin, is_cleared=everything)
            for one in closed
            if one["notify_on_close"]
        ]
        outcomes = await asyncio.gather(*(core.post.interaction(payload) for payload in told))
        return {"closed": len(closed), "notified": sum(outcome.acked for outcome in outcomes)}

    def _take(self, person: Person, view: JSON, answer: JSON) -> dict[str, str] | None:
        try:
            return self._respond(person, view, answer)
        except SlackError as refusal:
            self._core.problem(f"the answer to the submission was refused: {refusal.body()}")
            return {EVERYWHERE: TROUBLE}

    def _respond(self, person: Person, view: JSON, answer: JSON) -> dict[str, str] | None:
        views, action = self._core.views, answer.get("response_action")
        if action == "errors":
            return _known_errors(view, answer.get("errors"))
        if action == "update":
            views.update(person.id, views.find(person.id, view["id"]), answer.get("view", {}))
        elif action == "push":
            views.push(person.id, answer.get("view", {}))
        elif action == "clear":
            views.clear(person.id)
        elif answer:
            raise SlackError("invalid_arguments", messages=[f"no such response_action: {action!r}"])
        else:
            views.close(person.id, view["id"])
        return None

    def _response_urls(self, person: Person, view: JSON) -> list[JSON]:
        return [
            self._response_url(person, view, block["block_id"], element["action_id"])
            for block, element in elements(view["blocks"])
            if element.get("response_url_enabled")
        ]

    def _response_url(self, person: Person, view: JSON, block_id: str, action_id: str) -> JSON:
        channel = str(answer_of(view["state"]["values"][block_id][action_id]))
        url = self._core.base_url + self._core.hooks.issue("actions", person.id, channel)
        return {"block_id": block_id, "action_id": action_id, "channel_id": channel, "response_url": url}


def _known_errors(view: JSON, errors: Any) -> dict[str, str]:
    if not isinstance(errors, dict) or not errors:
        raise SlackError("invalid_arguments", messages=["errors must name at least one input block"])
    named = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
    if unknown := set(errors) - named:
        raise SlackError("invalid_arguments", messages=[f"errors name no input block: {sorted(unknown)}"])
    return {str(block): str(text) for block, text in errors.items()}
