"""Handle the buttons under a failed command, which run the corrected command or reopen its form."""

from __future__ import annotations

from slack_bolt import App

from bot.domain.commands.rollbacks import Rollback
from bot.slack.commands import failed_command
from bot.slack.core.blocks import Message
from handlers.slack.commands import answer_typed, open_promotion_form, reopen_rollback_form
from handlers.slack.interactions import SlackInteractions
from handlers.slack.listeners import click_listener
from handlers.slack.replies import ReplyTarget


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for clicks on the buttons."""
    app.action(failed_command.RUN_CORRECTED)(click_listener(interactions, _run_corrected))
    app.action(failed_command.EDIT_AGAIN)(click_listener(interactions, _edit_again))


def _run_corrected(interactions: SlackInteractions, target: ReplyTarget, value: str) -> Message | None:
    """Run the corrected command as if the person had typed it."""
    draft = interactions.registrar.command_queue.use_draft(interactions.caller(target), value)
    return answer_typed(interactions, target, str(draft.command.get("text") or ""))


def _edit_again(interactions: SlackInteractions, target: ReplyTarget, value: str) -> None:
    """Reopen the form of a failed command, prefilled with the command's arguments."""
    queued = interactions.registrar.command_queue.get_own_draft(interactions.caller(target), value)
    typed = {name: given for name, given in queued.command.items() if given and name != "verb"}
    if queued.command.get("verb") == Rollback.verb:
        reopen_rollback_form(interactions, target, typed)
    else:
        open_promotion_form(interactions, target, typed)
