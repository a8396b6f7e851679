"""Properties of every rule, with any readings; and the benchmark runs exactly these rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.domain.core.sentence import pack_sentence, unpack_sentence
from bot.domain.monitoring.rules import baselines
from bot.domain.monitoring.rules.evaluation import Deviation
from bot.domain.monitoring.rules.time_series import DAY, HOUR, TimeSeries
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from tests.support.domain.rules import NAN, RULES, Rule, a_baseline, a_summary, absolute, judge_block, judge_since
from tests.support.domain.time_series import (
    EVERY,
    START,
    scaled,
    series,
    summary,
)

# -- properties of all rules -------------------------------------------------------------------------------------------


def numbers(one: Deviation, by: float = 1.0, more: float = 0.0) -> list[float]:
    """Return a deviation's numbers in another unit."""
    return [by * one.value + more, by * one.bound + more, by * one.expected + more, abs(by) * one.gap, one.sigmas]


levels = st.lists(st.floats(0.8, 1.0), min_size=12, max_size=12)


kinds = st.sampled_from(list(EffectKind))


examples = settings(max_examples=25, deadline=None)


@RULES
@examples
@given(values=levels, kind=st.sampled_from([EffectKind.RELATIVE, EffectKind.ABSOLUTE]))
def test_flipping_values_and_direction_changes_nothing(rule: Rule, values: list[float], kind: EffectKind) -> None:
    one = rule(series(values), a_baseline(), effect=MinimumEffect(0.02, kind))
    other = rule(
        scaled(series(values), -1), scaled(a_baseline(), -1), higher_is_better=False, effect=MinimumEffect(0.02, kind)
    )
    assert (one.is_worse, one.gap, one.sigmas) == (other.is_worse, other.gap, other.sigmas)
    assert one.bound == -other.bound


@RULES
@examples
@given(values=levels, power=st.integers(-30, 30))
def test_with_a_relative_effect_the_unit_changes_nothing(rule: Rule, values: list[float], power: int) -> None:
    one, by = rule(series(values), a_baseline()), 2.0**power  # a power of two is exact
    other = rule(scaled(series(values), by), scaled(a_baseline(), by))
    assert (one.is_worse, by * one.gap, one.sigmas) == (other.is_worse, other.gap, other.sigmas)


@RULES
@examples
@given(values=levels, more=st.sampled_from([-1000.0, -1.0, -0.9, 0.25, 64.0]))
def test_with_an_absolute_effect_a_shift_changes_nothing(rule: Rule, values: list[float], more: float) -> None:
    one = rule(series(values), a_baseline(), effect=absolute(0.018))
    assume(abs(one.value - one.bound) > 1e-9)
    assume(one.is_worse or one.value > one.bound)  # none of its readings is close to the bound
    other = rule(scaled(series(values), 1, more), scaled(a_baseline(), 1, more), effect=absolute(0.018))
    assert numbers(other) == pytest.approx(numbers(one, 1, more), rel=1e-6, abs=1e-9)
    assert one.is_worse is other.is_worse


@RULES
@examples
@given(values=levels)
def test_a_share_of_the_error_is_a_percentage_of_the_error_rate(rule: Rule, values: list[float]) -> None:
    one = rule(series(values), a_baseline(), effect=MinimumEffect(0.1, EffectKind.OF_ERROR))
    assume(abs(one.value - one.bound) > 1e-9)
    assume(one.is_worse or one.value > one.bound)
    errors, past = scaled(series(values), -1, 1), scaled(a_baseline(), -1, 1)
    other = rule(errors, past, effect=MinimumEffect(0.1), higher_is_better=False)
    assert numbers(other) == pytest.approx(numbers(one, -1, 1), rel=1e-6, abs=1e-9)
    assert one.is_worse is other.is_worse


@RULES
@examples
@given(values=levels, less=st.lists(st.floats(0, 0.5), min_size=12, max_size=12))
def test_lower_values_stay_worse(rule: Rule, values: list[float], less: list[float]) -> None:
    lower = rule(series(np.array(values) - less), a_baseline())
    assert lower.is_worse or not rule(series(values), a_baseline()).is_worse


@RULES
@examples
@given(values=levels, kind=kinds, amounts=st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)))
def test_a_larger_effect_makes_nothing_worse(
    rule: Rule, values: list[float], kind: EffectKind, amounts: tuple[float, float]
) -> None:
    small, large = (rule(series(values), a_baseline(), effect=MinimumEffect(one, kind)) for one in sorted(amounts))
    assert small.is_worse or not large.is_worse


@examples
@given(values=levels, sigmas=st.tuples(st.floats(0.5, 8), st.floats(0.5, 8)))
def test_more_sigmas_make_nothing_worse(values: list[float], sigmas: tuple[float, float]) -> None:
    few, many = (judge_block(series(values), a_summary(), sigma=one) for one in sorted(sigmas))
    assert few.is_worse or not many.is_worse


@examples
@given(values=levels, alphas=st.tuples(st.floats(1e-6, 0.4), st.floats(1e-6, 0.4)))
def test_a_smaller_alpha_makes_nothing_worse(values: list[float], alphas: tuple[float, float]) -> None:
    small, large = (judge_since(series(values), a_summary(0.0), alpha=one) for one in sorted(alphas))
    assert large.is_worse or not small.is_worse


