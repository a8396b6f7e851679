"""Modals for promotions as views: pure, like the cards. `private_metadata` carries only an id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    InputBlock,
    Option,
    PlainTextObject,
    SectionBlock,
    StaticSelectElement,
)

from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import describe_gate_result
from bot.domain.promotions.request import Request
from bot.domain.registry.model import TARGET_STAGES, product
from bot.slack.core.blocks import Message, mrkdwn_object
from bot.slack.core.forms import INPUT_ACTION, form_view, text_input
from bot.slack.core.mrkdwn import MAX_TEXT_LENGTH, code, cut_mrkdwn, escape_and_cut, to_mrkdwn

PROMOTE, REJECT, OVERRIDE, REVIEW, DETAILS = "promote", "reject", "override", "review", "details"


def promote_modal(draft_id: str, prefilled: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks for a promotion's missing fields, prefilled with what was typed.

    `draft_id`: the draft that the submitted modal completes.
    """
    blocks: list[Block] = [
        text_input("model", "Model", prefilled, hint=f"The registered model's name in {product().name}"),
        text_input("version", "Version", prefilled, hint="7, v7, 2.1.0, @alias, staging or latest"),
        InputBlock(label="Move to", block_id="to", element=_target_select(prefilled.get("to", "production"))),
        text_input("reason", "Why", prefilled, optional=True, multiline=True, hint="For the card and the audit"),
    ]
    return form_view(PROMOTE, "Ask for a promotion", "Ask", draft_id, blocks)


def reject_modal(request: Request) -> dict[str, Any]:
    """Return the modal that asks why a request is rejected."""
    intro = f"{code(request.model, 120)} {to_mrkdwn(promotion_messages.describe_change(request))}"
    blocks: list[Block] = [
        SectionBlock(text=mrkdwn_object(intro)),
        text_input("reason", "Why not?", {}, multiline=True, hint="The requester and the audit get to read it"),
    ]
    return form_view(REJECT, "Reject the request", "Reject", request.id, blocks)


def override_modal(request: Request) -> dict[str, Any]:
    """Return the modal that asks why a request's failed gates are overridden."""
    failed = (
        [f"❌ {to_mrkdwn(describe_gate_result(gate))}" for gate in request.seen.failed_gates] if request.seen else []
    )
    lines = [f"{code(request.model, 120)} {to_mrkdwn(promotion_messages.describe_change(request))}", *failed]
    blocks: list[Block] = [
        SectionBlock(text=mrkdwn_object(cut_mrkdwn("\n".join(lines), MAX_TEXT_LENGTH))),
        text_input(
            "reason", "Why may they pass?", {}, multiline=True, hint="The card shows it, and the audit keeps it"
        ),
    ]
    return form_view(OVERRIDE, "Let gates pass", "Let them pass", request.id, blocks)


def review_modal(request: Request) -> dict[str, Any]:
    """Return the modal that asks for the review of a promotion without approvals."""
    lines = [f"{code(request.model, 120)} {to_mrkdwn(promotion_messages.describe_change(request))}"]
    lines += [f"> {escape_and_cut(request.reason, 2000)}"] if request.reason else []
    blocks: list[Block] = [
        SectionBlock(text=mrkdwn_object(cut_mrkdwn("\n".join(lines), MAX_TEXT_LENGTH))),
        text_input(
            "reason",
            "Was it right, and what follows?",
            {},
            multiline=True,
            hint="The thread shows it, and the audit log keeps it",
        ),
    ]
    return form_view(REVIEW, "Review the move", "Review", request.id, blocks)


def details_modal(message: Message | None = None) -> dict[str, Any]:
    """Return the modal that shows a version; without a message while the registry is being read."""
    waiting = [SectionBlock(text=mrkdwn_object(f"Reading it from {product().name}…")).to_dict()]
    title, close = PlainTextObject(text="Details"), PlainTextObject(text="Close")
    return {
        "type": "modal",
        "callback_id": DETAILS,
        "title": title.to_dict(),
        "close": close.to_dict(),
        "blocks": message.blocks if message else waiting,
    }


def _target_select(chosen: str) -> StaticSelectElement:
    options = [Option(value=stage.value.lower(), label=stage.value) for stage in TARGET_STAGES]
    initial = next((option for option in options if option.value == chosen.lower()), options[-1])
    return StaticSelectElement(action_id=INPUT_ACTION, options=options, initial_option=initial)
