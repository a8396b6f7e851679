"""The configuration of a monitor, the same in the policy file and in Slack, and the rules to choose from.

A rule consists of the fields it reads, its entry in `RULES`, and its `evaluate` function, in the module of the same
name in bot/domain/monitoring/rules. Flags, help, the form, validation, and backtests are derived from these.
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
HARD_LIMIT_CHECKS = 2  # consecutive checks past the hard limit
COUNT_AGGREGATES = ("mean", "last")
AGGREGATES = ("mean", "last", "rate", *(f"p{percent}" for percent in range(50, 100)))

PositiveDuration = Annotated[Duration, Field(gt=timedelta(0), le=MAX_DURATION)]
NonNegativeDuration = Annotated[Duration, Field(ge=timedelta(0), le=MAX_DURATION)]


class WrongRuleField(ValueError):
    """A rule's fields conflict; a form shows the error under `field`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


class MonitorConfig(StrictModel):
    """A monitor's configuration. In the policy file, `action: auto` is armed, since reviewing the file approves it.

    Each field is also a flag of `/model monitor add`; the help shows its description.
    """

    name: str = Field(pattern=r"^[\w][\w.\-]{0,59}$", description="the monitor's name, unique for its model")
    source: str = Field(
        min_length=1,
        max_length=100,
        description="where the values come from: a source in the policy, push, or mlflow",
    )
    query: str = Field(
        default="", max_length=2000, description="a metric's name or PromQL; if omitted, the monitor's name"
    )
    of: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        description="for counts: the total, as a second metric (such as predictions) or PromQL",
    )
    direction: Literal["higher", "lower"] | None = Field(
        default=None, description="which values are better; if omitted, inferred from the bound or the metric's name"
    )
    rule: Literal["default", "threshold", "blocks", "sequential"] | None = Field(
        default=None, description="how to evaluate values; if omitted, threshold if there's a bound, or else default"
    )
    greater_than: float | None = Field(default=None, description="the value must be above this; an equal value fails")
    less_than: float | None = Field(default=None, description="the value must be below this; an equal value fails")
    hard_limit: float | None = Field(
        default=None, description="two consecutive checks past this limit fail the monitor immediately"
    )
    every: Duration = Field(
        default=timedelta(minutes=5), ge=MIN_DURATION, le=MAX_DURATION, description="how often to check"
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        le=timedelta(minutes=10),
        description="how long to wait for the source to respond",
    )
    retries: int = Field(default=2, ge=0, le=10, description="retries within a check if the source doesn't respond")
    label_delay: NonNegativeDuration = Field(
        default=timedelta(0), description="how late labels arrive; checks look back that much further"
    )
    window: PositiveDuration = Field(default=timedelta(hours=1), description="how much time one evaluation covers")
    aggregate: str | None = Field(
        default=None, description="mean, last, rate, or p50 to p99; if omitted, mean, or last for a threshold"
    )
    min_points: int | None = Field(
        default=None,
        ge=1,
        description="readings needed since the promotion; if omitted, 1 for a threshold, otherwise no minimum",
    )
    max_age: PositiveDuration | None = Field(
        default=None, description="the maximum age of the newest reading; if omitted, twice the check interval"
    )
    min_effect: EffectSize = Field(
        default=MinimumEffect(0.02),
        json_schema_extra={"default": "2%"},
        description="how much worse than the baseline counts as a failure: 2%, 0.01 abs, or 10% of error",
    )
    sigma: float = Field(
        default=3.0,
        gt=0,
        le=100,
        description="how many standard deviations beyond the noise count as a failure; default's scans use 11/6",
    )
    alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="the maximum risk of ever raising a false alarm (sequential)"
    )
    baseline: Literal["previous", "live"] = Field(
        default="previous",
        description="what to compare with: the previous Production version, or the current version's own past days",
    )
    history: PositiveDuration = Field(default=timedelta(days=7), description="how much time a baseline must cover")
    warmup: NonNegativeDuration | None = Field(
        default=None,
        description="for how long after a promotion only the hard limit applies; if omitted, 30m for sequential, "
        "otherwise twice the window, but at least 30m",
    )
    fail_after: int = Field(default=2, ge=1, le=1000, description="consecutive failed checks before the monitor fails")
    recover_after: int = Field(
        default=3, ge=1, le=1000, description="consecutive good checks before the monitor is healthy again"
    )
    hysteresis: float = Field(
        default=0.5, ge=0, lt=1, description="with a baseline: recovered when below this fraction of min_effect"
    )
    no_data: int = Field(default=3, ge=1, le=10_000, description="consecutive checks without data before an alert")
    error: int = Field(default=4, ge=1, le=10_000, description="consecutive checks with an error before an alert")
    action: Literal["dry_run", "notify", "ask", "auto"] = Field(
        default="dry_run", description="what happens when the monitor fails"
    )
    cooldown: NonNegativeDuration = Field(
        default=timedelta(hours=6), description="the minimum time between any rollback and the next automatic one"
    )
    max_auto: int = Field(default=1, ge=0, le=1000, description="maximum automatic rollbacks per model in 24 hours")
    min_served: NonNegativeDuration = Field(
        default=timedelta(hours=24),
        description="how long a version must have served before an automatic rollback can go back to it",
    )

    @field_validator("aggregate")
    @classmethod
    def _check_aggregate(cls, name: str | None) -> str | None:
        if name is not None and name not in AGGREGATES:
            raise ValueError(f"{name!r} isn't an aggregate; use mean, last, rate, or p50 to p99")
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
        if self.rule is None:  # bypasses pydantic, so `rule` still counts as unset
            object.__setattr__(self, "rule", "threshold" if bounds else "default")
        if self.rule == "threshold" and not bounds:
            raise WrongRuleField("greater_than", "the threshold rule needs greater_than or less_than")
        if self.rule != "threshold" and bounds:
            why = f"greater_than and less_than only work with the threshold rule; use hard_limit with {self.rule}"
            raise WrongRuleField("rule", why)
        if len(bounds) == 2 and bounds[0] >= bounds[1]:
            raise WrongRuleField("greater_than", "greater_than must be below less_than")
        if self.of is not None and self.effective_aggregate not in COUNT_AGGREGATES:
            why = f"with counts (of), the aggregate must be mean or last, not {self.effective_aggregate}"
            raise WrongRuleField("of", why)
        return self

    @property
    def better_direction(self) -> Direction:
        """Which values are better: as configured, or else inferred from a single bound or the metric's name."""
        if self.direction is not None:
            return Direction(self.direction)
        if (self.greater_than is None) != (self.less_than is None):
            return Direction.HIGHER if self.less_than is None else Direction.LOWER
        return direction_of(self.query)

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values are better."""
        return self.better_direction is Direction.HIGHER

    @property
    def has_explicit_rule(self) -> bool:
        """Whether `rule` was set explicitly."""
        return "rule" in self.model_fields_set

    @property
    def kind(self) -> RuleKind:
        """The kind of its rule."""
        return RULES[str(self.rule)]

    @property
    def uses_baseline(self) -> bool:
        """Whether it compares values with a baseline rather than with fixed bounds."""
        return not self.kind.bounds

    @property
    def uses_frozen_baseline(self) -> bool:
        """Whether its baseline was measured before the promotion."""
        return self.uses_baseline and self.baseline == "previous"

    @property
    def baseline_day(self) -> timedelta:
        """The length of one day of its baseline: shorter than 24 h if `history` is under a week, as in the demo."""
        return min(self.history / 7, timedelta(days=1))

    @property
    def effective_aggregate(self) -> str:
        """How to aggregate the readings of one check."""
        return self.aggregate or ("mean" if self.uses_baseline else "last")

    @property
    def measurement_key(self) -> tuple[object, ...]:
        """A key for what it measures: as long as it's the same, readings from an earlier revision are comparable."""
        window = self.window if self.is_windowed else None
        return self.source, self.query, self.of, self.effective_aggregate, window

    @property
    def is_windowed(self) -> bool:
        """Whether each check evaluates a whole window of readings, not just the newest ones."""
        return not self.uses_baseline and self.effective_aggregate != "last"

    @property
    def required_points(self) -> int:
        """The number of readings since the promotion that a verdict needs, or 0 if that's up to the rule."""
        return self.min_points or int(not self.uses_baseline)

    @property
    def max_reading_age(self) -> timedelta:
        """How old the newest reading can be."""
        return self.max_age or 2 * self.every

    @property
    def warmup_duration(self) -> timedelta:
        """How long after a promotion only the hard limit is checked, including the label delay."""
        shortest = max(self.kind.warmup_windows * self.window, MIN_WARMUP)
        return self.label_delay + (shortest if self.warmup is None else self.warmup)


