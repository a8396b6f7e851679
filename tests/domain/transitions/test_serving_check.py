"""The serving side, decided without any: what it is told, where a question stands, what the thread hears."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.actors import Automation, Person
from bot.domain.core.signing import signature
from bot.domain.policy.policy import GIVEN_UP_AFTER
from bot.domain.registry.model import Stage
from bot.domain.transitions import serving_messages as words
from bot.domain.transitions.serving_check import Heard, Serving, ServingState, asking, event, judge
from bot.domain.transitions.transition import Move, MoveKind, MoveState

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
EVERY = timedelta(seconds=5)
MOVE = Move(
    id="rollback:churn:m7",
    kind=MoveKind.ROLLBACK,
    model="churn",
    version=6,
    from_stage=Stage.ARCHIVED,
    target=Stage.PRODUCTION,
    expected_incumbent=7,
    actor=Automation("automated-monitor"),
    intended_at=NOW,
    finished_at=NOW,
    state=MoveState.DONE,
    reason="accuracy 0.7",
)
ASKED = asking(MOVE, "i1", NOW, GIVEN_UP_AFTER)


def test_a_rollback_is_told_with_its_cause_and_reason() -> None:
    assert event(MOVE, MOVE.reason) == {
        "event": "moved",
        "id": "rollback:churn:m7",
        "model": "churn",
        "version": 6,
        "stage": "Production",
        "previous": 7,
        "cause": "rollback",
        "actor": "automation:automated-monitor",
        "request": None,
        "reason": "accuracy 0.7",
        "at": "2026-05-04T12:00:00+00:00",
        "requester": None,
        "approvers": [],
        "overridden_by": None,
        "override_reason": "",
    }


def test_after_a_rollback_the_thread_says_restored_and_not_yet_serving() -> None:
    assert str(words.not_confirmed(MOVE)) == "Registry restored: v6 is in Production, serving not confirmed yet."
    promoted = replace(MOVE, kind=MoveKind.PROMOTION, actor=Person("T1", "U1"))
    assert str(words.not_confirmed(promoted)) == "Registry moved to v6, serving not confirmed yet."


@pytest.mark.parametrize(
    ("heard", "after", "state"),
    [
        (Heard("v6"), timedelta(seconds=1), ServingState.CONFIRMED),
        (Heard("7"), timedelta(seconds=1), ServingState.ASKED),
        (Heard(None, "HTTP 502"), timedelta(minutes=9), ServingState.ASKED),
        (Heard("7"), GIVEN_UP_AFTER, ServingState.DENIED),
        (Heard(None, "x"), GIVEN_UP_AFTER, ServingState.DENIED),
        (Heard("6"), GIVEN_UP_AFTER * 9, ServingState.CONFIRMED),
    ],
)
def test_where_a_question_stands(heard: Heard, after: timedelta, state: ServingState) -> None:
    now = judge(ASKED, heard, NOW + after, EVERY)
    assert now.state is state
    assert (now.next_at is None) == (state is not ServingState.ASKED)
    assert now.confirmed_at == (NOW + after if state is ServingState.CONFIRMED else None)


def test_the_last_time_is_asked_when_the_time_is_over() -> None:
    late = NOW + GIVEN_UP_AFTER - timedelta(seconds=2)
    assert judge(ASKED, Heard("7"), late, EVERY).next_at == NOW + GIVEN_UP_AFTER


@pytest.mark.parametrize(("reported", "shown"), [("7", "v7"), ("v7", "v7"), ("2.1.0", "2.1.0"), ("x" * 500, "x" * 199)])
def test_what_is_reported_instead_is_told(reported: str, shown: str) -> None:
    ended: Serving = judge(ASKED, Heard(reported), NOW + GIVEN_UP_AFTER, EVERY)
    assert f"still reports {shown}" in str(words.denied(ended, Heard(reported)))


def test_a_signature_is_what_the_documentation_says() -> None:
    # printf '1767225600.{"a": 1}' | openssl dgst -sha256 -hmac s3cret
    assert signature("s3cret", "1767225600", b'{"a": 1}') == (
        "v1=a8eb39112475dd7ab7d87f11659a6998a2dab1bfc8e28ea24f5e3b2feb1ac022"
    )
