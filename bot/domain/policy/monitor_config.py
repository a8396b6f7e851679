"""The configuration of a monitor, the same in the policy file and from Slack, and the rules that it chooses from.

A rule is the fields that it reads, its entry in `RULES`, and how it judges: `evaluate` in the module of its name in
bot/domain/monitoring/rules. Nothing else names a rule; flags, help, the form, validation, and backtests follow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bot.domain.core.durations import Duration, format_duration
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
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


class WrongRuleField(ValueError):
    """A rule's fields don't go together; a form shows that under `field`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


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
        filled = {field: value for field, value in data.items() if (field, value) != ("rule", None)}
        if not filled.get("query") and "name" in filled:
            filled["query"] = filled["name"]
        return filled

    @model_validator(mode="after")
    def _check_rule_fields(self) -> MonitorConfig:
        bounds = [bound for bound in (self.greater_than, self.less_than) if bound is not None]
        if self.rule is None:  # past pydantic, which still knows that nobody set it
            object.__setattr__(self, "rule", "threshold" if bounds else "default")
        if self.rule == "threshold" and not bounds:
            raise WrongRuleField("greater_than", "the rule threshold needs greater_than or less_than")
        if self.rule != "threshold" and bounds:
            why = f"greater_than and less_than belong to the rule threshold; {self.rule} has hard_limit"
            raise WrongRuleField("rule", why)
        if len(bounds) == 2 and bounds[0] >= bounds[1]:
            raise WrongRuleField("greater_than", "greater_than must lie below less_than")
        if self.of is not None and self.effective_aggregate not in COUNT_AGGREGATES:
            why = f"counts (of) are added up; their aggregate is mean or last, not {self.effective_aggregate}"
            raise WrongRuleField("of", why)
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
    def higher_is_better(self) -> bool:
        """Return whether higher values are better."""
        return self.better_direction is Direction.HIGHER

    @property
    def has_explicit_rule(self) -> bool:
        """Return whether `rule` was set explicitly."""
        return "rule" in self.model_fields_set

    @property
    def kind(self) -> RuleKind:
        """Its rule."""
        return RULES[str(self.rule)]

    @property
    def uses_baseline(self) -> bool:
        """Return whether it compares with a baseline, not with a fixed bound."""
        return not self.kind.bounds

    @property
    def uses_frozen_baseline(self) -> bool:
        """Return whether its baseline is what was measured before the promotion."""
        return self.uses_baseline and self.baseline == "previous"

    @property
    def baseline_day(self) -> timedelta:
        """The length of one day of its baseline: a seventh of a `history` shorter than a week, as a demo has."""
        return min(self.history / 7, timedelta(days=1))

    @property
    def effective_aggregate(self) -> str:
        """How to aggregate the readings of one check."""
        return self.aggregate or ("mean" if self.uses_baseline else "last")

    @property
    def measurement_key(self) -> tuple[object, ...]:
        """What it measures: while this is the same, readings of an earlier revision can be compared."""
        window = self.window if self.is_windowed else None
        return self.source, self.query, self.of, self.effective_aggregate, window

    @property
    def is_windowed(self) -> bool:
        """Return whether each check looks at a whole window of readings, not at the newest ones."""
        return not self.uses_baseline and self.effective_aggregate != "last"

    @property
    def required_points(self) -> int:
        """How many readings since the promotion a verdict needs; 0 if the rule decides that itself."""
        return self.min_points or int(not self.uses_baseline)

    @property
    def max_reading_age(self) -> timedelta:
        """How old the newest reading can be."""
        return self.max_age or 2 * self.every

    @property
    def warmup_duration(self) -> timedelta:
        """How long after a promotion only the hard limit is checked; late labels make it longer."""
        shortest = max(self.kind.warmup_windows * self.window, MIN_WARMUP)
        return self.label_delay + (shortest if self.warmup is None else self.warmup)


# -- the rules in words ------------------------------------------------------------------------------------------------


def rule_sentence(rule: MonitorConfig) -> Sentence:
    """Return a sentence that says when a rule fails."""
    what = [rule.kind.condition(rule)]
    if rule.hard_limit is not None:
        way = "below" if rule.higher_is_better else "above"
        what.append(
            say("or twice in a row {way} the hard limit of {limit}", way=way, limit=format_number(rule.hard_limit))
        )
    return say("Fails when {what}.", what=join_sentences(what, ", "))


def measured_value(rule: MonitorConfig) -> Sentence:
    """Return the name of what a check measures: `accuracy`, or `the p95 of latency over 1h`."""
    if rule.effective_aggregate == "last":
        return metric_name(rule)
    return say(
        "the {reckons} of {metric} over {window}",
        reckons=rule.effective_aggregate,
        metric=metric_name(rule),
        window=format_duration(rule.window),
    )


