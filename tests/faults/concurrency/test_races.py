"""Simultaneous actions: each request is decided once, each stage has one holder, and no one waits forever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Approve, Reject
from bot.domain.core.actors import Person
from bot.domain.core.errors import AlreadyDecided
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from bot.ports import Ledger, ModelRegistry
from localslack import ActionResult, LocalSlack, RefusedError, Remote, WorkspaceMember
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text, running_app
from tests.support.app.harness import (
    LEAD,
    MODEL_LAYOUT,
    OTHER_LEAD,
    add_people,
    audit_links,
    executor,
    holders,
    is_chain_intact,
    make_transition,
    only_request,
    open_request,
    percentile,
    requests_over,
    run_concurrently,
    upkeep_over,
)
from tests.support.faults.suite_size import CHAOS, suite_size
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.registries import KINDS, RegistryContents
from tests.support.waiting import PATIENCE, wait_until

CROWD = 100
ROUNDS = suite_size(500, 60)  # races in one process
CROWDED = suite_size(100, 3)  # rounds of a hundred clicks
pytestmark = [pytest.mark.slow] if CHAOS else []  # `make chaos` runs all of them


# -- a hundred simultaneous approvals, with the workspace in its own process -----------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Return the ledger's URL, or None for SQLite in the bot's home."""
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None


def test_one_of_a_hundred_simultaneous_approvals_decides_and_the_others_see_who(
    apart: Remote, tmp_path: Path, database_url: str | None
) -> None:
    crowd = add_people(apart, CROWD)
    approvers = [person.id for person in crowd]
    policy = make_policy({"roles": {"lead": approvers}})
    with running_app(apart, tmp_path, MemoryRegistry(), policy=policy, http=True, database_url=database_url) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        card = app.card()
        apart.rate_limit("chat.update", retry_after=3)  # so that everyone sees the button
        outcomes = run_concurrently([partial(person.clicks, card, "Approve") for person in crowd])
        done = app.card(holds="is in Production")
        winner = only_request(app.ledger).decided_by
        assert isinstance(winner, Person)
        answers = [app.answer(person, "") for person in crowd if person.id != winner.user]

        print(*(f"p{share:.0%} {percentile([one.seconds for one in outcomes], share):.2f} s" for share in (0.5, 0.99)))
        assert done["ts"] == card["ts"]
        assert (
            len(audit_links(app.ledger, EventTag.APPROVED))
            == len(audit_links(app.ledger, EventTag.TRANSITION_DONE))
            == 1
        )
        assert len(audit_links(app.ledger, EventTag.VOTED)) == 1
        assert (
            len({link.event.actor for link in audit_links(app.ledger, EventTag.REQUEST_COMMAND_REFUSED)}) == CROWD - 1
        )
        assert len(audit_links(app.ledger, EventTag.REQUEST_COMMAND_REFUSED)) == CROWD - 1
        assert [answer for answer in answers if f"already approved (<@{winner.user}>" not in answer] == []
        assert app.production() == [4]


def click_in_time(person: WorkspaceMember, card: dict[str, Any]) -> ActionResult | None:
    """Click Approve, unless the card has lost its buttons in the meantime."""
    with suppress(RefusedError):
        return person.clicks(card, "Approve")
    return None


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_clicks_decide_once_per_round(apart: Remote, tmp_path: Path, database_url: str | None) -> None:
    crowd = add_people(apart, CROWD)
    policy = make_policy({"roles": {"lead": [person.id for person in crowd]}})
    outcomes, wrong, seen = list[ActionResult](), list[str](), 0
    with running_app(apart, tmp_path, MemoryRegistry(), policy=policy, http=True, database_url=database_url) as app:
        for number in range(CROWDED):
            version = (4, 2)[number % 2]
            app.alice.types(CHANNEL, f"/model promote churn {version} production")
            card = app.card(holds=f"Promote churn v{version} to Production?")
            clicks = run_concurrently([partial(click_in_time, person, card) for person in crowd], limit=PATIENCE)
            outcomes += [one for one in clicks if one]
            wait_until(partial(is_made, app.ledger, version))
            events = [link.event for link in audit_links(app.ledger)][seen:]
            seen += len(events)
            # If the ledger is busy for two seconds, people are told that instead, and their vote isn't refused.
            decided = Counter(event.tag for event in events if event.tag in ONCE)
            if decided != ONCE or app.production() != [version]:
                wrong.append(f"round {number}: {decided}, Production holds {app.production()}")
        assert isinstance(app.ledger, SqlLedger)
        assert is_chain_intact(app.ledger)
    acked, seconds = sum(one.acked for one in outcomes), [one.seconds for one in outcomes]
    shares = ", ".join(f"p{share:.0%} {percentile(seconds, share):.2f} s" for share in (0.5, 0.99, 1.0))
    kind = "PostgreSQL" if database_url else "SQLite"
    told = f"{acked} of {len(outcomes)} clicks were acknowledged, in {shares}"
    print(f"{CROWD} clicks at once on {kind}: {len(wrong)} of {CROWDED} rounds went wrong; {told}")
    assert wrong == []


