"""What people do to monitors and incidents: who may, what is kept, what the channel hears, and what it means later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Automation, Caller, Client, Profile
from bot.domain.core.errors import BadInput, Refused, UnknownModel, UnknownRequest
from bot.domain.policy.parser import validate_policy
from tests.support.monitoring.monitor_commands import ADD, LIVE, OTHER, PROM, MonitorCommands
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, POLICY, STRANGER, Bench

BOT = Profile(person=BOB.person, is_bot=True)


# -- who may -----------------------------------------------------------------------------------------------------------


ACTS = [
    ADD,
    "monitor edit churn accuracy --every 10m",
    "monitor remove churn accuracy",
    "monitor pause churn accuracy",
    "monitor resume churn accuracy",
    "monitor silence churn accuracy 2h",
    "monitor unsilence churn accuracy",
    "monitor arm churn accuracy",
    "monitor reset churn",
    "monitor arm churn accuracy --override --reason x",
]


OUTSIDERS: dict[str, Caller] = {
    "a member": ALICE,
    "a guest": GUEST,
    "a stranger": STRANGER,
    "a bot": BOT,
    "a program": Client("ci"),
    "an automation": Automation("clock"),
}


@pytest.mark.parametrize("who", OUTSIDERS)
@pytest.mark.parametrize("text", ACTS)
def test_who_may_not_changes_nothing_and_is_in_the_audit(watched: MonitorCommands, text: str, who: str) -> None:
    before, events = watched.find(), watched.bench.events()
    with pytest.raises(Refused):
        watched.types(text.replace("add churn accuracy", "add churn other"), OUTSIDERS[who])
    assert watched.find() == before
    assert [one.monitor.name for one in watched.service.list_rows()] == ["accuracy"]
    assert [event.tag for event in watched.bench.events()[len(events) :]] == [EventTag.PERMISSION_REFUSED]


@pytest.mark.parametrize("who", [one for one in OUTSIDERS if one != "a member"])
def test_only_members_look_after_an_incident(watched: MonitorCommands, who: str) -> None:
    watched.incident()
    with pytest.raises(Refused):
        watched.service.acknowledge(OUTSIDERS[who], "i4k7q", origin="slack")
    assert watched.incident_now().acknowledged_by is None


@pytest.mark.parametrize("who", OUTSIDERS)
def test_who_may_not_silence_silences_no_incident(watched: MonitorCommands, who: str) -> None:
    watched.incident()
    with pytest.raises(Refused):
        watched.service.silence_incident(OUTSIDERS[who], "i4k7q", timedelta(hours=2), origin="slack")
    assert watched.find().silenced_until is None


@pytest.mark.parametrize("who", OUTSIDERS)
def test_who_may_not_roll_back_has_nothing_checked_out_of_turn(watched: MonitorCommands, who: str) -> None:
    with pytest.raises(Refused):
        watched.bench.execute(OUTSIDERS[who], "monitor check churn accuracy")


def test_a_lead_resets_no_breaker(watched: MonitorCommands) -> None:
    with pytest.raises(Refused, match="role admin"):
        watched.types("monitor reset churn", BOB)


# -- adding ------------------------------------------------------------------------------------------------------------


def test_a_monitor_that_was_added_is_checked_soon(commands: MonitorCommands) -> None:
    answer = commands.types(ADD)
    monitor = commands.find()
    assert (monitor.created_by, monitor.revision, monitor.rule.greater_than) == (BOB.person, 1, 0.85)
    first = commands.standing(monitor).next_at
    assert first is not None
    assert commands.bench.clock.now() <= first <= commands.bench.clock.now() + timedelta(seconds=30)
    assert "Fails when accuracy is at most 0.85, 2 checks in a row. It tells the channel, and moves nothing." in answer


def test_the_channel_hears_of_it_and_the_audit_has_the_rule(commands: MonitorCommands) -> None:
    commands.types(ADD)
    assert "@UBOB added the monitor “churn” accuracy" in commands.bench.told("said:monitor")
    event = commands.event(EventTag.MONITOR_ADDED)
    assert (event.model, event.subject, event.evidence["after"]["greater_than"]) == ("churn", "churn accuracy", 0.85)
    assert event.evidence["by"]["roles"] == ["lead"]


def test_auto_that_nobody_armed_says_that_it_asks(commands: MonitorCommands) -> None:
    answer = commands.types(ADD.replace("notify", "auto"))
    assert "until a second person arms it, it asks: /model monitor arm churn accuracy" in answer
    assert commands.find().effective_action == "ask"


def test_a_name_that_is_taken_is_not_taken_twice(watched: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="Change it with /model monitor edit churn accuracy"):
        watched.types(ADD)


def test_a_name_of_the_policy_file_is_not_taken(commands: MonitorCommands) -> None:
    commands.in_file()
    with pytest.raises(BadInput, match=r"stands in the policy file; change it there. Or take another name"):
        commands.types(ADD)


def test_a_name_is_free_again_once_its_monitor_is_removed(watched: MonitorCommands) -> None:
    watched.types("monitor remove churn accuracy")
    watched.types(ADD)
    assert watched.find().removed_at is None


def test_an_unknown_model_gets_the_nearest(commands: MonitorCommands) -> None:
    with pytest.raises(UnknownModel, match=r"Did you mean churn\?"):
        commands.types(ADD.replace("churn", "chrun"))


def test_before_the_first_look_every_model_may_be_there(bench: Bench) -> None:
    MonitorCommands(bench).types(ADD.replace("churn", "elsewhere"))


def test_an_unknown_source_gets_the_nearest(commands: MonitorCommands) -> None:
    with pytest.raises(BadInput, match=r"--source: “pusch” is no source. Did you mean push\?"):
        commands.types(ADD.replace("push", "pusch"))


@pytest.mark.parametrize("typed", [ADD + " --of predictions", "monitor edit churn known --of predictions"])
def test_what_is_pushed_is_not_asked_for_its_total(commands: MonitorCommands, typed: str) -> None:
    commands.types(ADD.replace("accuracy", "known"))
    with pytest.raises(BadInput, match=r"--of: push takes pushed readings, each with its own total"):
        commands.types(typed)


def test_a_total_is_added_and_taken_away_again(commands: MonitorCommands) -> None:
    commands.types(ADD.replace("push", "mlflow") + " --of predictions")
    assert commands.find().rule.of == "predictions"
    commands.types("monitor edit churn accuracy --of none")
    assert (commands.find().rule.of, commands.find().measured_from) == (None, 2)


@pytest.mark.parametrize(
    ("sources", "meant"),
    [
        ({}, "push"),
        ({"live": LIVE}, "live"),
        ({"prom": PROM}, "prom"),
        ({"live": LIVE, "prom": PROM}, "live"),
        ({"live": LIVE, "other": OTHER}, None),
        ({"prom": PROM, "two": PROM}, None),
    ],
    ids=str,
)
def test_a_source_can_be_left_out_where_it_is_plain(
    commands: MonitorCommands, sources: dict[str, Any], meant: str | None
) -> None:
    policy = validate_policy(POLICY | {"sources": sources})
    commands.bench.context.active_policy.replace(policy, "")
    if meant is None:
        with pytest.raises(BadInput, match="Say where the figures come from, with --source"):
            commands.types(ADD.replace(" --source push", ""))
    else:
        commands.types(ADD.replace(" --source push", ""))
        assert commands.find().rule.source == meant


# -- changing and removing ---------------------------------------------------------------------------------------------


def test_a_change_counts_anew_and_belongs_to_who_made_it(watched: MonitorCommands) -> None:
    watched.bench.clock.advance(hours=1)
    watched.types("monitor edit churn accuracy --greater-than 0.9", CAROL)
    monitor = watched.find()
    assert (monitor.revision, monitor.rule.greater_than, monitor.created_by) == (2, 0.9, CAROL.person)
    assert monitor.created_at == watched.bench.clock.now()
    event = watched.event(EventTag.MONITOR_EDITED)
    assert (event.evidence["before"]["greater_than"], event.evidence["after"]["greater_than"]) == (0.85, 0.9)


def test_a_change_disarms(watched: MonitorCommands) -> None:
    watched.types("monitor edit churn accuracy --action auto")
    watched.types("monitor arm churn accuracy --override --reason known", DAVE)
    assert watched.find().is_armed
    assert "It was armed, and is no longer." in watched.types("monitor edit churn accuracy --every 10m")
    assert not watched.find().is_armed


def test_a_change_that_changes_nothing_is_none(watched: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="is like that already"):
        watched.types("monitor edit churn accuracy --greater-than 0.85")
    assert watched.find().revision == 1


@pytest.mark.parametrize(
    "text",
    [
        "monitor edit churn accuracy --every 10m",
        "monitor remove churn accuracy",
        "monitor arm churn accuracy",
        "monitor arm churn accuracy --override --reason x",
    ],
)
def test_what_stands_in_the_policy_file_is_changed_there(commands: MonitorCommands, text: str) -> None:
    before = commands.in_file(action="auto")
    with pytest.raises(Refused, match="stands in the policy file; change it there"):
        commands.types(text, DAVE if "override" in text else BOB)
    assert commands.find() == before


def test_what_stands_in_the_policy_file_can_be_paused_and_silenced(commands: MonitorCommands) -> None:
    commands.in_file()
    commands.types("monitor pause churn accuracy")
    commands.types("monitor silence churn accuracy 1h")
    assert commands.find().is_paused
    assert commands.find().is_silenced(commands.bench.clock.now())


def test_a_removed_monitor_is_gone_and_its_button_says_so(watched: MonitorCommands) -> None:
    monitor = watched.find()
    watched.types("monitor remove churn accuracy")
    assert watched.service.list_rows() == []
    with pytest.raises(UnknownRequest, match="was removed"):
        watched.service.monitor(monitor.id)


def test_an_unknown_monitor_gets_the_nearest(watched: MonitorCommands) -> None:
    with pytest.raises(UnknownRequest, match=r"Did you mean accuracy\?"):
        watched.types("monitor pause churn acuracy")
    with pytest.raises(UnknownRequest, match="There are: accuracy"):
        watched.types("monitor pause churn zzz")
    with pytest.raises(UnknownModel, match=r"Did you mean churn\?"):
        watched.types("monitor pause chrun accuracy")
    watched.bench.registry.add_model("fraud", versions=1)
    watched.bench.watch.poll()
    with pytest.raises(UnknownRequest, match="Nothing watches “fraud”"):
        watched.types("monitor pause fraud zzz")
