"""The form that adds a monitor: what was filled in becomes a command, or errors below the fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from slack_bolt import Ack

from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.parser import build_command
from bot.domain.core.errors import BadInput, RegistrarError, WrongField
from bot.domain.core.sentence import truncate
from bot.domain.policy.monitor_config import rule_of_bounds
from bot.slack.core import forms
from bot.slack.core.blocks import Message
from bot.slack.monitoring import modal
from handlers.errors import explain
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget, target_of_interaction

AddMonitor = Callable[[SlackInteractions, ReplyTarget, MonitorAdd], Message | None]
MAX_FIELD_ERROR_LENGTH = 300  # characters under a field; more is hard to read there


def submit_listener(interactions: SlackInteractions, add: AddMonitor) -> Callable[..., None]:
    """Return the listener of the form, which hands its command to `add`.

    An error is shown below its field, and the form stays open.
    """

    def on_submit(ack: Ack, body: dict[str, Any]) -> None:
        view, place = body["view"], target_of_interaction(body)
        state = view.get("state") or {}
        fields, shown = forms.submitted_values(state), set(state.get("values") or {})
        try:
            before = interactions.registrar.command_queue.get_draft(str(view.get("private_metadata") or ""))
            answer = add(interactions, place, _command_from_form(before.command, fields, shown))
        except RegistrarError as error:
            sentence = str(explain(error))
            field = _form_field_of(error, sentence)
            ack(response_action="errors", errors={field: truncate(_without_flag(sentence), MAX_FIELD_ERROR_LENGTH)})
            return
        except Exception as error:  # unforeseen ones get an id to quote
            interactions.reply_later(place, explain(error))
        else:
            if answer:
                interactions.reply_later(ReplyTarget(person=place.person, channel=before.where), answer)
        ack()

    return on_submit


def _command_from_form(typed: dict[str, Any], fields: dict[str, str], shown_fields: set[str]) -> MonitorAdd:
    """Return the form's command; what was typed before is kept unless the form has a field for it."""
    hidden_values = {key: value for key, value in typed.items() if key != "verb" and key not in shown_fields}
    for field, label in (("model", "model"), ("name", "name")):
        if not fields.get(field):
            raise BadInput(f"{field}: name the {label}.")
    if implied := rule_of_bounds([field for field, value in fields.items() if value]):
        fields = fields | {"rule": implied}  # a bound was filled in, so it is meant
    return build_command(
        MonitorAdd, hidden_values | {key: value for key, value in fields.items() if key in modal.MONITOR_FIELDS}
    )


def _without_flag(sentence: str) -> str:
    """Return an error without the leading flag, since a form has fields instead."""
    text = re.sub(r"^--[a-z-]+: ", "", sentence)
    return text[:1].upper() + text[1:]


def _form_field_of(error: RegistrarError, sentence: str) -> str:
    """Return the form's field that an error is about: the error names it, or its sentence names the flag."""
    if isinstance(error, WrongField) and error.field in modal.MONITOR_FIELDS:
        return error.field
    match = re.search(r"--([a-z-]+)", sentence)
    field = match[1].replace("-", "_") if match else ""
    if field in modal.MONITOR_FIELDS:
        return field
    return "name" if "monitor" in sentence.lower() and "model" not in sentence.lower() else "model"