def metric_name(rule: MonitorConfig) -> Sentence:
    """Return the name of what's measured: `accuracy`, or `correct of predictions`."""
    if rule.of is None:
        return say("{query}", query=Code(rule.query))
    return say("{query} of {total}", query=Code(rule.query), total=Code(rule.of))


def _threshold_condition(rule: MonitorConfig) -> Sentence:
    sides = [
        say("at {side} {bound}", side=side, bound=format_number(bound))
        for side, bound in (("most", rule.greater_than), ("least", rule.less_than))
        if bound is not None
    ]
    return say(
        "{value} is {sides}{times}",
        value=measured_value(rule),
        sides=join_sentences(sides, " or "),
        times=_in_a_row(rule, "checks"),
    )


def _sequential_condition(rule: MonitorConfig) -> Sentence:
    return say(
        "{worse}, with at most {alpha}% risk of a false alarm{times}",
        worse=_is_worse(rule, say("since the promotion")),
        alpha=format_number(100 * rule.alpha),
        times=_in_a_row(rule, "checks"),
    )


def _blocks_condition(rule: MonitorConfig) -> Sentence:
    return say(
        "{worse} and {sigma} standard deviations{times}",
        worse=_is_worse(rule, say("over {window}", window=format_duration(rule.window))),
        sigma=format_number(rule.sigma),
        times=_in_a_row(rule, "windows"),
    )


def _default_condition(rule: MonitorConfig) -> Sentence:
    return say(
        "{blocks}, or the mean over any of {short} to {long} is, by about twice as many{times}",
        blocks=_blocks_condition(rule),
        short=format_duration(rule.window / 2),
        long=format_duration(8 * rule.window),
        times=_in_a_row(rule, "checks"),
    )


def _is_worse(rule: MonitorConfig, span: Sentence) -> Sentence:
    """Return that the mean of the checks' values over a span is worse than the baseline, and by how much."""
    return say(
        "the mean{of} of {metric} {over} is worse than {before} by more than {effect}",
        of="" if rule.effective_aggregate in {"mean", "last"} else f" {rule.effective_aggregate}",
        metric=metric_name(rule),
        over=span,
        before="the Production before it" if rule.baseline == "previous" else "its own past days",
        effect=rule.min_effect.in_words,
    )


def _in_a_row(rule: MonitorConfig, unit: str) -> Sentence:
    return say(", {n} {what} in a row", n=rule.fail_after, what=unit) if rule.fail_after > 1 else say("")


# -- the rules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleKind:
    """What's particular to a rule, besides how it judges."""

    label: str  # in the form
    condition: Callable[[MonitorConfig], Sentence]  # when it fails
    bounds: Mapping[str, str] = field(default_factory=dict)  # its fixed bounds and their names in a chart; no baseline
    compares_windows: bool = False  # whole ones, with those of past days
    summarizes_daily: bool = False  # the version's own days, once a day, with their counts
    warmup_windows: int = 2  # at least so many, unless `warmup` is set
    first_verdict_checks: int = 0  # checks that bring the readings for its first verdict, with two to spare
    # The share of months in which it acts without a cause (upper 95% bound), for the months in docs/rules.md with
    # φ = 0.7 and without heavy tails; a test compares it with that page's table. None: it depends on the bounds.
    false_rollbacks_per_month: float | None = None
    caution: Callable[[MonitorConfig], tuple[float, ...]] = lambda rule: ()  # with less of one, it acts sooner


RULES: Mapping[str, RuleKind] = MappingProxyType(  # as the form lists them; the first one is selected there
    {
        "threshold": RuleKind(
            label="a bound that must hold",
            condition=_threshold_condition,
            bounds={"greater_than": "must be above", "less_than": "must be below"},
        ),
        "default": RuleKind(
            label="against the Production before (default)",
            condition=_default_condition,
            compares_windows=True,
            summarizes_daily=True,
            false_rollbacks_per_month=0.002,
            caution=lambda rule: (rule.sigma, rule.window.total_seconds()),
        ),
        "blocks": RuleKind(
            label="against the Production before (blocks)",
            condition=_blocks_condition,
            compares_windows=True,
            false_rollbacks_per_month=0.002,
            caution=lambda rule: (rule.sigma, rule.window.total_seconds()),
        ),
        "sequential": RuleKind(
            label="against the Production before (sequential)",
            condition=_sequential_condition,
            warmup_windows=0,
            first_verdict_checks=6,
            false_rollbacks_per_month=0.001,
            caution=lambda rule: (-rule.alpha,),
        ),
    }
)
RULE_IF_UNSET, RULE_IF_UNSET_BEFORE = "default", "blocks"  # what a file without `rule` means now, and meant once
RULE_FOR_OWN_BASELINE = "blocks"  # to use instead of a rule that can't be compared with the version's own days


def rule_of_bounds(fields: Collection[str]) -> str | None:
    """Return the rule whose bounds are among these fields; None if there's none."""
    return next((name for name, kind in RULES.items() if kind.bounds.keys() & fields), None)
