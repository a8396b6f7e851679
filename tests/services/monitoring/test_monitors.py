"""Commands about monitors and incidents: permissions, records, announcements, and later effects."""

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
def test_a_command_without_permission_changes_nothing_and_is_audited(
    watched: MonitorCommands, text: str, who: str
) -> None:
    before, events = watched.find(), watched.bench.events()
    with pytest.raises(Refused):
        watched.types(text.replace("add churn accuracy", "add churn other"), OUTSIDERS[who])
    assert watched.find() == before
    assert [one.monitor.name for one in watched.service.list_rows()] == ["accuracy"]
    assert [event.tag for event in watched.bench.events()[len(events) :]] == [EventTag.PERMISSION_REFUSED]


@pytest.mark.parametrize("who", [one for one in OUTSIDERS if one != "a member"])
def test_only_members_acknowledge_an_incident(watched: MonitorCommands, who: str) -> None:
    watched.incident()
    with pytest.raises(Refused):
        watched.service.acknowledge(OUTSIDERS[who], "i4k7q", origin="slack")
    assert watched.incident_now().acknowledged_by is None


@pytest.mark.parametrize("who", OUTSIDERS)
def test_silencing_an_incident_needs_permission(watched: MonitorCommands, who: str) -> None:
    watched.incident()
    with pytest.raises(Refused):
        watched.service.silence_incident(OUTSIDERS[who], "i4k7q", timedelta(hours=2), origin="slack")
    assert watched.find().silenced_until is None


@pytest.mark.parametrize("who", OUTSIDERS)
def test_checking_a_monitor_now_needs_permission(watched: MonitorCommands, who: str) -> None:
    with pytest.raises(Refused):
        watched.bench.execute(OUTSIDERS[who], "monitor check churn accuracy")


def test_a_lead_cannot_reset_a_circuit_breaker(watched: MonitorCommands) -> None:
    with pytest.raises(Refused, match="Only admins can"):
        watched.types("monitor reset churn", BOB)


# -- adding ------------------------------------------------------------------------------------------------------------


def test_a_new_monitor_is_checked_soon(commands: MonitorCommands) -> None:
    answer = commands.types(ADD)
    monitor = commands.find()
    assert (monitor.created_by, monitor.revision, monitor.rule.greater_than) == (BOB.person, 1, 0.85)
    first = commands.standing(monitor).next_at
    assert first is not None
    assert commands.bench.clock.now() <= first <= commands.bench.clock.now() + timedelta(seconds=30)
    assert "Fails when accuracy is at most 0.85 for 2 checks in a row. It alerts the channel; no rollback." in answer


def test_a_new_monitor_is_announced_and_its_rule_is_audited(commands: MonitorCommands) -> None:
    commands.types(ADD)
    assert "@UBOB added the monitor “churn” accuracy" in commands.bench.told("said:monitor")
    event = commands.event(EventTag.MONITOR_ADDED)
    assert (event.model, event.subject, event.evidence["after"]["greater_than"]) == ("churn", "churn accuracy", 0.85)
    assert event.evidence["by"]["roles"] == ["lead"]


def test_an_unarmed_auto_monitor_says_that_it_asks(commands: MonitorCommands) -> None:
    answer = commands.types(ADD.replace("notify", "auto"))
    assert "It asks before rolling back until a second person arms it: /model monitor arm churn accuracy" in answer
    assert commands.find().effective_action == "ask"


def test_a_monitor_name_is_unique(watched: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="Change it with /model monitor edit churn accuracy"):
        watched.types(ADD)


def test_a_name_from_the_policy_file_cannot_be_used(commands: MonitorCommands) -> None:
    commands.in_file()
    with pytest.raises(BadInput, match=r"is defined in the policy file. Change it there. Or choose another name"):
        commands.types(ADD)


def test_a_removed_monitor_s_name_can_be_used_again(watched: MonitorCommands) -> None:
    watched.types("monitor remove churn accuracy")
    watched.types(ADD)
    assert watched.find().removed_at is None


