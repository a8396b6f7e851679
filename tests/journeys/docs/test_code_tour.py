"""The code tours in docs/reference/code-tour.md are what happens: each stop is called, in the page's order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from scripts.code_tour import TOURS, Scene, Stop, Tour, WrongStop, check_order, find_place
from tests.journeys.monitoring import test_automatic_rollback as rollbacks
from tests.journeys.promotions import test_promotion as promotions
from tests.journeys.registry import test_comparisons as comparison_journeys
from tests.journeys.registry.conftest import measured
from tests.support.app.app_fixture import POLICY, AdjustableClock, RunningApp, make_policy, running_app
from tests.support.app.call_trace import CallTrace, traced_calls
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

__all__ = ["measured"]  # the fixture


@pytest.fixture(autouse=True)
def trace() -> Iterator[CallTrace]:
    """The calls of a test, from before its bot starts."""
    with traced_calls() as trace:
        yield trace


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock()


@pytest.fixture
def monitored(
    slack: LocalSlack, tmp_path: Path, clock: AdjustableClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApp]:
    """The bot, and a monitor of v4, which is in Production after v3."""
    monkeypatch.setenv("REGISTRAR_CLIENT_SERVE", rollbacks.TOKEN)
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    policy = make_policy(
        {
            "models": {"*": POLICY["models"]["*"] | {"monitors": [rollbacks.MONITOR | {"every": "25s"}]}},
            "sources": {"live": {"type": "push"}},
            "clients": {"serve": {"token_env": "REGISTRAR_CLIENT_SERVE", "may": ["push"]}},
        }
    )
    with running_app(slack, tmp_path, registry, policy=policy, clock=clock) as app:
        app.registrar.poll_registry()
        promotions.test_a_promotion_is_requested_approved_and_made(app)
        yield app


def test_promotion(trace: CallTrace, app: RunningApp) -> None:
    promotions.test_a_promotion_is_requested_approved_and_made(app)
    check_order(TOURS["promotion"], trace.names())


def test_rollback(trace: CallTrace, monitored: RunningApp, clock: AdjustableClock) -> None:
    wait_until(lambda: checked_versions(monitored) == {4})  # else the first check might read what is pushed
    assert rollbacks.push(monitored, 0.42).status_code == 202
    clock.advance(timedelta(seconds=25))
    monitored.card(holds="Restored")
    assert monitored.production() == [3]
    check_order(TOURS["rollback"], trace.names())


def checked_versions(app: RunningApp) -> set[int | None]:
    """Return the version that the monitor has checked last, if any."""
    with app.ledger.read() as reading:
        [monitor] = reading.monitors("churn")
        return {measurement.version for measurement in reading.measurements(monitor.id, limit=1)}


def test_comparison(trace: CallTrace, measured: RunningApp) -> None:
    comparison_journeys.test_the_answer_and_its_chart_go_to_direct_messages(measured)
    check_order(TOURS["comparison"], trace.names())


def test_a_stop_that_is_not_passed_in_order_is_found() -> None:
    stops = (Stop("CommandQueue.submit"), Stop("TransitionExecutor.execute_due"))
    calls = [find_place(stop.name).name for stop in stops]
    check_order(Tour("Forward", (Scene("", stops),)), calls)
    with pytest.raises(WrongStop, match="execute_due isn't called after the stops before it"):
        check_order(Tour("Backward", (Scene("", stops),)), calls[::-1])


@pytest.mark.parametrize(
    ("name", "problem"), [("Outbox.vote", "must be one function"), ("execute_due", "must be one function")]
)
def test_a_stop_that_is_not_exactly_one_function_is_found(name: str, problem: str) -> None:
    with pytest.raises(WrongStop, match=problem):
        find_place(name)
