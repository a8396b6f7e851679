"""Modals for promotions, as views. Pure, like the cards. `private_metadata` holds only an ID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import Block, PlainTextObject, SectionBlock

from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import describe_gate_result
from bot.domain.promotions.request import Request
from bot.domain.registry.model import TARGET_STAGES, product
from bot.slack.core.blocks import block_dicts, code, escape_and_cut, section, to_mrkdwn
from bot.slack.core.modal_inputs import SUGGEST_VERSION, form_view, model_input, select_input, suggest_input, text_input

MAX_BLOCKS = 100  # in a modal: Slack's limit
VERSION_HINT = "You can also type 7, v7, 2.1.0, @alias, staging, or latest"
PROMOTE, REJECT, OVERRIDE, REVIEW, DETAILS = "promote", "reject", "override", "review", "details"


def promote_modal(draft_id: str, prefilled: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal for a promotion's missing fields, prefilled with the typed ones.

    `draft_id` is the ID of the draft that submitting the modal completes.
    """
    stages = {stage.value.lower(): stage.value for stage in TARGET_STAGES}
    to = prefilled.get("to", "").lower()
    blocks: list[Block] = [
        model_input(prefilled),
        suggest_input("version", "Version", SUGGEST_VERSION, prefilled, hint=VERSION_HINT),
        select_input("to", "Promote to", stages, {"to": to if to in stages else "production"}),
        text_input("reason", "Reason", prefilled, optional=True, multiline=True, hint="For the card and the audit log"),
    ]
    return form_view(PROMOTE, "Request a promotion", "Request", draft_id, blocks)


def reject_modal(request: Request) -> dict[str, Any]:
    """Return the modal that asks why the request is being rejected."""
    why = text_input("reason", "Reason", {}, multiline=True, hint="For the requester and the audit log")
    return form_view(REJECT, "Reject request", "Reject", request.id, [_subject(request), why])


def override_modal(request: Request) -> dict[str, Any]:
    """Return the modal that asks why a request's failed gates are being overridden."""
    gates = request.seen.failed_gates if request.seen else ()
    subject = _subject(request, *(f"❌ {to_mrkdwn(describe_gate_result(gate))}" for gate in gates))
    hint = "For the card and the audit log"
    why = text_input("reason", "Reason", {}, multiline=True, hint=hint)
    return form_view(OVERRIDE, "Override gates", "Override", request.id, [subject, why])


def review_modal(request: Request) -> dict[str, Any]:
    """Return the modal that asks for the review of a promotion without approvals."""
    subject = _subject(request, *([f"> {escape_and_cut(request.reason, 2000)}"] if request.reason else []))
    hint = "For the thread and the audit log"
    finding = text_input("reason", "Was it justified? Any follow-up?", {}, multiline=True, hint=hint)
    return form_view(REVIEW, "Review promotion", "Review", request.id, [subject, finding])


def _subject(request: Request, *lines: str) -> SectionBlock:
    """Return the section that says what a modal is about; `lines` follow the change."""
    change = f"{code(request.model, 120)} {to_mrkdwn(promotion_messages.describe_change(request))}"
    return section("\n".join([change, *lines]))


def details_modal(blocks: Sequence[Block | dict[str, Any]] = (), *, is_complete: bool = False) -> dict[str, Any]:
    """Return the details modal; until it's complete, it says that the registry is being read."""
    loading = [] if is_complete else [section(f"Loading from {product().name}…")]
    return {
        "type": "modal",
        "callback_id": DETAILS,
        "title": PlainTextObject(text="Details").to_dict(),
        "close": PlainTextObject(text="Close").to_dict(),
        "blocks": block_dicts([*blocks, *loading])[:MAX_BLOCKS],
    }
