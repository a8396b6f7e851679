"""Quotas are enforced where every command is executed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.audit.messages import describe_event
from bot.domain.commands.catalog import COMMANDS
from bot.domain.core.actors import Automation, Caller, Client, Operator, Profile
from bot.domain.core.errors import QuotaExceeded, Refused
from bot.domain.policy.parser import validate_policy
from tests.support.services.bench import ALICE, BOB, GUEST, POLICY, STRANGER, Bench

COMPARE = "compare churn"


@pytest.fixture(autouse=True)
def _two_comparisons(bench: Bench) -> None:
    policy = POLICY | {"quotas": {"comparisons": 2, "backtests": 0}}
    bench.context.active_policy.replace(validate_policy(policy), "")


def use_up(bench: Bench, who: Caller = ALICE) -> None:
    for _ in range(2):
        bench.execute(who, COMPARE)


def test_a_comparison_over_the_quota_is_refused_with_the_time_to_wait(bench: Bench) -> None:
    use_up(bench)
    with pytest.raises(QuotaExceeded, match=r"the limit of 2 comparisons an hour\. Try again in 30m\.$"):
        bench.execute(ALICE, COMPARE)


def test_a_refused_comparison_does_not_read_the_registry(bench: Bench) -> None:
    use_up(bench)
    bench.registry.is_down = True
    with pytest.raises(QuotaExceeded):
        bench.execute(ALICE, COMPARE)


def test_it_works_again_when_the_refusal_says(bench: Bench) -> None:
    use_up(bench)
    bench.clock.advance(minutes=30)
    assert bench.execute(ALICE, COMPARE).view.incumbent == 3
    with pytest.raises(QuotaExceeded):
        bench.execute(ALICE, COMPARE)


def test_each_person_has_their_own(bench: Bench) -> None:
    use_up(bench)
    use_up(bench, BOB)
    assert bench.events() == []
    with pytest.raises(QuotaExceeded):
        bench.execute(BOB, COMPARE)


def test_a_person_has_one_in_all_workspaces(bench: Bench) -> None:
    use_up(bench)
    elsewhere = replace(ALICE, person=replace(ALICE.person, team="T2"))
    with pytest.raises(QuotaExceeded):
        bench.gatekeeper.spend_quota(elsewhere, "comparisons", origin="slack")


@pytest.mark.parametrize("what", ["best churn f1", "validate churn 4"])
def test_what_reads_many_runs_counts_as_a_comparison(bench: Bench, what: str) -> None:
    use_up(bench)
    with pytest.raises(QuotaExceeded):
        bench.execute(ALICE, what)


def test_a_backtest_has_its_own_quota(bench: Bench) -> None:
    with pytest.raises(QuotaExceeded, match="The policy doesn't allow backtests"):
        bench.execute(ALICE, "monitor backtest churn accuracy")


@pytest.mark.parametrize("what", ["list", "requests", "history churn", "promote churn 4 production"])
def test_other_commands_do_not_count(bench: Bench, what: str) -> None:
    use_up(bench)
    before = dict(bench.gatekeeper._meter._full_at)
    bench.execute(ALICE, what)
    assert bench.gatekeeper._meter._full_at == before


def test_no_command_that_changes_something_has_a_quota() -> None:
    assert sorted(verb for verb, command in COMMANDS.items() if command.quota) == [
        "best",
        "compare",
        "monitor backtest",
        "validate",
    ]


@pytest.mark.parametrize(
    "caller", [Operator("root"), Profile(person=ALICE.person, operator="root"), Automation("job")], ids=str
)
def test_the_terminal_and_automations_are_not_limited(bench: Bench, caller: Any) -> None:
    for _ in range(5):
        bench.gatekeeper.spend_quota(caller, "comparisons", origin="terminal")
    assert bench.gatekeeper._meter._full_at == {}


def test_a_client_is_limited(bench: Bench) -> None:
    bench.gatekeeper.spend_quota(Client("ci"), "comparisons", origin="api")
    bench.gatekeeper.spend_quota(Client("ci"), "comparisons", origin="api")
    with pytest.raises(QuotaExceeded):
        bench.gatekeeper.spend_quota(Client("ci"), "comparisons", origin="api")
    [event] = bench.events()
    assert (event.tag, event.actor) == (EventTag.API_REFUSED, Client("ci"))


def test_a_flood_over_the_quota_is_one_event_an_hour(bench: Bench) -> None:
    use_up(bench)
    for _ in range(100):
        with pytest.raises(QuotaExceeded):
            bench.execute(ALICE, COMPARE)
    [event] = bench.events()
    assert event.tag is EventTag.PERMISSION_REFUSED
    assert "wasn't allowed to exceed the quota of comparisons: You've reached the limit" in str(describe_event(event))


@pytest.mark.parametrize("who", [STRANGER, Profile(person=GUEST.person, is_bot=True)], ids=["stranger", "bot"])
def test_callers_without_permission_are_not_counted(bench: Bench, who: Profile) -> None:
    for _ in range(3):
        with suppress(Refused):
            bench.execute(who, COMPARE)
    assert bench.gatekeeper._meter._full_at == {}


def test_a_raised_quota_shortens_the_wait(bench: Bench) -> None:
    use_up(bench)
    bench.context.active_policy.replace(validate_policy(POLICY | {"quotas": {"comparisons": 4}}), "")
    bench.clock.advance(minutes=15)
    assert bench.execute(ALICE, COMPARE).view.incumbent == 3
    with pytest.raises(QuotaExceeded, match=r"the limit of 4 comparisons an hour\. Try again in 15m\.$"):
        bench.execute(ALICE, COMPARE)
