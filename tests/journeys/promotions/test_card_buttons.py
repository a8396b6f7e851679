"""The buttons of a request's card, over the wire: Cancel, Details, Roll back, and History."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.app.harness import JSON, reply_to, type_and_read_reply
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until


@pytest.fixture
def served(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot with `churn`: v3 was in Production when it started, and v4 isn't in any stage."""
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    with running_app(slack, tmp_path, registry) as app:
        app.registrar.poll_registry()
        yield app


def promoted(app: RunningApp) -> JSON:
    """Promote v4, and return the card of its request."""
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.bob.clicks(app.card(), "Approve")
    return app.card(holds="is in Production")


def test_only_the_requester_can_cancel_on_the_card(app: RunningApp) -> None:
    type_and_read_reply(app.alice, "/model promote churn 4 production")  # otherwise, it could come after the click
    card = app.card()
    refusal = reply_to(app.bob, lambda: app.bob.clicks(card, "Cancel my request"))
    assert "Only the requester or an admin can cancel a request. Approvers can reject it." in refusal
    assert "Approve" in message_text(app.card())
    assert "Canceled" in reply_to(app.alice, lambda: app.alice.clicks(card, "Cancel my request"))
    assert "Approve" not in message_text(app.card(holds="canceled"))


def test_details_show_the_request_its_history_and_the_version(served: RunningApp) -> None:
    served.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
    served.bob.clicks(served.card(), "Details")
    shown = message_text(served.bob.waits_for_modal(lambda view: "filled" in message_text(view)))
    for part in ("better f1", "/model approve", "Production of `churn`", "serving now", "Missing:"):
        assert part in shown


def test_details_show_what_the_ledger_knows_while_the_registry_is_down(served: RunningApp) -> None:
    card = promoted(served)
    served.registry.is_down = True  # type: ignore[attr-defined]  # the in-memory registry has this attribute
    served.bob.clicks(card, "Details")
    shown = message_text(served.bob.waits_for_modal(lambda view: "Loading" not in message_text(view)))
    for part in ("<@U0BOB> approved", "Production of `churn`", "isn't responding"):
        assert part in shown


def test_a_version_is_rolled_back_from_its_card_while_it_is_in_production(served: RunningApp) -> None:
    card = promoted(served)
    served.bob.clicks(card, "Roll back…")
    served.bob.waits_for_modal(lambda view: "Rolls back Production immediately" in message_text(view))
    assert served.bob.submits({"reason": "accuracy fell"}) is None
    wait_until(lambda: "registrar:version:rolled_back" in served.audit())  # the registry changes before the ledger
    assert served.production() == [3]
    served.bob.clicks(card, "Roll back…")
    assert served.answer(served.bob, "`v4` of `churn` isn't in Production anymore, so nothing changed.")


def test_the_history_is_shown_to_the_person_who_clicks(served: RunningApp) -> None:
    card = promoted(served)
    assert "serving now" in reply_to(served.alice, lambda: served.alice.clicks(card, "History"))
