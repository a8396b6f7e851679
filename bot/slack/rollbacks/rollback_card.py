"""Render the message about a rollback that a person started. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject, PlainTextObject

from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions.progress import progress_line
from bot.domain.transitions.serving_check import ServingCheck
from bot.domain.transitions.transition import UNFINISHED_STATES, Transition, TransitionState
from bot.slack.core.blocks import (
    Message,
    build_message,
    code,
    context_line,
    escape_and_cut,
    fields_section,
    format_time,
    header,
    mention_actor,
    section,
    to_mrkdwn,
)
from bot.slack.core.modal_inputs import SUGGEST_ROLLBACK_TARGET, form_view, model_input, suggest_input, text_input

UNDO_ROLLBACK = "rollback_undo"
_STATE_SIGNS = {TransitionState.DONE: "⏪", TransitionState.STALE: "⚠️", TransitionState.FAILED: "⚠️"}


def rollback_card(transition: Transition, serving: ServingCheck | None, freeze: ActiveFreeze | None = None) -> Message:
    """Return a rollback's current message; its button opens a request that undoes the rollback.

    `freeze` is the Production freeze that was active when the person rolled back, if any.
    """
    sign, title = _STATE_SIGNS.get(transition.state, "⏳"), rollback_messages.rollback_title(transition)
    head = f"{sign} {truncate(sanitize_text(transition.model), 80)} {title}"
    fields = [
        f"*Rolled back by*\n{mention_actor(transition.actor)}",
        f"*When*\n{format_time(transition.finished_at or transition.intended_at)}",
    ]
    change = to_mrkdwn(rollback_messages.describe_version_change(transition))
    blocks: list[Block] = [
        header(head),
        section(f"*{change}* in Production\n> {escape_and_cut(transition.reason, 2000)}"),
        section(to_mrkdwn(progress_line(transition, serving))),
        fields_section(fields),
    ]
    if transition.why and transition.state not in UNFINISHED_STATES:  # until then, the progress line says it
        blocks.append(section(escape_and_cut(transition.why, 1500)))
    if transition.is_forced:
        blocks.append(section(to_mrkdwn(rollback_messages.FORCED)))
    if freeze is not None:
        blocks.append(section(f"❄️ {to_mrkdwn(rollback_messages.rollback_despite_freeze_notice(freeze))}"))
    if transition.state is TransitionState.DONE and transition.expected_incumbent is not None:
        blocks.append(section(to_mrkdwn(rollback_messages.blocked_version_notice(transition))))
        undo = request_again_button(UNDO_ROLLBACK, transition.id, transition.expected_incumbent)
        blocks.append(ActionsBlock(block_id=f"rollback:{transition.id}"[:255], elements=[undo]))
    blocks.append(context_line("No approval needed: the policy lists who can roll back."))
    return build_message(f"{code(transition.model)} {rollback_messages.rollback_title(transition)}", blocks)


def request_again_button(action_id: str, value: str, version: int) -> ButtonElement:
    """Return the button that requests a rolled-back version again; its confirmation says what that takes."""
    v = f"v{version}"
    text = f"This requests {v} for Production, which needs approval. Unblock {v} first, or the request is refused."
    confirm = ConfirmObject(
        title=f"Request {v} again?", text=PlainTextObject(text=text), confirm="Continue", deny="Cancel"
    )
    return ButtonElement(text=f"Request {v} again…", action_id=action_id, value=value, confirm=confirm)


ROLLBACK = "rollback"


def rollback_modal(draft_id: str, prefilled: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal for a rollback, prefilled with what was typed.

    `draft_id` is the ID of the draft that submitting the modal completes.
    """
    version_hint = "Default: the previous good version"
    reason_hint = "Shown in the rollback's message; saved in the version's tags and the audit log"
    blocks: list[Block] = [
        section("Rolls back Production immediately, without approvals."),
        *([section("⚠️ *Forced:* the version might not load.")] if prefilled.get("force") else []),
        model_input(prefilled),
        suggest_input("version", "Version", SUGGEST_ROLLBACK_TARGET, prefilled, hint=version_hint, optional=True),
        text_input("reason", "Why?", prefilled, multiline=True, hint=reason_hint),
    ]
    return form_view(ROLLBACK, "Roll back", "Roll back now", draft_id, blocks)
