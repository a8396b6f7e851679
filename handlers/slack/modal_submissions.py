"""Handle submitted modals. The acknowledgment carries a field's error, and the form stays open."""

from __future__ import annotations

from typing import Any

from slack_bolt import App

from bot.domain.commands.base import Command, QueryCommand
from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.parser import build_command, find_command
from bot.domain.commands.promotions import Override, Promote, Reject, Review
from bot.domain.commands.rollbacks import Rollback
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, say
from bot.domain.policy.authorization import Permission
from bot.domain.policy.monitor_config import rule_of_bounds
from bot.domain.registry.model import parse_version_ref
from bot.slack.commands import query_modal
from bot.slack.monitoring import add_monitor_modal as monitor_modal
from bot.slack.promotions import modals
from bot.slack.rollbacks import rollback_card
from handlers.slack.forms.menu_suggestions import refresh_later
from handlers.slack.interactions import SlackInteractions
from handlers.slack.listeners import Form, FormHandler, form_listener
from handlers.slack.replies import ReplyTarget


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for submitted forms."""
    for callback, handle in _HANDLERS.items():
        app.view(callback)(form_listener(interactions, handle))


def _promote(interactions: SlackInteractions, target: ReplyTarget, form: Form) -> None:
    before = interactions.registrar.command_queue.get_draft(form.id)
    typed = {key: before.command.get(key) for key in ("keep_existing", "validation")}  # the form has no fields for them
    values = dict.fromkeys(("model", "version", "to"), "") | form.values
    command = build_command(Promote, values | {key: value for key, value in typed.items() if value})
    _require_same_version(command, before.command)
    try:
        interactions.registrar.suggestions.check(command.model, command.version)
    except BadInput:  # it may exist by now; then the next click finds it
        refresh_later(interactions, target.person, command.model)
        raise
    interactions.execute(ReplyTarget(person=target.person, channel=before.where), command)


def _require_same_version(command: Promote, typed: dict[str, Any]) -> None:
    """Raise BadInput if validation results are for a different version, because the form doesn't show them."""
    model = str(typed.get("validated_model") or typed.get("model") or command.model)
    version = str(typed.get("version") or command.version)
    if command.validation and (model != command.model or parse_version_ref(version) != command.version):
        raise BadInput(
            say(
                "You reported validation results for {version} of {model}. For another version, type the command.",
                version=Code(parse_version_ref(version)),
                model=Name(model),
            ),
            "version",
        )


def _rollback(interactions: SlackInteractions, target: ReplyTarget, form: Form) -> None:
    reason = _require_reason(form, "Give a reason. It's shown in the thread and recorded in the audit log.")
    before = interactions.registrar.command_queue.get_draft(form.id)
    typed = {key: value for key, value in before.command.items() if key != "verb" and key not in form.fields}
    shown = {key: value for key, value in form.values.items() if key in {"model", "version"}}
    command = build_command(Rollback, typed | shown | {"reason": reason})
    interactions.registrar.access_control.require_permission(
        interactions.caller(target), Permission.ROLL_BACK, model=command.model, origin="slack"
    )
    interactions.registrar.rollbacks.check_named_target(command)
    interactions.execute(ReplyTarget(person=target.person, channel=before.where), command)


def _query(interactions: SlackInteractions, target: ReplyTarget, form: Form) -> None:
    """Answer a query in the channel where its form was opened."""
    verb, channel = query_modal.query_of(form.id)
    command = find_command(verb)
    if not issubclass(command, QueryCommand):
        raise BadInput("I don't recognize this form.")
    many = {name for name, _, argument in command.arguments() if argument.takes_many}
    values = {name: value.replace(",", " ").split() if name in many else value for name, value in form.values.items()}
    required = {name: "" for name, field, _ in command.arguments() if field.is_required()}
    interactions.execute(ReplyTarget(person=target.person, channel=channel), build_command(command, required | values))


def _require_reason(form: Form, missing: str) -> str:
    """Return the reason, or raise BadInput with `missing`, which says what to enter."""
    if not (reason := form.values.get("reason", "").strip()):
        raise BadInput(missing, "reason")
    return reason


def _reason_handler(command_class: type[Command], missing_reason: str) -> FormHandler:
    """Return the handler for a form that asks for a reason; `missing_reason` is shown if it's empty."""

    def handle(interactions: SlackInteractions, target: ReplyTarget, form: Form) -> None:
        reason = _require_reason(form, missing_reason)
        message = interactions.execute(target, build_command(command_class, {"request": form.id, "reason": reason}))
        if message is not None:
            interactions.defer(
                target, lambda: interactions.reply(_in_card_channel(interactions, target, form.id), message)
            )

    return handle


def _in_card_channel(interactions: SlackInteractions, target: ReplyTarget, request_id: str) -> ReplyTarget:
    """Return a reply target in the channel of the request's card. A submitted modal doesn't say where it was opened."""
    with interactions.registrar.context.ledger.read() as reader:
        card_ref = reader.message_ref(request_id)
    return ReplyTarget(person=target.person, channel=card_ref.channel if card_ref else "")


# -- the form that adds a monitor --------------------------------------------------------------------------------------


def _add_monitor(interactions: SlackInteractions, target: ReplyTarget, form: Form) -> None:
    before = interactions.registrar.command_queue.get_draft(form.id)
    answer = interactions.execute(target, _monitor_command(before.command, form))
    if answer is not None:
        interactions.reply_later(ReplyTarget(person=target.person, channel=before.where), answer)


def _monitor_command(typed: dict[str, Any], form: Form) -> MonitorAdd:
    """Return the form's command, keeping what was typed before wherever the form has no field for it.

    Raises BadInput.
    """
    fields = form.values
    hidden_values = {key: value for key, value in typed.items() if key != "verb" and key not in form.fields}
    for field, label in (("model", "model"), ("name", "name")):
        if not fields.get(field):
            raise BadInput(f"Enter a {label}.", field)
    if implied := rule_of_bounds([field for field, value in fields.items() if value]):
        fields = fields | {"rule": implied}  # a bound was filled in, so use its rule
    if metric := fields.get("metric"):
        if fields.get("query"):
            raise BadInput("Fill in either a metric or a query.", "query")
        fields = fields | {"query": metric}
    known = {key: value for key, value in fields.items() if key in monitor_modal.MONITOR_FIELDS}
    return build_command(MonitorAdd, hidden_values | known)


_HANDLERS: dict[str, FormHandler] = {
    modals.PROMOTE: _promote,
    modals.REJECT: _reason_handler(Reject, "Give a reason. The requester sees it."),
    modals.OVERRIDE: _reason_handler(Override, "Give a reason. It's shown on the card and recorded in the audit log."),
    modals.REVIEW: _reason_handler(
        Review, "Say what you found. It's shown in the thread and recorded in the audit log."
    ),
    rollback_card.ROLLBACK: _rollback,
    monitor_modal.MONITOR: _add_monitor,
    query_modal.QUERY: _query,
}
