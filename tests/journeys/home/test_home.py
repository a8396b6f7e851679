"""Home as an inbox, and the status of a model, as people use them in Slack."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus
from bot.services.core.outbox_messages import incident_message
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.app.harness import reply_to, type_and_read_reply
from tests.support.app.monitors import app, record_measurements, serving_since, watched
from tests.support.faults.consistency_checks import is_quiet
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

__all__ = ["app", "watched"]


def alert(app: RunningApp) -> Incident:
    """Open an incident about the Production version, and post its message."""
    record_measurements(app, 0.9, 0.61)
    now = datetime.now(UTC)
    incident = Incident(
        id="i4k7q",
        kind=IncidentKind.FAILED,
        model="churn",
        source="",
        version=3,
        move=serving_since(app),
        monitors=("accuracy",),
        opened_at=now,
        since=now,
        lines=(say("0.61 isn't greater than 0.85."),),
        doing=IncidentStatus.NOTIFIED,
    )
    with app.ledger.write() as tx:
        tx.add_incident(incident)
        tx.add_message(incident_message(incident, "opened", CHANNEL))
    app.registrar.outbox.deliver()
    wait_until(lambda: is_quiet(app.ledger))  # the bot's own thread may have delivered it
    return incident


def test_an_incident_without_an_owner_is_acknowledged_on_home(watched: RunningApp) -> None:
    alert(watched)
    card = watched.card(holds="churn v3: accuracy failed")
    watched.bob.opens_home()
    home = watched.bob.waits_for_home(lambda view: "Unacknowledged incidents" in message_text(view))
    assert f"p{card['ts'].replace('.', '')}|Open the alert>" in message_text(home)
    watched.bob.clicks(home, "Acknowledge")
    watched.bob.waits_for_home(lambda view: "Unacknowledged incidents" not in message_text(view))


def test_a_request_on_home_links_to_its_card_and_costs_one_call(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    app.answer(app.alice, "Requested `churn`")
    links = app.slack.calls("chat.getPermalink")
    app.bob.opens_home()
    home = app.bob.waits_for_home(lambda view: "Requested by <@U0ALICE>" in message_text(view))
    assert f"p{card['ts'].replace('.', '')}|Open the card>" in message_text(home)
    app.alice.opens_home()
    mine = app.alice.waits_for_home(lambda view: "Your requests" in message_text(view))
    assert "Waiting for <@U0BOB> or <@U0CAROL>." in message_text(mine)
    assert app.slack.calls("chat.getPermalink") == links
    assert len(app.slack.calls("views.publish")) == 2


def test_a_requester_cancels_their_request_on_home(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.card()
    app.alice.opens_home()
    mine = app.alice.waits_for_home(lambda view: "Your requests" in message_text(view))
    app.alice.clicks(mine, "Cancel")
    app.alice.waits_for_home(lambda view: "v4` in Production · canceled" in message_text(view))
    app.card(holds="churn v4 → Production: canceled")


def test_a_model_s_status_is_shown_while_the_registry_is_down(watched: RunningApp) -> None:
    assert isinstance(watched.registry, MemoryRegistry)
    watched.registry.is_down = True
    one = type_and_read_reply(watched.alice, "/model status churn")
    assert "Production: `v3` · first seen" in one
    assert "⚪ `accuracy`  not checked yet" in one
    every = reply_to(watched.alice, lambda: watched.alice.types(CHANNEL, "/model status"))
    assert "⚪ `churn`  `v3` · 1 monitor waiting" in every
