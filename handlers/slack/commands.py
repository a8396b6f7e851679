"""Handle `/model …`: parse the text, answer the command, and open forms for missing arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.base import Command, MissingArguments
from bot.domain.commands.help import Help
from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.parser import build_command, parse_command
from bot.domain.commands.promotions import Approve, Override, Promote, Reject, Review
from bot.domain.commands.registry import Archive
from bot.domain.commands.rollbacks import Rollback
from bot.domain.core.errors import BadInput
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import parse_version_ref
from bot.slack.commands import help_text
from bot.slack.commands.query_modal import query_modal
from bot.slack.core.blocks import Message, unescape
from bot.slack.monitoring.add_monitor_modal import monitor_modal
from bot.slack.promotions import modals
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks.rollback_card import rollback_modal
from handlers.slack.forms.menu_suggestions import refresh_later
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget, target_of_command


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for the slash command."""

    def on_command(ack: Ack, body: dict[str, Any]) -> None:
        message = answer_typed(interactions, target_of_command(body), unescape(str(body.get("text") or "")))
        if not message:
            ack()
            return
        ack(text=message.text, blocks=message.blocks, response_type="ephemeral", unfurl_links=False, unfurl_media=False)

    app.command("/model")(on_command)


def answer_typed(interactions: SlackInteractions, target: ReplyTarget, text: str) -> Message | None:
    """Run what was typed. Return the answer (also to an error), or None if it follows the acknowledgment."""
    target = replace(target, typed=text)
    try:
        return run_typed(interactions, target, text)
    except Exception as error:  # explained to the person; unforeseen ones get an ID to quote
        return interactions.failure(target, error)


def run_typed(interactions: SlackInteractions, target: ReplyTarget, text: str) -> Message | None:
    """Run what was typed. Return the answer, or None if it follows the acknowledgment.

    When this returns, a decision is committed.
    """
    try:
        command = parse_command(text)
    except MissingArguments as error:
        if target.trigger_id is None:
            return _offer_form(error, text)
        _open_form(interactions, target, error)
        return None
    if command is None:
        return help_text.menu()
    if isinstance(command, Help):
        return help_text.help_answer(command)
    if isinstance(command, Archive):
        _confirm_archiving(interactions, target, command)
        return None
    return interactions.execute(target, command)


def _confirm_archiving(interactions: SlackInteractions, target: ReplyTarget, command: Archive) -> None:
    """Ask for confirmation, naming the version that the reference currently resolves to.

    The buttons carry a draft's ID.
    """
    registrar = interactions.registrar

    def ask() -> Message:
        caller = interactions.caller(target)
        version = registrar.edits.require_archivable(caller, command, origin="slack")
        exact = command.model_copy(update={"version": parse_version_ref(str(version.version))})
        draft = registrar.command_queue.create_draft(caller, exact.dump(), channel=target.channel)
        return registry_answers.archive_question(draft, version.model, f"v{version.version}")

    interactions.answer_later(target, ask)


# -- forms -------------------------------------------------------------------------------------------------------------


def open_form(interactions: SlackInteractions, target: ReplyTarget, text: str) -> None:
    """Open the form for what was typed in a message. Raises BadInput if nothing is missing."""
    try:
        parse_command(text)
    except MissingArguments as error:
        _open_form(interactions, target, error)
        return
    raise BadInput("I don't recognize this button.")


def _offer_form(error: MissingArguments, text: str) -> Message:
    """Return the usage with a button that opens the form, because a message has no trigger to open it with.

    Raises the error if there's no form.
    """
    if not _has_form(error):
        raise error
    return help_text.form_offer(error.sentence, text)


def _has_form(error: MissingArguments) -> bool:
    """Return whether there's a form for the missing arguments.

    There's none for a break-glass request, because in the usual promotion form, no one would notice that it breaks
    glass.
    """
    if error.command_class is Promote:
        return not error.given.get("break_glass")
    if error.command_class in _REASON_PERMISSIONS:
        return "request" in error.given
    return (
        error.command_class in {MonitorAdd, Rollback} or query_modal(error.command_class, error.given, "") is not None
    )


