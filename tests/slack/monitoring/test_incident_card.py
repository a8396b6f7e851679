"""An incident's message: its text and its buttons.

tests/slack/delivery/test_message_limits.py checks that every message is within Slack's limits and pings no one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.core.sentence import say
from bot.domain.monitoring import file_incident_messages, incident_messages
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.slack.core.blocks import Message, format_time
from bot.slack.monitoring import incident_card
from bot.slack.monitoring.answers import incident_details
from bot.slack.monitoring.incident_card import ACKNOWLEDGE, DETAILS, ROLL_BACK, SILENCE, UNDO
from tests.support.slack.message_parts import buttons, objects, shown_text
from tests.support.slack.worst_case_values import BOB, NOW

MONITOR = Monitor(
    id="m4k7qa",
    model="churn",
    rule=MonitorConfig(name="accuracy-live", source="live", greater_than=0.85),
    created_at=NOW,
    created_by=BOB,
)
LINE = incident_messages.monitor_line(MONITOR, say("0.61 isn't greater than 0.85, 3 times in a row."))
OPEN = [ACKNOWLEDGE, SILENCE, DETAILS]


def incident(doing: IncidentStatus = IncidentStatus.NOTIFIED, **changes: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": "i4k7q",
        "kind": IncidentKind.FAILED,
        "model": "churn",
        "source": "",
        "version": 7,
        "move": "m1",
        "monitors": ("accuracy-live",),
        "opened_at": NOW,
        "since": NOW - timedelta(minutes=12),
        "lines": (LINE,),
        "doing": doing,
        "target": 6,
    }
    return Incident(**(fields | changes))


def card(
    doing: IncidentStatus = IncidentStatus.NOTIFIED, *, serving: ServingCheck | None = None, **changes: Any
) -> Message:
    return incident_card.card(incident(doing, **changes), [MONITOR], serving=serving, now=NOW)


def over(
    doing: IncidentStatus = IncidentStatus.NOTIFIED,
    ending: IncidentEnding | None = IncidentEnding.RECOVERED,
    **changes: Any,
) -> Message:
    how = incident_messages.restored(6, NOW, 7)
    return card(doing, resolved_at=NOW, resolution=how, ending=ending, **changes)


def title(message: Message) -> str:
    return str(message.blocks[0]["text"]["text"])


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        (IncidentStatus.NOTIFIED, "🔴 churn v7: accuracy-live failed"),
        (IncidentStatus.AWAITING_HUMAN, "🔴 churn v7: accuracy-live failed. Roll back to v6?"),
        (IncidentStatus.INTENT, "🟠 churn v7: accuracy-live failed, rolling back to v6"),
        (IncidentStatus.ROLLED_BACK, "🟠 churn v7: accuracy-live failed, rolled back to v6"),
        (IncidentStatus.FROZEN, "🔴 churn v7: accuracy-live failed, Production is frozen"),
        (IncidentStatus.HELD, "🔴 churn v7: accuracy-live failed, not rolled back"),
        (IncidentStatus.FAILED, "🆘 churn v7: rollback to v6 failed"),
    ],
)
def test_the_title_has_the_status(doing: IncidentStatus, said: str) -> None:
    assert title(card(doing)) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": IncidentKind.BLIND}, "⚫ churn: accuracy-live can't judge"),
        ({"kind": IncidentKind.SOURCE, "model": "", "source": "live"}, "⚠️ live: many monitors failed together"),
        ({"kind": IncidentKind.BLIND, "model": "", "source": "live"}, "⚫ live: many monitors can't judge"),
        ({"monitors": ("accuracy-live", "f1", "auc")}, "🔴 churn v7: accuracy-live and 2 more failed"),
    ],
    ids=str,
)
def test_the_title_has_the_subject(changes: dict[str, Any], said: str) -> None:
    assert title(card(**changes)) == said


def test_the_title_says_how_the_incident_ended() -> None:
    assert title(over(IncidentStatus.ROLLED_BACK)) == "✅ churn: restored to v6"
    assert title(over(IncidentStatus.ROLLED_BACK, IncidentEnding.RESTORED)) == "↩️ churn: restored to v6"
    assert title(over(IncidentStatus.NOTIFIED)) == "✅ churn v7: recovered"
    assert title(over(IncidentStatus.SUPERSEDED, IncidentEnding.OVERTAKEN)) == "⚪ churn v7: superseded"
    assert title(over(IncidentStatus.SUPERSEDED, IncidentEnding.ROLLED_BACK)) == "↩️ churn v7: rolled back manually"
    unwatched = over(IncidentStatus.NOTIFIED, IncidentEnding.UNWATCHED)
    assert title(unwatched) == "⏹️ churn v7: accuracy-live is no longer monitored"


def test_the_title_of_several_monitors_is_plural() -> None:
    unwatched = over(IncidentStatus.NOTIFIED, IncidentEnding.UNWATCHED, monitors=("accuracy-live", "f1"))
    assert title(unwatched) == "⏹️ churn v7: accuracy-live and 1 more are no longer monitored"


@pytest.mark.parametrize("doing", IncidentStatus)
@pytest.mark.parametrize("kind", IncidentKind)
@pytest.mark.parametrize("ending", [None, *(one for one in IncidentEnding if one is not IncidentEnding.RECOVERED)])
def test_only_a_recovery_has_a_check_mark(
    doing: IncidentStatus, kind: IncidentKind, ending: IncidentEnding | None
) -> None:
    assert "✅" not in shown_text(over(doing, ending, kind=kind))
    assert "✅" not in shown_text(over(doing, ending, kind=kind, model="", source="live"))


def test_the_cause_of_the_end_is_linked() -> None:
    ended = incident(
        resolved_at=NOW,
        ending=IncidentEnding.PAUSED,
        resolution=incident_messages.unwatched(IncidentEnding.PAUSED, "a", BOB),
    )
    message = incident_card.card(ended, [], serving=None, now=NOW, link="https://slack/archives/C1/p1?a&b")
    assert "<https://slack/archives/C1/p1?a&amp;b|See the message>" in shown_text(message)


def test_an_unmeasured_incident_has_a_check_mark_only_if_it_can_judge_again() -> None:
    def title_of(ending: IncidentEnding) -> str:
        return title(over(IncidentStatus.NOTIFIED, ending, kind=IncidentKind.BLIND))

    assert title_of(IncidentEnding.RECOVERED) == "✅ churn: accuracy-live reached a verdict again"
    assert title_of(IncidentEnding.OVERTAKEN) == "⚪ churn v7: superseded"
    assert title_of(IncidentEnding.REMOVED) == "⏹️ churn v7: accuracy-live removed"


def test_the_card_has_the_value_bound_start_and_version() -> None:
    text = shown_text(card())
    assert "`accuracy-live`: 0.61 isn't greater than 0.85, 3 times in a row." in text
    assert "(12m so far), with `v7` in Production" in text


def test_the_card_says_why_nothing_was_done_and_what_to_do() -> None:
    text = shown_text(card(IncidentStatus.HELD, target=None, why=say("There's no version to roll back to.")))
    assert "Production is unchanged. There's no version to roll back to." in text
    assert "*Choose a version to roll back to. Nothing happens automatically.*" in text


@pytest.mark.parametrize("doing", [IncidentStatus.INTENT, IncidentStatus.ROLLED_BACK])
def test_a_rollback_in_progress_needs_no_action(doing: IncidentStatus) -> None:
    assert "*No action needed.*" in shown_text(card(doing))


def test_a_failed_rollback_has_the_command_to_run() -> None:
    assert '`/model rollback churn 6 --reason "…"`' in shown_text(card(IncidentStatus.FAILED))


def test_without_a_verdict_the_card_has_the_command_to_run() -> None:
    said = shown_text(card(IncidentStatus.NOTIFIED, kind=IncidentKind.BLIND, source=""))
    assert (
        "*Find out why the monitor can't reach a verdict, then run `/model monitor check churn accuracy-live`*" in said
    )


# -- buttons -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doing", [IncidentStatus.AWAITING_HUMAN, IncidentStatus.TRIPPED, IncidentStatus.COOLDOWN, IncidentStatus.FROZEN]
)
def test_a_question_has_a_button_with_a_confirmation(doing: IncidentStatus) -> None:
    message = card(doing)
    assert buttons(message) == [ROLL_BACK, *OPEN]
    [button] = [one for one in objects(message.blocks) if one.get("action_id") == ROLL_BACK]
    assert (button["text"]["text"], button["style"]) == ("Roll back to v6", "primary")
    assert "back to v6 in Production immediately and blocks v7" in button["confirm"]["text"]["text"]


@pytest.mark.parametrize("doing", [IncidentStatus.AWAITING_HUMAN, IncidentStatus.TRIPPED, IncidentStatus.COOLDOWN])
def test_without_a_target_there_is_no_rollback_button(doing: IncidentStatus) -> None:
    assert buttons(card(doing, target=None)) == OPEN


@pytest.mark.parametrize(
    "doing", [IncidentStatus.NOTIFIED, IncidentStatus.HELD, IncidentStatus.INTENT, IncidentStatus.FAILED]
)
def test_an_incident_without_a_question_can_be_acknowledged(doing: IncidentStatus) -> None:
    assert buttons(card(doing)) == OPEN


def test_an_acknowledged_incident_shows_who_and_when_instead_of_the_button() -> None:
    assert "Unacknowledged." in shown_text(card())
    message = card(acknowledged_by=BOB, acknowledged_at=NOW)
    assert buttons(message) == [SILENCE, DETAILS]
    assert f"Acknowledged by <@U0BOB>, {format_time(NOW)}." in shown_text(message)


def test_those_on_call_are_mentioned_until_someone_acknowledges() -> None:
    def text(**changes: Any) -> str:
        on_call = ["S0ONCALL", "U0BOB"]
        return shown_text(incident_card.card(incident(**changes), [MONITOR], serving=None, now=NOW, on_call=on_call))

    assert "Unacknowledged. On call: <!subteam^S0ONCALL>, <@U0BOB>" in text()
    assert "S0ONCALL" not in text(acknowledged_by=BOB, acknowledged_at=NOW)


def test_the_button_after_a_rollback_says_that_it_requests_the_bad_version_again() -> None:
    [button] = [one for one in objects(over(IncidentStatus.ROLLED_BACK).blocks) if one.get("action_id") == UNDO]
    assert button["text"]["text"] == "Request v7 again…"
    confirmation = "This requests v7 for Production, which needs approval. Unblock v7 first, or the request is refused."
    assert button["confirm"]["text"]["text"] == confirmation


def test_a_silenced_incident_has_no_silence_button() -> None:
    silent = Monitor(
        id="m1",
        model="churn",
        rule=MONITOR.rule,
        created_at=NOW,
        silenced_until=NOW + timedelta(hours=1),
        silenced_by=BOB,
    )
    message = incident_card.card(incident(), [silent], serving=None, now=NOW)
    assert buttons(message) == [ACKNOWLEDGE, DETAILS]
    assert "🔕 until" in shown_text(message)


def test_a_rollback_can_be_undone_after_the_incident() -> None:
    assert buttons(card(IncidentStatus.ROLLED_BACK)) == [*OPEN, UNDO]
    assert buttons(over(IncidentStatus.ROLLED_BACK)) == [UNDO]


@pytest.mark.parametrize(
    "doing", [one for one in IncidentStatus if one not in {IncidentStatus.ROLLED_BACK, IncidentStatus.NOT_FOLLOWED}]
)
def test_a_resolved_incident_has_no_buttons(doing: IncidentStatus) -> None:
    assert buttons(over(doing)) == []


def test_buttons_carry_only_the_incident_s_id() -> None:
    values = {one["value"] for one in objects(card(IncidentStatus.ROLLED_BACK).blocks) if one.get("type") == "button"}
    assert values == {"i4k7q"}


# -- serving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ServingCheckState.PENDING, "Waiting for the endpoint to report `v6`"),
        (ServingCheckState.CONFIRMED, "The endpoint has reported `v6` since"),
        (ServingCheckState.TIMED_OUT, "The endpoint doesn't report `v6`; it reports `v7`"),
    ],
)
def test_the_card_shows_what_the_endpoint_reports(state: ServingCheckState, said: str) -> None:
    serving = ServingCheck(
        move="m2", model="churn", version=6, lane="i4k7q", asked_at=NOW, state=state, seen="v7", confirmed_at=NOW
    )
    assert said in shown_text(card(IncidentStatus.ROLLED_BACK, serving=serving))


# -- changed files -----------------------------------------------------------------------------------------------------


def files_card(**changes: Any) -> Message:
    """Return the message about changed files, which has no monitors."""
    lines = (file_incident_messages.files_line(["model.pkl", "MLmodel"]),)
    why = file_incident_messages.who_approved([BOB], "3f2a" * 16)
    about_files: dict[str, Any] = {"kind": IncidentKind.FILES, "monitors": (), "target": None, "lines": lines}
    made = incident(**(about_files | {"why": why} | changes))
    return incident_card.card(made, [], serving=None, now=NOW)


def test_changed_files_are_in_the_title_and_named() -> None:
    shown = shown_text(files_card())
    assert "churn v7: its files changed" in shown
    assert "`model.pkl`, `MLmodel`" in shown


def test_an_incident_about_files_says_what_to_do() -> None:
    assert "Restore them, or run `/model rollback churn" in shown_text(files_card())


def test_an_incident_about_files_can_be_acknowledged_but_not_silenced() -> None:
    assert buttons(files_card()) == [ACKNOWLEDGE, DETAILS]


def test_an_incident_about_files_that_match_again_has_a_check_mark() -> None:
    resolution = file_incident_messages.files_match_again(7, NOW, NOW + timedelta(hours=2))
    ended: dict[str, Any] = {"resolved_at": NOW, "ending": IncidentEnding.RECOVERED, "resolution": resolution}
    shown = shown_text(files_card(**ended))
    assert "✅ churn v7: its files match again" in shown
    assert "The files of `v7` match what was recorded again, after 2h." in shown


def test_the_details_of_an_incident_about_files_name_them() -> None:
    made = incident(kind=IncidentKind.FILES, monitors=(), lines=(file_incident_messages.files_line(["a.pkl"]),))
    assert "a.pkl" in shown_text(incident_details(made, []))
