"""MLflow is slow, down, or breaks off in the middle: people hear so at once, and what they decided is done later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Semaphore

import pytest

from bot.bootstrap import build
from bot.domain.approvals import Request, RequestState
from bot.domain.errors import RegistryRefused, RegistryUnreachable
from bot.domain.events import Tag
from bot.domain.moves import MoveState
from bot.domain.registry import ModelInfo
from bot.ledger import SqlLedger
from bot.ports import Registry
from bot.registrar import Registrar
from bot.registry.memory import MemoryRegistry
from bot.services.context import Rules
from bot.services.reach import Reach
from bot.settings import Settings
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, TurnedClock, World, running, said
from tests.support.app.harness import (
    MODEL_LAYOUT,
    add_people,
    all_at_once,
    executor,
    holders,
    links,
    move_of,
    state_of_move,
    tapped_registry,
    the_request,
)
from tests.support.registry.registries import MlflowServer, Shelf
from tests.support.services.bench import Bench
from tests.support.waiting import wait_until

# Seconds. A person should wait no more than three, which `make bench` measures; what waited for the registry would take
# far longer than this, on a busy machine, too.
SOON = 15.0
REQUEST_STANDS = "What you asked for is written down"
VOTE_STANDS = "Your vote is recorded"


class Tired(MemoryRegistry):
    """A registry that answers nothing until it is `rested`, when it is `tired`."""

    def __init__(self) -> None:
        self.waiting = Semaphore(0)
        self.rested = Event()
        self.rested.set()
        super().__init__(wait=lambda _: self._rest())
        self.delay = 2.0

    def tires(self) -> None:
        """Answer no more."""
        self.waiting = Semaphore(0)
        self.rested.clear()

    def wakes(self, after: int) -> None:
        """Answer again as soon as so many calls wait for it."""
        for _ in range(after):
            assert self.waiting.acquire(timeout=10)
        self.rested.set()

    def _rest(self) -> None:
        self.waiting.release()
        self.rested.wait(30)


@pytest.fixture
def registry() -> Iterator[Tired]:
    """A registry that a test can make slow or take down."""
    registry = Tired()
    yield registry
    registry.rested.set()


@pytest.fixture
def clock() -> TurnedClock:
    """The clock of the bot."""
    return TurnedClock()


@pytest.fixture
def world(slack: LocalSlack, tmp_path: Path, registry: Tired, clock: TurnedClock) -> Iterator[World]:
    """The whole bot over that registry."""
    with running(slack, tmp_path, registry, http=True, clock=clock) as world:
        yield world
        registry.down = False
        registry.rested.set()


@contextmanager
def soon() -> Iterator[None]:
    """Fail what waits for the registry to come back."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


def asks(world: World, text: str = "promote churn 4 production") -> None:
    """Let Alice ask."""
    assert world.alice.types(CHANNEL, f"/model {text}").acked


# -- down ----------------------------------------------------------------------------------------------------------


def test_who_asks_while_mlflow_is_down_hears_at_once_that_it_stands(world: World, registry: Tired) -> None:
    registry.down = True
    with soon():
        asks(world)
        world.answer(world.alice, REQUEST_STANDS)
    assert len(links(world.ledger, Tag.ASKED)) == 1


def test_the_card_appears_when_mlflow_is_back(world: World, registry: Tired, clock: TurnedClock) -> None:
    registry.down = True
    asks(world)
    world.answer(world.alice, REQUEST_STANDS)
    registry.down = False
    clock.turn(timedelta(seconds=5))
    world.bob.clicks(world.card(), "Approve")
    world.card(holds="is in Production")
    assert world.production() == [4]
    assert len(links(world.ledger, Tag.OPENED)) == 1


def test_what_stands_against_it_is_told_directly_when_mlflow_is_back(
    world: World, registry: Tired, clock: TurnedClock
) -> None:
    registry.down = True
    asks(world, "promote chrun 4 production")
    world.answer(world.alice, REQUEST_STANDS)
    registry.down = False
    clock.turn(timedelta(seconds=5))
    assert "churn" in said(world.alice.waits_for_direct_message())


