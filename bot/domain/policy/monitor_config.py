"""The configuration of a monitor: the same in the policy file and from Slack."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bot.domain.core.durations import Duration
from bot.domain.core.strict_model import StrictModel
from bot.domain.policy.effect_size import EffectSize, MinimumEffect
from bot.domain.registry.metric_direction import Direction, direction_of

MIN_DURATION = timedelta(seconds=10)  # between two checks
MAX_DURATION = timedelta(days=366)
MIN_WARMUP = timedelta(minutes=30)  # the default
HARD_LIMIT_CHECKS = 2  # checks in a row beyond the hard limit
COUNT_AGGREGATES = ("mean", "last")
AGGREGATES = ("mean", "last", "rate", *(f"p{percent}" for percent in range(50, 100)))

PositiveDuration = Annotated[Duration, Field(gt=timedelta(0), le=MAX_DURATION)]
NonNegativeDuration = Annotated[Duration, Field(ge=timedelta(0), le=MAX_DURATION)]


class MonitorConfig(StrictModel):
    """A monitor's configuration. In the policy file, `action: auto` is armed, since the file's review approved it.

    Each field is also a flag of `/model monitor add`; its description is shown by the help.
    """

    name: str = Field(pattern=r"^[\w][\w.\-]{0,59}$", description="what people call it; unique for its model")
    source: str = Field(
        min_length=1,
        max_length=100,
        description="where the figures come from: a source that the policy names, push or mlflow",
    )
    query: str = Field(
        default="", max_length=2000, description="a metric's name, or PromQL; left out, the monitor's own name"
    )
    of: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        description="for counts: the total, which is a second metric, such as predictions, or PromQL",
    )
    direction: Literal["higher", "lower"] | None = Field(
        default=None, description="which is better; left out, the metric's name says"
    )
    rule: Literal["default", "threshold", "blocks", "sequential"] | None = Field(
        default=None, description="how it is judged; left out, threshold where a bound is given, else default"
    )
    greater_than: float | None = Field(default=None, description="what must hold: above this; equality fails")
    less_than: float | None = Field(default=None, description="what must hold: below this; equality fails")
    hard_limit: float | None = Field(
        default=None, description="two checks in a row beyond it fail, and nothing else is waited for"
    )
    every: Duration = Field(
        default=timedelta(minutes=5), ge=MIN_DURATION, le=MAX_DURATION, description="how often it is checked"
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        le=timedelta(minutes=10),
        description="how long the source may take to answer",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="how often a source that does not answer is asked again within a check"
    )
    label_delay: NonNegativeDuration = Field(
        default=timedelta(0), description="how much later than its prediction a label comes: shifts what is looked at"
    )
    window: PositiveDuration = Field(default=timedelta(hours=1), description="how much time is looked at together")
    aggregate: str | None = Field(
        default=None,
        description="mean, last, rate or p50 to p99; left out, mean of a window, the newest reading for a threshold",
    )
    min_points: int | None = Field(
        default=None,
        ge=1,
        description="readings since the promotion that a verdict needs; left out, 1 for a threshold, else no minimum",
    )
    max_age: PositiveDuration | None = Field(
        default=None, description="how old the newest reading may be; left out 2 x every"
    )
    min_effect: EffectSize = Field(
        default=MinimumEffect(0.02),
        json_schema_extra={"default": "2%"},
        description="how much worse than the baseline counts: 2%, 0.01 abs, or 10% of error",
    )
    sigma: float = Field(
        default=3.0,
        gt=0,
        le=100,
        description="how far outside the noise, in standard deviations (blocks; about twice as far for a scan)",
    )
    alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="how often, at most, it may be wrong in all its time (sequential)"
    )
    baseline: Literal["previous", "live"] = Field(
        default="previous",
        description="what is compared with: the Production before, or the past days of the present one",
    )
    history: PositiveDuration = Field(default=timedelta(days=7), description="how much of a baseline is needed")
    warmup: NonNegativeDuration | None = Field(
        default=None,
        description="how long after a promotion only the hard limit counts; left out, 30m for sequential, else the "
        "longer of 2 x window and 30m",
    )
    fail_after: int = Field(default=2, ge=1, le=1000, description="failures in a row until it has failed")
    recover_after: int = Field(default=3, ge=1, le=1000, description="good checks in a row until it is well again")
    hysteresis: float = Field(
        default=0.5, ge=0, lt=1, description="against a baseline: the part of min_effect below which it is well again"
    )
    no_data: int = Field(default=3, ge=1, le=10_000, description="checks in a row without data until that is told")
    error: int = Field(default=4, ge=1, le=10_000, description="checks in a row with an error until that is told")
    action: Literal["dry_run", "notify", "ask", "auto"] = Field(default="dry_run", description="what a failure does")
    cooldown: NonNegativeDuration = Field(
        default=timedelta(hours=6), description="how long after a rollback nothing is rolled back by itself"
    )
    max_auto: int = Field(default=1, ge=0, le=1000, description="automatic rollbacks of a model in 24 hours, at most")
    min_served: NonNegativeDuration = Field(
        default=timedelta(hours=24),
        description="how long a version must have served that may be gone back to by itself",
    )

    @field_validator("aggregate")
    @classmethod
    def _check_aggregate(cls, name: str | None) -> str | None:
        if name is not None and name not in AGGREGATES:
            raise ValueError(f"{name!r} is no aggregate; there are mean, last, rate and p50 to p99")
        return name

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        if not filled.get("query") and "name" in filled:
            filled["query"] = filled["name"]
        if filled.get("rule") is None:
            filled.pop("rule", None)
        return filled

    @model_validator(mode="after")
    def _check_rule_fields(self) -> MonitorConfig:
        bounds = [bound for bound in (self.greater_than, self.less_than) if bound is not None]
        if self.rule is None:  # past pydantic, which still knows that nobody set it
            object.__setattr__(self, "rule", "threshold" if bounds else "default")
        if self.rule == "threshold" and not bounds:
            raise ValueError("the rule threshold needs greater_than or less_than")
        if self.rule != "threshold" and bounds:
            raise ValueError(f"greater_than and less_than belong to the rule threshold; {self.rule} has hard_limit")
        if len(bounds) == 2 and bounds[0] >= bounds[1]:
            raise ValueError("greater_than must lie below less_than")
        if self.of is not None and self.effective_aggregate not in COUNT_AGGREGATES:
            raise ValueError(
                f"counts (of) are added up; their aggregate is mean or last, not {self.effective_aggregate}"
            )
        return self

    @property
    def better_direction(self) -> Direction:
        """Which values are better: as configured, else by its single bound, else by the metric's name."""
        if self.direction is not None:
            return Direction(self.direction)
        if (self.greater_than is None) != (self.less_than is None):
            return Direction.HIGHER if self.less_than is None else Direction.LOWER
        return direction_of(self.query)

    @property
    def has_explicit_rule(self) -> bool:
        """Return whether `rule` was set explicitly."""
        return "rule" in self.model_fields_set

    @property
    def is_threshold(self) -> bool:
        """Return whether it compares with a fixed bound, not with a baseline."""
        return self.rule == "threshold"

    @property
    def uses_blocks(self) -> bool:
        """Return whether it compares windows with those of past days."""
        return self.rule in {"default", "blocks"}

    @property
    def uses_frozen_baseline(self) -> bool:
        """Return whether its baseline is what was measured before the promotion."""
        return not self.is_threshold and self.baseline == "previous"

    @property
    def baseline_day(self) -> timedelta:
        """The length of one day of its baseline: a seventh of a `history` shorter than a week, as a demo has."""
        return min(self.history / 7, timedelta(days=1))

    @property
    def effective_aggregate(self) -> str:
        """How to aggregate the readings of one check."""
        return self.aggregate or ("last" if self.is_threshold else "mean")

    @property
    def measurement_key(self) -> tuple[object, ...]:
        """What it measures: while this is the same, readings of an earlier revision can be compared."""
        is_windowed = self.is_threshold and self.effective_aggregate != "last"
        return self.source, self.query, self.of, self.effective_aggregate, self.window if is_windowed else None

    @property
    def required_points(self) -> int:
        """How many readings since the promotion a verdict needs; 0 if the rule decides that itself."""
        return self.min_points or int(self.is_threshold)

    @property
    def max_reading_age(self) -> timedelta:
        """How old the newest reading can be."""
        return self.max_age or 2 * self.every

    @property
    def warmup_duration(self) -> timedelta:
        """How long after a promotion only the hard limit is checked; late labels make it longer."""
        if self.warmup is not None:
            return self.label_delay + self.warmup
        shortest = MIN_WARMUP if self.rule == "sequential" else max(2 * self.window, MIN_WARMUP)
        return self.label_delay + shortest
