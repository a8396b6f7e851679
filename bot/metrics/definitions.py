"""TODO bot.metrics.definitions"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from prometheus_client import (
    Counter,
    Gauge,
    Histogram,
)

from bot.domain.audit.events import Tag
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.readings import Outcome
from bot.domain.monitoring.state import State
from bot.domain.promotions.request import Choice, RequestState
from bot.domain.transitions.transition import UNFINISHED, MoveState

OPEN = tuple(state for state in RequestState if state.is_open)


MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Shape:
    """What one metric is: docs/metrics.md is made from these. `labels` says which values each label has."""

    name: str
    type: type[Counter] | type[Gauge] | type[Histogram]
    means: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


def _values(members: Iterable[Enum]) -> str:
    return ", ".join(f"`{member.value}`" for member in members)


_ENDS = {
    Tag.APPROVED: "approved",
    Tag.REJECTED: "rejected",
    Tag.CANCELLED: "cancelled",
    Tag.EXPIRED: "expired",
    Tag.STALE: "stale",
}


_REFUSALS = {
    Tag.ASK_REFUSED: "promotion",
    Tag.VOTE_REFUSED: "request",
    Tag.COMMAND_REFUSED: "command",
    Tag.REFUSED: "reading",
    Tag.API_REFUSED: "api",
    Tag.METRICS_REFUSED: "push",
}


_CAUSES = ("automatic", "person")


_ROLLBACK_ENDS = tuple(state for state in MoveState if state not in UNFINISHED)


EVENTS: Final = Shape(
    "registrar_events_total", Counter, "Audit events that were committed.", {"tag": "those of [the audit](audit.md)"}
)


DECISION: Final = Shape(
    "registrar_decision_seconds",
    Histogram,
    "From the opening of a request to its decision, or its end without one.",
    {"end": ", ".join(f"`{end}`" for end in _ENDS.values())},
    (10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY),
)


VOTES: Final = Shape(
    "registrar_votes_total",
    Counter,
    "Votes; `withdrawn` are those that were taken back.",
    {"choice": f"{_values(Choice)}, `withdrawn`"},
)


REFUSALS: Final = Shape(
    "registrar_refusals_total",
    Counter,
    "What the rules or the registry's facts said no to. The sentence stands in the audit.",
    {
        "what": ", ".join(f"`{what}`" for what in _REFUSALS.values()),
        "reason": "the class of the error, such as `Refused`, `AlreadyDecided`, `GateFailed`, `UnknownVersion`",
    },
)


ROLLBACKS: Final = Shape(
    "registrar_rollbacks_total",
    Counter,
    "Rollbacks that ended: by a monitor of its own, or because a person said so.",
    {"cause": ", ".join(f"`{cause}`" for cause in _CAUSES), "end": _values(_ROLLBACK_ENDS)},
)


CHECKS: Final = Shape(
    "registrar_checks_total",
    Counter,
    "Monitors' checks that were judged and written down.",
    {"outcome": _values(Outcome)},
)


DELAY: Final = Shape(
    "registrar_check_delay_seconds",
    Histogram,
    "From when a check was due to when it was judged.",
    {},
    (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, MINUTE, 5 * MINUTE),
)


SLACK_ERRORS: Final = Shape(
    "registrar_slack_errors_total",
    Counter,
    "Calls of Slack's Web API that failed.",
    {"code": "Slack's own name, such as `ratelimited`; `no_answer` where none came; `http_503` for one without a name"},
)


REGISTRY: Final = Shape(
    "registrar_registry_seconds",
    Histogram,
    "One question to MLflow, until its answer or its failure.",
    {"operation": "what MLflow's client calls it, such as `get_registered_model`"},
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


REGISTRY_ERRORS: Final = Shape(
    "registrar_registry_errors_total",
    Counter,
    "Questions to MLflow that failed; “no such model” is an answer.",
    {"error": "`RegistryUnreachable`: no answer, or not in time; `RegistryRefused`: it said no"},
)


BUILD: Final = Shape("registrar_build_info", Gauge, "Always 1; which version runs.", {"version": "ours"})


UP: Final = Shape("registrar_ledger_up", Gauge, "1, or 0 where the ledger did not answer: then all of it is missing.")


REQUESTS: Final = Shape("registrar_requests", Gauge, "Requests that have not ended.", {"state": _values(OPEN)})


REQUEST_AGE: Final = Shape(
    "registrar_request_oldest_seconds", Gauge, "How long ago the oldest of them was opened.", {"state": _values(OPEN)}
)


ASKS: Final = Shape("registrar_asks", Gauge, "What was asked for and is not carried out yet: MLflow is away, mostly.")


ASK_AGE: Final = Shape("registrar_ask_oldest_seconds", Gauge, "How long ago the oldest of it was asked for.")


MOVES: Final = Shape(
    "registrar_moves", Gauge, "Moves that were decided and are not made yet.", {"state": _values(UNFINISHED)}
)


MOVE_AGE: Final = Shape(
    "registrar_move_oldest_seconds",
    Gauge,
    "How long ago the oldest of them was decided.",
    {"state": _values(UNFINISHED)},
)


_TO = {"to": "`slack`, or `endpoints`: the signed events of the policy's `notify`"}


OUTBOX: Final = Shape("registrar_outbox", Gauge, "Messages that are not delivered yet.", _TO)


OUTBOX_AGE: Final = Shape("registrar_outbox_oldest_seconds", Gauge, "How long ago the oldest of them was written.", _TO)


COPIES: Final = Shape("registrar_tags_waiting", Gauge, "Tags and descriptions that are not written to MLflow yet.")


INCIDENTS: Final = Shape("registrar_incidents", Gauge, "Incidents that are open.", {"kind": _values(IncidentKind)})


BREAKERS: Final = Shape(
    "registrar_breakers_tripped", Gauge, "Breakers that stop automatic rollbacks until an admin resets them."
)


MONITORS: Final = Shape(
    "registrar_monitors", Gauge, "Monitors that are checked, by what they said last.", {"state": _values(State)}
)


OVERDUE: Final = Shape("registrar_checks_overdue", Gauge, "Checks whose time has come and that nobody has judged yet.")


OVERDUE_AGE: Final = Shape("registrar_check_overdue_seconds", Gauge, "How long ago the time of the first of them came.")


AUDIT: Final = Shape("registrar_audit_length", Gauge, "Events in the audit's chain.")


SHAPES: Final = (
    REQUESTS,
    REQUEST_AGE,
    DECISION,
    VOTES,
    REFUSALS,
    ROLLBACKS,
    CHECKS,
    DELAY,
    OVERDUE,
    OVERDUE_AGE,
    MONITORS,
    INCIDENTS,
    BREAKERS,
    OUTBOX,
    OUTBOX_AGE,
    ASKS,
    ASK_AGE,
    MOVES,
    MOVE_AGE,
    COPIES,
    SLACK_ERRORS,
    REGISTRY,
    REGISTRY_ERRORS,
    EVENTS,
    AUDIT,
    UP,
    BUILD,
)


OF_THE_LEDGER: Final = frozenset(
    {
        REQUESTS.name,
        REQUEST_AGE.name,
        OVERDUE.name,
        OVERDUE_AGE.name,
        MONITORS.name,
        INCIDENTS.name,
        BREAKERS.name,
        OUTBOX.name,
        OUTBOX_AGE.name,
        ASKS.name,
        ASK_AGE.name,
        MOVES.name,
        MOVE_AGE.name,
        COPIES.name,
        AUDIT.name,
        UP.name,
    }
)