def test_who_approves_while_mlflow_is_down_hears_at_once_that_it_stands(world: World, registry: Tired) -> None:
    asks(world)
    card = world.card()
    registry.down = True
    with soon():
        world.bob.clicks(card, "Approve")
        world.answer(world.bob, VOTE_STANDS)
    assert len(links(world.ledger, Tag.APPROVED)) == 1


def test_an_approved_move_is_made_when_mlflow_is_back(world: World, registry: Tired, clock: TurnedClock) -> None:
    asks(world)
    card = world.card()
    registry.down = True
    world.bob.clicks(card, "Approve")
    world.answer(world.bob, VOTE_STANDS)
    world.card(holds="approved")
    registry.down = False
    clock.turn(timedelta(seconds=5))
    world.card(holds="is in Production")
    assert world.production() == [4]
    assert len(links(world.ledger, Tag.MOVED)) == 1


def test_a_two_of_two_is_decided_while_mlflow_is_down(
    slack: LocalSlack, tmp_path: Path, registry: Tired, clock: TurnedClock
) -> None:
    registry.add("two-eyes", versions=1)
    with running(slack, tmp_path, registry, http=True, clock=clock) as world:
        asks(world, "promote two-eyes 1 production")
        card = world.card()
        registry.down = True
        world.bob.clicks(card, "Approve")
        world.card(holds="1 of 2")
        slack.person("dave").clicks(card, "Approve")
        world.answer(slack.person("dave"), VOTE_STANDS)
        registry.down = False
        clock.turn(timedelta(seconds=5))
        world.card(holds="is in Production")


def test_the_thread_is_told_once_that_the_move_waits(world: World, registry: Tired, clock: TurnedClock) -> None:
    asks(world)
    card = world.card()
    registry.down = True
    world.bob.clicks(card, "Approve")
    waits = "The move is made as soon as it is back"
    for _ in range(3):
        attempts = the_move_attempts(world)
        world.slack.wait_for(lambda: any(waits in said(answer) for answer in world.bob.thread(card)))
        clock.turn(timedelta(minutes=1))
        world.registrar.move("churn")
        assert the_move_attempts(world) >= attempts
    assert sum(waits in said(answer) for answer in world.bob.thread(card)) == 1


def test_a_lookup_while_mlflow_is_down_says_so(world: World, registry: Tired) -> None:
    registry.down = True
    with soon():
        asks(world, "show churn")
        world.answer(world.alice, "does not answer")


def the_move_attempts(world: World) -> int:
    """Return how often the move was tried."""
    with world.ledger.read() as reading:
        return sum(move.attempts for move in reading.moves("churn"))


# -- slow ----------------------------------------------------------------------------------------------------------


def test_who_asks_while_mlflow_is_slow_hears_within_three_seconds_that_it_stands(world: World, registry: Tired) -> None:
    registry.tires()
    with soon():
        asks(world)
        world.answer(world.alice, REQUEST_STANDS)
    registry.rested.set()
    world.card()


def test_an_ask_that_the_clock_takes_up_while_mlflow_is_slow_opens_one_request(world: World, registry: Tired) -> None:
    registry.tires()
    asks(world)
    [ask] = [link.event.subject.removeprefix("ask:") for link in links(world.ledger, Tag.ASKED)]
    opening: list[Callable[[], object]] = [partial(world.registrar.errands.carry_out, ask) for _ in range(4)]
    all_at_once([*opening, lambda: registry.wakes(after=5)])
    assert "Waiting for" in world.answer(world.alice, "Requested ")
    assert len(links(world.ledger, Tag.OPENED)) == 1
    assert links(world.ledger, Tag.ASK_REFUSED) == []