def test_an_unknown_model_suggests_the_nearest(commands: MonitorCommands) -> None:
    with pytest.raises(UnknownModel, match=r"Did you mean churn\?"):
        commands.types(ADD.replace("churn", "chrun"))


def test_before_the_first_poll_any_model_is_accepted(bench: Bench) -> None:
    commands = MonitorCommands(bench)
    commands.types(ADD.replace("churn", "elsewhere"))
    assert commands.find(model="elsewhere").removed_at is None


def test_an_unknown_source_suggests_the_nearest(commands: MonitorCommands) -> None:
    with pytest.raises(BadInput, match=r"--source: “pusch” isn.t a source. Did you mean push\?"):
        commands.types(ADD.replace("push", "pusch"))


@pytest.mark.parametrize("typed", [ADD + " --of predictions", "monitor edit churn known --of predictions"])
def test_a_pushed_source_does_not_accept_the_option_of(commands: MonitorCommands, typed: str) -> None:
    commands.types(ADD.replace("accuracy", "known"))
    with pytest.raises(BadInput, match=r"--of: push accepts pushed readings, each with its own total"):
        commands.types(typed)


def test_a_total_is_added_and_removed(commands: MonitorCommands) -> None:
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
def test_the_source_can_be_omitted_if_it_is_unambiguous(
    commands: MonitorCommands, sources: dict[str, Any], meant: str | None
) -> None:
    policy = validate_policy(POLICY | {"sources": sources})
    commands.bench.context.active_policy.replace(policy, "")
    if meant is None:
        with pytest.raises(BadInput, match="Choose the source of the metric with --source"):
            commands.types(ADD.replace(" --source push", ""))
    else:
        commands.types(ADD.replace(" --source push", ""))
        assert commands.find().rule.source == meant


# -- changing and removing ---------------------------------------------------------------------------------------------


def test_a_change_restarts_the_counts_and_changes_the_author(watched: MonitorCommands) -> None:
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
    assert "It's no longer armed." in watched.types("monitor edit churn accuracy --every 10m")
    assert not watched.find().is_armed


def test_a_change_without_a_difference_is_refused(watched: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="already has these settings"):
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
def test_a_monitor_in_the_policy_file_is_changed_there(commands: MonitorCommands, text: str) -> None:
    before = commands.in_file(action="auto")
    with pytest.raises(Refused, match=r"is defined in the policy file. Change it there"):
        commands.types(text, DAVE if "override" in text else BOB)
    assert commands.find() == before


def test_a_monitor_in_the_policy_file_can_be_paused_and_silenced(commands: MonitorCommands) -> None:
    commands.in_file()
    commands.types("monitor pause churn accuracy")
    commands.types("monitor silence churn accuracy 1h")
    assert commands.find().is_paused
    assert commands.find().is_silenced(commands.bench.clock.now())


def test_a_removed_monitor_s_button_says_that_it_is_gone(watched: MonitorCommands) -> None:
    monitor = watched.find()
    watched.types("monitor remove churn accuracy")
    assert watched.service.list_rows() == []
    with pytest.raises(UnknownRequest, match="was removed"):
        watched.service.monitor(monitor.id)


def test_an_unknown_monitor_suggests_the_nearest(watched: MonitorCommands) -> None:
    with pytest.raises(UnknownRequest, match=r"Did you mean accuracy\?"):
        watched.types("monitor pause churn acuracy")
    with pytest.raises(UnknownRequest, match="Its monitors: accuracy"):
        watched.types("monitor pause churn zzz")
    with pytest.raises(UnknownModel, match=r"Did you mean churn\?"):
        watched.types("monitor pause chrun accuracy")
    watched.bench.registry.add_model("fraud", versions=1)
    watched.bench.watch.poll()
    with pytest.raises(UnknownRequest, match="“fraud” has no monitors"):
        watched.types("monitor pause fraud zzz")
