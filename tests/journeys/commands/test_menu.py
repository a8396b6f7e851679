"""The menu and the forms that it opens."""

from __future__ import annotations

from typing import Any

from tests.support.app.app_fixture import CHANNEL, RunningApp


def menu(app: RunningApp) -> dict[str, Any]:
    message = app.alice.types(CHANNEL, "/model").message
    assert message is not None
    return message


def test_the_menu_opens_a_form_that_compares(app: RunningApp) -> None:
    app.alice.clicks(menu(app), "Compare…")
    app.alice.waits_for_modal()
    assert app.alice.submits({"Model": "churn", "Versions": "4, 3"}) is None
    assert app.alice.waits_for(CHANNEL, lambda message: "The runs of these versions have no metrics" in str(message))


def test_the_menu_opens_a_form_that_shows_the_history(app: RunningApp) -> None:
    app.alice.clicks(menu(app), "History…")
    app.alice.waits_for_modal()
    assert app.alice.submits({"Model": "churn"}) is None
    assert app.alice.waits_for(CHANNEL, lambda message: "churn" in str(message.get("blocks")))


def test_a_form_of_a_query_shows_errors_under_their_fields(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model compare --metrics f1")
    assert "f1" in str(app.alice.waits_for_modal()["blocks"])
    errors = app.alice.submits({"Model": "churn", "Versions": "nonsense!"})
    assert errors is not None
    assert list(errors) == ["versions"]


def test_a_query_that_is_typed_without_its_model_keeps_what_was_typed(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model best --metric f1")
    assert "f1" in str(app.alice.waits_for_modal()["blocks"])
    outcome = app.alice.types(CHANNEL, "/model best --lowest")
    assert "Missing MODEL and METRIC" in str(outcome.message)


def test_the_menu_lists_monitors_and_opens_the_rollback_form(app: RunningApp) -> None:
    shown = menu(app)
    app.alice.clicks(shown, "Monitors")
    assert app.answer(app.alice, "monitor")
    app.alice.clicks(shown, "Roll back…")
    assert app.alice.waits_for_modal()["title"]["text"] == "Roll back"
