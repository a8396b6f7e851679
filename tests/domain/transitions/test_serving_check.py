"""Serving checks and webhook events, without I/O: the event, the check's state, and the thread's messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.actors import Automation, Person
from bot.domain.core.signing import sign_body
from bot.domain.policy.policy import DEFAULT_CHECK_TIMEOUT
from bot.domain.registry.model import Stage
from bot.domain.transitions import serving_messages as words
from bot.domain.transitions.serving_check import (
    ServingCheck,
    ServingCheckState,
    ServingReport,
    apply_report,
    start_serving_check,
    transition_event,
)
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
EVERY = timedelta(seconds=5)
MOVE = Transition(
    id="rollback:churn:m7",
    kind=TransitionKind.ROLLBACK,
    model="churn",
    version=6,
    from_stage=Stage.ARCHIVED,
    target=Stage.PRODUCTION,
    expected_incumbent=7,
    actor=Automation("automated-monitor"),
    intended_at=NOW,
    finished_at=NOW,
    state=TransitionState.DONE,
    reason="accuracy 0.7",
)
ASKED = start_serving_check(MOVE, "i1", NOW, DEFAULT_CHECK_TIMEOUT)


def test_a_rollback_event_has_its_cause_and_reason() -> None:
    assert transition_event(MOVE, MOVE.reason) == {
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


def test_the_thread_says_restored_but_not_yet_serving_after_a_rollback() -> None:
    assert (
        str(words.serving_pending_announcement(MOVE))
        == "Registry restored to v6. Waiting for the endpoint to report it."
    )
    promoted = replace(MOVE, kind=TransitionKind.PROMOTION, actor=Person("T1", "U1"))
    assert (
        str(words.serving_pending_announcement(promoted))
        == "Registry updated to v6. Waiting for the endpoint to report it."
    )


@pytest.mark.parametrize(
    ("heard", "after", "state"),
    [
        (ServingReport("v6"), timedelta(seconds=1), ServingCheckState.CONFIRMED),
        (ServingReport("7"), timedelta(seconds=1), ServingCheckState.PENDING),
        (ServingReport(None, "HTTP 502"), timedelta(minutes=9), ServingCheckState.PENDING),
        (ServingReport("7"), DEFAULT_CHECK_TIMEOUT, ServingCheckState.TIMED_OUT),
        (ServingReport(None, "x"), DEFAULT_CHECK_TIMEOUT, ServingCheckState.TIMED_OUT),
        (ServingReport("6"), DEFAULT_CHECK_TIMEOUT * 9, ServingCheckState.CONFIRMED),
    ],
)
def test_a_report_changes_the_state_of_a_serving_check(
    heard: ServingReport, after: timedelta, state: ServingCheckState
) -> None:
    now = apply_report(ASKED, heard, NOW + after, EVERY)
    assert now.state is state
    assert (now.next_at is None) == (state is not ServingCheckState.PENDING)
    assert now.confirmed_at == (NOW + after if state is ServingCheckState.CONFIRMED else None)


def test_the_last_probe_is_at_the_deadline() -> None:
    late = NOW + DEFAULT_CHECK_TIMEOUT - timedelta(seconds=2)
    assert apply_report(ASKED, ServingReport("7"), late, EVERY).next_at == NOW + DEFAULT_CHECK_TIMEOUT


@pytest.mark.parametrize(("reported", "shown"), [("7", "v7"), ("v7", "v7"), ("2.1.0", "2.1.0"), ("x" * 500, "x" * 199)])
def test_the_message_names_the_version_reported_instead(reported: str, shown: str) -> None:
    ended: ServingCheck = apply_report(ASKED, ServingReport(reported), NOW + DEFAULT_CHECK_TIMEOUT, EVERY)
    assert f"still reports {shown}" in str(words.serving_timed_out_announcement(ended, ServingReport(reported)))


def test_a_signature_matches_the_documented_example() -> None:
    # printf '1767225600.{"a": 1}' | openssl dgst -sha256 -hmac s3cret
    assert sign_body("s3cret", "1767225600", b'{"a": 1}') == (
        "v1=a8eb39112475dd7ab7d87f11659a6998a2dab1bfc8e28ea24f5e3b2feb1ac022"
    )
