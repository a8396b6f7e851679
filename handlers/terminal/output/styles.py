"""The meaning of the terminal's colors. A color repeats what a word or symbol says, and means nothing alone.

Each color is readable on black and on white. All come from the 256-color palette, which themes don't change.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState

GOOD = "color(29)"  # green: in Production, healthy, passed, done
WAITING = "color(32)"  # blue: in Staging, pending
ATTENTION = "color(130)"  # orange: no verdict, a warning, missing, frozen
BAD = "bold color(160)"  # red: failed, rejected, blocked
SILENT = "bold color(134)"  # purple: isn't responding
QUIET = "color(243)"  # gray: archived, over, or not checked
BEST = f"bold {GOOD}"

STYLES: Mapping[Enum, str] = {
    Stage.PRODUCTION: GOOD,
    Stage.STAGING: WAITING,
    Stage.ARCHIVED: QUIET,
    RequestState.PENDING: WAITING,
    RequestState.APPROVED: GOOD,
    RequestState.EXECUTING: GOOD,
    RequestState.DONE: GOOD,
    RequestState.REJECTED: BAD,
    RequestState.FAILED: BAD,
    RequestState.CANCELLED: QUIET,
    RequestState.EXPIRED: QUIET,
    RequestState.STALE: QUIET,
    TransitionState.INTENDED: ATTENTION,
    TransitionState.EXECUTING: ATTENTION,
    TransitionState.DONE: GOOD,
    TransitionState.STALE: QUIET,
    TransitionState.FAILED: BAD,
    MonitorStatus.DISABLED: QUIET,
    MonitorStatus.WARMUP: WAITING,
    MonitorStatus.OK: GOOD,
    MonitorStatus.PENDING: ATTENTION,
    MonitorStatus.FAILED: BAD,
    MonitorStatus.NO_DATA: ATTENTION,
    MonitorStatus.ERROR: BAD,
    MonitorStatus.CANT_JUDGE: ATTENTION,
}


def style_of(state: Enum) -> str:
    """Return a state's style, or an empty string if it has no color."""
    return STYLES.get(state, "")


def request_style(state: str) -> str:
    """Return the style of a request's state in a document. `asked` and `refused` occur only in documents."""
    known = {member.value: style for member, style in STYLES.items() if isinstance(member, RequestState)}
    return (known | {"refused": BAD, "asked": WAITING}).get(state, "")
