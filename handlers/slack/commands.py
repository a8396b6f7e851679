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
from bot.domain.commands.parser import build, find_verb, parse
from bot.domain.commands.queries import (
    Best,
    Compare,
    Help,
    History,
    List,
    Requests,
    Show,
    ShowAudit,
    ShowPolicy,
    Validate,
)
from bot.domain.commands.requests import Approve, Cancel, Override, Promote, Reject, Review, Withdraw
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import short
from bot.domain.policy.authorization import Act
from bot.domain.promotions.request import Request
from bot.domain.registry.messages import best_sentence
from bot.domain.registry.model import parse_version
from bot.slack.audit import answers
from bot.slack.commands import help_text
from bot.slack.core.blocks import Message, said
from bot.slack.core.mrkdwn import unescape
from bot.slack.delivery.publisher import timeline_picture
from bot.slack.policy import answers as policy_answers
from bot.slack.promotions import modals
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import modal
from bot.slack.rollbacks.history import timeline
from handlers.errors import explain
from handlers.slack import monitoring
from handlers.slack.interactions import Desk
from handlers.slack.replies import Pictured, Place, of_command

Answer = Message | None  # what the acknowledgement says at once; nothing where the answer follows


def register(app: App, desk: Desk) -> None:
    """Listen to the slash command."""

    def on_command(ack: Ack, body: dict[str, Any]) -> None:
        place = of_command(body)
        try:
            message = do(desk, place, unescape(str(body.get("text") or "")))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            message = said(explain(error))
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


def do(desk: Desk, place: Place, text: str) -> Answer:
    """Do what was typed. Whatever decides is committed when this returns; the rest follows the acknowledgement."""
    try:
        command = parse(text)
    except MissingArguments as error:
        _form(desk, place, error)
        return None
    if command is None:
        return help_text.menu()
    return _VERBS[type(command)](desk, place, command)


def _form(desk: Desk, place: Place, error: MissingArguments) -> None:
    """Open the modal that asks for what is missing, where there is one.

    An emergency has none: behind the form of an everyday promotion nobody would see that the glass is broken.
    """
    if error.verb is Promote and not error.given.get("break_glass"):
        ask_for_promotion(desk, place, error.given)
    elif error.verb is MonitorAdd:
        monitoring.ask_for_monitor(desk, place, error.given)
    elif error.verb is Rollback:
        ask_for_rollback(desk, place, error.given)
    elif error.verb in _ASKS_WHY and "request" in error.given:
        request_id = build(Approve, {"request": error.given["request"]}).request
        ask_for_reason(desk, place, request_id, _ASKS_WHY[error.verb])
    else:
        raise error


