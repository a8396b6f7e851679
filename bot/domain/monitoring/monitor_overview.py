"""Views of monitors: their states, worst first, and their charts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.monitoring.incident import Incident, MonitorChart, TrippedBreaker
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.rollbacks.rollback_targets import serving_periods
from bot.domain.transitions.transition import Transition


@dataclass(frozen=True, slots=True)
class MonitorRow:
    """A monitor and its state."""

    monitor: Monitor
    monitor_state: MonitorState


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorView:
    """Everything shown about one monitor. `recent_measurements` are its recent checks, newest first."""

    monitor: Monitor
    monitor_state: MonitorState
    recent_measurements: Sequence[Measurement]
    incident: Incident | None  # the open one that it's part of
    breaker: TrippedBreaker | None
    now: datetime
    chart: MonitorChart | None = None  # if requested


_WORST_FIRST = (
    MonitorStatus.FAILED,
    MonitorStatus.ERROR,
    MonitorStatus.NO_DATA,
    MonitorStatus.CANT_JUDGE,
    MonitorStatus.PENDING,
    MonitorStatus.WARMUP,
    MonitorStatus.OK,
    MonitorStatus.DISABLED,
)


def worst_first(rows: Iterable[MonitorRow]) -> list[MonitorRow]:
    """Return the rows sorted, with those that need attention first and paused ones last."""
    return sorted(
        rows,
        key=lambda it: (
            it.monitor.is_paused,
            _WORST_FIRST.index(it.monitor_state.state),
            it.monitor.model,
            it.monitor.name,
        ),
    )


BASELINE_LINE = "baseline"  # the name of the baseline's line in a chart


def chart_bounds(rule: MonitorConfig, bound: float | None, baseline_value: float | None) -> dict[str, float]:
    """Return a chart's lines by name: the bounds, the baseline, and the hard limit."""
    lines = {name: getattr(rule, field) for field, name in rule.kind.bounds.items()}
    if rule.uses_baseline:
        lines |= {
            "fails below" if rule.higher_is_better else "fails above": bound,
            BASELINE_LINE: baseline_value,
        }
    lines["hard limit"] = rule.hard_limit
    return {name: value for name, value in lines.items() if value is not None}


def transitions_since(moves: Sequence[Transition], since: datetime) -> list[tuple[datetime, str]]:
    """Return when each version that served at or after `since` entered Production, with its label for a chart."""
    periods = [period for period in reversed(serving_periods(moves)) if period.until is None or period.until > since]
    return [(period.since, f"v{period.version}") for period in periods]


def value_label(rule: MonitorConfig, metrics: MetricCatalog) -> str:
    """Return a label with the unit of a monitor's values: the metric's name, or the monitor's for a query or ratio."""
    is_metric = rule.of is None and re.fullmatch(r"[\w.\-/@]+", rule.query)
    return metrics.label(rule.query if is_metric else rule.name)


def build_monitor_chart(
    monitor: Monitor,
    monitor_state: MonitorState,
    measurements: Sequence[Measurement],
    moves: Sequence[Transition],
    metrics: MetricCatalog,
) -> MonitorChart:
    """Return a chart of recent checks (`measurements`, newest first), with Production's transitions in that time."""
    shown = [one for one in reversed(measurements) if one.value is not None]
    moved = transitions_since(moves, shown[0].at) if shown else []
    bound = None if monitor_state.bound == monitor.rule.hard_limit else monitor_state.bound
    return MonitorChart(
        title=f"{monitor.model}: {monitor.name}",
        times=[one.at for one in shown],
        values=[one.value for one in shown if one.value is not None],
        failed=[one.outcome is CheckOutcome.FAILED for one in shown],
        bounds=chart_bounds(monitor.rule, bound, monitor_state.usual),
        transitions=moved,
        value_label=value_label(monitor.rule, metrics),
    )
