"""MLflow is slow, down, or interrupted: the bot says so immediately, and executes decisions later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from bot.domain.audit.events import EventTag
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.harness import (
    MODEL_LAYOUT,
    add_people,
    audit_links,
    run_concurrently,
)
from tests.support.faults.registry_outage import VOTE_STANDS, SlowRegistry, asks
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

# Seconds. A person should wait at most three, which `make bench` measures; waiting for the registry would take
# far longer than this, on a busy machine, too.
SOON = 15.0


REQUEST_STANDS = "Your request is recorded"


@contextmanager
def soon() -> Iterator[None]:
    """Fail if something takes as long as waiting for the registry."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


# -- down ----------------------------------------------------------------------------------------------------------


def test_a_requester_is_told_immediately_that_the_request_is_recorded(app: RunningApp, registry: SlowRegistry) -> None:
    registry.is_down = True
    with soon():
        asks(app)
        app.answer(app.alice, REQUEST_STANDS)
    assert len(audit_links(app.ledger, EventTag.PROMOTION_REQUESTED)) == 1


def test_the_card_appears_when_mlflow_is_back(app: RunningApp, registry: SlowRegistry, clock: AdjustableClock) -> None:
    registry.is_down = True
    asks(app)
    app.answer(app.alice, REQUEST_STANDS)
    registry.is_down = False
    clock.advance(timedelta(seconds=5))
    app.bob.clicks(app.card(), "Approve")
    app.card(holds="is in Production")
    assert app.production() == [4]
    assert len(audit_links(app.ledger, EventTag.REQUEST_OPENED)) == 1


def test_a_refusal_is_sent_directly_when_mlflow_is_back(
    app: RunningApp, registry: SlowRegistry, clock: AdjustableClock
) -> None:
    registry.is_down = True
    asks(app, "promote chrun 4 production")
    app.answer(app.alice, REQUEST_STANDS)
    registry.is_down = False
    clock.advance(timedelta(seconds=5))
    assert "churn" in message_text(app.alice.waits_for_direct_message())


def test_an_approver_is_told_immediately_that_the_vote_is_recorded(app: RunningApp, registry: SlowRegistry) -> None:
    asks(app)
    card = app.card()
    registry.is_down = True
    with soon():
        app.bob.clicks(card, "Approve")
        app.answer(app.bob, VOTE_STANDS)
    assert len(audit_links(app.ledger, EventTag.APPROVED)) == 1


def test_an_approved_transition_is_done_when_mlflow_is_back(
    app: RunningApp, registry: SlowRegistry, clock: AdjustableClock
) -> None:
    asks(app)
    card = app.card()
    registry.is_down = True
    app.bob.clicks(card, "Approve")
    app.answer(app.bob, VOTE_STANDS)
    app.card(holds="approved")
    registry.is_down = False
    clock.advance(timedelta(seconds=5))
    app.card(holds="is in Production")
    assert app.production() == [4]
    assert len(audit_links(app.ledger, EventTag.TRANSITION_DONE)) == 1


def test_a_two_of_two_request_is_decided_while_mlflow_is_down(
    slack: LocalSlack, tmp_path: Path, registry: SlowRegistry, clock: AdjustableClock
) -> None:
    registry.add_model("two-eyes", versions=1)
    with running_app(slack, tmp_path, registry, http=True, clock=clock) as app:
        asks(app, "promote two-eyes 1 production")
        card = app.card()
        registry.is_down = True
        app.bob.clicks(card, "Approve")
        app.card(holds="1 of 2")
        slack.person("dave").clicks(card, "Approve")
        app.answer(slack.person("dave"), VOTE_STANDS)
        registry.is_down = False
        clock.advance(timedelta(seconds=5))
        app.card(holds="is in Production")
        assert app.production("two-eyes") == [1]


