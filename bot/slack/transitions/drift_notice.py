"""Messages about what was found in the registry: new versions, and changes that nobody asked us for."""

from __future__ import annotations

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    HeaderBlock,
    PlainTextObject,
)

from bot.domain.core.sentence import clean, short
from bot.domain.transitions.drift import Finding, FindingKind
from bot.slack.core.blocks import Message, message, section, small
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, mrkdwn, when, who

DETAILS, COMPARE, ASK_STAGING, MEND = "finding_details", "finding_compare", "finding_staging", "finding_mend"
LINES_MOST = 12  # changes told in one message; of more, the rest is counted


def notice(finding: Finding) -> Message:
    """Return a finding's one message as it has to look now. Its buttons carry its id and nothing else."""
    return _registered(finding) if finding.kind is FindingKind.REGISTERED else _changed(finding)


def _registered(finding: Finding) -> Message:
    newest, older = finding.versions[0], finding.versions[1:]
    title = f"🆕 {short(clean(finding.model), 100)} v{newest}" + (f" and {len(older)} more" if older else "")
    by = f"Registered by {who(finding.by)}" if finding.by else "Registered in MLflow"
    if older:
        by += f"; {len(finding.versions)} new versions, {code(f'v{older[-1]}')} to {code(f'v{newest}')}"
    buttons = [
        ButtonElement(text="Details", action_id=DETAILS, value=finding.id),
        ButtonElement(text="Compare with Production", action_id=COMPARE, value=finding.id),
        ButtonElement(text="Ask for Staging", action_id=ASK_STAGING, value=finding.id),
    ]
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=short(title, 150), emoji=True)),
        section(cut(f"{by}, {when(finding.at)}.{_lines(finding)}", TEXT_MOST)),
        ActionsBlock(block_id=f"found:{finding.id}", elements=buttons),
    ]
    return message(f"New version: {code(finding.model, 120)} {code(f'v{newest}')}", blocks)


def _changed(finding: Finding) -> Message:
    title = f"⚠️ {short(clean(finding.model), 80)} was changed in MLflow, not through Registrar"
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=short(title, 150), emoji=True)),
        section(cut(_lines(finding).lstrip(), TEXT_MOST)),
    ]
    if finding.can_be_mended:
        blocks.append(ActionsBlock(block_id=f"found:{finding.id}", elements=[_mend_button(finding)]))
    blocks.append(small(_footer(finding)))
    return message(f"{code(finding.model, 120)} was changed in MLflow, not through Registrar", blocks)


def _lines(finding: Finding) -> str:
    lines = [f"• {mrkdwn(line)}" for line in finding.lines[:LINES_MOST]]
    more = len(finding.lines) - LINES_MOST
    return "".join(f"\n{line}" for line in [*lines, *([f"• and {more} more"] if more > 0 else [])])


def _mend_button(finding: Finding) -> ButtonElement:
    text = f"v{finding.mend} stays in {finding.stage}, as the only one; any other there is archived."
    confirm = ConfirmObject(
        title="Mend it?", text=PlainTextObject(text=text), confirm=f"Keep v{finding.mend}", deny="Not yet"
    )
    label = f"Make v{finding.mend} the one in {finding.stage}"
    return ButtonElement(text=label, action_id=MEND, value=finding.id, style="primary", confirm=confirm)


def _footer(finding: Finding) -> str:
    if finding.mended_by and finding.mended_at:
        return f"Mended by {who(finding.mended_by)}, {when(finding.mended_at)}"
    seen = f"Seen {when(finding.at)}"
    return f"{seen}  ·  Meant? Then leave it as it is."
