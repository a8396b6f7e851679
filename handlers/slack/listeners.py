"""Listeners for clicks and submitted forms: a decision is committed before the acknowledgment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slack_bolt import Ack

from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Sentence, truncate
from bot.slack.core import modal_inputs
from bot.slack.core.blocks import Message
from handlers.errors import explain
from handlers.slack.home import publish_home
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget, target_of_interaction

MAX_FIELD_ERROR_LENGTH = 300  # characters under a field; more is hard to read there

# Gets the button's value; returns the answer, unless it follows later.
ClickHandler = Callable[[SlackInteractions, ReplyTarget, str], Message | Sentence | None]


@dataclass(frozen=True, slots=True)
class Form:
    """A submitted form: the ID that it carries, the values filled in, and its fields from top to bottom."""

    id: str
    values: dict[str, str]
    fields: tuple[str, ...]


FormHandler = Callable[[SlackInteractions, ReplyTarget, Form], None]


def click_listener(interactions: SlackInteractions, handle: ClickHandler) -> Callable[..., None]:
    """Return a button's listener. A click on the Home tab also publishes the tab again."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        target = target_of_interaction(body)
        try:
            answer = handle(interactions, target, str(body["actions"][0].get("value", "")))
        except Exception as error:  # explained to the person; unforeseen ones get an ID to quote
            answer = explain(error)
        if answer is not None:
            interactions.reply_later(target, answer)
        if target.is_home:
            interactions.defer(
                target, lambda: publish_home(interactions, target.person), interactions.registrar.submit_query
            )
        ack()

    return on_click


def form_listener(interactions: SlackInteractions, handle: FormHandler) -> Callable[..., None]:
    """Return a form's listener. An error appears under its field, or else the first one; the form stays open."""

    def on_submit(ack: Ack, body: dict[str, Any]) -> None:
        view, target = body["view"], target_of_interaction(body)
        state = view.get("state") or {}
        form = Form(
            str(view.get("private_metadata") or ""),
            modal_inputs.submitted_values(state),
            tuple(state.get("values") or {}),
        )
        try:
            handle(interactions, target, form)
        except Exception as error:  # explained to the person; unforeseen ones get an ID to quote
            if form.fields:
                ack(response_action="errors", errors=_field_errors(error, form))
                return
            interactions.reply_later(target, explain(error))
        ack()

    return on_submit


def _field_errors(error: Exception, form: Form) -> dict[str, str]:
    """Return the error under the field that it names if the form shows that field, or else under the first one."""
    named = error.field if isinstance(error, RegistrarError) else ""
    field = named if named in form.fields else form.fields[0]
    text = re.sub(r"^--[a-z-]+: ", "", str(explain(error)))  # a form has fields instead of flags
    return {field: truncate(text[:1].upper() + text[1:], MAX_FIELD_ERROR_LENGTH)}
