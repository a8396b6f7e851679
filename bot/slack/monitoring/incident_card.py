"""An incident's one message as blocks, drawn from its present state: what, what was done, and what to do next."""

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

from bot.domain.core.durations import show_duration
from bot.domain.core.sentence import clean, joined, short
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Doing, Ending, Incident, IncidentKind
from bot.domain.monitoring.monitor import Monitor
from bot.domain.transitions.serving_check import Serving, ServingState
from bot.slack.core.blocks import Message, message, section, small
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, escape, fit, mrkdwn, when, who

ACKNOWLEDGE, SILENCE, DETAILS = "incident_acknowledge", "incident_silence", "incident_details"
UNDO, ROLL_BACK = "incident_undo", "incident_roll_back"
LINES_MOST = 8  # monitors that are told of in one message; of more, the rest is counted

_ASKS = {Doing.AWAITING_HUMAN, Doing.TRIPPED, Doing.COOLDOWN, Doing.FROZEN}
_TITLES = {
    Doing.LOGGED: "⚪ {it}: {names} would have failed",
    Doing.NOTIFIED: "🔴 {it}: {names} failed",
    Doing.AWAITING_HUMAN: "🔴 {it}: {names} failed. Roll back to {to}?",
    Doing.INTENT: "🟠 {it}: {names} failed, rolling back to {to}",
    Doing.ROLLED_BACK: "🟠 {it}: {names} failed, rolled back to {to}",
    Doing.NOT_FOLLOWED: "🆘 {it}: rolled back to {to}, not confirmed by the serving side",
    Doing.SILENCED: "🔕 {it}: {names} failed, silenced",
    Doing.FROZEN: "🔴 {it}: {names} failed, Production is frozen",
    Doing.COOLDOWN: "🔴 {it}: {names} failed. Roll back to {to}?",
    Doing.TRIPPED: "🔴 {it}: {names} failed. Roll back to {to}?",
    Doing.SUPERSEDED: "⚪ {it}: overtaken",
    Doing.HELD: "🔴 {it}: {names} failed, nothing was moved",
    Doing.FAILED: "🆘 {it}: rolling back to {to} failed",
}


def card(
    incident: Incident, monitors: Sequence[Monitor], *, serving: Serving | None, now: datetime, link: str = ""
) -> Message:
    """Return an incident's one message as it has to look now. Its buttons carry its id and nothing else.

    `monitors` are those of its monitors that are still there; `serving` is what the serving side said after the
    rollback; `link` leads to the message that tells what ended it.
    """
    heading = short(title(incident), 150)
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=heading, emoji=True)),
        section(cut(_what(incident, now), TEXT_MOST)),
        section(cut(_state(incident, serving, link), TEXT_MOST)),
    ]
    if buttons := _buttons(incident, monitors, now):
        blocks.append(ActionsBlock(block_id=f"incident:{incident.id}", elements=buttons))
    blocks.append(small(cut(_footer(incident, monitors, now), TEXT_MOST)))
    return message(cut(_notification(incident), TEXT_MOST), blocks)


def alt(incident: Incident) -> str:
    """Return what the picture in the message shows, for whoever cannot see it."""
    name = incident.monitors[0] if incident.monitors else "the monitor"
    return short(f"Chart of the readings of {clean(incident.model)} {clean(name)} when the alert began.", 500)


# -- the title ---------------------------------------------------------------------------------------------------------


def title(incident: Incident) -> str:
    """Return how it stands, in a few plain words behind one sign."""
    if incident.is_of_source:
        return _of_source(incident, short(clean(incident.source), 60))
    model, names = short(clean(incident.model), 60), _names(incident)
    it = model if incident.version is None else f"{model} v{incident.version}"
    if not incident.is_open:
        return _over(incident, model, it, names)
    if incident.kind is IncidentKind.BLIND:
        return f"⚫ {model}: {names} can't judge"
    to = "the version before" if incident.target is None else f"v{incident.target}"
    return _TITLES[incident.doing].format(it=it, names=names, to=to)


def _of_source(incident: Incident, name: str) -> str:
    if not incident.is_open:
        if incident.ending is Ending.RECOVERED:
            return f"✅ {name}: the source is well again"
        return f"⏹️ {name}: no longer watched"
    if incident.kind is IncidentKind.BLIND:
        return f"⚫ {name}: many monitors can't judge"
    return f"⚠️ {name}: many monitors failed together"


def _over(incident: Incident, model: str, it: str, names: str) -> str:
    """Return the title of what is over. Only what recovered has a check mark."""
    match incident.ending:
        case Ending.RECOVERED if incident.kind is IncidentKind.BLIND:
            return f"✅ {model}: {names} can judge again"
        case Ending.RECOVERED | Ending.RESTORED if incident.doing is Doing.ROLLED_BACK and incident.target is not None:
            sign = "✅" if incident.ending is Ending.RECOVERED else "↩️"
            return f"{sign} {model}: restored, v{incident.target} serves"
        case Ending.RECOVERED:
            return f"✅ {it}: recovered"
        case Ending.NOT_CONFIRMED:
            return f"🆘 {model}: v{incident.target} is in Production, not confirmed by the serving side"
        case Ending.ROLLED_BACK:
            return f"↩️ {it}: rolled back by a person"
        case Ending.PAUSED | Ending.EDITED | Ending.REMOVED:
            return f"⏹️ {it}: {names} {_WATCHED_UNTIL[incident.ending]}"
        case Ending.UNWATCHED:
            return f"⏹️ {it}: {names} is no longer watched"
        case _:
            return f"⚪ {it}: overtaken" if incident.ending else f"⚪ {it}: over"


