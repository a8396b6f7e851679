"""Submitting and closing modals."""

from __future__ import annotations

import asyncio
from typing import Any

from localslack import payloads
from localslack.backend import Backend
from localslack.blocks.input_state import Answers, answer_of, client_errors, interactive_elements
from localslack.core.errors import SlackError
from localslack.interactions.access import require_active_user
from localslack.workspace.records import JSON, User

# Slack's text if the app doesn't answer, or if the answer is invalid.
CONNECTION_TROUBLE = "We had some trouble connecting. Try again?"
WHOLE_MODAL = "*"


class ModalInteractions:
    """Sends view_submission and view_closed, and applies the app's answers."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def submit(self, user: str, view_id: str, answers: Answers) -> JSON:
        """Submit a modal. The result's `errors` are by block ID, or None if the modal was accepted.

        Raises SlackError if it isn't open, and ValueError for an option that isn't offered.
        """
        backend, person = self._backend, require_active_user(self._backend, user)
        view = backend.views.save_answers(backend.views.open_modal(person.id, view_id), answers)
        if errors := client_errors(view["blocks"], view["state"]["values"]):
            return {"acked": False, "seconds": 0.0, "error": None, "errors": errors, "sent": False}
        payload = payloads.view_submission(
            view,
            actor=backend.actor(person),
            origin=backend.installation,
            trigger_id=backend.triggers.issue(person.id, view_id),
            response_urls=self._response_urls(person, view),
        )
        result = await backend.router.send_interaction(payload)
        trouble = {WHOLE_MODAL: CONNECTION_TROUBLE}
        modal_errors = self._handle_answer(person, view, result.answer or {}) if result.acked else trouble
        return result.acknowledgement() | {"errors": modal_errors, "sent": True}

    async def close(self, user: str, view_id: str, everything: bool = False) -> JSON:
        """Close a modal, or all of them, and send view_closed for each one that has notify_on_close."""
        backend, person = self._backend, require_active_user(self._backend, user)
        front_view = backend.views.open_modal(person.id, view_id)
        close_all = everything or front_view["clear_on_close"]
        closed = backend.views.close_all(person.id) if close_all else [backend.views.close(person.id, view_id)]
        payloads_to_send = [
            payloads.view_closed(view, actor=backend.actor(person), origin=backend.installation, is_cleared=everything)
            for view in closed
            if view["notify_on_close"]
        ]
        results = await asyncio.gather(*(backend.router.send_interaction(payload) for payload in payloads_to_send))
        return {"closed": len(closed), "notified": sum(result.acked for result in results)}

    def _handle_answer(self, person: User, view: JSON, answer: JSON) -> dict[str, str] | None:
        try:
            return self._apply_answer(person, view, answer)
        except SlackError as refusal:
            self._backend.report_problem(f"the response to the submission was rejected: {refusal.body()}")
            return {WHOLE_MODAL: CONNECTION_TROUBLE}

    def _apply_answer(self, person: User, view: JSON, answer: JSON) -> dict[str, str] | None:
        views, action = self._backend.views, answer.get("response_action")
        if action == "errors":
            return _input_errors(view, answer.get("errors"))
        if action == "update":
            views.update(person.id, views.open_modal(person.id, view["id"]), answer.get("view", {}))
        elif action == "push":
            views.push(person.id, answer.get("view", {}))
        elif action == "clear":
            views.close_all(person.id)
        elif answer:
            raise SlackError("invalid_arguments", messages=[f"no such response_action: {action!r}"])
        else:
            views.close(person.id, view["id"])
        return None

    def _response_urls(self, person: User, view: JSON) -> list[JSON]:
        return [
            self._response_url(person, view, block["block_id"], element["action_id"])
            for block, element in interactive_elements(view["blocks"])
            if element.get("response_url_enabled")
        ]

    def _response_url(self, person: User, view: JSON, block_id: str, action_id: str) -> JSON:
        channel = str(answer_of(view["state"]["values"][block_id][action_id]))
        url = self._backend.base_url + self._backend.response_urls.issue("actions", person.id, channel)
        return {"block_id": block_id, "action_id": action_id, "channel_id": channel, "response_url": url}


def _input_errors(view: JSON, errors: Any) -> dict[str, str]:
    if not isinstance(errors, dict) or not errors:
        raise SlackError("invalid_arguments", messages=["errors must name at least one input block"])
    input_ids = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
    if unknown := set(errors) - input_ids:
        raise SlackError("invalid_arguments", messages=[f"errors for blocks that aren't inputs: {sorted(unknown)}"])
    return {str(block): str(text) for block, text in errors.items()}
