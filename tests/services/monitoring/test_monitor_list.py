"""Lists and views of monitors."""

from __future__ import annotations

import pytest

from bot.domain.core.errors import Refused, UnknownModel
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import TrippedBreaker
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.policy.parser import validate_policy
from bot.services.core.context import ActivePolicy
from bot.services.home.home import Homes
from bot.services.home.statuses import ModelStatuses
from bot.slack.home.view import home_view
from bot.slack.monitoring.answers import monitor_list
from tests.support.monitoring.monitor_commands import ADD, LIVE, MonitorCommands
from tests.support.services.bench import ALICE, BOB, DAVE, POLICY

# -- looking -----------------------------------------------------------------------------------------------------------


def test_monitors_that_need_attention_are_listed_first(watched: MonitorCommands) -> None:
    for name, state in (("bad", MonitorStatus.FAILED), ("odd", MonitorStatus.NO_DATA), ("ill", MonitorStatus.ERROR)):
        watched.types(ADD.replace("accuracy", name))
        with watched.bench.ledger.write() as tx:
            tx.save_monitor_state(MonitorState(monitor=watched.find(name).id, state=state))
    watched.types("monitor pause churn ill")
    assert [one.monitor.name for one in watched.service.list_rows()] == ["bad", "odd", "accuracy", "ill"]
    with pytest.raises(UnknownModel):
        watched.service.list_rows("chrun")


def test_a_view_has_the_incident_and_the_breaker(watched: MonitorCommands) -> None:
    watched.incident()
    with watched.bench.ledger.write() as tx:
        tx.trip_breaker(TrippedBreaker(model="", at=watched.bench.clock.now(), why=say("Too many.")))
    watched.measure(watched.find())
    view = watched.service.view(watched.find().id)
    assert view.incident is not None
    assert view.breaker is not None
    assert [one.value for one in view.recent_measurements] == [0.9]
    assert watched.service.chart(watched.find().id).values == [0.9]


def test_the_sources_are_the_policy_s_and_the_built_in_ones(commands: MonitorCommands) -> None:
    commands.bench.context.active_policy.replace(validate_policy(POLICY | {"sources": {"live": LIVE}}), "")
    assert commands.service.sources() == ["live", "push", "mlflow"]


def test_rules_are_read_for_each_command(watched: MonitorCommands) -> None:
    assert isinstance(watched.bench.context.active_policy, ActivePolicy)
    rules = POLICY["models"]["*"] | {"rollback": {"by": ["UALICE"]}}
    watched.bench.context.active_policy.replace(validate_policy(POLICY | {"models": {"*": rules}}), "")
    watched.types("monitor pause churn accuracy", ALICE)
    with pytest.raises(Refused):
        watched.types("monitor resume churn accuracy", BOB)


# -- what armed monitors cost ------------------------------------------------------------------------------------------


def costs(commands: MonitorCommands) -> list[bool]:
    """Return whether the list, and whether Home, has the estimate for armed monitors."""
    shown = (
        monitor_list(commands.service.list_rows(), commands.bench.clock.now()).blocks,
        home_view(Homes(commands.bench.context, ModelStatuses(commands.bench.context)).view_for(BOB)),
    )
    return ["false rollbacks a month" in str(one) for one in shown]


def test_the_list_and_home_say_what_to_expect_of_armed_monitors(commands: MonitorCommands) -> None:
    commands.types("monitor add churn accuracy --source push --action auto")
    assert costs(commands) == [False, False]
    commands.types('monitor arm churn accuracy --override --reason "known"', DAVE)
    assert costs(commands) == [True, True]


def test_home_counts_every_armed_monitor(commands: MonitorCommands) -> None:
    for number in range(25):
        commands.types(f"monitor add churn m{number} --source push --action auto")
        commands.types(f'monitor arm churn m{number} --override --reason "known"', DAVE)
    estimate = (
        Homes(commands.bench.context, ModelStatuses(commands.bench.context)).view_for(BOB).expected_false_rollbacks
    )
    assert estimate
    assert estimate.armed == 25
