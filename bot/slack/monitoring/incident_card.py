"""An incident's message as blocks: what failed, what was done, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    HeaderBlock,
    PlainTextObject,
)

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import join_sentences, sanitize_text, truncate
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.slack.core.blocks import (
    MAX_TEXT_LENGTH,
    Message,
    build_message,
    code,
    context_line,
    cut_mrkdwn,
    escape,
    escape_and_cut,
    format_time,
    section,
    to_mrkdwn,
)
from bot.slack.rollbacks.rollback_card import request_again_button

ACKNOWLEDGE, SILENCE, DETAILS = "incident_acknowledge", "incident_silence", "incident_details"
UNDO, ROLL_BACK = "incident_undo", "incident_roll_back"
MAX_LINES = 8  # monitors listed in the message; the rest are counted

_ASKING_STATUSES = {
    IncidentStatus.AWAITING_HUMAN,
    IncidentStatus.TRIPPED,
    IncidentStatus.COOLDOWN,
    IncidentStatus.FROZEN,
}
_TITLES_THAT_ASK = {IncidentStatus.AWAITING_HUMAN, IncidentStatus.COOLDOWN}  # and the button answers
_TITLES = {
    IncidentStatus.LOGGED: "⚪ {it}: {names} failed (dry run)",
    IncidentStatus.NOTIFIED: "🔴 {it}: {names} failed",
    IncidentStatus.AWAITING_HUMAN: "🔴 {it}: {names} failed. Roll back to {to}?",
    IncidentStatus.INTENT: "🟠 {it}: {names} failed, rolling back to {to}",
    IncidentStatus.ROLLED_BACK: "🟠 {it}: {names} failed, rolled back to {to}",
    IncidentStatus.NOT_FOLLOWED: "🆘 {it}: rolled back to {to}, not confirmed by the endpoint",
    IncidentStatus.SILENCED: "🔕 {it}: {names} failed, silenced",
    IncidentStatus.FROZEN: "🔴 {it}: {names} failed, Production is frozen",
    IncidentStatus.COOLDOWN: "🔴 {it}: {names} failed. Roll back to {to}?",
    IncidentStatus.TRIPPED: "🔴 {it}: {names} failed. Roll back to {to}?",
    IncidentStatus.SUPERSEDED: "⚪ {it}: superseded",
    IncidentStatus.HELD: "🔴 {it}: {names} failed, not rolled back",
    IncidentStatus.FAILED: "🆘 {it}: rollback to {to} failed",
}


def card(
    incident: Incident,
    monitors: Sequence[Monitor],
    *,
    serving: ServingCheck | None,
    now: datetime,
    link: str = "",
    on_call: Sequence[str] = (),
) -> Message:
    """Return an incident's message for its current state. Its buttons carry only its ID.

    `monitors` are the incident's monitors that still exist. `serving` is what the endpoint reported after the rollback.
    `link` leads to the message about what ended the incident. `on_call` are the users and user groups to mention.
    """
    heading = truncate(title(incident), 150)
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=heading, emoji=True)),
        section(cut_mrkdwn(_failure_lines(incident, now), MAX_TEXT_LENGTH)),
        section(cut_mrkdwn(_status_section(incident, serving, link), MAX_TEXT_LENGTH)),
    ]
    if incident.is_open or incident.acknowledged_by:
        blocks.append(section(to_mrkdwn(incident_messages.ownership(incident, on_call))))
    if buttons := _buttons(incident, monitors, now):
        blocks.append(ActionsBlock(block_id=f"incident:{incident.id}", elements=buttons))
    blocks.append(context_line(cut_mrkdwn(_footer(incident, monitors, now), MAX_TEXT_LENGTH)))
    return build_message(cut_mrkdwn(_notification(incident), MAX_TEXT_LENGTH), blocks)


def chart_alt_text(incident: Incident) -> str:
    """Return the alt text for the message's chart."""
    name = incident.monitors[0] if incident.monitors else "the monitor"
    return truncate(
        f"Chart of the readings for {sanitize_text(incident.model)} {sanitize_text(name)} when the alert began.", 500
    )


