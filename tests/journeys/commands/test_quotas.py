"""What a person sees after too many comparisons."""

from __future__ import annotations

import pytest

from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy


@pytest.fixture(autouse=True)
def _one_comparison(app: RunningApp) -> None:
    app.registrar.context.active_policy.replace(make_policy({"quotas": {"comparisons": 1}}), "")


def test_the_refusal_is_private_and_says_when_to_try_again(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model validate churn 4")
    app.alice.types(CHANNEL, "/model compare churn")
    assert "1 comparison an hour. Try again in " in app.answer(app.alice, "You've reached the limit")