ONCE = Counter({EventTag.REQUEST_OPENED: 1, EventTag.VOTED: 1, EventTag.APPROVED: 1, EventTag.TRANSITION_DONE: 1})


def is_made(ledger: Ledger, version: int) -> bool:
    """Return whether the last transition is the version's, and is recorded as done."""
    with ledger.read() as reading:
        newest = reading.transitions("churn", limit=1)
    return bool(newest) and newest[0].version == version and newest[0].state is TransitionState.DONE


def test_twenty_simultaneous_clicks_by_one_person_are_one_vote(slack: LocalSlack, tmp_path: Path) -> None:
    registry = MemoryRegistry()
    registry.add_model("two-eyes", versions=1)
    with running_app(slack, tmp_path, registry, http=True) as app:
        app.alice.types(CHANNEL, "/model promote two-eyes 1 production")
        card = app.card()
        run_concurrently([partial(app.bob.clicks, card, "Approve")] * 20)
        app.card(holds="1 of 2")
        assert len(audit_links(app.ledger, EventTag.VOTED)) == 1
        assert only_request(app.ledger).state is RequestState.PENDING


def test_one_of_twenty_identical_simultaneous_requests_is_opened(slack: LocalSlack, tmp_path: Path) -> None:
    crowd = add_people(slack, 20)
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        run_concurrently([partial(one.types, CHANNEL, "/model promote churn 4 production") for one in crowd])
        app.slack.wait_for(lambda: len(answered(app, crowd)) == len(crowd))
        answers = Counter("still open" in answer for answer in answered(app, crowd))
        assert answers == {True: 19, False: 1}
        assert len(audit_links(app.ledger, EventTag.REQUEST_OPENED)) == 1


def test_simultaneously_approved_staging_and_production_requests_are_both_done(
    slack: LocalSlack, tmp_path: Path
) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        app.alice.types(CHANNEL, "/model promote churn 2 staging")
        cards = [app.card(holds="v4 to Production?"), app.card(holds="v2 to Staging?")]
        run_concurrently([partial(app.bob.clicks, card, "Approve") for card in cards])
        app.card(holds="is in Production")
        app.card(holds="is in Staging")
        assert app.production() == [4]
        assert [one.version for one in app.registry.versions("churn") if one.stage is Stage.STAGING] == [2]


def answered(app: RunningApp, crowd: Any) -> list[str]:
    """Return the private answer to each person, if any."""
    heard = [[message_text(message) for message in one.sees(CHANNEL) if message["is_ephemeral"]] for one in crowd]
    return [answers[-1] for answers in heard if answers]


# -- two-of-two requests -------------------------------------------------------------------------------------------


def test_two_simultaneous_votes_for_two_of_two_decide_the_request(ledger: SqlLedger) -> None:
    requests = requests_over(ledger)
    for number in range(ROUNDS):
        request = open_request(ledger, f"two-{number}", required=2)
        run_concurrently(
            [
                partial(requests.approve, voter, Approve(request=request.id), origin="slack")
                for voter in (LEAD, OTHER_LEAD)
            ]
        )
        with ledger.read() as reading:
            assert reading.request(request.id).state is RequestState.APPROVED
            assert len(reading.transitions(request.model)) == 1
    assert len(audit_links(ledger, EventTag.APPROVED)) == ROUNDS
    assert is_chain_intact(ledger)
    print(f"two of two at once: 0 of {ROUNDS} rounds went wrong")


