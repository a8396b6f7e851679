"""Clicks. A button carries an id and nothing else; who pressed it is what Slack signed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from slack_bolt import Ack, App

from bot.domain.commands.parser import build, parse
from bot.domain.commands.queries import Compare, History, List, Show
from bot.domain.commands.requests import Approve
from bot.domain.core.errors import BadInput, RegistrarError, UnknownRequest
from bot.domain.policy.authorization import Act
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.model import VersionRef
from bot.domain.transitions import messages
from bot.domain.transitions.drift import Finding
from bot.slack.commands import help_text
from bot.slack.core.blocks import said
from bot.slack.promotions import modals, request_card
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import history as history_answer
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice
from handlers.errors import explain
from handlers.slack import home
from handlers.slack.commands import again, ask_for_promotion, ask_for_reason, do
from handlers.slack.interactions import Desk
from handlers.slack.replies import Place, of_interaction

COMPARED = 20  # of many new versions of one message, so many are compared


def register(app: App, desk: Desk) -> None:
    """Listen to the buttons of cards and menu."""
    for action, act in {
        request_card.APPROVE: _approve,
        request_card.REJECT: _reject,
        request_card.DETAILS: _details,
        help_text.MENU_ASK: _menu_ask,
        drift_notice.DETAILS: _finding_details,
        drift_notice.ASK_STAGING: _ask_staging,
        drift_notice.MEND: _mend,
        request_card.OVERRIDE: _override,
        request_card.WITHDRAW: _withdraw,
        request_card.AGAIN: _ask_again,
        request_card.REVIEW: _review,
        rollback_card.UNDO: _undo_rollback,
        registry_answers.ARCHIVE: _archive,
        registry_answers.KEEP: _keep,
        registry_answers.PAGE_BACK: _turn_page,
        registry_answers.PAGE_ON: _turn_page,
        history_answer.POST: _post_timeline,
    }.items():
        app.action(action)(_listener(desk, act))
    app.action(drift_notice.COMPARE)(_on_compare(desk))
    for action, text in _MENU.items():
        app.action(action)(_listener(desk, _types(text)))


_MENU = {
    help_text.MENU_REQUESTS: "requests",
    help_text.MENU_MODELS: "list",
    help_text.MENU_HELP: "help",
}


def _listener(desk: Desk, act: Callable[[Desk, Place, str], None]) -> Callable[..., None]:
    """Return a listener: what decides is committed, then the click is acknowledged, then the rest is done."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = of_interaction(body)
        try:
            act(desk, place, str(body["actions"][0].get("value", "")))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        if place.in_home:
            desk.after(place, lambda: home.publish(desk, place.person), desk.registrar.look)
        ack()

    return on_click


def _approve(desk: Desk, place: Place, value: str) -> None:
    desk.answer(place, desk.approve(place, _request_in(value)))


def _reject(desk: Desk, place: Place, value: str) -> None:
    ask_for_reason(desk, place, _request_in(value))


def _override(desk: Desk, place: Place, value: str) -> None:
    ask_for_reason(desk, place, _request_in(value), Act.OVERRIDE)


def _review(desk: Desk, place: Place, value: str) -> None:
    ask_for_reason(desk, place, _request_in(value), Act.REVIEW)


def _withdraw(desk: Desk, place: Place, value: str) -> None:
    desk.answer(place, desk.withdraw(place, _request_in(value)))


def _ask_again(desk: Desk, place: Place, value: str) -> None:
    """Ask anew for what a request asked for that is out of date; whoever presses is the requester then."""
    request, _ = desk.registrar.lookups.request(_request_in(value))
    desk.ask(place, again(request))


def _details(desk: Desk, place: Place, value: str) -> None:
    request_id = _request_in(value)
    desk.after(place, lambda: _open_details(desk, place, request_id))


def _open_details(desk: Desk, place: Place, request_id: str) -> None:
    desk.registrar.gatekeeper.admit(desk.caller(place), Act.READ, origin="slack")
    request, _ = desk.registrar.lookups.request(request_id)
    _show_card(desk, place, request.model, request.version)


