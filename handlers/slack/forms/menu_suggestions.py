"""Suggest models, versions, and metrics while someone types in a form.

Slack doesn't say which model is chosen in the same form (java-slack-sdk#1292), so the choice is stored in the draft.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from slack_bolt import Ack, App

from bot.domain.core.actors import Person
from bot.domain.policy.authorization import Permission
from bot.domain.registry.menu_options import Choice
from bot.domain.registry.model import Stage, check_model_name
from bot.services.registry.suggestions import Suggestions
from bot.slack.core import modal_inputs
from handlers.errors import explain
from handlers.slack.deferred import after_acknowledgement
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import target_of_interaction

# Gets the model that was chosen, the stage that was typed, and the text typed so far; None offers the models.
Offer = Callable[[Suggestions, str, Stage, str], list[Choice]] | None


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for typing in the forms' menus, and for the choice of a model."""
    for action, offer in _OFFERS.items():
        app.options(action)(_typing_listener(interactions, offer))
    app.action(modal_inputs.SUGGEST_MODEL)(_model_listener(interactions))


def refresh_later(interactions: SlackInteractions, person: Person, model: str) -> None:
    """Read the model from the registry after the acknowledgment, for the person's next suggestions."""
    registrar = interactions.registrar
    if model:
        after_acknowledgement(
            lambda: registrar.submit_query(partial(registrar.suggestions.refresh, model), person.user)
        )


def _typing_listener(interactions: SlackInteractions, offer: Offer) -> Callable[..., None]:
    """Return the listener for typing in a menu."""

    def on_typing(ack: Ack, body: dict[str, Any]) -> None:
        options: list[dict[str, Any]] = []
        try:
            options = [modal_inputs.choice_option(choice).to_dict() for choice in _offered(interactions, offer, body)]
        except Exception as error:  # there's no place for a message; unforeseen errors are logged
            explain(error)
        ack(options=options)

    return on_typing


def _offered(interactions: SlackInteractions, offer: Offer, body: dict[str, Any]) -> list[Choice]:
    """Return the options for a menu. Only the person who opened the form gets those that depend on a model."""
    registrar, typed = interactions.registrar, str(body["value"])
    caller = interactions.caller(target_of_interaction(body))
    if not registrar.access_control.allows(caller, Permission.READ):
        return []
    if offer is None:
        return registrar.suggestions.models(typed)
    draft = registrar.command_queue.get_own_draft(caller, _draft_id(body))
    model, to = str(draft.command.get("model") or ""), str(draft.command.get("to") or "")
    refresh_later(interactions, caller.person, model)
    return offer(registrar.suggestions, model, Stage.STAGING if to.lower() == "staging" else Stage.PRODUCTION, typed)


def _model_listener(interactions: SlackInteractions) -> Callable[..., None]:
    """Return the listener that stores the chosen model in the form's draft, where the other menus find it."""

    def on_choice(ack: Ack, body: dict[str, Any]) -> None:
        try:
            model = check_model_name(str((body["actions"][0].get("selected_option") or {}).get("value") or ""))
            caller = interactions.caller(target_of_interaction(body))
            queue = interactions.registrar.command_queue
            before = queue.get_own_draft(caller, _draft_id(body)).command
            arguments = {"model": model}
            if before.get("validation"):  # these results are about the model that was typed with them
                arguments["validated_model"] = str(before.get("validated_model") or before.get("model") or "")
            queue.update_draft(caller, _draft_id(body), arguments)
            refresh_later(interactions, caller.person, model)
        except Exception as error:  # submitting the form says what's wrong; unforeseen errors are logged
            explain(error)
        ack()

    return on_choice


def _draft_id(body: dict[str, Any]) -> str:
    return str((body.get("view") or {}).get("private_metadata") or "")


_OFFERS: dict[str, Offer] = {
    modal_inputs.SUGGEST_MODEL: None,
    modal_inputs.SUGGEST_VERSION: lambda suggestions, model, stage, typed: suggestions.versions(model, typed, stage),
    modal_inputs.SUGGEST_ROLLBACK_TARGET: lambda suggestions, model, _, typed: suggestions.rollback_targets(
        model, typed
    ),
    modal_inputs.SUGGEST_METRIC: lambda suggestions, model, _, typed: suggestions.metrics(model, typed),
}