def test_an_approval_and_a_rejection_at_once_decide_once(ledger: SqlLedger) -> None:
    requests = requests_over(ledger)
    for number in range(ROUNDS // 2):
        request = open_request(ledger, f"one-{number}", required=1)
        approval = partial(requests.approve, LEAD, Approve(request=request.id), origin="slack")
        rejection = partial(requests.reject, OTHER_LEAD, Reject(request=request.id, reason="no"), origin="slack")
        assert sorted(run_concurrently([partial(ended, approval), partial(ended, rejection)])) == [
            "counted",
            "too late",
        ]
    decided = [*audit_links(ledger, EventTag.APPROVED), *audit_links(ledger, EventTag.REJECTED)]
    assert len(decided) == len(audit_links(ledger, EventTag.REQUEST_COMMAND_REFUSED)) == ROUNDS // 2


def test_a_vote_and_the_expiry_at_once_decide_once(ledger: SqlLedger) -> None:
    requests, upkeep = requests_over(ledger), upkeep_over(ledger)
    for number in range(ROUNDS // 2):
        request = open_request(ledger, f"late-{number}", required=1, lives=timedelta(0))
        approval = partial(requests.approve, LEAD, Approve(request=request.id), origin="slack")
        run_concurrently([partial(ended, upkeep.expire_overdue), partial(ended, approval)])
    assert len(audit_links(ledger, EventTag.EXPIRED)) == ROUNDS // 2
    assert audit_links(ledger, EventTag.APPROVED) == []


def ended(vote: Callable[[], object]) -> str:
    """Vote, and return the outcome."""
    try:
        vote()
    except AlreadyDecided:
        return "too late"
    return "counted"


# -- two transitions of one model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_two_simultaneous_transitions_leave_one_version_in_production(
    kind: str, ledger: SqlLedger, registries: Callable[[str], tuple[ModelRegistry, RegistryContents]]
) -> None:
    registry, backend = registries(kind)
    for number in range(3):
        model = f"churn-{number}"
        backend.add_model(model, versions=MODEL_LAYOUT)
        with ledger.write() as tx:
            tx.add_transition(make_transition(model, 2, after=3))
            tx.add_transition(make_transition(model, 4, after=3))
        run_concurrently(
            [partial(executor(ledger, registry, owner=name).execute_due, model) for name in ("a", "b", "c")]
        )
        executor(ledger, registry, owner="d").execute_due(model)
        with ledger.read() as reading:
            ends = Counter(move.state for move in reading.transitions(model))
        assert ends == {TransitionState.DONE: 1, TransitionState.STALE: 1}
        assert holders(registry, model) == [registry.model(model).aliases["champion"]]


@pytest.mark.parametrize("kind", KINDS)
def test_two_consecutive_transitions_are_done_in_order(
    kind: str, sqlite_url: str, registries: Callable[[str], tuple[ModelRegistry, RegistryContents]]
) -> None:
    registry, backend = registries(kind)
    ledger = SqlLedger(sqlite_url)
    for number in range(3):
        model = f"churn-{number}"
        backend.add_model(model, versions=MODEL_LAYOUT)
        with ledger.write() as tx:
            tx.add_transition(make_transition(model, 2, after=3))
            tx.add_transition(replace(make_transition(model, 4, after=2), intended_at=datetime.now(UTC)))
        run_concurrently(
            [partial(executor(ledger, registry, owner=name).execute_due, model) for name in ("a", "b", "c")]
        )
        executor(ledger, registry, owner="d").execute_due(model)
        assert holders(registry, model) == [4]
        assert registry.model(model).aliases["champion"] == 4
    assert len(audit_links(ledger, EventTag.TRANSITION_DONE)) == 6
    ledger.close()
