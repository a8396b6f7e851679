"""Clicks. A button carries only an id; who clicked it comes from Slack's signed payload."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.parser import build_command, parse_command
from bot.domain.commands.queries import Compare, ListModels, ShowHistory, ShowModel
from bot.domain.commands.requests import Approve
from bot.domain.core.errors import BadInput, RegistrarError, UnknownRequest
from bot.domain.policy.authorization import Permission
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.model import VersionRef
from bot.domain.transitions import messages
from bot.domain.transitions.drift import DriftNotice
from bot.slack.commands import help_text
from bot.slack.core.blocks import sentence_message
from bot.slack.promotions import modals, request_card
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import history as history_answer
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice
from handlers.errors import explain
from handlers.slack import home
from handlers.slack.commands import open_promotion_form, open_reason_form, repeat_command, run_typed
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget, target_of_interaction

MAX_COMPARED = 20  # of many new versions of one message, so many are compared


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen to the buttons of cards and menu."""
    for action, act in {
        request_card.APPROVE: _approve,
        request_card.REJECT: _reject,
        request_card.DETAILS: _show_details,
        help_text.MENU_PROMOTE: _open_promotion_form,
        drift_notice.DETAILS: _show_drift_details,
        drift_notice.REQUEST_STAGING: _request_staging,
        drift_notice.REPAIR_STAGE: _repair_stage,
        request_card.OVERRIDE: _override,
        request_card.WITHDRAW: _withdraw,
        request_card.REQUEST_AGAIN: _request_again,
        request_card.REVIEW: _review,
        rollback_card.UNDO_ROLLBACK: _undo_rollback,
        registry_answers.CONFIRM_ARCHIVE: _archive,
        registry_answers.CANCEL_ARCHIVE: _cancel_archive,
        registry_answers.PREVIOUS_PAGE: _show_page,
        registry_answers.NEXT_PAGE: _show_page,
        history_answer.POST_HERE: _post_timeline,
    }.items():
        app.action(action)(_listener(interactions, act))
    app.action(drift_notice.COMPARE)(_comparison_listener(interactions))
    for action, text in _MENU_COMMANDS.items():
        app.action(action)(_listener(interactions, _run_typed(text)))


_MENU_COMMANDS = {
    help_text.MENU_REQUESTS: "requests",
    help_text.MENU_MODELS: "list",
    help_text.MENU_HELP: "help",
}


def _listener(
    interactions: SlackInteractions, handle: Callable[[SlackInteractions, ReplyTarget, str], None]
) -> Callable[..., None]:
    """Return a listener: what decides is committed, then the click is acknowledged, then the rest is done."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        target = target_of_interaction(body)
        try:
            handle(interactions, target, str(body["actions"][0].get("value", "")))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            interactions.reply_later(target, explain(error))
        if target.is_home:
            interactions.defer(
                target, lambda: home.publish_home(interactions, target.person), interactions.registrar.submit_query
            )
        ack()

    return on_click


def _approve(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    interactions.reply_later(target, interactions.approve(target, _require_request_id(value)))


def _reject(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    open_reason_form(interactions, target, _require_request_id(value))


def _override(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    open_reason_form(interactions, target, _require_request_id(value), Permission.OVERRIDE)


def _review(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    open_reason_form(interactions, target, _require_request_id(value), Permission.REVIEW)


def _withdraw(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    interactions.reply_later(target, interactions.withdraw(target, _require_request_id(value)))


def _request_again(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Open an outdated request again; whoever clicks is its requester."""
    request, _ = interactions.registrar.request_queries.request_with_votes(_require_request_id(value))
    interactions.enqueue_command(target, repeat_command(request))


