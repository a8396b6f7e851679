"""Counts: their baseline and the evidence of more bad cases, both compared with the textbooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import inf, log
from typing import Any

import numpy as np
import pytest
import scipy  # loads its modules lazily, so other test files don't pay for it
import ville
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.monitoring.rules import proportions
from bot.domain.monitoring.rules.baseline_summary import summarize
from bot.domain.monitoring.rules.baselines import Baseline, dump_baseline, load_baseline
from bot.domain.monitoring.rules.proportions import (
    CountDetector,
    CountResult,
    build_detector,
    count_series,
    estimate_dispersion,
    judge_count,
    summarize_counts,
    update_evidence,
    winsorize_days,
)
from bot.domain.monitoring.rules.sequential import confidence_radius
from bot.domain.monitoring.rules.time_series import DAY, HOUR, Floats, Ints, TimeSeries
from bot.domain.policy.effect_size import MinimumEffect

START = datetime(2026, 5, 4, tzinfo=UTC).timestamp()  # a Monday
WEEK = 7 * 24
NONE = np.zeros(len(proportions.BET_ODDS))


def a_detector(usual: float = 0.1, trials: float = 2_000.0, **changes: Any) -> CountDetector:
    """Return the bets of a monitor with a week of hourly readings."""
    how: dict[str, Any] = {"dispersion": 1.0, "distance": 0.018, "readings": WEEK, "days": 7, "fail_after": 1} | changes
    return build_detector(usual, trials, **how)


def unbounded(by: CountDetector) -> CountDetector:
    return replace(by, threshold=np.array(inf), max_gain=np.array(inf))


def after(by: CountDetector, *readings: tuple[float, float]) -> tuple[Floats, float]:
    """Return the evidence of each bet, and of all, after readings of (bad cases, total)."""
    bets, together = NONE, np.array(0.0)
    for bad, total in readings:
        bets, together = update_evidence(bets, np.array(bad), np.array(total), by)
    return bets, together.item()


# -- comparison with textbooks and libraries ---------------------------------------------------------------------------


@pytest.mark.parametrize(("bad", "of", "null"), [(0, 40, 0.1), (9, 40, 0.1), (28, 100, 0.1), (3, 900, 0.001)])
def test_uniform_bets_are_the_beta_binomial_e_process(bad: int, of: int, null: float) -> None:
    grid = (np.arange(100_000) + 0.5) / 100_000
    by = CountDetector(
        null=np.array(null),
        bad_case_gain=np.log(grid / null),
        good_case_gain=np.log((1 - grid) / (1 - null)),
        threshold=np.array(inf),
        max_gain=np.array(inf),
    )
    _, together = update_evidence(np.zeros(len(grid)), np.array(float(bad)), np.array(float(of)), by)
    theirs = ville.BernoulliTest(null, prior=(1, 1)).fit([1] * bad + [0] * (of - bad)).log_e_values_[-1]
    assert together.item() == pytest.approx(theirs, abs=1e-4)


def test_a_bet_is_a_ratio_of_binomial_likelihoods() -> None:
    by = unbounded(a_detector())
    odds = by.null / (1 - by.null) * np.array(proportions.BET_ODDS)
    binom = scipy.stats.binom
    bets, _ = after(by, (9, 40))
    assert bets == pytest.approx(binom.logpmf(9, 40, odds / (1 + odds)) - binom.logpmf(9, 40, by.null))


@pytest.mark.parametrize(("bad", "of"), [(0, 700), (70, 700), (350, 700), (2, 100_000)])
def test_the_null_is_the_upper_bound_of_wilson_s_interval(bad: int, of: int) -> None:
    sure = scipy.stats.norm.cdf(proportions.NULL_MARGIN) - scipy.stats.norm.cdf(-proportions.NULL_MARGIN)
    theirs = scipy.stats.binomtest(bad, of).proportion_ci(sure, method="wilson").high
    assert a_detector(bad / of, of, distance=0.0).null == pytest.approx(theirs)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_the_radius_of_sequential_is_that_of_the_normal_mixture(alpha: float) -> None:
    spent = -2 * log(alpha)
    theirs = ville.GaussianMixtureCS(1.0, alpha, intersect=False)
    theirs.rho_ = 24 / (spent + log(spent + 1))  # the precision: our ρ² is a variance
    theirs.fit(np.zeros(500))
    assert confidence_radius(np.arange(1, 501), alpha=alpha, tuned_for=24) == pytest.approx(
        theirs.upper_ - theirs.estimate_
    )


# -- evidence ----------------------------------------------------------------------------------------------------------

TOTALS = st.integers(1, 400)


@given(total=TOTALS, bad=st.integers(0, 400), more=st.integers(1, 400))
def test_more_bad_cases_are_never_less_evidence(total: int, bad: int, more: int) -> None:
    by = a_detector()
    fewer, many = min(bad, total), min(bad + more, total)
    assert after(by, (many, total))[1] >= after(by, (fewer, total))[1]


@given(bad=st.integers(1, 30), good=st.integers(0, 30), bad_too=st.integers(1, 30), good_too=st.integers(0, 30))
def test_splitting_a_reading_does_not_change_the_evidence(bad: int, good: int, bad_too: int, good_too: int) -> None:
    by = unbounded(a_detector())
    halves, whole = [(bad, bad + good), (bad_too, bad_too + good_too)], (bad + bad_too, bad + good + bad_too + good_too)
    first, _ = after(by, halves[0])
    bets, _ = after(by, *halves)
    assert bets[first >= 0] == pytest.approx(after(by, whole)[0][first >= 0])


@given(bad=st.integers(0, 60), total=st.integers(60, 120), times=st.integers(2, 9))
def test_duplicated_cases_are_not_more_evidence(bad: int, total: int, times: int) -> None:
    once, often = (unbounded(a_detector(trials=1e3 * many, dispersion=float(many))) for many in (1, times))
    assert after(often, (times * bad, times * total))[0] == pytest.approx(after(once, (bad, total))[0])


def test_earlier_good_cases_do_not_offset_later_bad_ones() -> None:
    by = a_detector()
    assert after(by, *[(0, 50)] * 20, (9, 12))[0] == pytest.approx(after(by, (9, 12))[0])


@pytest.mark.parametrize("times", [2, 3, 5])
def test_one_reading_is_never_enough_if_several_must_fail(times: int) -> None:
    by = a_detector(fail_after=times)
    worst = [after(by, *[(1e6, 1e6)] * count)[1] for count in range(1, times + 1)]
    assert [round(one / by.threshold.item(), 6) for one in worst] == [round(n / times, 6) for n in range(1, times + 1)]


def test_a_failure_of_weeks_ends_as_soon_as_one_of_a_day() -> None:
    by = a_detector()

    def good_ones_until_nothing_is_left(days: int) -> int:
        bets, _ = after(by, *[(7, 24)] * days)
        together, count = np.array(1.0), 0
        while together > 0:
            bets, together = update_evidence(bets, np.array(2.0), np.array(24.0), by)
            count += 1
        return count

    assert good_ones_until_nothing_is_left(40) <= good_ones_until_nothing_is_left(8) <= 8


def test_more_tries_need_more_evidence() -> None:
    hourly, seldom = a_detector(trials=20_000), a_detector(trials=20_000, readings=14)
    assert hourly.threshold - seldom.threshold == pytest.approx(log(WEEK / 14))


def test_a_mostly_bad_share_cannot_get_much_worse() -> None:
    assert a_detector(0.99, distance=0.02).null > 1


# -- a baseline's counts -----------------------------------------------------------------------------------------------


def chain(alike: float, size: int = 50_000, share: float = 0.2) -> Floats:
    """Return cases with this share of bad ones; the larger `alike`, the more often a bad one follows another."""
    dice, found = np.random.default_rng(3).random(size), np.zeros(size)
    for at in range(1, size):
        found[at] = dice[at] < (1 - alike) * share + alike * found[at - 1]
    return found


def spread(bad: Floats, total: Floats) -> float:
    return float(estimate_dispersion(bad, total, np.asarray(bad.sum() / total.sum())))


@pytest.mark.parametrize("alike", [0.3, 0.6])
def test_clustered_cases_are_at_least_as_dispersed_as_their_markov_chain(alike: float) -> None:
    bad = chain(alike)
    assert 0.95 <= spread(bad, np.ones(len(bad))) / ((1 + alike) / (1 - alike)) <= 1.4


def test_independent_cases_rarely_seem_dispersed() -> None:
    dice = np.random.default_rng(4)
    total = dice.poisson(4, (400, WEEK)).astype(float)
    bad = dice.binomial(total.astype(int), 0.1).astype(float)
    found = estimate_dispersion(bad, total, bad.sum(-1) / total.sum(-1))
    assert np.median(found) == 1
    assert np.quantile(found, 0.9) < 1.3


def test_the_dispersion_of_good_and_bad_cases_is_the_same() -> None:
    bad = chain(0.5, 2_000)
    assert spread(bad, np.ones(2_000)) == pytest.approx(spread(1 - bad, np.ones(2_000)))


@pytest.mark.parametrize("of", [0, 1])
def test_equal_cases_are_not_dispersed(of: int) -> None:
    assert spread(np.full(100, float(of)), np.ones(100)) == 1


def hourly(bad: Sequence[float], each: float = 20.0) -> tuple[Floats, Floats, Ints]:
    """Return hourly counts of bad cases out of 20, their totals, and their days, with these shares by day."""
    day = np.repeat(np.arange(len(bad)), 24)
    return np.repeat(np.array(bad) * each, 24), np.full(len(day), each), day


def test_an_incident_of_a_day_barely_changes_the_baseline() -> None:
    bad, total, day = hourly([0.1, 0.11, 0.09, 0.8, 0.1, 0.11, 0.09])
    assert float(bad.sum() / total.sum()) == pytest.approx(0.2)
    assert summarize_counts(bad, total, day).share.item() == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("shares", [[0.1, 0.11, 0.09, 0.12, 0.1, 0.11, 0.09], [0.0] * 6 + [0.004], [0.1, 0.9, 0.1]])
def test_days_within_chance_or_too_few_days_are_unchanged(shares: list[float]) -> None:
    bad, total, day = hourly(shares)
    assert winsorize_days(bad, total, day) == pytest.approx(bad)


def test_a_day_with_only_bad_cases_is_pulled_in() -> None:
    bad, total, day = hourly([0.9, 0.89, 0.91, 0.1, 0.9, 0.89, 0.91])
    assert summarize_counts(bad, total, day).share == pytest.approx(0.9, abs=0.015)


def test_weekends_are_compared_with_weekends() -> None:
    bad, total, day = hourly([0.1] * 5 + [0.4] * 2)
    assert summarize_counts(bad, total, day, on_weekend=(day >= 5).astype(float)).share == pytest.approx(
        bad.sum() / total.sum()
    )


# -- which readings count ----------------------------------------------------------------------------------------------


def points(values: Sequence[float], totals: Sequence[float | None] | None = None) -> TimeSeries:
    return TimeSeries.from_columns(START + HOUR * np.arange(len(values)), values, totals)


@pytest.mark.parametrize(
    ("readings", "found"),
    [
        (points([0.5, 1.0], [4, 8]), ([2, 8], [4, 8])),
        (points([0.5, 0.2, 0.9], [4, 0, None]), ([2], [4])),
        (points([1, 0, 1]), ([1, 0, 1], [1, 1, 1])),
        (points([1, 1, 1]), None),
        (points([1, 0, 0.5]), None),
        (points([]), None),
    ],
)
def test_readings_with_a_total_and_single_cases_are_counts(
    readings: TimeSeries, found: tuple[list[float], list[float]] | None
) -> None:
    some = count_series(readings)
    assert (some and (some.count.tolist(), some.total.tolist())) == found


def a_week_of(correct: int, of: int) -> Baseline:
    """Return a baseline of a week with `correct` out of `of` each hour."""
    readings = points([correct / of] * WEEK, [of] * WEEK)
    return proportions.with_counts(summarize(readings, start=START, window=HOUR, history=7 * DAY), readings)


def test_counts_are_the_same_after_storage() -> None:
    it = a_week_of(9, 10)
    assert load_baseline(dump_baseline(it)) == it
    assert (round(it.share, 9), it.trials, it.counted, it.each) == (0.9, 10 * WEEK, WEEK, 10)


def test_a_baseline_stored_by_an_earlier_version_has_no_counts() -> None:
    it = a_week_of(9, 10)
    old = replace(it, share=0.0, trials=0.0, counted=0.0, each=0.0, dispersion=1.0)
    written = dump_baseline(old)
    for field in ("share", "trials", "counted", "each", "dispersion"):
        written = written.replace(f',"{field}":{getattr(old, field)}', "")
    assert (load_baseline(written).has_counts, load_baseline(written).is_sparse) == (False, False)


@pytest.mark.parametrize(
    ("correct", "of", "is_sparse"), [(9, 10, True), (40, 50, False), (1, 50, True), (50, 50, True)]
)
def test_a_baseline_with_few_of_the_rarer_cases_is_sparse(correct: int, of: int, is_sparse: bool) -> None:
    assert a_week_of(correct, of).is_sparse is is_sparse


# -- one monitor -------------------------------------------------------------------------------------------------------


def weighs(
    *readings: tuple[float, float | None], baseline: Baseline | None = None, **changes: Any
) -> CountResult | None:
    """Return the result for the last of these readings of an accuracy, an hour apart."""
    how: dict[str, Any] = {"higher_is_better": True, "effect": MinimumEffect(0.02), "fail_after": 2} | changes
    found, before = None, None
    for hour, (value, total) in enumerate(readings):
        found = judge_count(value, total, START + HOUR * hour, before, baseline or a_week_of(9, 10), **how)
        before = found.evidence if found else None
    return found


def weighed(*readings: tuple[float, float | None], **changes: Any) -> CountResult:
    found = weighs(*readings, **changes)
    assert found is not None
    return found


def test_a_usual_count_is_not_evidence_and_says_so() -> None:
    found = weighed((0.9, 10))
    assert (found.deviation.is_worse, found.is_recovered) == (False, True)
    assert str(found.deviation.why).startswith("9 of 10 since 2026-05-04 00:00 UTC is 0.9 (usual: 0.9). ")


WORSE = [(0.7, 10.0)] * 14


def test_a_count_a_fifth_worse_fails_within_a_day() -> None:
    found = weighed(*WORSE)
    assert found.deviation.is_worse
    assert found.deviation.gap == pytest.approx(0.2)


@pytest.mark.parametrize(("good", "is_recovered"), [(1, False), (24, True)])
def test_a_failure_recovers_when_no_evidence_is_left(good: int, is_recovered: bool) -> None:
    found = weighed(*WORSE, *[(0.9, 10.0)] * good)
    assert (found.deviation.is_worse, found.is_recovered) == (False, is_recovered)


def test_the_reason_counts_from_the_start_of_the_evidence() -> None:
    found = weighed(*[(0.9, 10.0)] * 5, (0.5, 10), (0.6, 10))
    assert str(found.deviation.why).startswith("11 of 20 since 2026-05-04 05:00 UTC is 0.55")


@pytest.mark.parametrize(("share", "is_worse"), [(0.0, False), (0.4, True)])
def test_fewer_errors_are_better_if_lower_is_better(share: float, is_worse: bool) -> None:
    found = weighed(*[(share, 10.0)] * 20, baseline=a_week_of(1, 10), higher_is_better=False)
    assert found.deviation.is_worse is is_worse


@pytest.mark.parametrize("reading", [(-0.1, 10), (1.5, 10), (0.9, None)])
def test_a_reading_that_is_not_a_count_is_not_judged(reading: tuple[float, float | None]) -> None:
    assert weighs(reading) is None


def test_an_impossible_effect_says_so() -> None:
    found = weighed((0.9, 10), effect=MinimumEffect(1.0))
    assert found.deviation.is_worse is None
    assert "Set a smaller effect" in str(found.deviation.why)


def test_evidence_from_other_bets_starts_over() -> None:
    found = judge_count(
        0.9,
        10,
        START,
        (7.0, 1.0, 2.0),
        a_week_of(9, 10),
        higher_is_better=True,
        effect=MinimumEffect(0.02),
        fail_after=2,
    )
    assert found is not None
    assert found.evidence == weighed((0.9, 10)).evidence
