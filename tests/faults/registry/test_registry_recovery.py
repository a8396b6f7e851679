"""MLflow fails during a transition and comes back: the transition is finished, and done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.bootstrap.build import build_registrar
from bot.domain.audit.events import EventTag
from bot.domain.core.errors import RegistryRefused, RegistryUnreachable
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import ModelInfo
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from bot.ports import ModelRegistry
from bot.registrar import Registrar
from bot.services.core.context import ActivePolicy
from bot.services.core.registry_availability import RegistryAvailability
from bot.settings import Settings
from tests.support.app.app_fixture import AdjustableClock, RunningApp
from tests.support.app.harness import (
    MODEL_LAYOUT,
    audit_links,
    executor,
    holders,
    make_transition,
    only_request,
    tapped_registry,
    transition_state,
)
from tests.support.faults.registry_outage import VOTE_STANDS, SlowRegistry, asks
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.opened import opened
from tests.support.registry.registries import RegistryContents
from tests.support.services.bench import Bench
from tests.support.waiting import wait_until

# -- interrupted transitions ---------------------------------------------------------------------------------------


CALLS = ("versions", "transition", "set_alias", "model")  # the calls of one transition, in order


class BreakingRegistry:
    """Interrupts one call of a transition, before or after it takes effect."""

    def __init__(self, when: str, call: str) -> None:
        self._when, self._left = when, CALLS.index(call)
        self._armed = True

    def __call__(self, when: str, call: str) -> None:
        if not self._armed or when != self._when:
            return
        if self._left == 0:
            self._armed = False
            raise RegistryUnreachable("The registry isn't responding.")
        self._left -= 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_transition_interrupted_at_any_call_is_finished_later(when: str, call: str, sqlite_url: str) -> None:
    registry, ledger, clock = MemoryRegistry(), SqlLedger(sqlite_url), AdjustableClock()
    registry.add_model("churn", versions=MODEL_LAYOUT)
    moves = executor(ledger, tapped_registry(registry, BreakingRegistry(when, call)), clock=clock)
    with ledger.write() as tx:
        tx.add_transition(make_transition("churn", 4, after=3))
    moves.execute_due("churn")
    assert transition_state(ledger, "churn") is TransitionState.INTENDED
    clock.advance(timedelta(seconds=2))
    moves.execute_due("churn")
    assert transition_state(ledger, "churn") is TransitionState.DONE
    assert holders(registry, "churn") == [registry.model("churn").aliases["champion"]] == [4]
    assert len(audit_links(ledger, EventTag.TRANSITION_DONE)) == 1
    ledger.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("trouble", ["lost answer", "went down", "error 500"])
def test_a_transition_interrupted_on_real_mlflow_is_finished_later(
    trouble: str,
    call: str,
    sqlite_url: str,
    mlflow_server: MlflowServer,
    registries: Callable[[str], tuple[ModelRegistry, RegistryContents]],
) -> None:
    registry, backend = registries("http")
    ledger, clock = SqlLedger(sqlite_url), AdjustableClock()
    backend.add_model("churn", versions=MODEL_LAYOUT)
    registry.versions("churn")  # so that the transition makes only these four calls
    left = iter(range(CALLS.index(call), -1, -1))
    troubles: dict[str, Callable[[], None]] = {
        "lost answer": mlflow_server.lose_the_next_answer,
        "went down": mlflow_server.stop,
        "error 500": partial(mlflow_server.answer, 500, "<html>oh no</html>"),
    }

    def breaks(when: str, _: str) -> None:
        if when == "before" and next(left, None) == 0:
            troubles[trouble]()

    moves = executor(ledger, tapped_registry(registry, breaks), clock=clock)
    with ledger.write() as tx:
        tx.add_transition(make_transition("churn", 4, after=3))
    moves.execute_due("churn")
    if trouble == "went down":
        mlflow_server.start()
    clock.advance(timedelta(seconds=2))
    moves.execute_due("churn")
    assert transition_state(ledger, "churn") is TransitionState.DONE
    assert holders(registry, "churn") == [registry.model("churn").aliases["champion"]] == [4]
    assert len(audit_links(ledger, EventTag.TRANSITION_DONE)) == 1
    ledger.close()


def test_a_request_stays_approved_while_its_transition_waits(app: RunningApp, registry: SlowRegistry) -> None:
    asks(app)
    card = app.card()
    registry.is_down = True
    app.bob.clicks(card, "Approve")
    app.answer(app.bob, VOTE_STANDS)
    assert only_request(app.ledger).state is RequestState.APPROVED


# -- recovery ------------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(bench: Bench, tmp_path: Path) -> Iterator[tuple[Registrar, list[Request]]]:
    """Twenty models with approved transitions that wait for the registry, and a bot that has just found it down."""
    settings = Settings.model_validate({"REGISTRAR_HOME": str(tmp_path)})
    registrar = build_registrar(
        settings,
        ActivePolicy(bench.policy),
        ledger=bench.ledger,
        registry=opened(bench.registry),
        notifier=None,
        directory=bench.directory,
        clock=bench.clock,
    )
    registrar.recover()  # the startup comparison with MLflow is done
    requests = []
    for number in range(20):
        bench.registry.add_model(f"churn-{number}", versions=MODEL_LAYOUT)
        requests.append(bench.approved(f"promote churn-{number} 4 production"))
    bench.registry.is_down = True
    registrar.transition_executor.execute_due("churn-0")
    yield registrar, requests
    bench.registry.is_down = False
    registrar.worker_pool.shutdown(wait=True)
    registrar.query_pool.shutdown(wait=True)


def test_the_registry_gets_one_request_per_retry_while_transitions_wait(
    bench: Bench, waiting: tuple[Registrar, list[Request]]
) -> None:
    registrar, requests = waiting
    bench.registry.request_counts.clear()
    for _ in range(30):
        bench.clock.advance(seconds=2)
        registrar.recover()
    assert bench.registry.request_counts == {"model": 30}
    assert sum(bench.move(request).attempts for request in requests) == 1


def test_all_waiting_transitions_run_after_the_registry_s_first_answer(
    bench: Bench, waiting: tuple[Registrar, list[Request]]
) -> None:
    registrar, requests = waiting
    for _ in range(30):
        bench.clock.advance(seconds=2)
        registrar.recover()
    bench.registry.is_down = False
    bench.clock.advance(seconds=2)
    registrar.recover()
    assert wait_until(lambda: all(bench.state(request) is RequestState.DONE for request in requests))


def test_a_request_that_expires_during_an_outage_ends_without_the_registry(
    bench: Bench, waiting: tuple[Registrar, list[Request]]
) -> None:
    registrar, requests = waiting
    bench.registry.is_down = False
    lasts = bench.approve(bench.open("promote churn-1 2 staging")).request  # for a week
    bench.registry.is_down = True
    registrar.transition_executor.execute_due("churn-0")
    bench.clock.advance(hours=25)
    bench.registry.request_counts.clear()
    registrar.recover()
    wait_until(lambda: all(bench.state(request) is RequestState.EXPIRED for request in requests))
    wait_until(lambda: bench.state(lasts) is RequestState.APPROVED)  # it's claimed while it's checked
    assert bench.registry.request_counts == {"model": 1}


def test_a_hanging_probe_does_not_hide_that_the_registry_is_back() -> None:
    registry, reach = SlowRegistry(), RegistryAvailability()
    reach.is_unavailable = True
    registry.tires()
    assert not reach.is_available(registry, timeout=0.01)
    registry.delay = 0.0  # the next probe is answered immediately, while the first one still hangs
    assert reach.is_available(registry, timeout=10)
    registry.rested.set()


def test_a_refused_probe_counts_as_an_answer() -> None:
    class Refusing(MemoryRegistry):
        def model(self, name: str) -> ModelInfo:
            raise RegistryRefused("You have no permission.")

    reach = RegistryAvailability()
    reach.is_unavailable = True
    assert reach.is_available(Refusing(), timeout=10)
