"""Render the Home tab as a view: an inbox, then the state of the models. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    DividerBlock,
    SectionBlock,
)

from bot.domain.core.sentence import Sentence
from bot.domain.home.home_content import HomeView, OwnRequest, PendingRequest
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident
from bot.domain.policy import messages as policy_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.rollback_block import block_details
from bot.domain.transitions import restore_messages
from bot.ports import NO_LINKS, MessageRef, RegistryLinks
from bot.slack.audit.answers import event_text
from bot.slack.commands.help_text import menu_buttons
from bot.slack.core.blocks import (
    block_dicts,
    code,
    context_line,
    escape,
    escape_and_cut,
    fitting_rows,
    format_time,
    header,
    mention_actor,
    mrkdwn_object,
    row_sections,
    section,
    to_mrkdwn,
)
from bot.slack.monitoring import incident_card
from bot.slack.monitoring.answers import ADD, false_rollback_line
from bot.slack.monitoring.model_status import PAGE_SIZE, status_rows
from bot.slack.promotions.request_card import cancel_button, decision_buttons, review_buttons

MAX_MODELS = 100  # models on the Home tab; the others are counted
MAX_MODELS_LENGTH = 36_000  # characters of their rows, so that Home stays below Slack's 100 blocks
MAX_FREEZES = 3


def home_view(view: HomeView, links: RegistryLinks = NO_LINKS) -> dict[str, Any]:
    """Return a person's Home tab. Like a card's, its buttons carry only IDs. `links` builds links to the registry."""
    blocks: list[Block] = [
        *_banners(view),
        *_titled("Needs your review", _review_blocks(view) or [section("You're all caught up.")]),
        *(_titled("Unacknowledged incidents", _incident_blocks(view)) if view.incidents else []),
        *(_titled("Your requests", _own_request_blocks(view)) if view.own_requests else []),
        *_titled("Production", _model_blocks(view, links)),
        *(_titled("Recent activity", _activity_blocks(view)) if view.recent_events else []),
        menu_buttons(ButtonElement(text="Add a monitor", action_id=ADD)),
    ]
    return {"type": "home", "blocks": block_dicts(blocks)}


def refused_view(reason: Sentence) -> dict[str, Any]:
    """Return the Home tab for a person who can't see anything, with the reason."""
    return {"type": "home", "blocks": block_dicts([section(to_mrkdwn(reason))])}


def message_link(workspace_url: str, ref: MessageRef) -> str:
    """Return the link to a message; empty if `workspace_url`, from Slack's `auth.test`, is empty.

    `chat.getPermalink` returns the same link, but takes a call for each message.
    """
    return f"{workspace_url}archives/{ref.channel}/p{ref.ts.replace('.', '')}" if workspace_url else ""


def _titled(title: str, blocks: Sequence[Block]) -> list[Block]:
    return [header(title), *blocks, DividerBlock()]


def _banners(view: HomeView) -> Iterator[Block]:
    """Yield notices that apply to everything: work on hold, global freezes, and a policy that differs from its file."""
    if view.hold:
        yield section(to_mrkdwn(restore_messages.hold_summary(view.hold)))
    for freeze in view.global_freezes[:MAX_FREEZES]:
        yield section(to_mrkdwn(policy_messages.freeze_announcement(freeze)))
    if view.policy_notice:
        yield section(f"⚠️ {to_mrkdwn(view.policy_notice)}")


# -- the inbox ---------------------------------------------------------------------------------------------------------


def _review_blocks(view: HomeView) -> list[Block]:
    blocks: list[Block] = []
    for request in view.reviews:
        blocks += [section(_request_to_review(request)), review_buttons(request)]
    for item in view.to_decide:
        blocks.append(section(_pending_request(item, view.links.get(item.request.id, ""))))
        blocks.append(decision_buttons(item.request, is_frozen=item.is_frozen))
    return blocks + _more_line(view.to_decide_more, "/model requests")


def _pending_request(item: PendingRequest, link: str) -> str:
    request = item.request
    lines = [
        _subject(request, "*"),
        to_mrkdwn(item.verdict),
        *([f"⛔ {to_mrkdwn(block_details(item.block))}"] if item.block else []),
        *(["❄️ Frozen: no one can approve this now."] if item.is_frozen else []),
        *([f"> {escape_and_cut(request.reason, 300)}"] if request.reason else []),
        f"Requested by {mention_actor(request.requester)} · expires {format_time(request.expires_at)}"
        + _linked(link, "Open the card"),
    ]
    return "\n".join(lines)