def _open_form(interactions: SlackInteractions, target: ReplyTarget, error: MissingArguments) -> None:
    """Open the modal for the missing arguments, or raise the error if there isn't one."""
    if not _has_form(error):
        raise error
    if error.command_class is Promote:
        open_promotion_form(interactions, target, error.given)
    elif error.command_class is MonitorAdd:
        open_monitor_form(interactions, target, error.given)
    elif error.command_class is Rollback:
        open_rollback_form(interactions, target, error.given)
    elif view := query_modal(error.command_class, error.given, target.channel):
        interactions.open_modal_later(target, lambda: view)
    else:
        request_id = build_command(Approve, {"request": error.given["request"]}).request
        open_reason_form(interactions, target, request_id, _REASON_PERMISSIONS[error.command_class])


def open_promotion_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for a promotion."""
    _open_draft_form(interactions, target, arguments, lambda draft: modals.promote_modal(draft, arguments))


def open_monitor_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for adding a monitor, prefilled with what was typed. Flags that have no field are kept."""
    sources = interactions.registrar.monitors.sources()
    _open_draft_form(
        interactions,
        target,
        {"verb": MonitorAdd.verb} | arguments,
        lambda draft: monitor_modal(draft, arguments, sources),
    )


def open_rollback_form(
    interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str], serving: int | None = None
) -> None:
    """Open the form for a rollback; if a model was typed, the person must be able to roll it back.

    Raises BadInput, and Refused, including if `serving` isn't in Production.
    """
    if "model" in arguments:
        command = build_command(Rollback, arguments | {"reason": "-"})  # reports a typo now, before the form
        interactions.registrar.access_control.require_permission(
            interactions.caller(target), Permission.ROLL_BACK, model=command.model, origin="slack"
        )
        interactions.registrar.rollbacks.check_named_target(command)
        if serving is not None:
            interactions.registrar.rollbacks.require_in_production(command.model, serving)
    reopen_rollback_form(interactions, target, arguments)


def reopen_rollback_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for a rollback. Whether the rollback is allowed is checked when the form is submitted."""
    _open_draft_form(
        interactions, target, arguments | {"verb": Rollback.verb}, lambda draft: rollback_modal(draft, arguments)
    )


def _open_draft_form(
    interactions: SlackInteractions,
    target: ReplyTarget,
    arguments: dict[str, str],
    build_view: Callable[[str], dict[str, Any]],
) -> None:
    """Store what was typed as a draft after the acknowledgment, and open the form that carries the draft's ID."""

    def make() -> dict[str, Any]:
        queue = interactions.registrar.command_queue
        draft = queue.create_draft(interactions.caller(target), arguments, channel=target.channel)
        refresh_later(interactions, target.person, str(arguments.get("model", "")))
        return build_view(draft)

    interactions.open_modal_later(target, make)


def open_reason_form(
    interactions: SlackInteractions, target: ReplyTarget, request_id: str, permission: Permission
) -> None:
    """Open the form for a reason (reject, override, or review), if the person has the permission.

    Raises Refused and UnknownRequest.
    """
    caller = interactions.caller(target)
    request = interactions.registrar.request_decisions.require_allowed(caller, request_id, permission)
    interactions.open_modal_later(target, lambda: _REASON_MODALS[permission](request))


_REASON_PERMISSIONS: dict[type[Command], Permission] = {
    Reject: Permission.REJECT,
    Override: Permission.OVERRIDE,
    Review: Permission.REVIEW,
}
_REASON_MODALS = {
    Permission.REJECT: modals.reject_modal,
    Permission.OVERRIDE: modals.override_modal,
    Permission.REVIEW: modals.review_modal,
}
