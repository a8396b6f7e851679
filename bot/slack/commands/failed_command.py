"""Answers to a failed command, with a button that runs the corrected one or opens its form again. Pure."""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.slack.core.blocks import Message, build_message, code, section

RUN_CORRECTED, EDIT_AGAIN = "run_corrected", "edit_again"


def with_corrected_command(answer: Message, text: str, draft_id: str) -> Message:
    """Add the corrected command to an answer, with a button that runs it; `draft_id` is its draft's ID."""
    run = ButtonElement(text="Run it", action_id=RUN_CORRECTED, value=draft_id)
    command = section(code(f"/model {text}", 2900))
    return build_message(answer.text, [*answer.blocks, command, ActionsBlock(elements=[run])])


def with_form(answer: Message, command_id: str) -> Message:
    """Add a button to an answer; it opens the form, prefilled with everything in the command."""
    edit = ButtonElement(text="Edit and try again…", action_id=EDIT_AGAIN, value=command_id)
    return build_message(answer.text, [*answer.blocks, ActionsBlock(elements=[edit])])
