"""How quotas are counted."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.errors import Misconfigured, QuotaExceeded
from bot.domain.policy.callers.quotas import HOUR, QuotaMeter, Quotas
from bot.domain.policy.parser import validate_policy

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SIX = Quotas(comparisons=6)  # one comes back every ten minutes


def spend(meter: QuotaMeter, at: datetime = NOW, *, caller: str = "ann", quotas: Quotas = SIX, times: int = 1) -> None:
    for _ in range(times):
        meter.spend(caller, "comparisons", quotas, at)


def refusal(meter: QuotaMeter, at: datetime = NOW, quotas: Quotas = SIX) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as refused:
        spend(meter, at, quotas=quotas)
    return refused.value


def test_the_whole_quota_can_be_used_at_once() -> None:
    meter = QuotaMeter()
    spend(meter, times=6)
    assert str(refusal(meter).sentence) == "You've reached the limit of 6 comparisons an hour. Try again in 10m."


def test_a_use_comes_back_when_the_refusal_says() -> None:
    meter = QuotaMeter()
    spend(meter, times=6)
    later = NOW + refusal(meter).retry_after
    spend(meter, later)
    assert refusal(meter, later).retry_after == timedelta(minutes=10)


def test_the_whole_quota_is_back_after_an_hour() -> None:
    meter = QuotaMeter()
    spend(meter, times=6)
    spend(meter, NOW + HOUR, times=6)
    assert refusal(meter, NOW + HOUR).retry_after == timedelta(minutes=10)


def test_refusals_do_not_make_the_wait_longer() -> None:
    meter = QuotaMeter()
    spend(meter, times=6)
    for _ in range(100):
        refusal(meter)
    assert refusal(meter).retry_after == timedelta(minutes=10)


def test_callers_and_quotas_are_counted_separately() -> None:
    meter = QuotaMeter()
    spend(meter, times=6)
    spend(meter, caller="bob")
    meter.spend("ann", "backtests", SIX, NOW)
    assert meter._full_at == {
        ("ann", "comparisons"): NOW + HOUR,
        ("bob", "comparisons"): NOW + HOUR / SIX.comparisons,
        ("ann", "backtests"): NOW + HOUR / SIX.backtests,
    }


def test_a_quota_of_zero_allows_nothing() -> None:
    assert str(refusal(QuotaMeter(), quotas=Quotas(comparisons=0)).sentence) == "The policy doesn't allow comparisons."


def test_a_refusal_is_new_once_an_hour() -> None:
    meter, later = QuotaMeter(), NOW + HOUR
    spend(meter, times=6)
    assert [refusal(meter).is_new, refusal(meter).is_new] == [True, False]
    spend(meter, later, times=6)
    assert refusal(meter, later).is_new


def test_a_clock_that_is_set_back_refuses_nothing_for_more_than_the_usual_time() -> None:
    meter = QuotaMeter()
    spend(meter, NOW + timedelta(days=1))
    assert refusal(meter).retry_after == timedelta(minutes=10)


def test_full_quotas_are_forgotten() -> None:
    meter = QuotaMeter()
    for number in range(100):
        spend(meter, caller=f"caller {number}")
    spend(meter, NOW + HOUR, caller="the next one")
    assert list(meter._full_at) == [("the next one", "comparisons")]


def test_a_push_every_second_stays_within_the_default() -> None:
    meter = QuotaMeter()
    for second in range(2 * 3600):
        meter.spend("client:scorer", "api_calls", Quotas(), NOW + timedelta(seconds=second))
    assert meter._full_at["client:scorer", "api_calls"] <= NOW + 2 * HOUR  # before the next push


@given(st.lists(st.integers(0, 1200), max_size=80), st.integers(1, 20))
def test_no_more_than_the_quota_and_what_came_back_is_ever_used(pauses: list[int], limit: int) -> None:
    meter, at, uses = QuotaMeter(), NOW, 0
    for pause in pauses:
        at += timedelta(seconds=pause)
        with suppress(QuotaExceeded):
            spend(meter, at, quotas=Quotas(comparisons=limit))
            uses += 1
    assert uses <= limit + (at - NOW) / HOUR * limit


@pytest.mark.parametrize("wrong", [-1, 0.5, "many", True, None])
def test_a_quota_is_a_number(wrong: object) -> None:
    with pytest.raises(Misconfigured, match=r"quotas\.comparisons"):
        validate_policy({"models": {}, "quotas": {"comparisons": wrong}})
