"""The checklist as a message. Pure."""

from __future__ import annotations

from typing import Any

from slack_sdk.models.blocks import ButtonElement, SectionBlock

from bot.slack.core.blocks import Message, block_dicts, build_message, context_line, mrkdwn_object, to_mrkdwn
from handlers.demo.checklist import DemoChecklist, Step
from handlers.demo.models import BAD_VERSION, BETTER_VERSION, MODEL, PRODUCTION_VERSION

BLOCK_ID = "demo:checklist"  # identifies the message after a restart
DO_STEP, BREAK_VERSION = "demo:do", "demo:break"

_TITLES = {
    Step.REQUEST: f"Request v{BETTER_VERSION}",
    Step.REFUSAL: "Try to approve it yourself",
    Step.APPROVAL: "Approve it as Bob",
    Step.BREAK: "Break it",
    Step.ROLLBACK: "Roll back before Registrar does, or watch it",
    Step.HISTORY: "Read what was recorded",
}
_HOW = {
    Step.REQUEST: f"Type `/model promote {MODEL} {BETTER_VERSION} production`",
    Step.REFUSAL: "Click Approve on the card.",
    Step.APPROVAL: "Switch to Bob (top right, or Alt+2), and click Approve.",
    Step.BREAK: "The live accuracy falls, as after a bad release.",
    Step.ROLLBACK: f'As Bob, type `/model rollback {MODEL} --reason "accuracy fell"`',
    Step.HISTORY: f"Type `/model history {MODEL}`",
}


def checklist_message(checklist: DemoChecklist) -> Message:
    """Return the message that shows the checklist, with the buttons for what can be done now."""
    title = "Try Registrar: done" if len(checklist.done) == len(Step) else "Try Registrar in six steps"
    intro = (
        f"*{title}*\nYou start as Alice, with `{MODEL}` v{PRODUCTION_VERSION} in Production and a slightly better "
        f"v{BETTER_VERSION}. Each step is ticked once someone has done it, no matter how."
    )
    outro = (
        f"Then try v{BAD_VERSION}, which looks excellent and fails in Production. "
        "`/model help` lists everything I can do."
    )
    blocks = [
        SectionBlock(text=mrkdwn_object(intro), block_id=BLOCK_ID),
        *(_row(step, checklist) for step in Step),
        context_line(outro),
    ]
    return build_message(title, block_dicts(blocks))


def _row(step: Step, checklist: DemoChecklist) -> SectionBlock:
    done = checklist.done.get(step)
    text = to_mrkdwn(done) if done else _HOW[step]
    if step is Step.ROLLBACK and checklist.status:
        text = f"⏱️ {to_mrkdwn(checklist.status)}\n{text}"
    mark = "✅" if done else "⬜"
    return SectionBlock(
        text=mrkdwn_object(f"{mark} *{_TITLES[step]}*\n{text}"),
        block_id=f"demo:{step.value}",
        accessory=_button(step, checklist),
    )


def _button(step: Step, checklist: DemoChecklist) -> ButtonElement | None:
    if step is Step.BREAK and checklist.can_break:
        label = "Break it again" if step in checklist.done else "Break it"
        return ButtonElement(text=label, action_id=BREAK_VERSION, value=step.value, style="danger")
    if step is checklist.next_step:
        return ButtonElement(text="Do it for me", action_id=DO_STEP, value=step.value, style="primary")
    return None


def is_checklist(message: dict[str, Any]) -> bool:
    """Return whether a message is the checklist, posted during this run or an earlier one."""
    return any(block.get("block_id") == BLOCK_ID for block in message.get("blocks", ()))