def test_the_card_says_that_the_transition_waits_for_mlflow(
    app: RunningApp, registry: SlowRegistry, clock: AdjustableClock
) -> None:
    asks(app)
    card = app.card()
    registry.is_down = True
    app.bob.clicks(card, "Approve")
    waits = "promote the version as soon as it does"
    for _ in range(3):
        attempts = the_move_attempts(app)
        app.card(holds=waits)
        clock.advance(timedelta(minutes=1))
        app.registrar.execute_transitions("churn")
        assert the_move_attempts(app) >= attempts
    assert app.bob.thread(card)[1:] == []


def test_a_query_while_mlflow_is_down_says_so(app: RunningApp, registry: SlowRegistry) -> None:
    registry.is_down = True
    with soon():
        asks(app, "show churn")
        assert app.answer(app.alice, "isn't responding")


def the_move_attempts(app: RunningApp) -> int:
    """Return how many times the transition was tried."""
    with app.ledger.read() as reading:
        return sum(move.attempts for move in reading.transitions("churn"))


# -- slow ----------------------------------------------------------------------------------------------------------


def test_a_requester_is_told_within_three_seconds_while_mlflow_is_slow(app: RunningApp, registry: SlowRegistry) -> None:
    registry.tires()
    with soon():
        asks(app)
        app.answer(app.alice, REQUEST_STANDS)
    assert not registry.rested.is_set()
    registry.rested.set()
    app.card()


def test_a_command_retried_while_mlflow_is_slow_opens_one_request(app: RunningApp, registry: SlowRegistry) -> None:
    registry.tires()
    asks(app)
    [ask] = [link.event.subject.removeprefix("ask:") for link in audit_links(app.ledger, EventTag.PROMOTION_REQUESTED)]
    opening: list[Callable[[], object]] = [partial(app.registrar.command_queue.execute, ask) for _ in range(4)]
    run_concurrently([*opening, lambda: registry.wakes(after=5)])
    assert "Waiting for" in app.answer(app.alice, "Requested ")
    assert len(audit_links(app.ledger, EventTag.REQUEST_OPENED)) == 1
    assert audit_links(app.ledger, EventTag.PROMOTION_REFUSED) == []


def test_an_approver_is_told_within_three_seconds_while_mlflow_is_slow(app: RunningApp, registry: SlowRegistry) -> None:
    asks(app)
    card = app.card()
    registry.tires()
    with soon():
        app.bob.clicks(card, "Approve")
        app.answer(app.bob, VOTE_STANDS)
    registry.rested.set()
    app.card(holds="is in Production")
    assert len(audit_links(app.ledger, EventTag.TRANSITION_DONE)) == 1


def test_a_rejection_does_not_wait_for_a_slow_mlflow(app: RunningApp, registry: SlowRegistry) -> None:
    asks(app)
    card = app.card()
    registry.tires()
    assert app.bob.clicks(card, "Reject").acked
    app.bob.waits_for_modal()
    with soon():
        app.bob.submits({"reason": "no"})
        app.card(holds="rejected")


def test_twenty_commands_at_once_are_all_acknowledged_in_time_with_a_slow_registry(
    slack: LocalSlack, tmp_path: Path
) -> None:
    registry = MemoryRegistry()
    for number in range(10):
        registry.add_model(f"model-{number}", versions=MODEL_LAYOUT)
    crowd = add_people(slack, 20)
    with running_app(slack, tmp_path, registry) as app:
        registry.delay = 2.0
        commands = [f"promote model-{n} 4 production" for n in range(10)] + [f"show model-{n}" for n in range(10)]
        outcomes = run_concurrently(
            [partial(one.types, CHANNEL, f"/model {text}") for one, text in zip(crowd, commands, strict=True)]
        )
        assert [outcome for outcome in outcomes if not outcome.acked] == []  # the workspace times out after 3 s
        wait_until(lambda: len(audit_links(app.ledger, EventTag.REQUEST_OPENED)) == 10)
        registry.delay = 0.0