def _show_details(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    request_id = _require_request_id(value)
    interactions.defer(target, lambda: _open_details(interactions, target, request_id))


def _open_details(interactions: SlackInteractions, target: ReplyTarget, request_id: str) -> None:
    interactions.registrar.access_control.require_permission(
        interactions.caller(target), Permission.READ, origin="slack"
    )
    request, _ = interactions.registrar.request_queries.request_with_votes(request_id)
    _show_version(interactions, target, request.model, request.version)


def _show_version(interactions: SlackInteractions, target: ReplyTarget, model: str, version: int) -> None:
    """Open the modal at once, its trigger is short-lived, and fill it when the registry has answered."""
    view_id = interactions.open_modal(target, modals.details_modal())
    try:
        card = interactions.registrar.registry_queries.version_card(model, VersionRef("number", str(version)))
        message = registry_answers.version_answer(card, interactions.registrar.context.links)
    except RegistrarError as error:
        message = sentence_message(explain(error))
    interactions.client.views_update(view_id=view_id, view=modals.details_modal(message))


def _show_drift_details(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    def task() -> None:
        interactions.registrar.access_control.require_permission(
            interactions.caller(target), Permission.READ, origin="slack"
        )
        notice = _read_drift_notice(interactions, value)
        _show_version(interactions, target, notice.model, notice.versions[0])

    interactions.defer(target, task)


def _comparison_listener(interactions: SlackInteractions) -> Callable[..., None]:
    """Return the listener that compares a new version with Production, in the thread of its notice."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        target = target_of_interaction(body)
        value = str(body["actions"][0].get("value", ""))
        message = body.get("message") or {}

        def compare() -> Comparison:
            notice = _read_drift_notice(interactions, value)
            versions = [str(number) for number in notice.versions[:MAX_COMPARED]]
            return interactions.registrar.comparisons.compare(
                build_command(Compare, {"model": notice.model, "versions": versions})
            )

        try:
            interactions.publish_comparison(target, compare, thread=message.get("thread_ts") or message.get("ts"))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            interactions.reply_later(target, explain(error))
        ack()

    return on_click


def _request_staging(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    notice = _read_drift_notice(interactions, value)
    open_promotion_form(
        interactions, target, {"model": notice.model, "version": str(notice.versions[0]), "to": "staging"}
    )


def _repair_stage(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    interactions.reply_later(target, interactions.repair_stage(target, _require_id(value)))


def _undo_rollback(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Open the form that requests the version that was rolled back; the usual rules apply, as for every promotion."""
    with interactions.registrar.context.ledger.read() as reading:
        try:
            transition = reading.transition(value)
        except KeyError:
            raise UnknownRequest("This message is from another time; nothing was changed.") from None
    version = str(transition.expected_incumbent)
    open_promotion_form(interactions, target, {"model": transition.model, "version": version, "to": "production"})


def _archive(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    interactions.confirm_draft(target, _require_id(value))


def _cancel_archive(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    interactions.reply_later(target, messages.not_archived_confirmation())


def _show_page(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Run the command that the button carries, if it's one that lists something."""
    command = parse_command(value)
    if not isinstance(command, ListModels | ShowModel):
        raise BadInput("That button belongs to no list.")
    if message := run_typed(interactions, target, value):
        interactions.reply_later(target, message)


def _post_timeline(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Post the timeline for the command that the button carries, if it's one."""
    command = parse_command(value)
    if not isinstance(command, ShowHistory):
        raise BadInput("That button belongs to no timeline.")
    interactions.publish_timeline(target, lambda: interactions.registrar.history.timeline(command))


def _read_drift_notice(interactions: SlackInteractions, value: str) -> DriftNotice:
    with interactions.registrar.context.ledger.read() as reading:
        return reading.drift_notice(_require_id(value))


def _require_id(value: str) -> str:
    """Return the id that a button carries. Raises BadInput for a forged one."""
    if not re.fullmatch(r"[a-z0-9]{4,32}", value):
        raise BadInput("That button belongs to nothing that is known here.")
    return value


def _open_promotion_form(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    open_promotion_form(interactions, target, {})


def _run_typed(text: str) -> Callable[[SlackInteractions, ReplyTarget, str], None]:
    """Return the listener of a menu button, which does the same as typing the command."""

    def act(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
        if message := run_typed(interactions, target, text):
            interactions.reply_later(target, message)

    return act


def _require_request_id(value: str) -> str:
    """Return the request id that a button carries. Raises BadInput for a forged one."""
    return build_command(Approve, {"request": value}).request
