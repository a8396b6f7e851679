"""Monitors managed by people in Slack: commands, forms, and buttons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.monitoring.readings import PushedReading
from localslack import PersonSeed
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.app.harness import audit_links, reply_to, type_and_read_reply
from tests.support.app.monitors import ADD, find_monitor, heard, record_measurements


def answer(app: RunningApp, text: str) -> dict[str, Any]:
    """Type a command as Bob, and return the answer with its buttons."""
    seen = {message["ts"] for message in app.bob.sees(CHANNEL)}
    app.bob.types(CHANNEL, text)
    return app.bob.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and m["ts"] not in seen)


# -- typed -------------------------------------------------------------------------------------------------------------


def test_a_monitor_is_added_by_command_and_announced(app: RunningApp) -> None:
    told = type_and_read_reply(app.bob, ADD)
    assert "Added `churn` `accuracy`. It checks `push` every 5m" in told
    assert "<@U0BOB> added the monitor `churn` `accuracy`. Fails when `accuracy` is at most 0.85" in heard(app, "added")
    assert len(audit_links(app.ledger, EventTag.MONITOR_ADDED)) == 1


def test_adding_a_monitor_without_permission_is_refused(app: RunningApp) -> None:
    assert "Only people who can roll back can do this: <@U0BOB>" in type_and_read_reply(app.alice, ADD)
    assert "No monitors yet" in type_and_read_reply(app.alice, "/model monitor")


def test_guests_can_only_read(watched: RunningApp) -> None:
    watched.slack.add_person(PersonSeed(id="U0GUEST", name="guest", is_restricted=True))
    watched.slack.set_members(CHANNEL, [*watched.slack.members(CHANNEL), "U0GUEST"])
    guest = watched.slack.person("guest")
    assert "Guests can view" in type_and_read_reply(guest, "/model monitor pause churn accuracy")
    assert "not checked yet" in type_and_read_reply(guest, "/model monitor churn")


def test_a_monitor_s_state_is_listed_and_shown(watched: RunningApp) -> None:
    record_measurements(watched, 0.9, 0.88, 0.61)
    listed = type_and_read_reply(watched.alice, "/model monitor")
    assert "🔴 `churn` `accuracy`  failing since" in listed
    assert "0.61, bound 0.85  ·  alerts" in listed
    shown = type_and_read_reply(watched.alice, "/model monitor show churn accuracy")
    for words in (
        "Fails when `accuracy` is at most 0.85 for 2 checks in a row.",
        "It alerts the channel",
        "*Version* `v3`",
        "`push` `accuracy`",
        "Added by <@U0BOB>",
    ):
        assert words in shown.replace("\n", " ")
    assert shown.count("🟢") == 2


def charts(app: RunningApp) -> list[dict[str, Any]]:
    """Return the charts in Alice's direct messages."""
    return [file for message in app.alice.direct_messages() for file in message.get("files") or []]


def test_a_shown_monitor_s_chart_is_sent_as_a_direct_message(watched: RunningApp) -> None:
    record_measurements(watched, 0.9, 0.88, 0.61)
    watched.alice.types(CHANNEL, "/model monitor show churn accuracy")
    where = watched.answer(watched.alice, "I also sent you this in")
    [picture] = watched.slack.wait_for(lambda: charts(watched))
    assert picture["alt_txt"].startswith("Chart of churn: accuracy: 3 readings")
    assert "must be above 0.85" in picture["alt_txt"]
    assert "|a direct message>" in where
    assert not any(message.get("files") for message in watched.alice.sees(CHANNEL))


def test_before_the_first_reading_there_is_no_chart(watched: RunningApp) -> None:
    answer(watched, "/model monitor show churn accuracy")
    assert charts(watched) == []


def test_if_slack_rejects_files_the_rest_is_shown(watched: RunningApp) -> None:
    record_measurements(watched, 0.61)
    watched.slack.fail("files.getUploadURLExternal", "missing_scope")
    shown = answer(watched, "/model monitor show churn accuracy")
    assert "failing since" in message_text(shown)
    assert charts(watched) == []