@RULES
@examples
@given(values=levels, weeks=st.integers(-500, 500))
def test_a_shift_by_whole_weeks_changes_nothing(rule: Rule, values: list[float], weeks: int) -> None:
    later = TimeSeries(a_baseline().at + weeks * 7 * DAY, a_baseline().value)
    assert rule(series(values, START + weeks * 7 * DAY), later) == rule(series(values), a_baseline())


@RULES
@examples
@given(values=levels, seed=st.integers(0, 10**6))
def test_the_order_of_readings_does_not_change_the_verdict(rule: Rule, values: list[float], seed: int) -> None:
    past, block, dice = a_baseline(), series(values), np.random.default_rng(seed)
    first, second = dice.permutation(len(past)), dice.permutation(len(block))
    other = rule(
        TimeSeries.from_columns(block.at[second], block.value[second]),
        TimeSeries.from_columns(past.at[first], past.value[first]),
    )
    assert other == rule(block, past)


@RULES
@examples
@given(values=levels, junk=st.lists(st.sampled_from([NAN, math.inf, -math.inf]), min_size=1, max_size=40))
def test_invalid_readings_do_not_change_the_verdict(rule: Rule, values: list[float], junk: list[float]) -> None:
    block = TimeSeries.from_columns([*series(values).at, *[START + 1] * len(junk)], [*values, *junk])
    past = TimeSeries.from_columns([*a_baseline().at, *a_baseline().at[: len(junk)]], [*a_baseline().value, *junk])
    assert rule(block, past) == rule(series(values), a_baseline())


@RULES
@pytest.mark.parametrize("junk", [[], [NAN] * 12, [math.inf] * 12, [-math.inf] * 12])
def test_without_valid_readings_there_is_no_verdict(rule: Rule, junk: list[float]) -> None:
    nothing = series(junk)
    for block, past in ((nothing, a_baseline()), (series([0.1] * 12), nothing), (nothing, nothing)):
        assert rule(block, past).is_worse is None


@RULES
@examples
@given(
    level=st.floats(-1e6, 1e6),
    kind=kinds,
    amount=st.floats(0, 0.5),
    higher=st.booleans(),
    readings=st.integers(1, 60),
)
def test_a_constant_metric_is_never_worse(
    rule: Rule, level: float, kind: EffectKind, amount: float, higher: bool, readings: int
) -> None:
    constant = series(np.full(2016, level), START - 7 * DAY)
    found = rule(series([level] * readings), constant, effect=MinimumEffect(amount, kind), higher_is_better=higher)
    assert not found.is_worse


@RULES
@examples
@given(values=levels)
def test_a_stored_baseline_gives_the_same_verdicts(rule: Rule, values: list[float]) -> None:
    it = a_summary(START if rule is judge_block else 0.0)
    stored = baselines.load_baseline(baselines.dump_baseline(it))
    assert rule(series(values), stored) == rule(series(values), it)


@RULES
@examples
@given(values=levels, kind=kinds)
def test_a_reason_is_the_same_after_the_outbox(rule: Rule, values: list[float], kind: EffectKind) -> None:
    why = rule(series(values), a_baseline(), effect=MinimumEffect(0.02, kind)).why
    assert unpack_sentence(pack_sentence(why)) == why
    assert str(why).endswith(".")
    assert "nan" not in str(why)


# -- the benchmark runs these rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phi", "tails", "delay"), [(0.0, 0, 0), (0.7, 3, 30), (0.9, 4, 0)])
def test_the_simulation_gives_the_rules_verdicts(phi: float, tails: float, delay: float) -> None:
    from benchmarks.monitoring_rules import detectors
    from benchmarks.monitoring_rules import months as simulation

    world = simulation.World(phi, season=0.008, tails=tails, delay=delay)
    months = simulation.play(world, np.random.default_rng(11), 2, 2 * simulation.DAY)
    months.live[:, simulation.DAY :] -= 0.03
    worse, acts = detectors.worse_blocks(months), detectors.sequential_rule(months)
    for month in range(2):
        begin = START + month * DAY  # the first month begins on a Monday, the next one on a Tuesday
        baseline, live = series(months.baseline[month], begin - 7 * DAY), series(months.live[month], begin)
        it, whole = summary(baseline, begin), summary(baseline, 0.0)
        found = [judge_block(live.between(at, at + HOUR), it, at).is_worse for at in begin + HOUR * np.arange(48)]
        assert [bool(one) for one in found] == worse[month].tolist()
        for at in range(1, 2 * simulation.DAY, 17):
            two = [judge_since(live.between(begin, begin + EVERY * (at + more)), whole).is_worse for more in (0, 1)]
            assert all(two) is bool(acts[month, at])
    assert worse.any()
    assert not worse.all()


def test_the_simulation_counts_failures_in_a_row() -> None:
    from benchmarks.monitoring_rules.detectors import in_a_row

    worse = np.isin(np.arange(8), [0, 2, 3, 4, 6])[None, :]
    assert in_a_row(worse, 2)[0].nonzero()[0].tolist() == [3, 4]