_WATCHED_UNTIL = {Ending.PAUSED: "paused", Ending.EDITED: "changed", Ending.REMOVED: "removed"}


def _names(incident: Incident) -> str:
    names = [short(clean(name), 40) for name in incident.monitors]
    if not names:
        return "a monitor"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


# -- what is said ------------------------------------------------------------------------------------------------------


def _what(incident: Incident, now: datetime) -> str:
    lines = [f"• {mrkdwn(line)}" for line in incident.lines[:LINES_MOST]]
    more = len(incident.lines) - LINES_MOST
    lines += [f"• and {more} more"] if more > 0 else []
    lasted = show_duration((incident.resolved_at or now) - incident.since)
    version = f", with {code(f'v{incident.version}')} in Production" if incident.version is not None else ""
    began = (
        f"Since {when(incident.since)}, for {lasted} now"
        if incident.is_open
        else f"From {when(incident.since)} on, {lasted} in all"
    )
    return "\n".join([*lines, f"{began}{version}"])


def _state(incident: Incident, serving: Serving | None, link: str) -> str:
    if not incident.is_open:
        see = f" <{escape(link)}|See the message>" if link else ""
        parts = [f"*{mrkdwn(incident_messages.resolved(incident))}*{see}"]
    else:
        did = [incident_messages.did(incident), *([incident.why] if incident.why else [])]
        parts = [mrkdwn(joined(did, " ")), f"*{mrkdwn(incident_messages.next_step(incident))}*"]
    if serving is not None:
        parts.insert(1, _serving(serving))
    return "\n".join(parts)


def _serving(serving: Serving) -> str:
    version = code(f"v{serving.version}")
    if serving.state is ServingState.CONFIRMED and serving.confirmed_at:
        return f"The serving side has reported {version} since {when(serving.confirmed_at)}"
    if serving.state is ServingState.DENIED:
        seen = f"; it said: {code(serving.seen, 200)}" if serving.seen else ""
        return f"⚠️ The serving side does not report {version}{seen}. Look there: the registry says {version}."
    return f"The registry says {version}; the serving side has not confirmed it yet."


def _footer(incident: Incident, monitors: Sequence[Monitor], now: datetime) -> str:
    parts = [f"Incident {code(incident.id)}"]
    if incident.acknowledged_by and incident.acknowledged_at:
        parts.append(f"{who(incident.acknowledged_by)} looks after it, {when(incident.acknowledged_at)}")
    elif incident.is_open and incident.doing is not Doing.LOGGED:
        parts.append("Nobody looks after it yet")
    until = [one.silenced_until for one in monitors if one.is_silenced(now) and one.silenced_until]
    if until and incident.is_open:
        parts.append(f"🔕 until {when(min(until))}")
    return "  ·  ".join(parts)


def _notification(incident: Incident) -> str:
    what = mrkdwn(joined(incident.lines[:1], " ")) if incident.lines and incident.is_open else ""
    return f"{fit(title(incident), 300)} {what}".strip()


# -- what can be pressed -----------------------------------------------------------------------------------------------


def _buttons(incident: Incident, monitors: Sequence[Monitor], now: datetime) -> list[ButtonElement]:
    buttons = []
    if incident.is_open:
        if incident.kind is IncidentKind.FAILED and incident.doing in _ASKS and incident.target is not None:
            buttons.append(_roll_back(incident))
        if incident.acknowledged_by is None:
            buttons.append(ButtonElement(text="Acknowledge", action_id=ACKNOWLEDGE, value=incident.id))
        if monitors and not all(one.is_silenced(now) for one in monitors):
            buttons.append(ButtonElement(text="Silence 2 h", action_id=SILENCE, value=incident.id))
        buttons.append(ButtonElement(text="Details", action_id=DETAILS, value=incident.id))
    if incident.doing in {Doing.ROLLED_BACK, Doing.NOT_FOLLOWED} and incident.version is not None:
        buttons.append(ButtonElement(text="Undo…", action_id=UNDO, value=incident.id))
    return buttons


def _roll_back(incident: Incident) -> ButtonElement:
    to = f"v{incident.target}"
    text = (
        f"Production of {short(clean(incident.model), 80)} goes back to {to} at once; v{incident.version} is blocked."
    )
    confirm = ConfirmObject(title="Roll back?", text=PlainTextObject(text=text), confirm="Roll back", deny="Not yet")
    return ButtonElement(
        text=f"Roll back to {to}", action_id=ROLL_BACK, value=incident.id, style="primary", confirm=confirm
    )
