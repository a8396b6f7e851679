"""A client of the HTTP API that calls too often."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.app.app_fixture import AdjustableClock, RunningApp, make_policy
from tests.support.terminal.ci_job import BODY, CLIENTS, OTHER, READER, call

BLOCKS = "/v1/models/churn/blocks"


@pytest.fixture(autouse=True)
def _two_calls(app: RunningApp) -> None:
    policy = make_policy({"clients": CLIENTS, "quotas": {"api_calls": 2}})
    app.registrar.context.active_policy.replace(policy, "")


def use_up(app: RunningApp) -> None:
    for _ in range(2):
        assert call(app, "GET", BLOCKS).status_code == 200


def test_a_call_over_the_quota_says_when_to_try_again(app: RunningApp) -> None:
    use_up(app)
    answer = call(app, "POST", "/v1/requests", json=BODY)
    assert answer.status_code == 429
    assert answer.json()["kind"] == "QuotaExceeded"
    assert answer.json()["error"].startswith("You've reached the limit of 2 API calls an hour. Try again in ")
    assert 1790 < answer.json()["retry_after"] == int(answer.headers["Retry-After"]) <= 1800


def test_a_refused_call_records_nothing_but_one_refusal(app: RunningApp) -> None:
    use_up(app)
    before = app.audit()
    for _ in range(5):
        assert call(app, "POST", "/v1/requests", json=BODY).status_code == 429
    assert app.audit() == [*before, "client:api:refused"]


def test_a_call_is_accepted_again_when_the_refusal_says(app: RunningApp, clock: AdjustableClock) -> None:
    use_up(app)
    clock.advance(timedelta(seconds=call(app, "GET", BLOCKS).json()["retry_after"]))
    assert call(app, "GET", BLOCKS).status_code == 200


def test_another_client_is_not_affected(app: RunningApp) -> None:
    use_up(app)
    assert call(app, "GET", BLOCKS, READER).status_code == 200


def test_calls_that_are_refused_for_another_reason_do_not_count(app: RunningApp) -> None:
    for _ in range(3):
        assert call(app, "POST", "/v1/metrics", OTHER, json={}).status_code == 403
        assert call(app, "GET", BLOCKS, "a wrong token").status_code == 401
    assert call(app, "GET", BLOCKS, OTHER).status_code == 200
