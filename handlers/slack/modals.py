"""Submitted modals. Errors of a field travel back in the acknowledgement, and the form stays open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.rollbacks import Rollback
from bot.domain.commands.parser import build_command
from bot.domain.commands.promotions import Promote, Reject
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Sentence, truncate
from bot.domain.policy.authorization import Permission
from bot.slack.core import forms
from bot.slack.promotions import modals
from bot.slack.rollbacks import modal
from handlers.errors import explain
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget, target_of_interaction

MAX_FIELD_ERROR_LENGTH = 300  # characters under a field; more is hard to read there


class _FieldError(Exception):
    """A field that can't be accepted as it is."""

    def __init__(self, field: str, error: RegistrarError) -> None:
        super().__init__(field)
        self.errors = {field: truncate(str(explain(error)), MAX_FIELD_ERROR_LENGTH)}


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen to the submitted forms."""
    app.view(modals.PROMOTE)(_listener(interactions, _promote))
    app.view(modals.REJECT)(_listener(interactions, _reject))
    app.view(modals.OVERRIDE)(_listener(interactions, _override))
    app.view(modals.REVIEW)(_listener(interactions, _review))
    app.view(modal.ROLLBACK)(_listener(interactions, _rollback))


def _listener(
    interactions: SlackInteractions, handle: Callable[[SlackInteractions, ReplyTarget, str, dict[str, str]], None]
) -> Callable[..., None]:
    def on_submit(ack: Ack, body: dict[str, Any]) -> None:
        view = body["view"]
        target = target_of_interaction(body)
        try:
            handle(
                interactions,
                target,
                str(view.get("private_metadata") or ""),
                forms.submitted_values(view.get("state") or {}),
            )
        except _FieldError as error:
            ack(response_action="errors", errors=error.errors)
            return
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            interactions.reply_later(target, explain(error))
        ack()

    return on_submit


def _promote(interactions: SlackInteractions, target: ReplyTarget, draft_id: str, fields: dict[str, str]) -> None:
    try:
        before = interactions.registrar.command_queue.get_draft(draft_id)
        typed = {key: before.command.get(key) for key in ("keep_existing", "validation")}  # no fields of the form
        command = build_command(
            Promote, _require_valid_fields(fields) | {key: value for key, value in typed.items() if value}
        )
        interactions.enqueue_command(ReplyTarget(person=target.person, channel=before.where), command)
    except RegistrarError as error:
        raise _FieldError("model", error) from error


def _require_valid_fields(fields: dict[str, str]) -> dict[str, Any]:
    """Return the fields once each is valid by itself, so that an error is shown under its own field."""
    for field in ("model", "version", "to"):
        try:
            build_command(Promote, {"model": "m", "version": "1", "to": "staging"} | {field: fields.get(field, "")})
        except BadInput as error:
            raise _FieldError(field, error) from error
    return fields


def _rollback(interactions: SlackInteractions, target: ReplyTarget, draft_id: str, fields: dict[str, str]) -> None:
    field = "reason"
    try:
        reason = fields.get("reason", "").strip()
        if not reason:
            raise BadInput("Say why: the thread and the audit keep it.")
        before = interactions.registrar.command_queue.get_draft(draft_id)
        typed = {key: value for key, value in before.command.items() if key != "verb"}
        if "model" not in typed:
            field, typed = "model", {key: value for key, value in fields.items() if key in {"model", "version"}}
        command = build_command(Rollback, typed | {"reason": reason})
        interactions.registrar.access_control.require_permission(
            interactions.caller(target), Permission.ROLL_BACK, model=command.model, origin="slack"
        )
        interactions.registrar.rollbacks.check_named_target(command)
        interactions.enqueue_command(ReplyTarget(person=target.person, channel=before.where), command)
    except RegistrarError as error:
        raise _FieldError(field, error) from error


def _override(interactions: SlackInteractions, target: ReplyTarget, request_id: str, fields: dict[str, str]) -> None:
    _decide_with_reason(
        interactions,
        target,
        request_id,
        fields,
        "Say why: the card shows it, and the audit keeps it.",
        interactions.override,
    )


def _review(interactions: SlackInteractions, target: ReplyTarget, request_id: str, fields: dict[str, str]) -> None:
    missing = "Say what you found: the thread shows it, and the audit log keeps it."
    _decide_with_reason(interactions, target, request_id, fields, missing, interactions.review)


def _reject(interactions: SlackInteractions, target: ReplyTarget, request_id: str, fields: dict[str, str]) -> None:
    _decide_with_reason(
        interactions, target, request_id, fields, "Say why: the requester gets to read it.", interactions.reject
    )


Decide = Callable[[ReplyTarget, str, str], Sentence]  # where, which request, why


def _decide_with_reason(
    interactions: SlackInteractions,
    target: ReplyTarget,
    request_id: str,
    fields: dict[str, str],
    missing_reason: str,
    decide: Decide,
) -> None:
    """Make a decision that needs a reason; without one, `missing_reason` is shown under the field."""
    try:
        reason = fields.get("reason", "").strip()
        if not reason:
            raise BadInput(missing_reason)
        command = build_command(Reject, {"request": request_id, "reason": reason})
        sentence = decide(target, command.request, command.reason)
    except RegistrarError as error:
        raise _FieldError("reason", error) from error
    interactions.defer(target, lambda: _reply_in_card_channel(interactions, target, request_id, sentence))


def _reply_in_card_channel(
    interactions: SlackInteractions, target: ReplyTarget, request_id: str, sentence: Sentence
) -> None:
    """Answer in the channel of the request's card: a submitted modal doesn't say where it was opened."""
    with interactions.registrar.context.ledger.read() as reading:
        card_ref = reading.message_ref(request_id)
    interactions.reply(ReplyTarget(person=target.person, channel=card_ref.channel if card_ref else ""), sentence)
