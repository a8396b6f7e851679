"""Clicks. A button carries an id and nothing else; who pressed it is what Slack signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_bolt import Ack, App

from bot.domain.authority import Act
from bot.domain.commands import Approve, build
from bot.domain.errors import RegistrarError
from bot.domain.registry import VersionRef
from bot.slack import cards, modals
from handlers.errors import explain
from handlers.slack.commands import ask_for_promotion, ask_for_reason, do
from handlers.slack.desk import Desk
from handlers.slack.place import Place, of_interaction


def register(app: App, desk: Desk) -> None:
    """Listen to the buttons of cards and menu."""
    for action, act in {
        cards.APPROVE: _approve, cards.REJECT: _reject, cards.DETAILS: _details, cards.MENU_ASK: _menu_ask,
    }.items():  # fmt: skip
        app.action(action)(_listener(desk, act))
    for action, text in _MENU.items():
        app.action(action)(_listener(desk, _types(text)))


_MENU = {cards.MENU_REQUESTS: "requests", cards.MENU_MODELS: "list", cards.MENU_HELP: "help"}


def _listener(desk: Desk, act: Callable[[Desk, Place, str], None]) -> Callable[..., None]:
    """Return a listener: what decides is committed, then the click is acknowledged, then the rest is done."""

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = of_interaction(body)
        try:
            act(desk, place, str(body["actions"][0].get("value", "")))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        ack()

    return on_click


def _approve(desk: Desk, place: Place, value: str) -> None:
    desk.answer(place, desk.approve(place, _request_in(value)))


def _reject(desk: Desk, place: Place, value: str) -> None:
    ask_for_reason(desk, place, _request_in(value))


def _details(desk: Desk, place: Place, value: str) -> None:
    request_id = _request_in(value)
    desk.after(place, lambda: _open_details(desk, place, request_id))


def _open_details(desk: Desk, place: Place, request_id: str) -> None:
    """Open the modal at once, its trigger is short-lived, and fill it when the registry has answered."""
    desk.registrar.gatekeeper.admit(desk.caller(place), Act.READ, origin="slack")
    request, _ = desk.registrar.lookups.request(request_id)
    view_id = desk.open_modal(place, modals.details())
    try:
        version = desk.registrar.lookups.version(request.model, VersionRef("number", str(request.version)))
        message = cards.version_view(version)
    except RegistrarError as error:
        message = cards.said(explain(error))
    desk.client.views_update(view_id=view_id, view=modals.details(message))


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