@pytest.mark.parametrize(
    ("text", "answered", "channel"),
    [
        ("pause churn accuracy", "paused the monitor", "To resume its checks"),
        ("remove churn accuracy", "removed the monitor", "removed the monitor"),
        ('silence churn accuracy 2h --reason "a move"', "a move", "silenced the monitor `churn` `accuracy` until"),
        ("silence churn 2h --all", "silenced", "Its checks continue"),
        ("edit churn accuracy --greater-than 0.9", "at most 0.9", "changed the monitor"),
    ],
)
def test_changes_are_announced_in_the_channel(watched: RunningApp, text: str, answered: str, channel: str) -> None:
    assert answered in type_and_read_reply(watched.bob, f"/model monitor {text}")
    assert "<@U0BOB>" in heard(watched, channel)


def test_a_typo_suggests_the_nearest_verb_and_monitor(watched: RunningApp) -> None:
    assert "Did you mean `/model monitor pause`?" in type_and_read_reply(
        watched.bob, "/model monitor puase churn accuracy"
    )
    assert "Did you mean `accuracy`?" in type_and_read_reply(watched.bob, "/model monitor pause churn acuracy")


def test_the_help_knows_both_words(app: RunningApp) -> None:
    assert "/model monitor silence MODEL" in type_and_read_reply(app.alice, "/model help monitor")
    told = type_and_read_reply(app.alice, "/model help monitor add")
    assert "--greater-than" in told
    assert "the value must be above this; an equal value fails" in told


def test_an_auto_monitor_must_be_armed_by_someone_else(watched: RunningApp) -> None:
    type_and_read_reply(watched.bob, "/model monitor edit churn accuracy --action auto")
    assert "someone else has to arm it" in type_and_read_reply(watched.bob, "/model monitor arm churn accuracy")
    carol = watched.slack.person("carol")
    assert "has to run unchanged for 24 hours" in type_and_read_reply(carol, "/model monitor arm churn accuracy")
    dave = watched.slack.person("dave")
    armed = type_and_read_reply(dave, '/model monitor arm churn accuracy --override --reason "known"')
    assert "It now rolls back automatically" in armed
    assert "It rolls back automatically." in type_and_read_reply(watched.bob, "/model monitor show churn accuracy")


def test_a_check_on_demand_returns_its_result(watched: RunningApp) -> None:
    now = datetime.now(UTC)
    with watched.ledger.write() as tx:
        tx.add_readings(
            [
                PushedReading(
                    source="push",
                    model="churn",
                    version=3,
                    metric="accuracy",
                    at=now,
                    received_at=now,
                    value=0.91,
                    client="scorer",
                )
            ]
        )
    told = type_and_read_reply(watched.bob, "/model monitor check churn accuracy")
    assert "Checked `churn` `accuracy`: " in told
    assert "`accuracy` of `v3`: 0.91" in told
    assert "Only people who can roll back" in type_and_read_reply(watched.alice, "/model monitor check churn accuracy")


def test_a_backtest_is_posted_in_the_channel(watched: RunningApp) -> None:
    watched.bob.types(CHANNEL, "/model monitor backtest churn accuracy --days 7")
    assert "Can't tell what `churn` `accuracy` would have done in 7d (covered 0 of 168 hours)" in heard(
        watched, "in 7d"
    )


# -- filled in ---------------------------------------------------------------------------------------------------------


FILLED = {"model": "churn", "name": "latency", "query": "latency_ms", "less_than": "100", "every": "1m"}


def test_missing_arguments_open_a_form_that_keeps_other_flags(app: RunningApp) -> None:
    app.bob.types(CHANNEL, "/model monitor add churn --fail-after 4")
    app.bob.waits_for_modal()
    assert app.bob.submits(FILLED) is None
    assert "Added `churn` `latency`. It checks" in app.answer(app.bob, "It checks")
    rule = find_monitor(app, "latency").rule
    assert (rule.less_than, rule.query, rule.fail_after, rule.action) == (100.0, "latency_ms", 4, "dry_run")
    heard(app, "added the monitor `churn` `latency`")