def test_who_approves_while_mlflow_is_slow_hears_within_three_seconds_that_it_stands(
    world: World, registry: Tired
) -> None:
    asks(world)
    card = world.card()
    registry.tires()
    with soon():
        world.bob.clicks(card, "Approve")
        world.answer(world.bob, VOTE_STANDS)
    registry.rested.set()
    world.card(holds="is in Production")
    assert len(links(world.ledger, Tag.MOVED)) == 1


def test_a_rejection_does_not_wait_for_a_slow_mlflow(world: World, registry: Tired) -> None:
    asks(world)
    card = world.card()
    registry.tires()
    assert world.bob.clicks(card, "Reject").acked
    world.bob.waits_for_modal()
    with soon():
        world.bob.submits({"reason": "no"})
        world.card(holds="rejected")


def test_of_twenty_commands_at_once_on_a_registry_of_two_seconds_a_call_none_misses_its_acknowledgement(
    slack: LocalSlack, tmp_path: Path
) -> None:
    registry = MemoryRegistry()
    for number in range(10):
        registry.add(f"model-{number}", versions=MODEL_LAYOUT)
    crowd = add_people(slack, 20)
    with running(slack, tmp_path, registry) as world:
        registry.delay = 2.0
        commands = [f"promote model-{n} 4 production" for n in range(10)] + [f"show model-{n}" for n in range(10)]
        outcomes = all_at_once(
            [partial(one.types, CHANNEL, f"/model {text}") for one, text in zip(crowd, commands, strict=True)]
        )
        assert [outcome for outcome in outcomes if not outcome.acked] == []  # the workspace gives up after 3 s
        wait_until(lambda: len(links(world.ledger, Tag.OPENED)) == 10)
        registry.delay = 0.0


# -- in the middle -------------------------------------------------------------------------------------------------

CALLS = ("versions", "transition", "set_alias", "model")  # those of one move, in order


class Breaks:
    """Breaks off one call of a move: before it is made, or after it took effect."""

    def __init__(self, when: str, call: str) -> None:
        self._when, self._left = when, CALLS.index(call)
        self._armed = True

    def __call__(self, when: str, call: str) -> None:
        if not self._armed or when != self._when:
            return
        if self._left == 0:
            self._armed = False
            raise RegistryUnreachable("The registry does not answer.")
        self._left -= 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_move_that_breaks_off_anywhere_is_finished_later(when: str, call: str, sqlite_url: str) -> None:
    registry, ledger, clock = MemoryRegistry(), SqlLedger(sqlite_url), TurnedClock()
    registry.add("churn", versions=MODEL_LAYOUT)
    moves = executor(ledger, tapped_registry(registry, Breaks(when, call)), clock=clock)
    with ledger.write() as tx:
        tx.add_move(move_of("churn", 4, after=3))
    moves.run("churn")
    assert state_of_move(ledger, "churn") is MoveState.INTENDED
    clock.turn(timedelta(seconds=2))
    moves.run("churn")
    assert state_of_move(ledger, "churn") is MoveState.DONE
    assert holders(registry, "churn") == [registry.model("churn").aliases["champion"]] == [4]
    assert len(links(ledger, Tag.MOVED)) == 1
    ledger.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("trouble", ["lost answer", "went down", "error 500"])
def test_a_move_that_breaks_off_on_real_mlflow_is_finished_later(
    trouble: str,
    call: str,
    sqlite_url: str,
    mlflow_server: MlflowServer,
    registries: Callable[[str], tuple[Registry, Shelf]],
) -> None:
    registry, shelf = registries("http")
    ledger, clock = SqlLedger(sqlite_url), TurnedClock()
    shelf.add("churn", versions=MODEL_LAYOUT)
    registry.versions("churn")  # so that the calls of the move are the four
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
        tx.add_move(move_of("churn", 4, after=3))
    moves.run("churn")
    if trouble == "went down":
        mlflow_server.start()
    clock.turn(timedelta(seconds=2))
    moves.run("churn")
    assert state_of_move(ledger, "churn") is MoveState.DONE
    assert holders(registry, "churn") == [registry.model("churn").aliases["champion"]] == [4]
    assert len(links(ledger, Tag.MOVED)) == 1
    ledger.close()