def _request_to_review(request: Request) -> str:
    due = f" · review due by {format_time(request.review_due)}" if request.review_due else ""
    lines = [f"🚨 {_subject(request, '*')}", f"{mention_actor(request.requester)} broke glass{due}"]
    lines += [f"> {escape_and_cut(request.reason, 300)}"] if request.reason else []
    return "\n".join(lines)


def _incident_blocks(view: HomeView) -> list[Block]:
    blocks: list[Block] = []
    for incident in view.incidents:
        button = ButtonElement(text="Acknowledge", action_id=incident_card.ACKNOWLEDGE, value=incident.id)
        blocks.append(section(_incident(incident, view.links.get(incident.id, ""))))
        blocks.append(ActionsBlock(block_id=f"incident:{incident.id}", elements=[button]))
    return blocks + _more_line(view.incidents_more, "/model status")


def _incident(incident: Incident, link: str) -> str:
    done = to_mrkdwn(incident_messages.status_sentence(incident))
    since = f"Since {format_time(incident.since)}{_linked(link, 'Open the alert')}"
    return f"*{escape(incident_card.title(incident))}*\n{done}\n{since}"


def _own_request_blocks(view: HomeView) -> list[Block]:
    pending = [item for item in view.own_requests if item.request.state is RequestState.PENDING]
    others = [item for item in view.own_requests if item.request.state is not RequestState.PENDING]
    blocks: list[Block] = [
        SectionBlock(
            text=mrkdwn_object(_own_pending(item, view.links.get(item.request.id, ""))),
            accessory=cancel_button(item.request, "Cancel"),
        )
        for item in pending
    ]
    return blocks + row_sections(_own_other(item, view.links.get(item.request.id, "")) for item in others)


def _own_pending(item: OwnRequest, link: str) -> str:
    waiting = to_mrkdwn(item.waiting) if item.waiting else ""
    expires = f"Expires {format_time(item.request.expires_at)}{_linked(link, 'Open the card')}"
    return f"{_subject(item.request, '*')}\n{waiting}\n{expires}"


def _own_other(item: OwnRequest, link: str) -> str:
    request = item.request
    when = f", {format_time(request.decided_at)}" if request.decided_at else ""
    why = f": {escape_and_cut(request.outcome, 200)}" if request.outcome else ""
    return f"{_STATE_ICONS.get(request.state, '•')} {_subject(request)} · {request.state.label}{when}{why}" + _linked(
        link, "Open the card"
    )


_STATE_ICONS = {
    RequestState.DONE: "✅",
    RequestState.APPROVED: "⏳",
    RequestState.EXECUTING: "⏳",
    RequestState.REJECTED: "❌",
    RequestState.FAILED: "❌",
}


def _subject(request: Request, style: str = "") -> str:
    """Return a request's model and change. `style` is the mrkdwn marker around the change."""
    change = to_mrkdwn(promotion_messages.describe_change(request))
    return f"{code(request.model, 120)} {style}{change}{style}"


# -- the state of the models -------------------------------------------------------------------------------------------


def _model_blocks(view: HomeView, links: RegistryLinks) -> list[Block]:
    if not view.statuses:
        start = code("/model register RUN_ID MODEL")
        return [section(f"No versions in Production yet. To start, register a run's model: {start}")]
    rows = fitting_rows(status_rows(view.statuses[:MAX_MODELS], links), MAX_MODELS_LENGTH)
    shown = min(len(rows), MAX_MODELS)
    return [
        *row_sections(rows),
        *_more_line(len(view.statuses) - shown, f"/model status --page {shown // PAGE_SIZE + 1}"),
        *false_rollback_line(view.expected_false_rollbacks),
    ]


def _activity_blocks(view: HomeView) -> list[Block]:
    return row_sections(f"• {event_text(link.event, 400)}" for link in view.recent_events)


def _linked(link: str, text: str) -> str:
    return f" · <{escape(link)}|{text}>" if link else ""


def _more_line(more: int, command: str) -> list[Block]:
    return [context_line(f"{more} more: {code(command)}")] if more > 0 else []