def test_an_error_is_shown_under_its_field_and_the_form_stays_open(app: RunningApp) -> None:
    app.bob.types(CHANNEL, "/model monitor add")
    app.bob.waits_for_modal()
    for changes, field, words in (
        ({"every": "1s"}, "every", "10 seconds"),
        ({"less_than": "low"}, "less_than", "Must be a number, such as 0.85."),
        ({"less_than": ""}, "greater_than", "needs --greater-than"),
        ({"name": "a b"}, "name", "as a monitor's name"),
        ({"model": "chrun"}, "model", "Did you mean churn?"),
        ({"of": "requests"}, "of", "Push accepts pushed readings, each with its own total."),
        ({"less_than": "", "rule": "blocks", "window": "7h"}, "window", "A window of 7h fits 3 times into 1d"),
        (
            {"less_than": "", "rule": "blocks", "min_effect": "much"},
            "min_effect",
            "Isn't an effect size; use a value such as 2%",
        ),
    ):
        errors = app.bob.submits(FILLED | changes)
        assert errors is not None
        assert words in errors[field]
    assert app.bob.submits(FILLED | {"rule": "threshold", "window": "", "min_effect": "", "of": ""}) is None
    assert find_monitor(app, "latency").created_by is not None


def test_the_effect_can_be_typed_or_filled_in(app: RunningApp) -> None:
    app.bob.types(CHANNEL, "/model monitor add churn --min-effect 10% of error --window 30m")
    app.bob.waits_for_modal()
    assert app.bob.submits({"model": "churn", "name": "accuracy", "rule": "blocks"}) is None
    heard(app, "by more than 10% of the error and 3 standard deviations")
    rule = find_monitor(app, "accuracy").rule
    assert (str(rule.min_effect), rule.window) == ("10% of error", timedelta(minutes=30))
    app.bob.types(CHANNEL, "/model monitor edit churn accuracy --min-effect '0.01 abs'")
    heard(app, "by more than 0.01 and 3 standard deviations")
    assert str(find_monitor(app, "accuracy").rule.min_effect) == "0.01 abs"


def test_a_total_can_be_filled_in(app: RunningApp) -> None:
    app.bob.types(CHANNEL, "/model monitor add churn")
    app.bob.waits_for_modal()
    counts = {"model": "churn", "name": "correct", "source": "mlflow", "of": "predictions", "greater_than": "0.85"}
    assert app.bob.submits(counts) is None
    heard(app, "Fails when `correct` out of `predictions` is at most 0.85")
    assert find_monitor(app, "correct").rule.of == "predictions"
    assert "`correct` out of `predictions`" in type_and_read_reply(app.bob, "/model monitor show churn correct")


def test_the_form_reports_a_missing_permission(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model monitor add churn")
    app.alice.waits_for_modal()
    errors = app.alice.submits(FILLED)
    assert errors is not None
    assert "Only people who can roll back" in " ".join(errors.values())


# -- pressed -----------------------------------------------------------------------------------------------------------


def test_the_buttons_do_the_same_as_the_commands(watched: RunningApp) -> None:
    shown = answer(watched, "/model monitor show churn accuracy")
    assert "paused the monitor" in reply_to(watched.bob, lambda: watched.bob.clicks(shown, "Pause"))
    assert find_monitor(watched).is_paused
    again = answer(watched, "/model monitor show churn accuracy")
    assert "resumed the monitor" in reply_to(watched.bob, lambda: watched.bob.clicks(again, "Resume"))
    assert "silenced the monitor" in reply_to(watched.bob, lambda: watched.bob.clicks(again, "Silence 2 h"))
    silenced = answer(watched, "/model monitor show churn accuracy")
    assert "unsilenced" in reply_to(watched.bob, lambda: watched.bob.clicks(silenced, "Unsilence"))
    assert not find_monitor(watched).is_silenced(datetime.now(UTC))
    heard(watched, "paused the monitor")


def test_a_chart_is_posted_where_it_was_requested(watched: RunningApp) -> None:
    record_measurements(watched, 0.9, 0.88, 0.61)
    shown = answer(watched, "/model monitor show churn accuracy")
    watched.bob.clicks(shown, "Post chart here")
    posted = watched.alice.waits_for(
        CHANNEL, lambda m: not m.get("is_ephemeral") and "failing since" in message_text(m)
    )
    watched.slack.wait_for(lambda: any(one.get("files") for one in watched.alice.thread(posted)))


def test_a_button_under_the_list_opens_the_form(app: RunningApp) -> None:
    app.bob.clicks(answer(app, "/model monitor"), "Add a monitor")
    app.bob.waits_for_modal()
    assert app.bob.submits(FILLED) is None


def test_home_shows_the_monitors(watched: RunningApp) -> None:
    record_measurements(watched, 0.61)
    watched.alice.opens_home()
    watched.alice.waits_for_home(lambda view: "🔴 `churn`  `v3` · `accuracy` failing since" in message_text(view))