# -- describing the rules ----------------------------------------------------------------------------------------------


def rule_sentence(rule: MonitorConfig) -> Sentence:
    """Return the sentence that says when a rule fails."""
    what = [rule.kind.condition(rule)]
    if rule.hard_limit is not None:
        way = "below" if rule.higher_is_better else "above"
        what.append(
            say("or {way} the hard limit of {limit} twice in a row", way=way, limit=format_number(rule.hard_limit))
        )
    return say("Fails when {what}.", what=join_sentences(what, ", "))


def measured_value(rule: MonitorConfig) -> Sentence:
    """Return the name of what a check measures: `accuracy`, or `the p95 of latency over 1h`."""
    if rule.effective_aggregate == "last":
        return metric_name(rule)
    return say(
        "the {aggregate} of {metric} over {window}",
        aggregate=rule.effective_aggregate,
        metric=metric_name(rule),
        window=format_duration(rule.window),
    )


def metric_name(rule: MonitorConfig) -> Sentence:
    """Return the name of what's measured: `accuracy`, or `correct out of predictions`."""
    if rule.of is None:
        return say("{query}", query=Code(rule.query))
    return say("{query} out of {total}", query=Code(rule.query), total=Code(rule.of))


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
        "{worse}{times}, with at most {alpha}% risk of a false alarm",
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
        "{blocks}, or any mean over {short} to {long} is worse by about twice as many{times}",
        blocks=_blocks_condition(rule),
        short=format_duration(rule.window / 2),
        long=format_duration(8 * rule.window),
        times=_in_a_row(rule, "checks"),
    )


