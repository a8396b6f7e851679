"""The preview of a link to a version's page in the registry: the version's state in a few lines."""

from __future__ import annotations

from typing import Any

from bot.domain.promotions.messages import describe_change
from bot.domain.promotions.request import Request
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model_card import VersionCard
from bot.slack.core.blocks import block_dicts, code, context_line, escape, escape_and_cut, section, to_mrkdwn
from bot.slack.registry.answers import version_headline

MAX_METRICS = 4


def version_unfurl(
    view: VersionCard, metrics: MetricCatalog, request: Request | None, card_link: str
) -> list[dict[str, Any]]:
    """Return a version's stage, metrics, approval, and block, for everyone in the channel.

    `request` is the version's open request, if any; `card_link` is the link to its card, or empty.
    """
    values = view.run.metrics if view.run else {}
    important = metrics.by_importance(values)[:MAX_METRICS]
    lines = [
        version_headline(view.version),
        "  ·  ".join(f"{code(name, 60)} {escape(metrics.format_value(name, values[name]))}" for name in important),
        f"⛔ Rolled back: {escape_and_cut(view.block.reason, 300)}" if view.block else "",
        _request_line(request, card_link) if request else "",
    ]
    status = "" if request else (view.card.approval_status or "").replace("_", " ")
    approval = [context_line(f"Approval: {escape_and_cut(status, 60)}")] if status else []
    return block_dicts([section("\n".join(filter(None, lines))), *approval])


def _request_line(request: Request, card_link: str) -> str:
    label = f"<{escape(card_link)}|Request {request.id}>" if card_link else f"Request {code(request.id)}"
    return f"📋 {label} is {request.state.value}: {to_mrkdwn(describe_change(request))}"
