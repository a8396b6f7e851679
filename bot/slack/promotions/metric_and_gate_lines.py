"""The facts of a request as mrkdwn: metrics, what changes for callers, and gates. Pure."""

from __future__ import annotations

from bot.domain.core.numbers import pluralize
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestSnapshot
from bot.domain.promotions.verdict import by_importance, reported_results
from bot.domain.registry.metric_catalog import ChangeOutcome, MetricCatalog, MetricChange
from bot.domain.registry.signature_changes import CallerEffect, CallerImpact
from bot.slack.core.blocks import (
    code,
    cut_mrkdwn,
    escape,
    escape_and_cut,
    first_rows_and_count,
    fitting_rows,
    to_mrkdwn,
)

MAX_GATES = 12
MAX_GATES_LENGTH = 2400  # characters of all gates; the others are counted
MAX_CHANGES_LENGTH = 1000  # characters of a line about callers


def change_line(request: Request) -> str:
    """Return what a request changes: `v6 → v7 in Production`, with the semver."""
    semver = f"  ·  semver {code(request.semver, 50)}" if request.semver else ""
    return f"*{to_mrkdwn(promotion_messages.describe_change(request))}*{semver}"


def metric_rows(seen: RequestSnapshot, metrics: MetricCatalog, limit: int) -> list[str]:
    """Return a line for each of the `limit` most important metrics, with old and new values; the rest are counted."""
    names = by_importance(seen, metrics)
    rows = [_metric_row(name, seen, metrics) for name in names[:limit]]
    if not (rest := names[limit:]):
        return rows
    changes = [metrics.compare(name, seen.metrics, seen.against) for name in rest]
    worse = f", {sum(map(_is_worse, changes)) or 'none'} worse" if all(changes) else ""
    return [*rows, f"and {pluralize(len(rest), 'more metric')}{worse}"]


def _metric_row(name: str, seen: RequestSnapshot, metrics: MetricCatalog) -> str:
    value, label = seen.metrics[name], escape_and_cut(name, 60)
    change = metrics.compare(name, seen.metrics, seen.against)
    sign = "❌" if seen.fails_gate(name) else "⚠️" if _is_worse(change) else "•"
    if change is None or change.outcome is ChangeOutcome.SAME:
        note = "  (unchanged)" if change else ""
        return f"{sign} {label}  *{escape(metrics.format_value(name, value))}*{note}"
    new, old = metrics.format_value(name, value, change.was), metrics.format_value(name, change.was, value)
    old = old.removesuffix(metrics.settings_of(name).unit).rstrip()  # `48 → 98 ms` fits in a phone's line
    percent = escape(metrics.format_change(change))
    return f"{sign} {label}  {escape(old)} → *{escape(new)}*  ({percent}, {change.outcome.value})"


def _is_worse(change: MetricChange | None) -> bool:
    return change is not None and change.outcome is ChangeOutcome.WORSE


def reported_text(seen: RequestSnapshot, metrics: MetricCatalog, limit: int) -> str:
    """Return up to `limit` results that the requester reported, with the measured values; empty if there are none."""
    measured = {result.name: result for result in reported_results(seen, metrics)}
    names = sorted(seen.validation, key=lambda name: (name not in measured, name))
    texts = [_reported_row(name, seen.validation[name], measured.get(name), metrics) for name in names[:limit]]
    shown = first_rows_and_count(len(texts), texts, len(names))
    return f"Reported by requester: {'  ·  '.join(shown)}" if names else ""


def _reported_row(name: str, value: float, result: MetricChange | None, metrics: MetricCatalog) -> str:
    label = escape_and_cut(name, 60)
    if result is None:
        return f"{label} *{escape(metrics.format_value(name, value))}* (not measured)"
    sign = "⚠️ " if result.outcome is ChangeOutcome.BETTER else ""
    measured = escape(metrics.format_value(name, result.was, value))
    return f"{sign}{label} *{escape(metrics.format_value(name, value, result.was))}* (measured {measured})"


def callers_text(request: Request, callers: CallerImpact, limit: int, max_length: int = MAX_CHANGES_LENGTH) -> str:
    """Return up to `limit` changes for callers, breaking ones first; empty if nothing changes.

    `max_length` limits the characters of each line.
    """
    breaking = callers.sentences(CallerEffect.BREAKS)
    compatible = callers.sentences(CallerEffect.ADDS, CallerEffect.COMPATIBLE)
    parts = (
        ("⚠️ *Breaking for callers:*", breaking[:limit]),
        (f"*{'Also for' if breaking else 'For'} callers:*", compatible[: max(0, limit - len(breaking))]),
    )
    lines = [
        f"{title} {cut_mrkdwn('; '.join(map(to_mrkdwn, changes)), max_length)}" for title, changes in parts if changes
    ]
    if (more := len(callers.changes) + callers.omitted - limit) > 0:
        lines.append(f"and {pluralize(more, 'more change')}")
    if callers.not_compared:
        why = to_mrkdwn(callers.not_compared)
        lines.append(f"*For callers:* can't compare with {code(f'v{request.incumbent}')}: {why}")
    if callers.no_rollback:
        lines.append(f"⚠️ {cut_mrkdwn(to_mrkdwn(callers.no_rollback), max_length)}")
    return "\n".join(lines)


def gate_rows(
    seen: RequestSnapshot, *, is_overridden: bool = False, limit: int = MAX_GATES, max_length: int = MAX_GATES_LENGTH
) -> list[str]:
    """Return a line for each of up to `limit` gates, failed gates first; the others are counted.

    `is_overridden`: someone has overridden the failed gates. `max_length` limits the total characters of the lines.
    """
    failed_first = sorted(seen.gates, key=lambda gate: gate.passed)
    rows = []
    for gate in failed_first[:limit]:
        sign = "✅" if gate.passed else "🔶" if is_overridden else "❌"
        note = f" ({escape_and_cut(gate.note, 120)})" if gate.note else ""
        value, bound = escape_and_cut(gate.value, 120), escape_and_cut(gate.bound, 120)
        rows.append(f"{sign} {code(gate.name, 80)} {value}, required: {bound}{note}")
    return first_rows_and_count(len(fitting_rows(rows, max_length)), rows, len(failed_first))