# -- the title ---------------------------------------------------------------------------------------------------------


def title(incident: Incident) -> str:
    """Return the title: an emoji and the incident's status in a few words."""
    if incident.is_of_source:
        return _source_title(incident, truncate(sanitize_text(incident.source), 60))
    model, names = truncate(sanitize_text(incident.model), 60), _names(incident)
    subject = model if incident.version is None else f"{model} v{incident.version}"
    if not incident.is_open:
        return _resolved_title(incident, model, subject, names)
    if incident.kind is IncidentKind.BLIND:
        return f"⚫ {model}: {names} can't judge"
    if incident.kind is IncidentKind.FILES:
        return f"🔴 {subject}: its files changed"
    to = "the previous version" if incident.target is None else f"v{incident.target}"
    return _TITLES[incident.doing].format(it=subject, names=names, to=to)


def _source_title(incident: Incident, name: str) -> str:
    if not incident.is_open:
        if incident.ending is IncidentEnding.RECOVERED:
            return f"✅ {name}: the source is healthy again"
        return f"⏹️ {name}: no longer monitored"
    if incident.kind is IncidentKind.BLIND:
        return f"⚫ {name}: many monitors can't judge"
    return f"⚠️ {name}: many monitors failed together"


def _resolved_title(incident: Incident, model: str, subject: str, names: str) -> str:
    """Return the title of a resolved incident. Only one that recovered has a check mark."""
    match incident.ending:
        case IncidentEnding.RECOVERED if incident.kind is IncidentKind.BLIND:
            return f"✅ {model}: {names} reached a verdict again"
        case IncidentEnding.RECOVERED | IncidentEnding.RESTORED if (
            incident.doing is IncidentStatus.ROLLED_BACK and incident.target is not None
        ):
            sign = "✅" if incident.ending is IncidentEnding.RECOVERED else "↩️"
            return f"{sign} {model}: restored to v{incident.target}"
        case IncidentEnding.RECOVERED if incident.kind is IncidentKind.FILES:
            return f"✅ {subject}: its files match again"
        case IncidentEnding.RECOVERED:
            return f"✅ {subject}: recovered"
        case IncidentEnding.NOT_CONFIRMED:
            return f"🆘 {model}: v{incident.target} is in Production, not confirmed by the endpoint"
        case IncidentEnding.ROLLED_BACK:
            return f"↩️ {subject}: rolled back manually"
        case IncidentEnding.PAUSED | IncidentEnding.EDITED | IncidentEnding.REMOVED:
            return f"⏹️ {subject}: {names} {_UNWATCHED_WORDS[incident.ending]}"
        case IncidentEnding.UNWATCHED:
            be = "is" if len(incident.monitors) == 1 else "are"
            return f"⏹️ {subject}: {names} {be} no longer monitored"
        case _:
            return f"⚪ {subject}: superseded" if incident.ending else f"⚪ {subject}: resolved"


_UNWATCHED_WORDS = {
    IncidentEnding.PAUSED: "paused",
    IncidentEnding.EDITED: "changed",
    IncidentEnding.REMOVED: "removed",
}


def _names(incident: Incident) -> str:
    names = [truncate(sanitize_text(name), 40) for name in incident.monitors]
    if not names:
        return "a monitor"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


# -- the text ----------------------------------------------------------------------------------------------------------


def _failure_lines(incident: Incident, now: datetime) -> str:
    lines = [f"• {to_mrkdwn(line)}" for line in incident.lines[:MAX_LINES]]
    more = len(incident.lines) - MAX_LINES
    lines += [f"• and {more} more"] if more > 0 else []
    lasted = format_duration((incident.resolved_at or now) - incident.since)
    version = f", with {code(f'v{incident.version}')} in Production" if incident.version is not None else ""
    began = (
        f"Since {format_time(incident.since)} ({lasted} so far)"
        if incident.is_open
        else f"Began {format_time(incident.since)}, lasted {lasted}"
    )
    return "\n".join([*lines, f"{began}{version}"])


