"""The timeline of Production as a message: who served when, how it came and why, and what was asked about."""

from __future__ import annotations

import shlex

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.domain.commands.queries import History
from bot.domain.core.sentence import short
from bot.domain.rollbacks import history_messages as words
from bot.domain.rollbacks.history import Timeline
from bot.domain.rollbacks.rollback import Served
from bot.slack.core.blocks import ROWS_MOST, Message, chunks, first, message, section, small
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, mrkdwn

POST = "timeline_here"  # posts the timeline with its picture where it was asked for
REASON_LEAST = 60  # characters of a reason where there are many rows
VALUE_MOST = 2000  # of a button


def timeline(found: Timeline, command: History | None = None) -> Message:
    """Return the timeline. With `command` a button offers to post it, with its picture, for the whole channel."""
    name = code(found.model, 120)
    head = cut(_head(found, name), TEXT_MOST)
    rows = _fitting(found, ROWS_MOST - len(head))
    blocks: list[Block] = [section(head)]
    blocks += [section(chunk) for chunk in chunks(rows)]
    left = len(found.served) - len(rows)
    if left or found.has_more:
        older = f"{left} older ones do not fit here." if left else "There are older ones."
        blocks.append(small(f"{older} One day: {code(f'/model history {short(found.model, 120)} --at 2026-03-03')}"))
    button = _button(command) if command and found.drawn else None
    blocks += [button] if button else []
    return message(head.replace("*", ""), blocks)


def _head(found: Timeline, name: str) -> str:
    if found.window:
        return mrkdwn(words.answer(found))
    if not found.served:
        return f"{name} has not been in Production since Registrar watches it."
    if found.served[0].until is not None:
        return f"*Production of {name}*\nNo version is in Production now."
    return f"*Production of {name}*"


def _fitting(found: Timeline, most: int) -> list[str]:
    """Return the rows, newest first, as many as fit; where not all do, with shorter reasons."""
    rows = first([_row(found, one, words.REASON_MOST) for one in found.served], most)
    if len(rows) < len(found.served):
        rows = first([_row(found, one, REASON_LEAST) for one in found.served], most)
    return rows


def _row(found: Timeline, one: Served, reason: int) -> str:
    span, came = mrkdwn(words.span(one, found)), mrkdwn(words.came(one, found, reason))
    return f"• {code(f'v{one.version}')}  {span.replace('serves now', '*serves now*', 1)}\n      {came}"


def _button(command: History) -> Block | None:
    """Return the button; none where a name is longer than a button can carry."""
    typed = f"history {shlex.quote(command.model)} --last {command.last}"
    if command.at is not None:
        typed += f" --at {command.dump()['at']}"
    if len(typed) > VALUE_MOST:
        return None
    post = ButtonElement(text="Show the timeline here", action_id=POST, value=typed)
    return ActionsBlock(block_id="timeline", elements=[post])