def _is_worse(rule: MonitorConfig, span: Sentence) -> Sentence:
    """Return the clause that the checks' mean value over a span is worse than the baseline by more than the effect."""
    return say(
        "the mean{of} of {metric} {over} is worse than {before} by more than {effect}",
        of="" if rule.effective_aggregate in {"mean", "last"} else f" {rule.effective_aggregate}",
        metric=metric_name(rule),
        over=span,
        before="the previous version's" if rule.baseline == "previous" else "on its own past days",
        effect=rule.min_effect.in_words,
    )


def _in_a_row(rule: MonitorConfig, unit: str) -> Sentence:
    return say(" for {n} {what} in a row", n=rule.fail_after, what=unit) if rule.fail_after > 1 else say("")


# -- the rules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleKind:
    """The properties of a rule, other than how it evaluates values."""

    label: str  # in the form
    condition: Callable[[MonitorConfig], Sentence]  # when it fails
    bounds: Mapping[str, str] = field(default_factory=dict)  # fixed bounds by field, with names for charts
    compares_windows: bool = False  # compares whole windows with those of past days
    summarizes_daily: bool = False  # summarizes the version's own days, once a day, with their counts
    warmup_windows: int = 2  # minimum warmup in windows, unless `warmup` is set
    first_verdict_checks: int = 0  # checks needed to read enough for the first verdict, plus two
    # The share of months in which it acts without cause (upper 95% bound), for months with φ = 0.7 and without heavy
    # tails; a test compares it with the table in docs/reference/rule-benchmarks.md. None: it depends on the bounds.
    false_rollbacks_per_month: float | None = None
    caution: Callable[[MonitorConfig], tuple[float, ...]] = lambda rule: ()  # a lower value of any makes it act sooner


RULES: Mapping[str, RuleKind] = MappingProxyType(  # as the form lists them; the first one is selected there
    {
        "threshold": RuleKind(
            label="Fixed bound",
            condition=_threshold_condition,
            bounds={"greater_than": "must be above", "less_than": "must be below"},
        ),
        "default": RuleKind(
            label="Compare with previous version (default)",
            condition=_default_condition,
            compares_windows=True,
            summarizes_daily=True,
            false_rollbacks_per_month=0.002,
            caution=lambda rule: (rule.sigma, rule.window.total_seconds()),
        ),
        "blocks": RuleKind(
            label="Compare with previous version (blocks)",
            condition=_blocks_condition,
            compares_windows=True,
            false_rollbacks_per_month=0.002,
            caution=lambda rule: (rule.sigma, rule.window.total_seconds()),
        ),
        "sequential": RuleKind(
            label="Compare with previous version (sequential)",
            condition=_sequential_condition,
            warmup_windows=0,
            first_verdict_checks=6,
            false_rollbacks_per_month=0.001,
            caution=lambda rule: (-rule.alpha,),
        ),
    }
)
RULE_IF_UNSET, RULE_IF_UNSET_BEFORE = "default", "blocks"  # the rule if a file sets none: now, and in earlier releases
RULE_FOR_OWN_BASELINE = "blocks"  # replaces a rule that can't compare with the version's own days


def rule_of_bounds(fields: Collection[str]) -> str | None:
    """Return the rule whose bounds are among these fields, or None."""
    return next((name for name, kind in RULES.items() if kind.bounds.keys() & fields), None)
