"""Messages about what was found in the registry: new versions, and changes made outside Registrar."""

from __future__ import annotations

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    HeaderBlock,
    PlainTextObject,
)

from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.registry.model import product
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from bot.slack.core.blocks import Message, build_message, context_line, section
from bot.slack.core.mrkdwn import MAX_TEXT_LENGTH, code, cut_mrkdwn, format_time, mention_actor, to_mrkdwn

DETAILS, COMPARE, REQUEST_STAGING, REPAIR_STAGE = (
    "finding_details",
    "finding_compare",
    "finding_staging",
    "finding_mend",
)
MAX_LINES = 12  # changes listed in one message; the others are counted


def drift_message(notice: DriftNotice) -> Message:
    """Return a notice's message as it should look now. Its buttons carry only its id."""
    return _new_versions_message(notice) if notice.kind is DriftNoticeKind.REGISTERED else _changes_message(notice)


def _new_versions_message(notice: DriftNotice) -> Message:
    newest, older = notice.versions[0], notice.versions[1:]
    title = f"🆕 {truncate(sanitize_text(notice.model), 100)} v{newest}" + (f" and {len(older)} more" if older else "")
    by = f"Registered by {mention_actor(notice.by)}" if notice.by else f"Registered in {product().name}"
    if older:
        by += f"; {len(notice.versions)} new versions, {code(f'v{older[-1]}')} to {code(f'v{newest}')}"
    buttons = [
        ButtonElement(text="Details", action_id=DETAILS, value=notice.id),
        ButtonElement(text="Compare with Production", action_id=COMPARE, value=notice.id),
        ButtonElement(text="Ask for Staging", action_id=REQUEST_STAGING, value=notice.id),
    ]
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=truncate(title, 150), emoji=True)),
        section(cut_mrkdwn(f"{by}, {format_time(notice.at)}.{_change_lines(notice)}", MAX_TEXT_LENGTH)),
        ActionsBlock(block_id=f"found:{notice.id}", elements=buttons),
    ]
    return build_message(f"New version: {code(notice.model, 120)} {code(f'v{newest}')}", blocks)


def _changes_message(notice: DriftNotice) -> Message:
    title = f"⚠️ {truncate(sanitize_text(notice.model), 80)} was changed in {product().name}, not through Registrar"
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=truncate(title, 150), emoji=True)),
        section(cut_mrkdwn(_change_lines(notice).lstrip(), MAX_TEXT_LENGTH)),
    ]
    if notice.is_repairable:
        blocks.append(ActionsBlock(block_id=f"found:{notice.id}", elements=[_repair_button(notice)]))
    blocks.append(context_line(_footer(notice)))
    return build_message(f"{code(notice.model, 120)} was changed in {product().name}, not through Registrar", blocks)


def _change_lines(notice: DriftNotice) -> str:
    lines = [f"• {to_mrkdwn(line)}" for line in notice.lines[:MAX_LINES]]
    more = len(notice.lines) - MAX_LINES
    return "".join(f"\n{line}" for line in [*lines, *([f"• and {more} more"] if more > 0 else [])])


def _repair_button(notice: DriftNotice) -> ButtonElement:
    text = f"v{notice.mend} stays in {notice.stage}, as the only one; any other there is archived."
    confirm = ConfirmObject(
        title="Mend it?", text=PlainTextObject(text=text), confirm=f"Keep v{notice.mend}", deny="Not yet"
    )
    label = f"Make v{notice.mend} the one in {notice.stage}"
    return ButtonElement(text=label, action_id=REPAIR_STAGE, value=notice.id, style="primary", confirm=confirm)


def _footer(notice: DriftNotice) -> str:
    if notice.mended_by and notice.mended_at:
        return f"Mended by {mention_actor(notice.mended_by)}, {format_time(notice.mended_at)}"
    seen = f"Seen {format_time(notice.at)}"
    return f"{seen}  ·  Meant? Then leave it as it is."
