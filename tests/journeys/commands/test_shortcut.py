"""The shortcut that requests a promotion of the version in a message."""

from __future__ import annotations

from typing import Any

from tests.support.app.app_fixture import CHANNEL, RunningApp
from tests.support.registry.memory import MemoryRegistry


def values(form: dict[str, Any]) -> dict[str, str]:
    """Return the form's fields with their initial values; an empty menu has an empty one."""
    inputs = {block["block_id"]: block["element"] for block in form["blocks"] if "element" in block}
    return {
        name: one.get("initial_value") or one.get("initial_option", {}).get("value", "") for name, one in inputs.items()
    }


def test_on_an_announcement_the_form_has_the_model_and_the_version(app: RunningApp) -> None:
    assert isinstance(app.registry, MemoryRegistry)
    app.registrar.poll_registry()
    app.registry.add_version("churn")
    app.registrar.poll_registry()
    app.registrar.outbox.deliver()
    announcement = app.alice.waits_for(CHANNEL, lambda message: "New version" in message["text"])
    app.alice.uses("Request promotion…", announcement)
    form = values(app.alice.waits_for_modal())
    assert (form["model"], form["version"]) == ("churn", "5")


def test_on_another_message_the_form_is_empty(app: RunningApp) -> None:
    note = app.bob.types(CHANNEL, "churn v4 looks good").message
    assert note is not None
    app.alice.uses("request_promotion", note)
    form = values(app.alice.waits_for_modal())
    assert (form["model"], form["version"]) == ("", "")
