"""Render the Home tab as a view. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slack_sdk.models.blocks import Block, ButtonElement, DividerBlock

from bot.domain.core.sentence import Sentence
from bot.domain.home.views import HomeView, StageHolders
from bot.domain.policy import messages as policy_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.rollback_block import RollbackBlock, block_details
from bot.domain.transitions import restore_messages
from bot.slack.audit.answers import event_text
from bot.slack.commands.help_text import menu_buttons
from bot.slack.core.blocks import (
    block_dicts,
    code,
    context_line,
    escape_and_cut,
    format_time,
    header,
    mention_actor,
    row_sections,
    section,
    to_mrkdwn,
)
from bot.slack.monitoring.answers import ADD, false_rollback_line, monitor_line
from bot.slack.promotions.request_card import decision_buttons, gate_rows, review_buttons

MAX_MODELS = 40  # models on the Home tab; the others are counted


def home_view(view: HomeView) -> dict[str, Any]:
    """Return a person's Home tab. Its buttons hold only ids, like a card's."""
    blocks: list[Block] = [
        *([section(to_mrkdwn(restore_messages.hold_summary(view.hold)))] if view.hold else []),
        *(section(to_mrkdwn(policy_messages.freeze_announcement(freeze))) for freeze in view.global_freezes[:3]),
        *([section(f"⚠️ {to_mrkdwn(view.policy_notice)}")] if view.policy_notice else []),
        header("Needs your review"),
        *_review_blocks(view),
        DividerBlock(),
        header("Your requests"),
        *_row_blocks(
            [_own_request_row(request) for request in view.own_requests],
            "No requests yet. To request a promotion, use the button below.",
        ),
        DividerBlock(),
        header("In Production"),
        *_row_blocks(
            [_serving_row(holders) for holders in view.stage_holders[:MAX_MODELS]], "No versions in Production yet."
        ),
        *_more_line(len(view.stage_holders) - MAX_MODELS, "/model list"),
        DividerBlock(),
        header("Monitors"),
        *_row_blocks(
            [monitor_line(monitor, view.now) for monitor in view.monitors],
            "No monitors yet. To add one, use the button below.",
        ),
        *_more_line(view.monitors_more, "/model monitor list MODEL"),
        *false_rollback_line(view.expected_false_rollbacks),
        DividerBlock(),
        header("Recent activity"),
        *_row_blocks([f"• {event_text(link.event, 400)}" for link in view.recent_events], "No activity yet."),
        menu_buttons(ButtonElement(text="Add a monitor", action_id=ADD)),
    ]
    return {"type": "home", "blocks": block_dicts(blocks)}


def refused_view(reason: Sentence) -> dict[str, Any]:
    """Return the Home tab of a person who isn't allowed to see anything."""
    return {"type": "home", "blocks": block_dicts([section(to_mrkdwn(reason))])}


def _review_blocks(view: HomeView) -> list[Block]:
    if not (view.to_decide or view.reviews):
        return [section("You're all caught up.")]
    blocks: list[Block] = []
    for request in view.reviews:
        blocks += [section(_request_to_review(request)), review_buttons(request)]
    for request in view.to_decide:
        blocks.append(section(_pending_request(request, view.blocks.get(request.id))))
        blocks.append(decision_buttons(request, is_frozen=request.id in view.frozen_ids))
    return blocks + _more_line(view.to_decide_more, "/model requests")


def _pending_request(request: Request, block: RollbackBlock | None) -> str:
    asked = f"requested by {mention_actor(request.requester)}, expires {format_time(request.expires_at)}"
    lines = [f"{_subject(request, '*')}, {asked}"]
    lines += [f"> {escape_and_cut(request.reason, 300)}"] if request.reason else []
    lines += [f"⛔ {to_mrkdwn(block_details(block))}"] if block else []
    lines += gate_rows(request.seen, is_overridden=request.overridden_by is not None) if request.seen else []
    return "\n".join(lines)


def _request_to_review(request: Request) -> str:
    due = f", review due by {format_time(request.review_due)}" if request.review_due else ""
    lines = [f"🚨 {_subject(request, '*')}: {mention_actor(request.requester)} broke glass{due}"]
    lines += [f"> {escape_and_cut(request.reason, 300)}"] if request.reason else []
    return "\n".join(lines)


def _own_request_row(request: Request) -> str:
    state = (
        f"pending until {format_time(request.expires_at)}"
        if request.state is RequestState.PENDING
        else request.state.label
    )
    why = f": {escape_and_cut(request.outcome, 200)}" if request.outcome else ""
    return f"• {code(request.id)} {_subject(request)}, {state}{why}"


def _subject(request: Request, style: str = "") -> str:
    """Return a request's model and change. `style` is the mrkdwn sign around the change."""
    change = to_mrkdwn(promotion_messages.describe_change(request))
    return f"{code(request.model, 120)} {style}{change}{style}"


def _serving_row(serving: StageHolders) -> str:
    stages = [
        f"{stage} {', '.join(code(f'v{number}') for number in numbers[:5])}"
        for stage, numbers in (("Production", serving.production), ("Staging", serving.staging))
        if numbers
    ]
    frozen = "  ·  ❄️ frozen" if serving.freeze_reason else ""
    return f"• {code(serving.model, 120)}  {'  ·  '.join(stages)}{frozen}"


def _row_blocks(rows: Sequence[str], empty: str) -> list[Block]:
    return row_sections(rows) or [section(empty)]


def _more_line(more: int, command: str) -> list[Block]:
    return [context_line(f"{more} more: {code(command)}")] if more > 0 else []
