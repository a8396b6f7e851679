"""Draw the life of a request and the states of a monitor, and compare both pictures with the code.

A request's steps come from the table `NEXT_STATES`. There's no such table for monitors, so monitor_steps.py finds their
steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum

from bot.domain.monitoring.consecutive_checks import MAX_UNJUDGED_CHECKS
from bot.domain.monitoring.messages import status_text
from bot.domain.monitoring.monitor import BLIND_STATUSES, MonitorState, MonitorStatus
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.promotions.request import NEXT_STATES, RequestState
from scripts.markdown import comments
from scripts.monitor_steps import MONITOR, NOW, monitor_steps
from scripts.state_chart import Chart, Look, Step, require_same

# -- a request ---------------------------------------------------------------------------------------------------------

_PENDING, _APPROVED, _EXECUTING = RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING
_AFTER_APPROVAL = frozenset({_APPROVED, _EXECUTING})
APPROVE = Step(frozenset({_PENDING}), _APPROVED, "enough approvals and no failed gate, or an admin breaks glass")
DECLINED = (
    Step(frozenset({_PENDING}), RequestState.REJECTED, "an approver rejects"),
    Step(frozenset({_PENDING}), RequestState.CANCELLED, "the requester or an admin cancels it"),
    Step(frozenset({_PENDING}), RequestState.EXPIRED, "no one decides in time"),
    Step(frozenset({_PENDING}), RequestState.STALE, "the version, the policy, or the stage changed"),
)
BEGIN = Step(frozenset({_APPROVED}), _EXECUTING, "Registrar starts the transition")
WAIT = Step(frozenset({_EXECUTING}), _APPROVED, "waits: MLflow or Slack is down, or Production is frozen")
FINISH = Step(frozenset({_EXECUTING}), RequestState.DONE, "read back from MLflow: the version is in the stage")
FAILURES = (
    Step(_AFTER_APPROVAL, RequestState.STALE, "a check right before the write fails"),
    Step(_AFTER_APPROVAL, RequestState.EXPIRED, "it waits too long to be written"),
    Step(_AFTER_APPROVAL, RequestState.FAILED, "MLflow refuses"),
)
REQUEST_COLORS = {
    RequestState.PENDING: "yellow",
    RequestState.APPROVED: "blue",
    RequestState.EXECUTING: "blue",
    RequestState.DONE: "green",
    RequestState.REJECTED: "red",
    RequestState.CANCELLED: "gray",
    RequestState.EXPIRED: "gray",
    RequestState.STALE: "orange",
    RequestState.FAILED: "red",
}


def request_picture() -> str:
    """Return docs/pictures/request-life.svg. Raises PictureIsWrong."""
    steps = (APPROVE, *DECLINED, BEGIN, WAIT, FINISH, *FAILURES)
    require_same(steps, ((a, b) for a, following in NEXT_STATES.items() for b in following))
    meanings = comments(RequestState)
    chart = Chart({it: Look(it.label, REQUEST_COLORS[it], meanings[it.name]) for it in RequestState})
    chart.state(_PENDING)
    top = chart.bottom
    chart.branches(DECLINED)
    chart.down(APPROVE.cause, top)
    chart.state(_APPROVED)
    chart.down(BEGIN.cause)
    chart.state(_EXECUTING)
    top = chart.bottom
    chart.branches([WAIT])
    chart.down(FINISH.cause, top)
    chart.state(RequestState.DONE)
    chart.words("After approval, it can also end as:")
    chart.branches(FAILURES)
    return chart.picture(_in_words("The life of a request", steps, {it: it.label for it in RequestState}))


# -- a monitor --------------------------------------------------------------------------------------------------------


def _default(field: str) -> int:
    """Return a field's default number of checks, which a monitor uses unless its policy sets another."""
    number: int = MonitorConfig.model_fields[field].default
    return number


_S = MonitorStatus
_NOT_FAILED = frozenset(MonitorStatus) - {_S.DISABLED, _S.FAILED}
_IN_PRODUCTION = frozenset(MonitorStatus) - {_S.DISABLED}
HEALTHY = Step(frozenset(_NOT_FAILED), _S.OK, "a good verdict")
PENDING = Step(_NOT_FAILED, _S.PENDING, "a check fails")
FAILED = Step(
    _NOT_FAILED, _S.FAILED, f"{_default('fail_after')} checks in a row fail, or one that needs no confirmation"
)
RECOVERED = Step(frozenset({_S.FAILED}), _S.OK, f"{_default('recover_after')} good verdicts in a row")
BLIND = (
    Step(_NOT_FAILED, _S.NO_DATA, f"no usable reading in {_default('no_data')} checks in a row"),
    Step(_NOT_FAILED, _S.ERROR, f"the source fails in {_default('error')} checks in a row"),
    Step(_NOT_FAILED, _S.CANT_JUDGE, f"{MAX_UNJUDGED_CHECKS} checks in a row lack a verdict that was due"),
)
RESETS = (
    Step(frozenset(MonitorStatus), _S.WARMUP, "a promotion or a rollback, or a check too soon after it"),
    Step(
        frozenset(MonitorStatus), _S.OK, "the monitor is edited, or Production is changed in MLflow: not measured yet"
    ),
    Step(_IN_PRODUCTION, _S.DISABLED, "Production is empty"),
)
MONITOR_COLORS = {
    _S.DISABLED: "gray",
    _S.WARMUP: "blue",
    _S.OK: "green",
    _S.PENDING: "yellow",
    _S.FAILED: "red",
    _S.NO_DATA: "gray",
    _S.ERROR: "orange",
    _S.CANT_JUDGE: "violet",
}


def monitor_picture() -> str:
    """Return docs/pictures/monitor-states.svg. Raises PictureIsWrong."""
    steps = (HEALTHY, PENDING, FAILED, RECOVERED, *BLIND, *RESETS)
    require_same(steps, monitor_steps())
    names: dict[Enum, str] = {it: _status_name(it) for it in MonitorStatus}
    meanings = comments(MonitorStatus)
    chart = Chart({it: Look(names[it], MONITOR_COLORS[it], meanings[it.name]) for it in MonitorStatus})
    chart.state(_S.WARMUP)
    chart.down(HEALTHY.cause)
    chart.state(_S.OK)
    chart.down(PENDING.cause)
    chart.state(_S.PENDING)
    top = chart.bottom
    chart.branches([HEALTHY])
    chart.down(FAILED.cause, top)
    chart.state(_S.FAILED)
    chart.branches([RECOVERED])
    chart.words("From any status but failing:")
    chart.branches(BLIND)
    chart.words("The next verdict decides:")
    chart.branches([HEALTHY, PENDING, FAILED])
    chart.words("Starting over:")
    chart.branches(RESETS)
    return chart.picture(_in_words("The states of a monitor", steps, names))


def _status_name(status: MonitorStatus) -> str:
    """Return a status as people read it, without its reason."""
    state = MonitorState(monitor="m", state=status, at=NOW, value=1.0, bad=1, empty=int(status in BLIND_STATUSES))
    return (
        str(status_text(MONITOR, replace(state, empty=0) if status is _S.OK else state))
        .partition(":")[0]
        .removesuffix(" yet")
    )


def _in_words(subject: str, steps: Iterable[Step], names: Mapping[Enum, str]) -> str:
    parts = []
    for step in steps:
        sources = [names[state] for state in names if state in step.sources and state is not step.target]
        parts.append(f"from {', '.join(sources)} to {names[step.target]}: {step.cause}")
    return f"{subject}: {'; '.join(parts)}."
