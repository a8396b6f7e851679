"""Messages about new versions, and about changes made outside Registrar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject, PlainTextObject

from bot.domain.core.sentence import sanitize_text, truncate
from bot.domain.registry.model import product
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from bot.slack.core.blocks import (
    Message,
    build_message,
    code,
    context_line,
    first_rows_and_count,
    format_time,
    header,
    mention_actor,
    section,
    to_mrkdwn,
)

DETAILS, COMPARE, REQUEST_STAGING, REPAIR_STAGE = (
    "finding_details",
    "finding_compare",
    "finding_staging",
    "finding_mend",
)
_BUTTONS_ID = "found:"  # begins the block ID of a notice's buttons, before the notice's ID
MAX_LINES = 12  # changes listed in one message; the others are counted


def drift_message(notice: DriftNotice) -> Message:
    """Return a notice's message as it should look now. Its buttons carry only the notice's ID."""
    if notice.kind is not DriftNoticeKind.REGISTERED:
        return _changes_message(notice)
    newest, older = notice.versions[0], notice.versions[1:]
    title = f"🆕 {truncate(sanitize_text(notice.model), 100)} v{newest}" + (f" and {len(older)} more" if older else "")
    by = f"Registered by {mention_actor(notice.by)}" if notice.by else f"Registered in {product().name}"
    if older:
        by += f"; {len(notice.versions)} new versions, {code(f'v{older[-1]}')} to {code(f'v{newest}')}"
    labels = {DETAILS: "Details", COMPARE: "Compare with Production", REQUEST_STAGING: "Request Staging"}
    buttons = [ButtonElement(text=label, action_id=action, value=notice.id) for action, label in labels.items()]
    blocks: list[Block] = [
        header(title),
        section(f"{by}, {format_time(notice.at)}.{_change_lines(notice)}"),
        ActionsBlock(block_id=_BUTTONS_ID + notice.id, elements=buttons),
    ]
    return build_message(f"New version: {code(notice.model, 120)} {code(f'v{newest}')}", blocks)


def notice_id_in(blocks: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the ID of the notice that a message's blocks show; None if they show something else."""
    ids = (str(block.get("block_id") or "") for block in blocks)
    return next((id_.removeprefix(_BUTTONS_ID) for id_ in ids if id_.startswith(_BUTTONS_ID)), None)


def _changes_message(notice: DriftNotice) -> Message:
    title = f"⚠️ {truncate(sanitize_text(notice.model), 80)} was changed directly in {product().name}"
    blocks: list[Block] = [header(title), section(_change_lines(notice).lstrip())]
    if notice.is_repairable:
        text = f"Keeps v{notice.mend} as the only version in {notice.stage} and archives the others."
        confirm = ConfirmObject(
            title=f"Repair {notice.stage}?",
            text=PlainTextObject(text=text),
            confirm=f"Keep v{notice.mend}",
            deny="Cancel",
        )
        label = f"Keep only v{notice.mend} in {notice.stage}"
        button = ButtonElement(text=label, action_id=REPAIR_STAGE, value=notice.id, style="primary", confirm=confirm)
        blocks.append(ActionsBlock(block_id=_BUTTONS_ID + notice.id, elements=[button]))
    footer = f"Detected {format_time(notice.at)}  ·  No action needed if this was intended."
    if notice.mended_by and notice.mended_at:
        footer = (
            f"Repaired by {mention_actor(notice.mended_by)}, {format_time(notice.mended_at)}: "
            f"{code(f'v{notice.mend}')} is the only version in {notice.stage}, verified in {product().name}"
        )
    blocks.append(context_line(footer))
    return build_message(f"{code(notice.model, 120)} was changed directly in {product().name}", blocks)


def _change_lines(notice: DriftNotice) -> str:
    rows = first_rows_and_count(MAX_LINES, [to_mrkdwn(line) for line in notice.lines])
    return "".join(f"\n• {row}" for row in rows)
