"""`/model …`: text to command, command to service, service's answer to blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.base import Command, MissingArguments
from bot.domain.commands.changes import (
    Archive,
    Describe,
    FreezeModel,
    Register,
    Rollback,
    SetTags,
    Unblock,
    UnfreezeModel,
)
from bot.domain.commands.monitoring import GROUP, MonitorAdd
from bot.domain.commands.parser import build_command, find_command, parse_command
from bot.domain.commands.queries import (
    Compare,
    FindBest,
    Help,
    ListModels,
    ListRequests,
    ShowAudit,
    ShowHistory,
    ShowModel,
    ShowPolicy,
    Validate,
)
from bot.domain.commands.requests import Approve, Cancel, Override, Promote, Reject, Review, Withdraw
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import truncate
from bot.domain.policy.authorization import Permission
from bot.domain.promotions.request import Request
from bot.domain.registry.messages import describe_best_version
from bot.domain.registry.model import parse_version_ref
from bot.slack.audit import answers
from bot.slack.commands import help_text
from bot.slack.core.blocks import Message, sentence_message
from bot.slack.core.mrkdwn import unescape
from bot.slack.delivery.publisher import timeline_chart_file
from bot.slack.policy import answers as policy_answers
from bot.slack.promotions import modals
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import modal
from bot.slack.rollbacks.history import timeline_message
from handlers.errors import explain
from handlers.slack import monitoring
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import AnswerWithChart, ReplyTarget, target_of_command

Acknowledgement = Message | None  # the immediate acknowledgement; empty if the answer follows


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen to the slash command."""

    def on_command(ack: Ack, body: dict[str, Any]) -> None:
        target = target_of_command(body)
        try:
            message = run_typed(interactions, target, unescape(str(body.get("text") or "")))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            message = sentence_message(explain(error))
        if message:
            ack(
                text=message.text,
                blocks=message.blocks,
                response_type="ephemeral",
                unfurl_links=False,
                unfurl_media=False,
            )
        else:
            ack()

    app.command("/model")(on_command)


def run_typed(interactions: SlackInteractions, target: ReplyTarget, text: str) -> Acknowledgement:
    """Do what was typed. Whatever decides is committed when this returns; the rest follows the acknowledgement."""
    try:
        command = parse_command(text)
    except MissingArguments as error:
        _open_form(interactions, target, error)
        return None
    if command is None:
        return help_text.menu()
    return _COMMAND_HANDLERS[type(command)](interactions, target, command)


def _open_form(interactions: SlackInteractions, target: ReplyTarget, error: MissingArguments) -> None:
    """Open the modal for the missing arguments, if there's one.

    A break-glass request has none: in the form of an everyday promotion, no one would notice that it breaks the glass.
    """
    if error.command_class is Promote and not error.given.get("break_glass"):
        open_promotion_form(interactions, target, error.given)
    elif error.command_class is MonitorAdd:
        monitoring.open_monitor_form(interactions, target, error.given)
    elif error.command_class is Rollback:
        open_rollback_form(interactions, target, error.given)
    elif error.command_class in _REASON_PERMISSIONS and "request" in error.given:
        request_id = build_command(Approve, {"request": error.given["request"]}).request
        open_reason_form(interactions, target, request_id, _REASON_PERMISSIONS[error.command_class])
    else:
        raise error


def repeat_command(request: Request) -> Promote:
    """Return the command that opens the same request again."""
    results = request.seen.validation if request.seen else {}
    return build_command(
        Promote,
        {
            "model": request.model,
            "version": str(request.version),
            "to": request.target,
            "reason": request.reason,
            "keep_existing": request.keep_existing,
            "validation": [f"{name}={value}" for name, value in results.items()],
        },
    )


