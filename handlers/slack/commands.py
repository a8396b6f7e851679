"""Handle `/model …`: parse the text, answer the command, and open forms for missing arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.base import Command, MissingArguments
from bot.domain.commands.help import Help
from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.parser import build_command, parse_command
from bot.domain.commands.promotions import Approve, Override, Promote, Reject, Review
from bot.domain.commands.registry import Archive
from bot.domain.commands.rollbacks import Rollback
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import parse_version_ref
from bot.slack.commands import help_text
from bot.slack.core.blocks import Message, sentence_message, unescape
from bot.slack.monitoring.modal import monitor_modal
from bot.slack.promotions import modals
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks.rollback_card import rollback_modal
from handlers.errors import explain
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget, target_of_command


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen to the slash command."""

    def on_command(ack: Ack, body: dict[str, Any]) -> None:
        target = target_of_command(body)
        try:
            message = run_typed(interactions, target, unescape(str(body.get("text") or "")))
        except Exception as error:  # explained to the person; unforeseen ones get an ID to quote
            message = sentence_message(explain(error))
        if not message:
            ack()
            return
        ack(text=message.text, blocks=message.blocks, response_type="ephemeral", unfurl_links=False, unfurl_media=False)

    app.command("/model")(on_command)


def run_typed(interactions: SlackInteractions, target: ReplyTarget, text: str) -> Message | None:
    """Do what was typed. Return the answer, or None if it follows the acknowledgment.

    A decision is committed when this returns.
    """
    try:
        command = parse_command(text)
    except MissingArguments as error:
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
    """Ask for confirmation, naming the version that the reference resolves to now; the buttons carry a draft's ID."""
    registrar = interactions.registrar

    def ask() -> Message:
        caller = interactions.caller(target)
        version = registrar.edits.require_archivable(caller, command, origin="slack")
        exact = command.model_copy(update={"version": parse_version_ref(str(version.version))})
        draft = registrar.command_queue.create_draft(caller, exact.dump(), channel=target.channel)
        return registry_answers.archive_question(draft, version.model, f"v{version.version}")

    interactions.answer_later(target, ask)


# -- forms -------------------------------------------------------------------------------------------------------------


def _open_form(interactions: SlackInteractions, target: ReplyTarget, error: MissingArguments) -> None:
    """Open the modal for the missing arguments, if there's one.

    A break-glass request has no form: in the usual promotion form, no one would notice that it breaks glass.
    """
    if error.command_class is Promote and not error.given.get("break_glass"):
        open_promotion_form(interactions, target, error.given)
    elif error.command_class is MonitorAdd:
        open_monitor_form(interactions, target, error.given)
    elif error.command_class is Rollback:
        _open_rollback_form(interactions, target, error.given)
    elif error.command_class in _REASON_PERMISSIONS and "request" in error.given:
        request_id = build_command(Approve, {"request": error.given["request"]}).request
        open_reason_form(interactions, target, request_id, _REASON_PERMISSIONS[error.command_class])
    else:
        raise error


def open_promotion_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for a promotion."""
    _open_draft_form(interactions, target, arguments, lambda draft: modals.promote_modal(draft, arguments))


def open_monitor_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form that adds a monitor, prefilled with what was typed; flags without a field are kept."""
    sources = interactions.registrar.monitors.sources()
    _open_draft_form(
        interactions,
        target,
        {"verb": MonitorAdd.verb} | arguments,
        lambda draft: monitor_modal(draft, arguments, sources),
    )


def _open_rollback_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for a rollback, if the model was typed by someone who can roll it back.

    Raises Refused and BadInput.
    """
    if "model" in arguments:
        command = build_command(Rollback, arguments | {"reason": "-"})  # reports a typo now, before the form
        interactions.registrar.access_control.require_permission(
            interactions.caller(target), Permission.ROLL_BACK, model=command.model, origin="slack"
        )
        interactions.registrar.rollbacks.check_named_target(command)
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
        return build_view(queue.create_draft(interactions.caller(target), arguments, channel=target.channel))

    interactions.open_modal_later(target, make)


def open_reason_form(
    interactions: SlackInteractions, target: ReplyTarget, request_id: str, permission: Permission = Permission.REJECT
) -> None:
    """Open the form for a reason (reject, override, or review), if the person has the permission.

    Raises Refused, UnknownRequest.
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
