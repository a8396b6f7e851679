"""The form that adds a monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    Block,
)

from bot.domain.policy.monitor_config import RULES
from bot.domain.registry.model import product
from bot.slack.core.forms import form_view, select_input, text_input

MONITOR = "monitor"
_ACTION_LABELS = {
    "dry_run": "try itself out: tell nobody",
    "notify": "tell the channel",
    "ask": "ask whether to roll back",
    "auto": "roll back by itself, once it is armed",
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
    """Return the form that adds a monitor, prefilled with what was typed. `draft_id` is the queued command's id."""
    typed = {"every": "5m", "rule": next(iter(RULES)), "action": "dry_run"} | dict(prefilled)
    equality, compared = "For a bound; equality fails", "When compared with a baseline. Empty:"
    blocks: list[Block] = [
        text_input("model", "Model", typed, hint=f"The registered model's name in {product().name}"),
        text_input("name", "Name of the monitor", typed, hint="Such as accuracy"),
        select_input("source", "Where do the figures come from?", {name: name for name in sources[:100]}, typed),
        text_input("query", "Metric, or PromQL", typed, optional=True, hint="Left out: the monitor's own name"),
        text_input(
            "of", "Total", typed, optional=True, hint="Only for counts: the metric or PromQL they're counted out of"
        ),
        select_input("rule", "How is it judged?", {name: kind.label for name, kind in RULES.items()}, typed),
        text_input("greater_than", "Must be above", typed, optional=True, hint=equality),
        text_input("less_than", "Must be below", typed, optional=True, hint=equality),
        text_input("min_effect", "How much worse counts", typed, optional=True, hint=f"{compared} 2%. Or 0.01 abs"),
        text_input("window", "Window", typed, optional=True, hint=f"{compared} 1h"),
        text_input("every", "Checked every", typed, hint="10s, 5m, 1h"),
        select_input("action", "What does a failure do?", _ACTION_LABELS, typed),
    ]
    return form_view(MONITOR, "Add a monitor", "Add", draft_id, blocks)
