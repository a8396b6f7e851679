"""Policy-file monitors without a rule: `blocks` before an upgrade, and `default` after it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.sentence import unpack_sentence
from bot.domain.monitoring.incident import IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.parser import validate_policy
from bot.ports import Claim, MessageKind, MessageRef
from bot.services.core.context import ActivePolicy
from tests.support.monitoring.monitoring import (
    HOURS,
    QUICK,
    add_monitor,
    incidents,
    keep_measuring,
    monitor_state,
    policy_with,
    record_history,
)
from tests.support.services.bench import BOB, POLICY, Bench, second_bench

FIELDS: dict[str, Any] = {
    **{key: value for key, value in HOURS.items() if key != "rule"},
    "name": "accuracy",
    "source": "push",
    "warmup": "0s",
}


@pytest.fixture
def upgraded(served: Bench) -> Bench:
    """Return a bench with promotion threads in Slack, and an armed policy-file monitor without a rule."""
    with served.ledger.write() as tx:
        for number, note in enumerate(served.notes()):
            claimed = tx.claim_message(note, Claim("x", served.clock.now(), served.clock.now() + timedelta(minutes=1)))
            assert claimed is not None
            tx.mark_delivered(claimed, MessageRef("C1", f"{number}.0"))
    assert served.notes() == []
    served.context.active_policy.replace(policy_with(FIELDS | {"action": "auto"}), "1")
    return served


def kept(bench: Bench, name: str = "accuracy", **fields: Any) -> Monitor:
    """Save a policy-file monitor as an earlier release did, when the default rule was `blocks`."""
    return add_monitor(bench, name, **{"warmup": "0s", **HOURS, **fields})


def now(bench: Bench) -> list[Monitor]:
    with bench.ledger.read() as reading:
        return reading.monitors()


def heard(bench: Bench) -> list[tuple[MessageKind, str]]:
    """Return the undelivered messages: the place and the sentence."""
    return [(note.kind, str(unpack_sentence(note.data["say"]))) for note in bench.notes() if "say" in note.data]


def taken(bench: Bench) -> list[Event]:
    return [event for event in bench.events() if event.tag is EventTag.POLICY_MONITORS_LOADED]


def lane_of_promotion(bench: Bench) -> str:
    return str(bench.moves_of()[0].request)


# -- what becomes of it ------------------------------------------------------------------------------------------------


def test_a_monitor_without_a_rule_uses_default_and_stays_armed(upgraded: Bench) -> None:
    before = kept(upgraded)
    assert upgraded.file_monitors.sync() == 1
    [after] = now(upgraded)
    assert after == replace(before, rule=MonitorConfig(**{**before.rule.model_dump(), "rule": "default"}))
    assert after.is_armed


def test_its_state_stays(upgraded: Bench) -> None:
    monitor = kept(upgraded)
    record_history(upgraded, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(upgraded, lambda at: 0.9, minutes=25)
    before = monitor_state(upgraded, monitor)
    upgraded.file_monitors.sync()
    assert monitor_state(upgraded, monitor) == before
    keep_measuring(upgraded, lambda at: 0.9, minutes=1)
    after = monitor_state(upgraded, monitor)
    assert (after.points, after.judged_at) == (before.points + 1, before.judged_at)


def test_its_silence_stays(upgraded: Bench) -> None:
    monitor = kept(upgraded)
    until = upgraded.clock.now() + timedelta(hours=2)
    with upgraded.ledger.write() as tx:
        tx.save_monitor(replace(monitor, silenced_until=until, silenced_by=BOB.person, silence_reason="a new source"))
    upgraded.file_monitors.sync()
    assert [(one.silenced_until, one.is_silenced(upgraded.clock.now())) for one in now(upgraded)] == [(until, True)]


def test_an_open_incident_continues(upgraded: Bench) -> None:
    monitor = kept(upgraded, action="notify")
    upgraded.context.active_policy.replace(policy_with(FIELDS | {"action": "notify"}), "1")
    record_history(upgraded, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(upgraded, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    [before] = incidents(upgraded)
    upgraded.file_monitors.sync()
    upgraded.incidents.end_and_remind()
    keep_measuring(upgraded, lambda at: 0.8 + 0.002 * (at % 5), minutes=5)
    upgraded.incidents.end_and_remind()
    [after] = incidents(upgraded)
    assert (after.id, after.is_open, after.doing) == (before.id, True, IncidentStatus.NOTIFIED)
    assert monitor_state(upgraded, monitor).state is MonitorStatus.FAILED


def test_windows_counted_before_the_upgrade_still_count(upgraded: Bench) -> None:
    """The third bad window in a row fails, although two were before the upgrade."""
    monitor = kept(upgraded, fail_after=3)
    upgraded.context.active_policy.replace(policy_with(FIELDS | {"action": "auto", "fail_after": 3}), "1")
    record_history(upgraded, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    while monitor_state(upgraded, monitor).bad < 2:
        keep_measuring(upgraded, lambda at: 0.8 + 0.002 * (at % 5), minutes=1)
    upgraded.file_monitors.sync()
    keep_measuring(upgraded, lambda at: 0.8 + 0.002 * (at % 5), minutes=2)
    assert upgraded.registry.holders() == [2]
    assert [one.kind for one in incidents(upgraded)] == [IncidentKind.FAILED]


def test_another_change_in_the_file_restarts_the_monitor(upgraded: Bench) -> None:
    monitor = kept(upgraded, fail_after=5)
    record_history(upgraded, monitor, lambda slot: 0.9, hours=1)
    upgraded.file_monitors.sync()
    assert [(one.rule.rule, one.rule.fail_after, one.revision, one.is_armed) for one in now(upgraded)] == [
        ("default", 2, 2, True)
    ]
    assert len(heard(upgraded)) == 1


# -- who hears of it ---------------------------------------------------------------------------------------------------


def test_the_promotion_s_thread_announces_it_once(upgraded: Bench) -> None:
    kept(upgraded)
    upgraded.file_monitors.sync()
    assert upgraded.file_monitors.sync() == 0
    assert heard(upgraded) == [
        (
            MessageKind.THREAD_REPLY,
            "The policy file doesn't set a rule for the monitor “churn” accuracy, so default now evaluates it instead "
            "of blocks. It stays armed. To keep blocks, set rule: blocks.",
        )
    ]
    assert [note.lane for note in upgraded.notes()] == [lane_of_promotion(upgraded)]


def test_the_audit_log_has_both_rules_and_the_announcement(upgraded: Bench) -> None:
    kept(upgraded)
    upgraded.file_monitors.sync()
    [event] = taken(upgraded)
    assert ('"rule":"blocks"' in str(event.before), '"rule":"default"' in str(event.after)) == (True, True)
    assert event.evidence == {"told_in": lane_of_promotion(upgraded)}


def test_one_sentence_names_all_monitors_of_a_model(upgraded: Bench) -> None:
    for name in ("accuracy", "recall"):
        kept(upgraded, name)
    rules = [FIELDS | {"name": "accuracy", "action": "auto"}, FIELDS | {"name": "recall", "action": "notify"}]
    upgraded.context.active_policy.replace(policy_with(*rules), "1")
    assert upgraded.file_monitors.sync() == 2
    assert [said for _, said in heard(upgraded)] == [
        "The policy file doesn't set a rule for the monitors “churn” accuracy, “churn” recall, so default now "
        "evaluates them instead of blocks. Those that were armed stay armed. To keep blocks, set rule: blocks."
    ]


def test_models_without_a_thread_share_one_message_in_their_channel(bench: Bench) -> None:
    """The file can define a monitor for hundreds of models without promotion threads."""
    names = [f"model-{number:02}" for number in range(12)]
    for name in names:
        kept(bench, model=name)
    rules = POLICY["models"]["*"]
    models = {name: rules | {"monitors": [FIELDS | {"action": "auto"}]} for name in names}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": {"*": rules} | models}), "1")
    assert bench.file_monitors.sync() == 12
    [(kind, said)] = heard(bench)
    assert kind is MessageKind.CHANNEL_MESSAGE
    assert said.startswith(
        "The policy file doesn't set a rule for the monitors “model-00” accuracy, “model-01” accuracy"
    )
    assert "“model-09” accuracy and 2 more, so default now evaluates them instead of blocks. They stay armed." in said


def test_only_one_of_two_processes_announces_it(upgraded: Bench) -> None:
    kept(upgraded)
    other = second_bench(upgraded)
    other.context.active_policy.replace(upgraded.context.policy, "1")
    threads = [threading.Thread(target=one.file_monitors.sync) for one in (upgraded, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(heard(upgraded)), len(taken(upgraded))) == (1, 1)


# -- what isn't touched ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["blocks", "default", "sequential"])
def test_a_file_with_an_explicit_rule_is_not_announced(upgraded: Bench, said: str) -> None:
    kept(upgraded)
    upgraded.context.active_policy.replace(policy_with(FIELDS | {"action": "auto", "rule": said}), "1")
    upgraded.file_monitors.sync()
    assert [one.rule.rule for one in now(upgraded)] == [said]
    assert heard(upgraded) == []


def test_a_monitor_from_slack_keeps_blocks(upgraded: Bench) -> None:
    upgraded.context.active_policy.replace(policy_with(), "1")
    monitor = replace(kept(upgraded), created_by=BOB.person)
    with upgraded.ledger.write() as tx:
        tx.save_monitor(monitor)
    assert upgraded.file_monitors.sync() == 0
    assert now(upgraded) == [monitor]


def test_a_new_monitor_in_the_file_uses_default_without_an_announcement(upgraded: Bench) -> None:
    assert upgraded.file_monitors.sync() == 1
    assert [one.rule.rule for one in now(upgraded)] == ["default"]
    assert heard(upgraded) == []


def test_a_blank_rule_is_the_same_as_no_rule(upgraded: Bench) -> None:
    kept(upgraded)
    upgraded.context.active_policy.replace(policy_with(FIELDS | {"action": "auto", "rule": None}), "1")
    upgraded.file_monitors.sync()
    assert len(heard(upgraded)) == 1


def test_the_file_s_monitors_are_added_for_every_known_model(served: Bench) -> None:
    served.context.active_policy.replace(policy_with({"name": "accuracy", **QUICK}), "1")
    served.file_monitors.sync()
    with served.ledger.read() as reading:
        [monitor] = reading.monitors()
    assert (monitor.model, monitor.is_from_file, monitor.is_armed) == ("churn", True, True)


def test_an_edit_of_the_file_is_a_new_revision_and_a_removed_line_removes_the_monitor(served: Bench) -> None:
    rules: ActivePolicy = served.context.active_policy
    rules.replace(policy_with({"name": "accuracy", **QUICK}), "1")
    served.file_monitors.sync()
    rules.replace(policy_with({"name": "accuracy", **QUICK, "fail_after": 5}), "2")
    assert served.file_monitors.sync() == 1
    with served.ledger.read() as reading:
        assert [(one.revision, one.rule.fail_after) for one in reading.monitors()] == [(2, 5)]
    rules.replace(policy_with(), "3")
    served.file_monitors.sync()
    with served.ledger.read() as reading:
        assert reading.monitors() == []
    assert served.file_monitors.sync() == 0