def again(request: Request) -> Promote:
    """Return the command that asks for the same once more."""
    results = request.seen.validation if request.seen else {}
    return build(
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


def ask_for_promotion(desk: Desk, place: Place, given: dict[str, str]) -> None:
    """Open the form for a promotion."""

    def make() -> dict[str, Any]:
        return modals.promote(desk.registrar.errands.draft(desk.caller(place), given, where=place.channel), given)

    desk.show_modal(place, make)


def ask_for_rollback(desk: Desk, place: Place, given: dict[str, str]) -> None:
    """Open the form for a rollback: for its reason, where the model was typed, by someone who can roll it back.

    Raises Refused and BadInput.
    """
    caller = desk.caller(place)
    if "model" in given:
        command = build(Rollback, given | {"reason": "-"})  # what was typed is understood, or told now
        desk.registrar.gatekeeper.admit(caller, Act.ROLL_BACK, model=command.model, origin="slack")
        desk.registrar.rollbacks.check(command)
    draft = given | {"verb": Rollback.verb}

    def make() -> dict[str, Any]:
        return modal.rollback(desk.registrar.errands.draft(caller, draft, where=place.channel), given)

    desk.show_modal(place, make)


def ask_for_reason(desk: Desk, place: Place, request_id: str, act: Act = Act.REJECT) -> None:
    """Open the form that asks why, if the person can do it: reject, override, or review.

    Raises Refused, UnknownRequest.
    """
    registrar, caller = desk.registrar, desk.caller(place)
    if act is Act.REVIEW:
        request = registrar.reviews.may(caller, request_id)
    else:
        request = registrar.requests.may(caller, request_id, act)
    desk.show_modal(place, lambda: _REASONS[act](request))


_ASKS_WHY: dict[type[Command], Act] = {Reject: Act.REJECT, Override: Act.OVERRIDE, Review: Act.REVIEW}
_REASONS = {Act.REJECT: modals.reject, Act.OVERRIDE: modals.override, Act.REVIEW: modals.review}


def _help(desk: Desk, place: Place, command: Help) -> Answer:
    if command.about == GROUP:
        return help_text.help_group(GROUP)
    return help_text.help_verb(find_verb(command.about)) if command.about else help_text.help_all()


def _list(desk: Desk, place: Place, command: List) -> Answer:
    lookups = desk.registrar.lookups

    def read() -> Message:
        return registry_answers.model_list(lookups.models(command.text), short(command.text, 250), command.page)

    desk.look_up(place, read)
    return None


def _show(desk: Desk, place: Place, command: Show) -> Answer:
    lookups, version = desk.registrar.lookups, command.version

    def read() -> Message:
        if version is None:
            return registry_answers.model_view(lookups.show(command.model), command.page)
        return registry_answers.version_card(lookups.card(command.model, version), desk.web)

    desk.look_up(place, read)
    return None


def _ask(desk: Desk, place: Place, command: Command) -> Answer:
    desk.ask(place, command)
    return None


def _archive(desk: Desk, place: Place, command: Archive) -> Answer:
    """Ask back first, about the version that it is now; the buttons carry the id of a draft."""
    registrar = desk.registrar

    def read() -> Message:
        caller = desk.caller(place)
        version = registrar.tending.archivable(caller, command, origin="slack")
        meant = command.model_copy(update={"version": parse_version(str(version.version))})
        draft = registrar.errands.draft(caller, meant.dump(), where=place.channel)
        return registry_answers.archive_question(draft, version.model, f"v{version.version}")

    desk.look_up(place, read)
    return None


def _compare(desk: Desk, place: Place, command: Compare) -> Answer:
    comparisons = desk.registrar.comparisons
    desk.publish(place, lambda: comparisons.compare(command))
    return None


def _best(desk: Desk, place: Place, command: Best) -> Answer:
    comparisons = desk.registrar.comparisons
    desk.look_up(place, lambda: said(best_sentence(comparisons.best(command))))
    return None


def _approve(desk: Desk, place: Place, command: Approve) -> Answer:
    return desk.approve(place, command.request)


def _reject(desk: Desk, place: Place, command: Reject) -> Answer:
    if not command.reason:
        raise BadInput("A rejection needs a reason: the requester gets to read it.")
    return said(desk.reject(place, command.request, command.reason))


def _withdraw(desk: Desk, place: Place, command: Withdraw) -> Answer:
    return said(desk.withdraw(place, command.request))


def _override(desk: Desk, place: Place, command: Override) -> Answer:
    if not command.reason:
        raise BadInput("Letting a gate pass needs a reason: the card shows it, and the audit keeps it.")
    return said(desk.override(place, command.request, command.reason))


def _review(desk: Desk, place: Place, command: Review) -> Answer:
    return said(desk.review(place, command.request, command.reason))


def _freeze(desk: Desk, place: Place, command: FreezeModel) -> Answer:
    return said(desk.freeze(place, command))


def _unfreeze(desk: Desk, place: Place, command: UnfreezeModel) -> Answer:
    return said(desk.unfreeze(place, command))


def _validate(desk: Desk, place: Place, command: Validate) -> Answer:
    lookups = desk.registrar.lookups
    desk.look_up(place, lambda: policy_answers.validation(command, *lookups.validate(command)))
    return None


def _policy(desk: Desk, place: Place, command: ShowPolicy) -> Answer:
    lookups = desk.registrar.lookups
    desk.look_up(place, lambda: policy_answers.policy(command.model, lookups.policy(command.model)))
    return None


def _audit(desk: Desk, place: Place, command: ShowAudit) -> Answer:
    lookups = desk.registrar.lookups
    desk.look_up(place, lambda: answers.audit(command, *lookups.audit(command)))
    return None


def _unblock(desk: Desk, place: Place, command: Unblock) -> Answer:
    desk.look_up(place, lambda: said(desk.unblock(place, command)))
    return None


def _cancel(desk: Desk, place: Place, command: Cancel) -> Answer:
    return said(desk.cancel(place, command.request, command.reason))


def _requests(desk: Desk, place: Place, command: Requests) -> Answer:
    lookups = desk.registrar.lookups
    desk.look_up(place, lambda: registry_answers.request_list(lookups.requests(command.model)))
    return None


def _history(desk: Desk, place: Place, command: History) -> Answer:
    lookups = desk.registrar.lookups

    def read() -> Message | Pictured:
        found = lookups.timeline(command)
        message = timeline(found, command.at_a_moment(found.now))
        return Pictured(message, partial(timeline_picture, found)) if found.drawn else message

    desk.look_up(place, read)
    return None


_VERBS: dict[type[Command], Callable[[Desk, Place, Any], Answer]] = {
    Help: _help,
    List: _list,
    Show: _show,
    Promote: _ask,
    Register: _ask,
    Describe: _ask,
    SetTags: _ask,
    Archive: _archive,
    Compare: _compare,
    Best: _best,
    Approve: _approve,
    Reject: _reject,
    Cancel: _cancel,
    Requests: _requests,
    History: _history,
    Withdraw: _withdraw,
    Override: _override,
    Review: _review,
    Validate: _validate,
    ShowPolicy: _policy,
    FreezeModel: _freeze,
    UnfreezeModel: _unfreeze,
    ShowAudit: _audit,
    **monitoring.VERBS,
    Rollback: _ask,
    Unblock: _unblock,
}
