"""An incident's message: what it says, what can be pressed, and that it fits whatever happens.

tests/slack/delivery/test_message_limits.py tests for every message that Slack would take it, and that nothing in it
pings.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.core.sentence import say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.slack.core.blocks import Message
from bot.slack.monitoring import incident_card
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
LINE = incident_messages.monitor_line(MONITOR, say("0.61 is not greater than 0.85, 3 times in a row."))
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
        (IncidentStatus.HELD, "🔴 churn v7: accuracy-live failed, nothing was moved"),
        (IncidentStatus.FAILED, "🆘 churn v7: rolling back to v6 failed"),
    ],
)
def test_the_title_says_how_it_stands(doing: IncidentStatus, said: str) -> None:
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
def test_the_title_says_what_it_is_about(changes: dict[str, Any], said: str) -> None:
    assert title(card(**changes)) == said


def test_the_end_is_in_the_title() -> None:
    assert title(over(IncidentStatus.ROLLED_BACK)) == "✅ churn: restored, v6 serves"
    assert title(over(IncidentStatus.ROLLED_BACK, IncidentEnding.RESTORED)) == "↩️ churn: restored, v6 serves"
    assert title(over(IncidentStatus.NOTIFIED)) == "✅ churn v7: recovered"
    assert title(over(IncidentStatus.SUPERSEDED, IncidentEnding.OVERTAKEN)) == "⚪ churn v7: overtaken"
    assert title(over(IncidentStatus.SUPERSEDED, IncidentEnding.ROLLED_BACK)) == "↩️ churn v7: rolled back by a person"
    assert (
        title(over(IncidentStatus.NOTIFIED, IncidentEnding.UNWATCHED))
        == "⏹️ churn v7: accuracy-live is no longer watched"
    )


@pytest.mark.parametrize("doing", IncidentStatus)
@pytest.mark.parametrize("kind", IncidentKind)
@pytest.mark.parametrize("ending", [None, *(one for one in IncidentEnding if one is not IncidentEnding.RECOVERED)])
def test_only_what_recovered_has_a_check_mark(
    doing: IncidentStatus, kind: IncidentKind, ending: IncidentEnding | None
) -> None:
    assert "✅" not in shown_text(over(doing, ending, kind=kind))
    assert "✅" not in shown_text(over(doing, ending, kind=kind, model="", source="live"))


def test_what_ended_it_is_linked() -> None:
    ended = incident(
        resolved_at=NOW,
        ending=IncidentEnding.PAUSED,
        resolution=incident_messages.unwatched(IncidentEnding.PAUSED, "a", BOB),
    )
    message = incident_card.card(ended, [], serving=None, now=NOW, link="https://slack/archives/C1/p1?a&b")
    assert "<https://slack/archives/C1/p1?a&amp;b|See the message>" in shown_text(message)


def test_the_end_of_what_could_not_be_measured_is_no_good_news_unless_it_is_measured_again() -> None:
    def title_of(ending: IncidentEnding) -> str:
        return title(over(IncidentStatus.NOTIFIED, ending, kind=IncidentKind.BLIND))

    assert title_of(IncidentEnding.RECOVERED) == "✅ churn: accuracy-live can judge again"
    assert title_of(IncidentEnding.OVERTAKEN) == "⚪ churn v7: overtaken"
    assert title_of(IncidentEnding.REMOVED) == "⏹️ churn v7: accuracy-live removed"


def test_it_says_value_against_bound_since_when_and_which_version() -> None:
    text = shown_text(card())
    assert "`accuracy-live`: 0.61 is not greater than 0.85, 3 times in a row." in text
    assert "for 12m now, with `v7` in Production" in text


def test_it_says_why_not_more_and_what_to_do() -> None:
    text = shown_text(card(IncidentStatus.HELD, target=None, why=say("There is no version to go back to.")))
    assert "Nothing was moved. There is no version to go back to." in text
    assert "*Decide which version should serve; nothing happens by itself.*" in text


@pytest.mark.parametrize("doing", [IncidentStatus.INTENT, IncidentStatus.ROLLED_BACK])
def test_while_it_works_nobody_has_to_do_anything(doing: IncidentStatus) -> None:
    assert "*Nobody has to do anything.*" in shown_text(card(doing))


def test_a_rollback_that_failed_says_exactly_what_to_type() -> None:
    assert '`/model rollback churn 6 --reason "…"`' in shown_text(card(IncidentStatus.FAILED))


def test_where_nothing_is_known_it_says_what_to_look_at_and_type() -> None:
    said = shown_text(card(IncidentStatus.NOTIFIED, kind=IncidentKind.BLIND, source=""))
    assert "*Find out why it can't judge, then `/model monitor check churn accuracy-live`*" in said


# -- buttons -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doing", [IncidentStatus.AWAITING_HUMAN, IncidentStatus.TRIPPED, IncidentStatus.COOLDOWN, IncidentStatus.FROZEN]
)
def test_a_question_has_its_button_and_asks_back(doing: IncidentStatus) -> None:
    message = card(doing)
    assert buttons(message) == [ROLL_BACK, *OPEN]
    [button] = [one for one in objects(message.blocks) if one.get("action_id") == ROLL_BACK]
    assert (button["text"]["text"], button["style"]) == ("Roll back to v6", "primary")
    assert "goes back to v6 at once; v7 is blocked" in button["confirm"]["text"]["text"]


@pytest.mark.parametrize("doing", [IncidentStatus.AWAITING_HUMAN, IncidentStatus.TRIPPED, IncidentStatus.COOLDOWN])
def test_without_a_version_to_go_back_to_there_is_no_such_button(doing: IncidentStatus) -> None:
    assert buttons(card(doing, target=None)) == OPEN


@pytest.mark.parametrize(
    "doing", [IncidentStatus.NOTIFIED, IncidentStatus.HELD, IncidentStatus.INTENT, IncidentStatus.FAILED]
)
def test_what_asks_nothing_can_be_looked_after(doing: IncidentStatus) -> None:
    assert buttons(card(doing)) == OPEN


def test_who_looks_after_it_is_shown_instead_of_the_button() -> None:
    message = card(acknowledged_by=BOB, acknowledged_at=NOW)
    assert buttons(message) == [SILENCE, DETAILS]
    assert "<@U0BOB> looks after it" in shown_text(message)


def test_what_is_silent_is_not_silenced_again() -> None:
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


def test_a_rollback_can_be_undone_also_when_it_is_over() -> None:
    assert buttons(card(IncidentStatus.ROLLED_BACK)) == [*OPEN, UNDO]
    assert buttons(over(IncidentStatus.ROLLED_BACK)) == [UNDO]


@pytest.mark.parametrize(
    "doing", [one for one in IncidentStatus if one not in {IncidentStatus.ROLLED_BACK, IncidentStatus.NOT_FOLLOWED}]
)
def test_what_is_over_has_no_buttons(doing: IncidentStatus) -> None:
    assert buttons(over(doing)) == []


def test_buttons_carry_the_incident_and_nothing_else() -> None:
    values = {one["value"] for one in objects(card(IncidentStatus.ROLLED_BACK).blocks) if one.get("type") == "button"}
    assert values == {"i4k7q"}


# -- serving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ServingCheckState.PENDING, "the serving side has not confirmed it yet"),
        (ServingCheckState.CONFIRMED, "The serving side has reported `v6` since"),
        (ServingCheckState.TIMED_OUT, "The serving side does not report `v6`; it said: `v7`"),
    ],
)
def test_moved_is_not_yet_serving(state: ServingCheckState, said: str) -> None:
    serving = ServingCheck(
        move="m2", model="churn", version=6, lane="i4k7q", asked_at=NOW, state=state, seen="v7", confirmed_at=NOW
    )
    assert said in shown_text(card(IncidentStatus.ROLLED_BACK, serving=serving))
