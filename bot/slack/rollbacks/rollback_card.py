"""Render the message about a rollback that a person started. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.registry.model import product
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionState
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
from bot.slack.core.forms import form_view, text_input

UNDO_ROLLBACK = "rollback_undo"
_STATE_SIGNS = {TransitionState.DONE: "⏪", TransitionState.STALE: "⚠️", TransitionState.FAILED: "⚠️"}


def rollback_card(transition: Transition, serving: ServingCheck | None, freeze: ActiveFreeze | None = None) -> Message:
    """Return a rollback's current message; its button opens a request that undoes the rollback.

    `freeze` is the freeze of Production that was active when the person rolled back.
    """
    sign, title = _STATE_SIGNS.get(transition.state, "⏳"), rollback_messages.rollback_title(transition)
    head = f"{sign} {truncate(sanitize_text(transition.model), 80)} {title}"
    fields = [
        f"*Rolled back by*\n{mention_actor(transition.actor)}",
        f"*When*\n{format_time(transition.finished_at or transition.intended_at)}",
    ]
    if serving_text := serving_line(serving):
        fields.append(f"*Serving*\n{serving_text}")
    change = to_mrkdwn(rollback_messages.describe_version_change(transition))
    blocks: list[Block] = [
        header(head),
        section(f"*{change}* in Production\n> {escape_and_cut(transition.reason, 2000)}"),
        fields_section(fields),
    ]
    if transition.why:
        blocks.append(section(escape_and_cut(transition.why, 1500)))
    if freeze is not None:
        blocks.append(section(f"❄️ {to_mrkdwn(rollback_messages.rollback_despite_freeze_notice(freeze))}"))
    if transition.state is TransitionState.DONE and transition.expected_incumbent is not None:
        undo = ButtonElement(
            text=f"Request v{transition.expected_incumbent} again…", action_id=UNDO_ROLLBACK, value=transition.id
        )
        blocks.append(ActionsBlock(block_id=f"rollback:{transition.id}"[:255], elements=[undo]))
    blocks.append(context_line("No approval needed: the policy lists who can roll back. The thread has the steps."))
    return build_message(f"{code(transition.model)} {rollback_messages.rollback_title(transition)}", blocks)


def serving_line(serving: ServingCheck | None) -> str:
    """Return the serving status; empty if serving isn't probed."""
    if serving is None:
        return ""
    version = code(f"v{serving.version}")
    if serving.state is ServingCheckState.CONFIRMED and serving.confirmed_at:
        return f"{version} since {format_time(serving.confirmed_at)}"
    if serving.state is ServingCheckState.TIMED_OUT:
        return f"⚠️ not serving {version}" + (f"; it reports {code(serving.seen, 60)}" if serving.seen else "")
    if serving.state is ServingCheckState.SUPERSEDED:
        return "Production has changed again"
    return "not confirmed yet"


ROLLBACK = "rollback"


def rollback_modal(draft_id: str, prefilled: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks for the reason for a rollback, and for the model if it wasn't typed.

    `draft_id` is the draft that the submitted modal completes.
    """
    if "model" in prefilled:
        to = f"to {code(prefilled['version'], 40)}" if prefilled.get("version") else "to the previous good version"
        blocks: list[Block] = [section(f"Rolls back {code(prefilled['model'], 120)} in Production {to} immediately.")]
    else:
        blocks = [
            text_input("model", "Model", prefilled, hint=f"The registered model's name in {product().name}"),
            text_input(
                "version", "Version", prefilled, optional=True, hint="Leave empty for the previous good version"
            ),
        ]
    blocks.append(
        text_input("reason", "Why?", {}, multiline=True, hint="Saved in the thread, the tags, and the audit log")
    )
    return form_view(ROLLBACK, "Roll back", "Roll back now", draft_id, blocks)
