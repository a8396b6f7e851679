"""The minimum effect: in the metric's unit, in percent, or as a share of the error."""

from __future__ import annotations

import numpy as np
import pytest

from bot.domain.monitoring.rules.time_series import DAY, TimeSeries
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from tests.support.domain.rules import RULES, TEN_PERCENT_OF_ERROR, TWO_PERCENT, Rule, absolute, judge_block
from tests.support.domain.time_series import (
    START,
    a_week,
    an_hour,
    series,
)


@RULES
def test_18_times_the_errors_are_worse_relative_to_the_error_but_not_by_2_percent(rule: Rule) -> None:
    baseline, recent = a_week(sd=0.0003, mean=0.999), series(np.full(12, 0.9815))
    found = rule(recent, baseline, effect=TEN_PERCENT_OF_ERROR)
    assert found.is_worse is True
    assert "% of the error worse than" in str(found.why)
    assert rule(recent, baseline).is_worse is False
    assert rule(recent, baseline, effect=absolute(0.01)).is_worse is True


@RULES
def test_a_percentage_is_meaningless_for_readings_around_zero(rule: Rule) -> None:
    baseline = a_week(mean=0)
    found = rule(series(np.full(12, -0.5)), baseline)
    assert found.is_worse is None
    assert "both sides of 0" in str(found.why)
    assert "0.01 abs" in str(found.why)
    assert rule(series(np.full(12, -0.05)), baseline, effect=absolute(0.01)).is_worse is True
    assert rule(series(np.full(12, -0.001)), baseline, effect=absolute(0.01)).is_worse is False


@RULES
def test_a_single_reading_below_zero_does_not_end_the_comparison(rule: Rule) -> None:
    baseline = a_week()
    baseline.value[700] = -0.2
    assert rule(series(np.full(12, 0.85)), baseline).is_worse is True


@RULES
@pytest.mark.parametrize("effect", [TWO_PERCENT, TEN_PERCENT_OF_ERROR])
def test_a_metric_without_a_scale_gives_no_verdict(rule: Rule, effect: MinimumEffect) -> None:
    level = 1.0 if effect.kind is EffectKind.OF_ERROR else 0.0
    found = rule(series(np.full(12, level - 0.5)), a_week(sd=0, mean=level), effect=effect)
    assert found.is_worse is None
    assert f"are all {level:g}" in str(found.why)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # this test is about overflow
@RULES
def test_infinite_noise_gives_no_verdict(rule: Rule) -> None:
    found = rule(series(np.full(12, 1e200)), a_week(mean=1e300, sd=1e298))
    assert found.is_worse is None
    assert str(found.why) == "The baseline's readings are too large for a comparison."


@RULES
def test_an_impossible_drop_gives_no_verdict(rule: Rule) -> None:
    found = rule(series(np.zeros(12)), a_week(), effect=MinimumEffect(2.0))
    why = "The metric can't fall by more than 100%, so an effect of 200% is impossible. Set a smaller one, such as "
    assert (found.is_worse, str(found.why)) == (None, why + "--min-effect 2%.")
    assert (
        rule(
            series(np.full(12, -3.6)), TimeSeries.from_columns(a_week().at, -a_week().value), effect=MinimumEffect(2.0)
        ).is_worse
        is True
    )
    assert rule(series(np.full(12, 3.6)), a_week(), effect=MinimumEffect(2.0), higher_is_better=False).is_worse is True


@RULES
def test_a_metric_above_1_has_no_error(rule: Rule) -> None:
    found = rule(series(np.full(12, 50.0)), a_week(mean=120), effect=TEN_PERCENT_OF_ERROR)
    assert found.is_worse is None
    assert "isn't between 0 and 1" in str(found.why)


def test_a_reason_uses_the_effect_s_unit() -> None:
    baseline = series(np.tile([0.89, 0.91], 1008), START - 7 * DAY)
    said = [
        str(judge_block(an_hour(0.85), baseline, effect=effect).why)
        for effect in (TWO_PERCENT, absolute(0.01), TEN_PERCENT_OF_ERROR)
    ]
    for text, gap, least in zip(
        said, ("5.56%", "0.05", "50% of the error"), ("2%", "0.01", "10% of the error"), strict=True
    ):
        assert text.startswith(f"0.85 is {gap} worse than the usual 0.9 (")
        assert text.endswith(f" σ), over the margin of {least} and 3 σ.")