def _show_card(desk: Desk, place: Place, model: str, version: int) -> None:
    """Open the modal at once, its trigger is short-lived, and fill it when the registry has answered."""
    view_id = desk.open_modal(place, modals.details())
    try:
        card = desk.registrar.lookups.card(model, VersionRef("number", str(version)))
        message = registry_answers.version_card(card, desk.web)
    except RegistrarError as error:
        message = said(explain(error))
    desk.client.views_update(view_id=view_id, view=modals.details(message))


def _finding_details(desk: Desk, place: Place, value: str) -> None:
    def task() -> None:
        desk.registrar.gatekeeper.admit(desk.caller(place), Act.READ, origin="slack")
        finding = _finding(desk, value)
        _show_card(desk, place, finding.model, finding.versions[0])

    desk.after(place, task)


def _on_compare(desk: Desk) -> Callable[..., None]:
    """Return the listener that compares a new version with Production, in the thread of the message that told of it."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = of_interaction(body)
        value = str(body["actions"][0].get("value", ""))
        message = body.get("message") or {}

        def compare() -> Comparison:
            finding = _finding(desk, value)
            versions = [str(number) for number in finding.versions[:COMPARED]]
            return desk.registrar.comparisons.compare(build(Compare, {"model": finding.model, "versions": versions}))

        try:
            desk.publish(place, compare, thread=message.get("thread_ts") or message.get("ts"))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        ack()

    return on_click


def _ask_staging(desk: Desk, place: Place, value: str) -> None:
    finding = _finding(desk, value)
    ask_for_promotion(desk, place, {"model": finding.model, "version": str(finding.versions[0]), "to": "staging"})


def _mend(desk: Desk, place: Place, value: str) -> None:
    desk.answer(place, desk.mend(place, _finding_id(value)))


def _undo_rollback(desk: Desk, place: Place, value: str) -> None:
    """Open the form that asks for the version again that was taken out; the rules decide, as for every promotion."""
    with desk.registrar.context.ledger.read() as reading:
        try:
            move = reading.move(value)
        except KeyError:
            raise UnknownRequest("This message is from another time; nothing was changed.") from None
    version = str(move.expected_incumbent)
    ask_for_promotion(desk, place, {"model": move.model, "version": version, "to": "production"})


def _archive(desk: Desk, place: Place, value: str) -> None:
    desk.confirm(place, _finding_id(value))


def _keep(desk: Desk, place: Place, value: str) -> None:
    desk.answer(place, messages.kept())


def _turn_page(desk: Desk, place: Place, value: str) -> None:
    """Do what the button says was typed, if it is a list and nothing else."""
    command = parse(value)
    if not isinstance(command, List | Show):
        raise BadInput("That button belongs to no list.")
    if message := do(desk, place, value):
        desk.answer(place, message)


def _post_timeline(desk: Desk, place: Place, value: str) -> None:
    """Post the timeline that the button says was asked for, if it is one and nothing else."""
    command = parse(value)
    if not isinstance(command, History):
        raise BadInput("That button belongs to no timeline.")
    desk.publish_timeline(place, lambda: desk.registrar.lookups.timeline(command))


def _finding(desk: Desk, value: str) -> Finding:
    with desk.registrar.context.ledger.read() as reading:
        return reading.finding(_finding_id(value))


def _finding_id(value: str) -> str:
    """Return the id that a button carries. Raises BadInput for a forged one."""
    if not re.fullmatch(r"[a-z0-9]{4,32}", value):
        raise BadInput("That button belongs to nothing that is known here.")
    return value


def _menu_ask(desk: Desk, place: Place, value: str) -> None:
    ask_for_promotion(desk, place, {})


def _types(text: str) -> Callable[[Desk, Place, str], None]:
    """Return what a menu button does: the same as typing the verb."""

    def act(desk: Desk, place: Place, value: str) -> None:
        if message := do(desk, place, text):
            desk.answer(place, message)

    return act


def _request_in(value: str) -> str:
    """Return the request id that a button carries. Raises BadInput for a forged one."""
    return build(Approve, {"request": value}).request