def open_promotion_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for a promotion."""

    def make() -> dict[str, Any]:
        return modals.promote_modal(
            interactions.registrar.command_queue.create_draft(
                interactions.caller(target), arguments, channel=target.channel
            ),
            arguments,
        )

    interactions.open_modal_later(target, make)


def open_rollback_form(interactions: SlackInteractions, target: ReplyTarget, arguments: dict[str, str]) -> None:
    """Open the form for a rollback, if the model was typed by someone who can roll it back.

    Raises Refused and BadInput.
    """
    caller = interactions.caller(target)
    if "model" in arguments:
        command = build_command(Rollback, arguments | {"reason": "-"})  # reports a typing mistake now, before the form
        interactions.registrar.access_control.require_permission(
            caller, Permission.ROLL_BACK, model=command.model, origin="slack"
        )
        interactions.registrar.rollbacks.check_named_target(command)
    draft = arguments | {"verb": Rollback.verb}

    def make() -> dict[str, Any]:
        return modal.rollback_modal(
            interactions.registrar.command_queue.create_draft(caller, draft, channel=target.channel), arguments
        )

    interactions.open_modal_later(target, make)


def open_reason_form(
    interactions: SlackInteractions, target: ReplyTarget, request_id: str, permission: Permission = Permission.REJECT
) -> None:
    """Open the form for a reason (reject, override, or review), if the person has the permission.

    Raises Refused, UnknownRequest.
    """
    registrar, caller = interactions.registrar, interactions.caller(target)
    if permission is Permission.REVIEW:
        request = registrar.reviews.require_allowed(caller, request_id)
    else:
        request = registrar.requests.require_allowed(caller, request_id, permission)
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


def _help(interactions: SlackInteractions, target: ReplyTarget, command: Help) -> Acknowledgement:
    if command.about == GROUP:
        return help_text.group_help(GROUP)
    return help_text.command_help(find_command(command.about)) if command.about else help_text.help_overview()


def _list(interactions: SlackInteractions, target: ReplyTarget, command: ListModels) -> Acknowledgement:
    queries = interactions.registrar.registry_queries

    def read() -> Message:
        return registry_answers.model_list(queries.models(command.text), truncate(command.text, 250), command.page)

    interactions.run_query(target, read)
    return None


def _show(interactions: SlackInteractions, target: ReplyTarget, command: ShowModel) -> Acknowledgement:
    queries, version = interactions.registrar.registry_queries, command.version

    def read() -> Message:
        if version is None:
            return registry_answers.model_answer(queries.model_view(command.model), command.page)
        links = interactions.registrar.context.links
        return registry_answers.version_answer(queries.version_card(command.model, version), links)

    interactions.run_query(target, read)
    return None


def _enqueue(interactions: SlackInteractions, target: ReplyTarget, command: Command) -> Acknowledgement:
    interactions.enqueue_command(target, command)
    return None


def _archive(interactions: SlackInteractions, target: ReplyTarget, command: Archive) -> Acknowledgement:
    """Ask for confirmation first, naming the version that's meant now; the buttons carry a draft's id."""
    registrar = interactions.registrar

    def read() -> Message:
        caller = interactions.caller(target)
        version = registrar.edits.require_archivable(caller, command, origin="slack")
        exact = command.model_copy(update={"version": parse_version_ref(str(version.version))})
        draft = registrar.command_queue.create_draft(caller, exact.dump(), channel=target.channel)
        return registry_answers.archive_question(draft, version.model, f"v{version.version}")

    interactions.run_query(target, read)
    return None


def _compare(interactions: SlackInteractions, target: ReplyTarget, command: Compare) -> Acknowledgement:
    comparisons = interactions.registrar.comparisons
    interactions.publish_comparison(target, lambda: comparisons.compare(command))
    return None


def _best(interactions: SlackInteractions, target: ReplyTarget, command: FindBest) -> Acknowledgement:
    comparisons = interactions.registrar.comparisons
    interactions.run_query(target, lambda: sentence_message(describe_best_version(comparisons.best(command))))
    return None


def _approve(interactions: SlackInteractions, target: ReplyTarget, command: Approve) -> Acknowledgement:
    return interactions.approve(target, command.request)


def _reject(interactions: SlackInteractions, target: ReplyTarget, command: Reject) -> Acknowledgement:
    if not command.reason:
        raise BadInput("A rejection needs a reason: the requester gets to read it.")
    return sentence_message(interactions.reject(target, command.request, command.reason))


def _withdraw(interactions: SlackInteractions, target: ReplyTarget, command: Withdraw) -> Acknowledgement:
    return sentence_message(interactions.withdraw(target, command.request))


def _override(interactions: SlackInteractions, target: ReplyTarget, command: Override) -> Acknowledgement:
    if not command.reason:
        raise BadInput("Letting a gate pass needs a reason: the card shows it, and the audit keeps it.")
    return sentence_message(interactions.override(target, command.request, command.reason))


def _review(interactions: SlackInteractions, target: ReplyTarget, command: Review) -> Acknowledgement:
    return sentence_message(interactions.review(target, command.request, command.reason))


def _freeze(interactions: SlackInteractions, target: ReplyTarget, command: FreezeModel) -> Acknowledgement:
    return sentence_message(interactions.freeze(target, command))


def _unfreeze(interactions: SlackInteractions, target: ReplyTarget, command: UnfreezeModel) -> Acknowledgement:
    return sentence_message(interactions.unfreeze(target, command))


def _validate(interactions: SlackInteractions, target: ReplyTarget, command: Validate) -> Acknowledgement:
    gate_checks = interactions.registrar.gate_checks
    interactions.run_query(
        target, lambda: policy_answers.validation_answer(command, *gate_checks.validate_gates(command))
    )
    return None


def _policy(interactions: SlackInteractions, target: ReplyTarget, command: ShowPolicy) -> Acknowledgement:
    queries = interactions.registrar.policy_queries
    interactions.run_query(
        target, lambda: policy_answers.policy_answer(command.model, queries.policy_summary(command.model))
    )
    return None


def _audit(interactions: SlackInteractions, target: ReplyTarget, command: ShowAudit) -> Acknowledgement:
    queries = interactions.registrar.audit_queries
    interactions.run_query(target, lambda: answers.audit_answer(command, *queries.audit_page(command)))
    return None


def _unblock(interactions: SlackInteractions, target: ReplyTarget, command: Unblock) -> Acknowledgement:
    interactions.run_query(target, lambda: sentence_message(interactions.unblock(target, command)))
    return None


def _cancel(interactions: SlackInteractions, target: ReplyTarget, command: Cancel) -> Acknowledgement:
    return sentence_message(interactions.cancel(target, command.request, command.reason))


def _requests(interactions: SlackInteractions, target: ReplyTarget, command: ListRequests) -> Acknowledgement:
    queries = interactions.registrar.request_queries
    interactions.run_query(target, lambda: registry_answers.request_list(queries.open_requests(command.model)))
    return None


def _history(interactions: SlackInteractions, target: ReplyTarget, command: ShowHistory) -> Acknowledgement:
    history = interactions.registrar.history

    def read() -> Message | AnswerWithChart:
        timeline = history.timeline(command)
        message = timeline_message(timeline, command.with_absolute_time(timeline.now))
        return AnswerWithChart(message, partial(timeline_chart_file, timeline)) if timeline.chart_periods else message

    interactions.run_query(target, read)
    return None


_COMMAND_HANDLERS: dict[type[Command], Callable[[SlackInteractions, ReplyTarget, Any], Acknowledgement]] = {
    Help: _help,
    ListModels: _list,
    ShowModel: _show,
    Promote: _enqueue,
    Register: _enqueue,
    Describe: _enqueue,
    SetTags: _enqueue,
    Archive: _archive,
    Compare: _compare,
    FindBest: _best,
    Approve: _approve,
    Reject: _reject,
    Cancel: _cancel,
    ListRequests: _requests,
    ShowHistory: _history,
    Withdraw: _withdraw,
    Override: _override,
    Review: _review,
    Validate: _validate,
    ShowPolicy: _policy,
    FreezeModel: _freeze,
    UnfreezeModel: _unfreeze,
    ShowAudit: _audit,
    **monitoring.COMMAND_HANDLERS,
    Rollback: _enqueue,
    Unblock: _unblock,
}
