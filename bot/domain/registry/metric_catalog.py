"""What's known about a model's metrics: how to show them, which direction is better, and how noisy they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from pydantic import Field

from bot.domain.core.numbers import MISSING, format_number
from bot.domain.core.strict_model import StrictModel
from bot.domain.registry.metric_direction import Direction, direction_of, words_of_metric

MINUS = "−"
MAX_DEFAULT_DECIMALS = 6
_TOTAL_SUFFIXES = ("_n", "_count", "_total")  # `accuracy_n` is the number of examples that `accuracy` was measured on
_EXAMPLE_COUNT = "example_count"  # what mlflow.evaluate logs: the number of examples in the evaluation data
_EXAMPLE_PROPORTIONS = frozenset({"accuracy"})  # proportions of all examples


class MetricSettings(StrictModel):
    """How to show one metric, which direction is better, and how noisy it is."""

    unit: str = Field(default="", max_length=12)  # shown after each value, such as ms
    decimals: int | None = Field(default=None, ge=0, le=9, strict=True)  # how many decimals to show
    direction: Literal["higher", "lower"] | None = None  # which direction is better; by default, inferred from the name
    noise: float | None = Field(default=None, ge=0, allow_inf_nan=False)  # smaller differences count as noise

    def updated_by(self, other: MetricSettings) -> MetricSettings:
        """Return these settings, overridden by those that `other` sets."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})


class ChangeOutcome(Enum):
    """What a change in a metric means."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    NOISE = "within noise"  # too small to mean anything


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """A metric's value compared with the incumbent's, both finite. `noise` is None if unknown."""

    name: str
    value: float
    was: float
    direction: Direction
    noise: float | None = None

    @property
    def difference(self) -> float:
        """The value minus the incumbent's value; 0 if they differ only by floating-point rounding."""
        return 0.0 if math.isclose(self.value, self.was, rel_tol=1e-12) else self.value - self.was

    @property
    def outcome(self) -> ChangeOutcome:
        """Whether the value is better, worse, the same, or different by less than the noise."""
        if self.difference == 0:
            return ChangeOutcome.SAME
        if self.noise is not None and abs(self.difference) < self.noise:
            return ChangeOutcome.NOISE
        return ChangeOutcome.BETTER if self.difference * self.direction.sign > 0 else ChangeOutcome.WORSE

    @property
    def percent(self) -> str:
        """The change as a percentage of the incumbent's value: `+2.9%`, `−21%`.

        Empty if the incumbent's value is 0, or if the percentage is under 0.05% or at least 1000%.
        """
        if self.was == 0:
            return ""
        percent = self.difference / abs(self.was) * 100
        shown = f"{abs(percent):.0f}" if abs(percent) >= 9.95 else f"{abs(percent):.1f}"
        return f"{_sign(percent)}{shown}%" if 0.05 <= abs(percent) < 1000 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCatalog:
    """A model's metrics, as configured in the policy. Names are matched ignoring case.

    `settings` is in the order of the policy file. `directions` says which direction is better, and includes the
    directions in `settings`.
    """

    settings: Mapping[str, MetricSettings] = field(default_factory=dict)
    directions: Mapping[str, str] = field(default_factory=dict)

    def direction(self, metric: str) -> Direction:
        """Return which direction is better for `metric`."""
        return direction_of(metric, self.directions)

    def compare(self, metric: str, metrics: Mapping[str, float], against: Mapping[str, float]) -> MetricChange | None:
        """Compare one of a version's `metrics` with another version's; return None if either lacks it."""
        value, was = metrics.get(metric, math.nan), against.get(metric, math.nan)
        if not (math.isfinite(value) and math.isfinite(was)):
            return None
        noise = self._noise(metric, value, was, metrics)
        return MetricChange(name=metric, value=value, was=was, direction=self.direction(metric), noise=noise)

    def _noise(self, metric: str, value: float, was: float, metrics: Mapping[str, float]) -> float | None:
        """Return the configured noise, or a proportion's standard error, √(p(1−p)/n), if its n is logged; else None.

        p is whichever of the two values gives the larger error.
        """
        settings = self.settings_of(metric)
        if settings.noise is not None:
            return settings.noise
        total = total_of(metric, metrics)
        if total is None or not (0 <= value <= 1 and 0 <= was <= 1):
            return None
        return math.sqrt(max(p * (1 - p) for p in (value, was)) / total)

    def settings_of(self, metric: str) -> MetricSettings:
        """Return the policy's settings for `metric`, or the defaults if it has none."""
        return next(
            (one for name, one in self.settings.items() if name.casefold() == metric.casefold()), MetricSettings()
        )

    def label(self, metric: str) -> str:
        """Return a metric's name with its unit, for an axis or a column: `latency (ms)`."""
        unit = self.settings_of(metric).unit
        return f"{metric} ({unit})" if unit else metric

    def format_value(self, metric: str, value: float, other: float | None = None) -> str:
        """Return a value with its unit: `0.912`, `45 ms`.

        If the policy doesn't set the decimals, enough are shown to tell the value apart from `other`, which is shown
        with it.
        """
        return self._with_unit(metric, self._format(metric, value, [value, value if other is None else other]))

    def format_difference(self, change: MetricChange) -> str:
        """Return a change in the metric's unit, with its sign unless it rounds to zero: `+0.021`, `−12 ms`, `0 ms`."""
        size = self._format(change.name, abs(change.difference), [change.value, change.was])
        sign = _sign(change.difference) if any(digit in size for digit in "123456789∞") else ""
        return self._with_unit(change.name, sign + size)

    def format_change(self, change: MetricChange) -> str:
        """Return a change as a percentage, or in the metric's unit if `percent` is empty."""
        return change.percent or self.format_difference(change)

    def _format(self, metric: str, value: float, shown_with: Iterable[float]) -> str:
        if not math.isfinite(value):
            return format_number(value)
        decimals = self.settings_of(metric).decimals
        decimals = _default_decimals(shown_with) if decimals is None else decimals
        return format_number(value).replace("-", MINUS) if decimals is None else _fixed(value, decimals)

    def _with_unit(self, metric: str, text: str) -> str:
        unit = self.settings_of(metric).unit
        return text if not unit or text == MISSING else f"{text}{unit}" if unit == "%" else f"{text} {unit}"

    def by_importance(self, metrics: Mapping[str, float], gated: Iterable[str] = ()) -> list[str]:
        """Return the names in `metrics`: those with gates, then those in the policy, then the rest by name.

        The rest excludes metrics that only count the examples that other metrics were measured on.
        """
        by_folded_name = {name.casefold(): name for name in metrics}
        listed = [by_folded_name[name.casefold()] for name in self.settings if name.casefold() in by_folded_name]
        first = [*(name for name in gated if name in metrics), *listed]
        rest = [name for name in sorted(metrics) if not _is_total(name, metrics)]
        return list(dict.fromkeys([*first, *rest]))