def _status_section(incident: Incident, serving: ServingCheck | None, link: str) -> str:
    if not incident.is_open:
        see = f" <{escape(link)}|See the message>" if link else ""
        parts = [f"*{to_mrkdwn(incident_messages.resolved(incident))}*{see}"]
    else:
        did = [incident_messages.status_sentence(incident), *([incident.why] if incident.why else [])]
        parts = [to_mrkdwn(join_sentences(did, " "))]
        if not (_has_rollback_button(incident) and incident.doing in _TITLES_THAT_ASK):
            parts.append(f"*{to_mrkdwn(incident_messages.next_step(incident))}*")
    if serving is not None:
        parts.insert(1, _serving_line(serving))
    return "\n".join(parts)


def _serving_line(serving: ServingCheck) -> str:
    version = code(f"v{serving.version}")
    if serving.state is ServingCheckState.CONFIRMED and serving.confirmed_at:
        return f"The endpoint has reported {version} since {format_time(serving.confirmed_at)}"
    if serving.state is ServingCheckState.TIMED_OUT:
        seen = f"; it reports {code(serving.seen, 200)}" if serving.seen else ""
        return f"⚠️ The endpoint doesn't report {version}{seen}. Check it: the registry says {version}."
    return f"Registry updated. Waiting for the endpoint to report {version}."


def _footer(incident: Incident, monitors: Sequence[Monitor], now: datetime) -> str:
    parts = [f"Incident {code(incident.id)}"]
    until = [monitor.silenced_until for monitor in monitors if monitor.is_silenced(now) and monitor.silenced_until]
    if until and incident.is_open:
        parts.append(f"🔕 until {format_time(min(until))}")
    return "  ·  ".join(parts)


def _notification(incident: Incident) -> str:
    first_line = to_mrkdwn(join_sentences(incident.lines[:1], " ")) if incident.lines and incident.is_open else ""
    return f"{escape_and_cut(title(incident), 300)} {first_line}".strip()


# -- buttons -----------------------------------------------------------------------------------------------------------


def _buttons(incident: Incident, monitors: Sequence[Monitor], now: datetime) -> list[ButtonElement]:
    buttons = []
    if incident.is_open:
        if _has_rollback_button(incident):
            buttons.append(_rollback_button(incident))
        if incident.acknowledged_by is None:
            buttons.append(ButtonElement(text="Acknowledge", action_id=ACKNOWLEDGE, value=incident.id))
        if monitors and not all(monitor.is_silenced(now) for monitor in monitors):
            buttons.append(ButtonElement(text="Silence 2 h", action_id=SILENCE, value=incident.id))
        buttons.append(ButtonElement(text="Details", action_id=DETAILS, value=incident.id))
    if incident.doing in {IncidentStatus.ROLLED_BACK, IncidentStatus.NOT_FOLLOWED} and incident.version is not None:
        buttons.append(request_again_button(UNDO, incident.id, incident.version))
    return buttons


def _has_rollback_button(incident: Incident) -> bool:
    return (
        incident.is_open
        and incident.kind is IncidentKind.FAILED
        and incident.doing in _ASKING_STATUSES
        and incident.target is not None
    )


def _rollback_button(incident: Incident) -> ButtonElement:
    to = f"v{incident.target}"
    model = truncate(sanitize_text(incident.model), 80)
    text = f"This rolls {model} back to {to} in Production immediately and blocks v{incident.version}."
    confirm = ConfirmObject(title="Roll back?", text=PlainTextObject(text=text), confirm="Roll back", deny="Cancel")
    return ButtonElement(
        text=f"Roll back to {to}", action_id=ROLL_BACK, value=incident.id, style="primary", confirm=confirm
    )
