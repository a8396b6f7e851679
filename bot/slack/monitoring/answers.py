"""Answers about monitors as blocks: the list, one monitor, the form that adds one. Domain in, blocks out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, SectionBlock

from bot.domain.core.numbers import MISSING, counted, share
from bot.domain.core.sentence import Say, short
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring import rule_messages
from bot.domain.monitoring.incident import Incident
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Measurement, Outcome
from bot.domain.monitoring.rules.false_rollbacks import Expected, expected
from bot.domain.monitoring.state import Standing, State
from bot.domain.monitoring.views import MonitorRow, MonitorView
from bot.slack.core.blocks import (
    ROWS_MOST,
    Blocks,
    Message,
    chunks,
    dicts,
    first,
    markdown,
    message,
    section,
    size,
    small,
)
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, mrkdwn, when, who

ADD, SHOW, CHECK, PAUSE, RESUME = "monitor_add", "monitor_show", "monitor_check", "monitor_pause", "monitor_resume"
SILENCE, UNSILENCE = "monitor_silence", "monitor_unsilence"
BACKTEST, CHART = "monitor_backtest", "monitor_chart"
LIST_MOST = 20  # rows in one answer; of more, the rest is counted
DETAILS_MOST = 4  # monitors of an incident that are shown whole

_SIGNS = {
    State.DISABLED: "⚪",
    State.WARMUP: "🕐",
    State.OK: "🟢",
    State.PENDING: "🟡",
    State.FAILED: "🔴",
    State.NO_DATA: "⚫",
    State.ERROR: "🟠",
    State.CANT_JUDGE: "🟣",
}
_CAME_TO = {Outcome.OK: "🟢", Outcome.FAILED: "🔴", Outcome.NO_DATA: "⚫", Outcome.ERROR: "🟠", Outcome.UNJUDGED: "🟣"}


# -- many --------------------------------------------------------------------------------------------------------------


def monitor_list(rows: Sequence[MonitorRow], now: datetime, model: str | None = None) -> Message:
    """Return the monitors, the worst first, and a button that adds one."""
    of = f" of {code(model, 120)}" if model else ""
    add = ActionsBlock(block_id="monitors", elements=[ButtonElement(text="Add a monitor", action_id=ADD)])
    if not rows:
        like = code(f"/model monitor add {short(model or 'churn', 120)} accuracy --greater-than 0.85")
        text = f"No monitors{of} yet. To add one: {like}"
        return message(text, [section(text), add])
    blocks: list[Block] = [section(f"*Monitors{of}*, those that need somebody first")]
    shown = first([row(one, now) for one in rows[:LIST_MOST]])
    blocks += [section(chunk) for chunk in chunks(shown)]
    if len(rows) > len(shown):
        blocks.append(small(f"{len(rows) - len(shown)} more. For one model: {code('/model monitor list MODEL')}"))
    blocks += costs(expected(one.monitor for one in rows))
    return message(counted(len(rows), "monitor") + of, [*blocks, add])


def costs(found: Expected | None) -> list[Block]:
    """Return the line that says what is armed and what to expect of it; none where nothing is armed."""
    return [small(mrkdwn(monitor_messages.expected(found)))] if found else []


def row(one: MonitorRow, now: datetime) -> str:
    """Return a monitor in one line."""
    monitor, standing = one.monitor, one.standing
    parts = [f"{sign(monitor, standing)} {_name(monitor)}  {mrkdwn(monitor_messages.state(monitor, standing))}"]
    if standing.value is not None:
        parts.append(mrkdwn(monitor_messages.value(standing)))
    parts.append(_ACTS[monitor.acts])
    if monitor.is_silenced(now) and monitor.silenced_until:
        parts.append(f"🔕 until {when(monitor.silenced_until)}")
    return "  ·  ".join(parts)


_ACTS = {"dry_run": "tries itself out", "notify": "tells", "ask": "asks", "auto": "rolls back"}


def sign(monitor: Monitor, standing: Standing) -> str:
    """Return a monitor's state as one sign."""
    if monitor.is_paused:
        return "⏸️"
    is_known = standing.at is not None and not monitor_messages.is_unmeasured(standing)
    return _SIGNS[standing.state] if is_known else "⚪"


def _name(monitor: Monitor) -> str:
    return f"{code(monitor.model, 120)} {code(monitor.name)}"


# -- one ---------------------------------------------------------------------------------------------------------------


def monitor_view(view: MonitorView) -> Message:
    """Return one monitor: how it stands, what it looks at, what it does, its last checks, and what can be done."""
    monitor, standing = view.monitor, view.standing
    state = mrkdwn(monitor_messages.state(monitor, standing))
    head = f"{sign(monitor, standing)} *{_name(monitor)}*: {state}"
    if (why := monitor_messages.reason(monitor, standing)) is not None and not monitor.is_paused:
        head += f"\n{mrkdwn(why)}"
    blocks: list[Block] = [
        section(cut(head, TEXT_MOST)),
        SectionBlock(fields=[markdown(field) for field in _fields(view)]),
        section(mrkdwn(rule_messages.rule(monitor.rule))),
        section(cut("\n".join(_does(view)), TEXT_MOST)),
        *_recent(view.recent),
        _buttons(view),
        small(cut(_origin(monitor), TEXT_MOST)),
    ]
    return message(f"{_name(monitor)}: {state}", blocks)