def total_of(metric: str, metrics: Mapping[str, float]) -> float | None:
    """Return the number of examples that a proportion was measured on, or None if it isn't logged.

    It's the metric `<name>_n`, `<name>_count`, or `<name>_total`; for an accuracy, it can also be mlflow.evaluate's
    `example_count`.
    """
    names = [metric + suffix for suffix in _TOTAL_SUFFIXES]
    names += [_EXAMPLE_COUNT] if _EXAMPLE_PROPORTIONS.intersection(words_of_metric(metric)) else []
    return next(
        (metrics[name] for name in names if math.isfinite(metrics.get(name, math.nan)) and metrics[name] >= 1), None
    )


def _is_total(name: str, metrics: Mapping[str, float]) -> bool:
    return name == _EXAMPLE_COUNT or any(
        name.endswith(suffix) and name.removesuffix(suffix) in metrics for suffix in _TOTAL_SUFFIXES
    )


def _sign(value: float) -> str:
    return "+" if value > 0 else MINUS if value < 0 else ""


def _fixed(value: float, decimals: int) -> str:
    """Return a value with a fixed number of decimals, without a sign if it rounds to zero."""
    text = f"{value:,.{decimals}f}"
    return (text if float(text.replace(",", "")) else text.lstrip("-")).replace("-", MINUS)


def _default_decimals(values: Iterable[float]) -> int | None:
    """Return how many decimals distinguish values that are shown together, at most 6; None for tiny or huge values."""
    sizes = [abs(value) for value in values if math.isfinite(value)]
    largest = max(sizes, default=0.0)
    if all(size == int(size) for size in sizes) and largest < 1e12:
        return 0
    if not 1e-2 <= largest < 1e12:
        return None
    fewest = 3 if largest <= 1 else 2 if largest < 10 else 1 if largest < 100 else 0
    enough = (
        n for n in range(fewest, MAX_DEFAULT_DECIMALS) if len({_fixed(size, n) for size in sizes}) == len({*sizes})
    )
    return next(enough, MAX_DEFAULT_DECIMALS)
