"""Modals as views: pure, like the cards. `private_metadata` holds an id and nothing else."""

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
from bot.domain.promotions.gates import told
from bot.domain.promotions.request import Request
from bot.domain.registry.model import TARGETS
from bot.slack.core.blocks import Message, markdown
from bot.slack.core.forms import VALUE, _form, _text
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, fit, mrkdwn

PROMOTE, REJECT, OVERRIDE, REVIEW, DETAILS = "promote", "reject", "override", "review", "details"


def promote(draft: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks for what a promotion lacks, with what was typed already. `draft` is the ask's id."""
    blocks: list[Block] = [
        _text("model", "Model", given, hint="The registered model's name in MLflow"),
        _text("version", "Version", given, hint="7, v7, 2.1.0, @alias, staging or latest"),
        InputBlock(label="Move to", block_id="to", element=_targets(given.get("to", "production"))),
        _text("reason", "Why", given, optional=True, multiline=True, hint="For the card and the audit"),
    ]
    return _form(PROMOTE, "Ask for a promotion", "Ask", draft, blocks)


def reject(request: Request) -> dict[str, Any]:
    """Return the modal that asks why a request is rejected."""
    intro = f"{code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}"
    blocks: list[Block] = [
        SectionBlock(text=markdown(intro)),
        _text("reason", "Why not?", {}, multiline=True, hint="The requester and the audit get to read it"),
    ]
    return _form(REJECT, "Reject the request", "Reject", request.id, blocks)


def override(request: Request) -> dict[str, Any]:
    """Return the modal that asks why the failed gates of a request may pass."""
    failed = [f"❌ {mrkdwn(told(gate))}" for gate in request.seen.failed] if request.seen else []
    lines = [f"{code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}", *failed]
    blocks: list[Block] = [
        SectionBlock(text=markdown(cut("\n".join(lines), TEXT_MOST))),
        _text("reason", "Why may they pass?", {}, multiline=True, hint="The card shows it, and the audit keeps it"),
    ]
    return _form(OVERRIDE, "Let gates pass", "Let them pass", request.id, blocks)


def review(request: Request) -> dict[str, Any]:
    """Return the modal that asks for the review of what was moved without approvals."""
    lines = [f"{code(request.model, 120)} {mrkdwn(promotion_messages.path(request))}"]
    lines += [f"> {fit(request.reason, 2000)}"] if request.reason else []
    blocks: list[Block] = [
        SectionBlock(text=markdown(cut("\n".join(lines), TEXT_MOST))),
        _text(
            "reason",
            "Was it right, and what follows?",
            {},
            multiline=True,
            hint="The thread shows it, and the audit log keeps it",
        ),
    ]
    return _form(REVIEW, "Review the move", "Review", request.id, blocks)


def details(message: Message | None = None) -> dict[str, Any]:
    """Return the modal that shows a version; without a message while the registry is being read."""
    waiting = [SectionBlock(text=markdown("Reading it from MLflow…")).to_dict()]
    title, close = PlainTextObject(text="Details"), PlainTextObject(text="Close")
    return {
        "type": "modal",
        "callback_id": DETAILS,
        "title": title.to_dict(),
        "close": close.to_dict(),
        "blocks": message.blocks if message else waiting,
    }


def _targets(chosen: str) -> StaticSelectElement:
    options = [Option(value=stage.value.lower(), label=stage.value) for stage in TARGETS]
    initial = next((one for one in options if one.value == chosen.lower()), options[-1])
    return StaticSelectElement(action_id=VALUE, options=options, initial_option=initial)