def _fields(view: MonitorView) -> list[str]:
    monitor, standing = view.monitor, view.standing
    rule = monitor.rule
    queries = [one for one in (rule.query, rule.of) if one is not None]
    metric = " of ".join(code(one, 250 // len(queries)) for one in queries)
    fields = [
        f"*Last value*\n{mrkdwn(monitor_messages.value(standing))}",
        f"*Version*\n{code(f'v{standing.version}') if standing.version is not None else MISSING}",
        f"*Last check*\n{when(standing.at) if standing.at else 'none yet'}",
        f"*Next check*\n{_next(view)}",
        f"*Source*\n{code(rule.source)} {metric}",
    ]
    if standing.since is not None and standing.state in {State.FAILED, State.PENDING}:
        fields.append(f"*Failing since*\n{when(standing.since)}")
    return fields


def _next(view: MonitorView) -> str:
    if view.monitor.is_paused:
        return "paused"
    if view.standing.next_at is None:
        return "soon"
    return "now" if view.standing.next_at <= view.now else when(view.standing.next_at)


def _does(view: MonitorView) -> list[str]:
    monitor = view.monitor
    lines = [mrkdwn(rule_messages.action(monitor))]
    if monitor.armed_by and monitor.armed_at and monitor.is_armed:
        lines.append(f"Armed by {who(monitor.armed_by)}, {when(monitor.armed_at)}")
    if monitor.is_silenced(view.now) and monitor.silenced_until:
        by = f" by {who(monitor.silenced_by)}" if monitor.silenced_by else ""
        why = f": {mrkdwn(_as_is(monitor.silence_reason))}" if monitor.silence_reason else ""
        lines.append(f"🔕 Silenced{by} until {when(monitor.silenced_until)}{why}")
    if view.tripped:
        reset = f"/model monitor reset {view.tripped.model or '--all'}"
        lines.append(f"⛔ Automatic rollbacks have stopped. {mrkdwn(view.tripped.why)} An admin: {code(reset)}")
    return lines


def _as_is(text: str) -> Say:
    return Say("{it}", {"it": text})


def _recent(recent: Sequence[Measurement]) -> list[Block]:
    if not recent:
        return []
    rows = []
    for one in recent:
        value = code(share(one.value, one.total)) if one.value is not None else MISSING
        parts = [value, *([cut(mrkdwn(one.why), 200)] if one.why else [])]
        if one.value is None or share(one.value, one.total) in str(one.why):  # what it came to says the value
            parts = parts[1:] or parts
        rows.append("  ".join([f"{_CAME_TO[one.outcome]} {when(one.at)}", *parts]))
    return [section(chunk) for chunk in chunks(["*Last checks*", *rows])]


def _buttons(view: MonitorView) -> ActionsBlock:
    monitor = view.monitor
    quiet = monitor.is_silenced(view.now)
    pairs = [
        ("Check now", CHECK),
        ("Resume", RESUME) if monitor.is_paused else ("Pause", PAUSE),
        ("Post again", UNSILENCE) if quiet else ("Silence 2 h", SILENCE),
        ("Backtest", BACKTEST),
        ("Post the chart here", CHART),
    ]
    pairs = [pair for pair in pairs if not (monitor.is_paused and pair[1] == CHECK)]
    buttons = [ButtonElement(text=text, action_id=action, value=monitor.id) for text, action in pairs]
    return ActionsBlock(block_id=f"monitor:{monitor.id}", elements=buttons)


def _origin(monitor: Monitor) -> str:
    if monitor.created_by is None:
        return "From the policy file: it is changed there."
    what = "Added" if monitor.revision == 1 else "Changed last"
    edit = code(f"/model monitor edit {monitor.model} {monitor.name}", 300)
    return f"{what} by {who(monitor.created_by)}, {when(monitor.created_at)}  ·  To change it: {edit}"


def added(sentence: Say, monitor: Monitor) -> Message:
    """Return the answer to whoever added a monitor, with what can be done next."""
    text = mrkdwn(sentence)
    buttons = [
        ButtonElement(text="Show it", action_id=SHOW, value=monitor.id),
        ButtonElement(text="Backtest", action_id=BACKTEST, value=monitor.id),
    ]
    return message(text, [section(text), ActionsBlock(block_id=f"added:{monitor.id}", elements=buttons)])


def posted(view: MonitorView) -> Message:
    """Return a monitor for everybody to see: how it stands, and its rule; the picture comes into the thread."""
    whole = row(MonitorRow(view.monitor, view.standing), view.now)
    text = f"{whole}\n{mrkdwn(rule_messages.rule(view.monitor.rule))}"
    state = mrkdwn(monitor_messages.state(view.monitor, view.standing))
    return message(f"{_name(view.monitor)}: {state}", [section(cut(text, TEXT_MOST))])


def details(incident: Incident, views: Sequence[MonitorView]) -> Message:
    """Return an incident's monitors: as many as fit in full, as in `monitor_view`, the others in one line each."""
    if not views:
        text = "Its monitors are gone; the thread and the audit tell what happened."
        return message(text, [section(text)])
    blocks: Blocks = []
    for view in views:
        whole = [*blocks, *monitor_view(view).blocks]
        in_short = [section(row(MonitorRow(view.monitor, view.standing), view.now))]
        blocks = whole if not blocks or size(whole) < ROWS_MOST else blocks + dicts(in_short)
    more = len(incident.monitors) - len(views)
    rest = [small(f"{more} more: {code('/model monitor list')}")] if more > 0 else []
    return message(f"Incident {code(incident.id)}", [*blocks, *rest])
