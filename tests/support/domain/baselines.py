"""Baselines to compare with."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from bot.domain.monitoring.rules.baselines import weekend_fraction
from bot.domain.monitoring.rules.time_series import DAY, HOUR, Floats
from tests.support.domain.time_series import (
    START,
)

NAN = math.nan


def dice(*shape: int, seed: int = 5, sd: float = 1.0) -> Floats:
    """Return blocks that are nothing but noise."""
    found: Floats = np.random.default_rng(seed).normal(0, sd, shape)
    return found


def a_calendar(days: int) -> Floats:
    """Return which hours of so many days, from a Monday on, are on a weekend."""
    return weekend_fraction(np.arange(START, START + days * DAY, HOUR).reshape(days, 24), HOUR)


values = st.lists(st.floats(0.5, 1.5), min_size=168, max_size=168)
