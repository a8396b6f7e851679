"""Submitted modals. Errors of a field travel back in the acknowledgement, and the form stays open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.changes import Rollback
from bot.domain.commands.parser import build
from bot.domain.commands.requests import Promote, Reject
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Say, short
from bot.domain.policy.authorization import Act
from bot.slack.core import forms
from bot.slack.promotions import modals
from bot.slack.rollbacks import modal
from handlers.errors import explain
from handlers.slack.interactions import Desk
from handlers.slack.replies import Place, of_interaction

FIELD_ERROR_MOST = 300  # characters under a field; more is hard to read there


class _FieldError(Exception):
    """A field that cannot be taken as it is."""

    def __init__(self, field: str, error: RegistrarError) -> None:
        super().__init__(field)
        self.answer = {field: short(str(explain(error)), FIELD_ERROR_MOST)}


def register(app: App, desk: Desk) -> None:
    """Listen to the submitted forms."""
    app.view(modals.PROMOTE)(_listener(desk, _promote))
    app.view(modals.REJECT)(_listener(desk, _reject))
    app.view(modals.OVERRIDE)(_listener(desk, _override))
    app.view(modals.REVIEW)(_listener(desk, _review))
    app.view(modal.ROLLBACK)(_listener(desk, _rollback))


def _listener(desk: Desk, act: Callable[[Desk, Place, str, dict[str, str]], None]) -> Callable[..., None]:
    def on_submit(ack: Ack, body: dict[str, Any]) -> None:
        view = body["view"]
        place = of_interaction(body)
        try:
            act(desk, place, str(view.get("private_metadata") or ""), forms.values(view.get("state") or {}))
        except _FieldError as error:
            ack(response_action="errors", errors=error.answer)
            return
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        ack()

    return on_submit


def _promote(desk: Desk, place: Place, draft: str, fields: dict[str, str]) -> None:
    try:
        before = desk.registrar.errands.drafted(draft)
        typed = {key: before.command.get(key) for key in ("keep_existing", "validation")}  # no fields of the form
        command = build(Promote, _checked(fields) | {key: value for key, value in typed.items() if value})
        desk.ask(Place(person=place.person, channel=before.where), command)
    except RegistrarError as error:
        raise _FieldError("model", error) from error


def _checked(fields: dict[str, str]) -> dict[str, Any]:
    """Return the fields once each alone is understood, so that an error stands under its own field."""
    for field in ("model", "version", "to"):
        try:
            build(Promote, {"model": "m", "version": "1", "to": "staging"} | {field: fields.get(field, "")})
        except BadInput as error:
            raise _FieldError(field, error) from error
    return fields


def _rollback(desk: Desk, place: Place, draft: str, fields: dict[str, str]) -> None:
    field = "reason"
    try:
        reason = fields.get("reason", "").strip()
        if not reason:
            raise BadInput("Say why: the thread and the audit keep it.")
        before = desk.registrar.errands.drafted(draft)
        typed = {key: value for key, value in before.command.items() if key != "verb"}
        if "model" not in typed:
            field, typed = "model", {key: value for key, value in fields.items() if key in {"model", "version"}}
        command = build(Rollback, typed | {"reason": reason})
        desk.registrar.gatekeeper.admit(desk.caller(place), Act.ROLL_BACK, model=command.model, origin="slack")
        desk.registrar.rollbacks.check(command)
        desk.ask(Place(person=place.person, channel=before.where), command)
    except RegistrarError as error:
        raise _FieldError(field, error) from error


def _override(desk: Desk, place: Place, request_id: str, fields: dict[str, str]) -> None:
    _with_reason(desk, place, request_id, fields, "Say why: the card shows it, and the audit keeps it.", desk.override)


def _review(desk: Desk, place: Place, request_id: str, fields: dict[str, str]) -> None:
    missing = "Say what you found: the thread shows it, and the audit log keeps it."
    _with_reason(desk, place, request_id, fields, missing, desk.review)


def _reject(desk: Desk, place: Place, request_id: str, fields: dict[str, str]) -> None:
    _with_reason(desk, place, request_id, fields, "Say why: the requester gets to read it.", desk.reject)


Decide = Callable[[Place, str, str], Say]  # where, which request, why


def _with_reason(desk: Desk, place: Place, request_id: str, fields: dict[str, str], missing: str, act: Decide) -> None:
    """Do to a request what needs a reason; `missing` stands under the field where there is none."""
    try:
        reason = fields.get("reason", "").strip()
        if not reason:
            raise BadInput(missing)
        command = build(Reject, {"request": request_id, "reason": reason})
        sentence = act(place, command.request, command.reason)
    except RegistrarError as error:
        raise _FieldError("reason", error) from error
    desk.after(place, lambda: _tell_where(desk, place, request_id, sentence))


def _tell_where(desk: Desk, place: Place, request_id: str, sentence: Say) -> None:
    """Answer in the channel of the request's card: a submitted modal does not say where it was opened."""
    with desk.registrar.context.ledger.read() as reading:
        posting = reading.posting(request_id)
    desk.tell(Place(person=place.person, channel=posting.channel if posting else ""), sentence)
