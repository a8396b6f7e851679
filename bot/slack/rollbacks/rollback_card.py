"""The message of a rollback that a person made: domain in, blocks out."""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, HeaderBlock, PlainTextObject, SectionBlock

from bot.domain.core.sentence import clean, short
from bot.domain.policy.freezes import Frozen
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions.serving_check import Serving, ServingState
from bot.domain.transitions.transition import Move, MoveState
from bot.slack.core.blocks import Message, markdown, message, section, small
from bot.slack.core.mrkdwn import code, fit, mrkdwn, when, who

UNDO = "rollback_undo"
_SIGNS = {MoveState.DONE: "⏪", MoveState.STALE: "⚠️", MoveState.FAILED: "⚠️"}


def rollback(move: Move, serving: Serving | None, stop: Frozen | None = None) -> Message:
    """Return a rollback's one message as it has to look now; its button opens a request that undoes it.

    `stop` is what froze Production when the person rolled back.
    """
    head = f"{_SIGNS.get(move.state, '⏳')} {short(clean(move.model), 80)} {rollback_messages.title(move)}"
    fields = [f"*Rolled back by*\n{who(move.actor)}", f"*When*\n{when(move.finished_at or move.intended_at)}"]
    if said := serving_line(serving):
        fields.append(f"*Serving*\n{said}")
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=short(head, 150), emoji=True)),
        section(f"*{mrkdwn(rollback_messages.step(move))}* in Production\n> {fit(move.reason, 2000)}"),
        SectionBlock(fields=[markdown(field) for field in fields]),
    ]
    if move.why:
        blocks.append(section(fit(move.why, 1500)))
    if stop is not None:
        blocks.append(section(f"❄️ {mrkdwn(rollback_messages.frozen(stop))}"))
    if move.state is MoveState.DONE and move.expected_incumbent is not None:
        undo = ButtonElement(text=f"Ask for v{move.expected_incumbent} again…", action_id=UNDO, value=move.id)
        blocks.append(ActionsBlock(block_id=f"rollback:{move.id}"[:255], elements=[undo]))
    blocks.append(small("One person may do this alone, at once; the policy says who. The thread has the steps."))
    return message(f"{code(move.model)} {rollback_messages.title(move)}", blocks)


def serving_line(serving: Serving | None) -> str:
    """Return what is known of the serving side; nothing where it is not asked."""
    if serving is None:
        return ""
    version = code(f"v{serving.version}")
    if serving.state is ServingState.CONFIRMED and serving.confirmed_at:
        return f"{version} since {when(serving.confirmed_at)}"
    if serving.state is ServingState.DENIED:
        return f"⚠️ does not serve {version}" + (f"; it reports {code(serving.seen, 60)}" if serving.seen else "")
    if serving.state is ServingState.OVERTAKEN:
        return "Production has moved again"
    return "not confirmed yet"
