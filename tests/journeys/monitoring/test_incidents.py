"""Incidents handled by people in Slack: acknowledged, silenced, and answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.domain.core.sentence import say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus
from bot.domain.registry.model import Stage
from bot.services.core.outbox_messages import card_chart_message, chart_message, incident_message
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.app.harness import reply_to
from tests.support.app.monitors import find_monitor, record_measurements, serving_since
from tests.support.faults.consistency_checks import is_quiet
from tests.support.waiting import wait_until

# -- typed -------------------------------------------------------------------------------------------------------------


def picture_in(message: dict[str, Any]) -> dict[str, Any] | None:
    return next((block for block in message["blocks"] if block["type"] == "image"), None)


# -- incidents ---------------------------------------------------------------------------------------------------------


def alert(app: RunningApp, doing: IncidentStatus = IncidentStatus.NOTIFIED, **changes: Any) -> dict[str, Any]:
    """Open an incident about the Production version, and return its message once it's complete."""
    monitor, now = find_monitor(app), datetime.now(UTC)
    line = incident_messages.monitor_line(monitor, say("0.61 isn't greater than 0.85."))
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
        lines=(line,),
        doing=doing,
        target=1,
    )
    with app.ledger.write() as tx:
        tx.add_incident(replace(incident, **changes))
        tx.add_message(incident_message(incident, "opened", CHANNEL))
        tx.add_message(chart_message(incident))
    app.registrar.outbox.deliver()
    wait_until(lambda: is_quiet(app.ledger))  # the bot's own thread may have delivered some messages
    return app.card(holds="churn v3")


def test_an_alert_has_its_chart_in_its_thread(watched: RunningApp) -> None:
    record_measurements(watched, 0.9, 0.61)
    card = alert(watched)
    assert "🔴 churn v3: accuracy failed" in message_text(card)
    [file] = watched.alice.thread(card)[1]["files"]
    assert file["name"].startswith("churn-accuracy-")


def test_an_alert_s_message_gets_the_chart_once_slack_shows_it(watched: RunningApp) -> None:
    record_measurements(watched, 0.9, 0.61)
    card = alert(watched)
    [file] = watched.alice.thread(card)[1]["files"]
    with watched.ledger.write() as tx:
        tx.add_message(card_chart_message(tx.incident("i4k7q")))
    picture = picture_in(watched.card(holds="slack_file"))
    assert picture is not None
    assert picture["slack_file"]["id"] == file["id"]


def test_if_slack_rejects_the_chart_an_admin_is_notified_and_the_thread_continues(watched: RunningApp) -> None:
    record_measurements(watched, 0.9, 0.61)
    watched.slack.fail("files.getUploadURLExternal", "missing_scope")
    card = alert(watched)
    dave = watched.slack.person("dave")
    assert "missing scopes that I need: `files:write`" in message_text(dave.waits_for_direct_message())
    watched.alice.clicks(card, "Acknowledge")
    watched.slack.wait_for(lambda: len(watched.alice.thread(card)) == 2)


def test_an_acknowledgment_is_visible_to_everyone(watched: RunningApp) -> None:
    card = alert(watched)
    assert "Acknowledged. The channel can see this" in reply_to(
        watched.alice, lambda: watched.alice.clicks(card, "Acknowledge")
    )
    watched.card(holds="Acknowledged by <@U0ALICE>")
    watched.slack.wait_for(lambda: "No more reminders" in message_text(watched.bob.thread(card)[-1]))


def test_an_incident_is_reviewed_with_a_command(watched: RunningApp) -> None:
    alert(watched)
    said = reply_to(watched.alice, lambda: watched.alice.types(CHANNEL, "/model monitor review i4k7q"))
    assert "*Incident review: `churn` `v3`*" in said
    assert "Alert posted." in said


def test_only_permitted_people_silence_an_alert(watched: RunningApp) -> None:
    card = alert(watched)
    refusal = reply_to(watched.alice, lambda: watched.alice.clicks(card, "Silence 2 h"))
    assert "Only people who can roll back" in refusal
    assert "until" in reply_to(watched.bob, lambda: watched.bob.clicks(card, "Silence 2 h"))
    watched.card(holds="🔕 until")
    assert find_monitor(watched).is_silenced(datetime.now(UTC))


def test_details_are_shown_only_to_the_person_who_clicks(watched: RunningApp) -> None:
    card = alert(watched)
    assert "Fails when `accuracy`" in reply_to(watched.alice, lambda: watched.alice.clicks(card, "Details"))


def test_a_rollback_button_checks_permissions_and_rules_at_the_click(watched: RunningApp) -> None:
    card = alert(watched, IncidentStatus.AWAITING_HUMAN)
    assert "Only people who can roll back" in reply_to(
        watched.alice, lambda: watched.alice.clicks(card, "Roll back to v1")
    )
    watched.registry.transition_stage("churn", 4, Stage.PRODUCTION, archive_existing=True)
    watched.registrar.poll_registry()
    told = reply_to(watched.bob, lambda: watched.bob.clicks(card, "Roll back to v1"))
    assert "Production has changed since" in told
    assert watched.production() == [4]


def test_undo_opens_the_form_for_the_rolled_back_version(watched: RunningApp) -> None:
    card = alert(watched, IncidentStatus.ROLLED_BACK)
    watched.alice.clicks(card, "Request v3 again…")
    modal = watched.alice.waits_for_modal()
    chosen = {
        block["block_id"]: block["element"].get("initial_option") for block in modal["blocks"] if "element" in block
    }
    assert (chosen["model"]["value"], chosen["version"]["value"]) == ("churn", "3")
