"""TODO bot.slack.monitoring.modal"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    Block,
)

from bot.slack.core.forms import _choice, _form, _text

MONITOR = "monitor"


_RULES = {
    "threshold": "a bound that must hold",
    "default": "against the Production before (default)",
    "blocks": "against the Production before (blocks)",
    "sequential": "against the Production before (sequential)",
}


_ACTIONS = {
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


def monitor(draft: str, given: Mapping[str, str], sources: Sequence[str]) -> dict[str, Any]:
    """Return the modal that adds a monitor, with what was typed already. `draft` is the ask's id."""
    typed = {"every": "5m", "rule": "threshold", "action": "dry_run"} | dict(given)
    equality, compared = "For a bound; equality fails", "When compared with a baseline. Empty:"
    blocks: list[Block] = [
        _text("model", "Model", typed, hint="The registered model's name in MLflow"),
        _text("name", "Name of the monitor", typed, hint="Such as accuracy"),
        _choice("source", "Where do the figures come from?", {name: name for name in sources[:100]}, typed),
        _text("query", "Metric, or PromQL", typed, optional=True, hint="Left out: the monitor's own name"),
        _text("of", "Total", typed, optional=True, hint="Only for counts: the metric or PromQL they're counted out of"),
        _choice("rule", "How is it judged?", _RULES, typed),
        _text("greater_than", "Must be above", typed, optional=True, hint=equality),
        _text("less_than", "Must be below", typed, optional=True, hint=equality),
        _text("min_effect", "How much worse counts", typed, optional=True, hint=f"{compared} 2%. Or 0.01 abs"),
        _text("window", "Window", typed, optional=True, hint=f"{compared} 1h"),
        _text("every", "Checked every", typed, hint="10s, 5m, 1h"),
        _choice("action", "What does a failure do?", _ACTIONS, typed),
    ]
    return _form(MONITOR, "Add a monitor", "Add", draft, blocks)
