"""The form that adds a monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    Block,
)

from bot.domain.policy.monitor_config import RULES
from bot.slack.core.modal_inputs import SUGGEST_METRIC, form_view, model_input, select_input, suggest_input, text_input

MONITOR = "monitor"
_ACTION_LABELS = {
    "dry_run": "dry run: no alerts, no rollback",
    "notify": "alert the channel",
    "ask": "alert and ask whether to roll back",
    "auto": "roll back automatically, once armed",
}
MONITOR_FIELDS = (
    "model",
    "name",
    "source",
    "query",
    "of",
    "rule",
    "greater_than",
    "less_than",
    "min_effect",
    "window",
    "every",
    "action",
)


def monitor_modal(draft_id: str, prefilled: Mapping[str, str], sources: Sequence[str]) -> dict[str, Any]:
    """Return the form that adds a monitor, prefilled with what was typed. `draft_id` is the queued command's ID."""
    typed = {"every": "5m", "rule": next(iter(RULES)), "action": "dry_run"} | dict(prefilled)
    if typed.get("source") == "mlflow" and typed.get("query"):
        typed["metric"] = typed.pop("query")
    equality, compared = "For fixed bounds. A value equal to the bound fails", "For baselines. Default:"
    blocks: list[Block] = [
        model_input(typed),
        text_input("name", "Monitor name", typed, hint="For example, accuracy"),
        select_input("source", "Source", {name: name for name in sources[:100]}, typed),
        suggest_input("metric", "Metric", SUGGEST_METRIC, typed, optional=True, hint="Default: the monitor's name"),
        text_input("query", "Query", typed, optional=True, hint="Instead of a metric, for example PromQL"),
        text_input("of", "Total", typed, optional=True, hint="For counts only: the metric or PromQL of the total"),
        select_input("rule", "Rule", {name: kind.label for name, kind in RULES.items()}, typed),
        text_input("greater_than", "Must be above", typed, optional=True, hint=equality),
        text_input("less_than", "Must be below", typed, optional=True, hint=equality),
        text_input("min_effect", "Minimum effect", typed, optional=True, hint=f"{compared} 2%. Absolute: 0.01 abs"),
        text_input("window", "Window", typed, optional=True, hint=f"{compared} 1h"),
        text_input("every", "Check every", typed, hint="For example, 10s, 5m, or 1h"),
        select_input("action", "When it fails", _ACTION_LABELS, typed),
    ]
    return form_view(MONITOR, "Add a monitor", "Add", draft_id, blocks)