def test_the_request_is_approved_and_not_executing_while_its_move_waits(world: World, registry: Tired) -> None:
    asks(world)
    card = world.card()
    registry.down = True
    world.bob.clicks(card, "Approve")
    world.answer(world.bob, VOTE_STANDS)
    assert the_request(world.ledger).state is RequestState.APPROVED


# -- back again ----------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(bench: Bench, tmp_path: Path) -> Iterator[tuple[Registrar, list[Request]]]:
    """Twenty models whose approved moves wait for the registry, and a bot that has just found it down."""
    settings = Settings.model_validate({"REGISTRAR_HOME": str(tmp_path)})
    registrar = build(
        settings,
        Rules(bench.policy),
        ledger=bench.ledger,
        registry=bench.registry,
        notifier=None,
        directory=bench.directory,
        clock=bench.clock,
    )
    registrar.recover()  # what a start compares with MLflow is compared
    requests = []
    for number in range(20):
        bench.registry.add(f"churn-{number}", versions=MODEL_LAYOUT)
        requests.append(bench.approved(f"promote churn-{number} 4 production"))
    bench.registry.down = True
    registrar.moves.run("churn-0")
    yield registrar, requests
    bench.registry.down = False
    registrar.work.shutdown(wait=True)
    registrar.looking.shutdown(wait=True)


def test_while_moves_wait_for_the_registry_it_gets_one_request_each_time(
    bench: Bench, waiting: tuple[Registrar, list[Request]]
) -> None:
    registrar, requests = waiting
    bench.registry.requests.clear()
    for _ in range(30):
        bench.clock.turn(seconds=2)
        registrar.recover()
    assert bench.registry.requests == {"model": 30}
    assert sum(bench.move(request).attempts for request in requests) == 1


def test_the_first_answer_of_the_registry_lets_every_waiting_move_be_made(
    bench: Bench, waiting: tuple[Registrar, list[Request]]
) -> None:
    registrar, requests = waiting
    for _ in range(30):
        bench.clock.turn(seconds=2)
        registrar.recover()
    bench.registry.down = False
    bench.clock.turn(seconds=2)
    registrar.recover()
    wait_until(lambda: all(bench.state(request) is RequestState.DONE for request in requests))


def test_what_expires_while_the_registry_is_away_ends_without_it(
    bench: Bench, waiting: tuple[Registrar, list[Request]]
) -> None:
    registrar, requests = waiting
    bench.registry.down = False
    lasts = bench.approve(bench.open("promote churn-1 2 staging")).request  # for a week
    bench.registry.down = True
    registrar.moves.run("churn-0")
    bench.clock.turn(hours=25)
    bench.registry.requests.clear()
    registrar.recover()
    wait_until(lambda: all(bench.state(request) is RequestState.EXPIRED for request in requests))
    wait_until(lambda: bench.state(lasts) is RequestState.APPROVED)  # it's claimed while it's looked at
    assert bench.registry.requests == {"model": 1}


def test_a_question_that_hangs_does_not_hide_that_the_registry_answers_again() -> None:
    registry, reach = Tired(), Reach()
    reach.lost()
    registry.tires()
    assert not reach.is_back(registry, patience=0.01)
    registry.delay = 0.0  # the next question is answered at once, while the first one still hangs
    assert reach.is_back(registry, patience=10)
    registry.rested.set()


def test_a_registry_that_refuses_the_question_has_answered() -> None:
    class Refusing(MemoryRegistry):
        def model(self, name: str) -> ModelInfo:
            raise RegistryRefused("You have no permission.")

    reach = Reach()
    reach.lost()
    assert reach.is_back(Refusing(), patience=10)
