"""Every metric with its labels: docs/metrics.md is generated from these definitions."""

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

from bot.domain.audit.events import EventTag
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.promotions.request import OPEN_STATES, VoteChoice
from bot.domain.transitions.transition import UNFINISHED_STATES, TransitionState

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """The definition of one metric. `labels`: the values of each label."""

    name: str
    type: type[Counter] | type[Gauge] | type[Histogram]
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


def _enum_values(members: Iterable[Enum]) -> str:
    return ", ".join(f"`{member.value}`" for member in members)


REQUEST_ENDS = {
    EventTag.APPROVED: "approved",
    EventTag.REJECTED: "rejected",
    EventTag.CANCELLED: "cancelled",
    EventTag.EXPIRED: "expired",
    EventTag.STALE: "stale",
}
REFUSAL_KINDS = {
    EventTag.PROMOTION_REFUSED: "promotion",
    EventTag.REQUEST_COMMAND_REFUSED: "request",
    EventTag.REGISTRY_CHANGE_REFUSED: "command",
    EventTag.PERMISSION_REFUSED: "reading",
    EventTag.API_REFUSED: "api",
    EventTag.METRICS_REFUSED: "push",
}
ROLLBACK_CAUSES = ("automatic", "person")
ROLLBACK_ENDS = tuple(state for state in TransitionState if state not in UNFINISHED_STATES)
EVENTS: Final = MetricDefinition(
    "registrar_events_total", Counter, "Audit events that were committed.", {"tag": "those of [the audit](audit.md)"}
)
DECISION_SECONDS: Final = MetricDefinition(
    "registrar_decision_seconds",
    Histogram,
    "From the opening of a request to its decision, or its end without one.",
    {"end": ", ".join(f"`{end}`" for end in REQUEST_ENDS.values())},
    (10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY),
)
VOTES: Final = MetricDefinition(
    "registrar_votes_total",
    Counter,
    "Votes; `withdrawn` are those that were taken back.",
    {"choice": f"{_enum_values(VoteChoice)}, `withdrawn`"},
)
REFUSALS: Final = MetricDefinition(
    "registrar_refusals_total",
    Counter,
    "What the rules or the registry's facts said no to. The sentence stands in the audit.",
    {
        "what": ", ".join(f"`{what}`" for what in REFUSAL_KINDS.values()),
        "reason": "the class of the error, such as `Refused`, `AlreadyDecided`, `GateFailed`, `UnknownVersion`",
    },
)
ROLLBACKS: Final = MetricDefinition(
    "registrar_rollbacks_total",
    Counter,
    "Rollbacks that ended: by a monitor of its own, or because a person said so.",
    {"cause": ", ".join(f"`{cause}`" for cause in ROLLBACK_CAUSES), "end": _enum_values(ROLLBACK_ENDS)},
)
CHECKS: Final = MetricDefinition(
    "registrar_checks_total",
    Counter,
    "Monitors' checks that were judged and written down.",
    {"outcome": _enum_values(CheckOutcome)},
)
CHECK_DELAY_SECONDS: Final = MetricDefinition(
    "registrar_check_delay_seconds",
    Histogram,
    "From when a check was due to when it was judged.",
    {},
    (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, MINUTE, 5 * MINUTE),
)
SLACK_ERRORS: Final = MetricDefinition(
    "registrar_slack_errors_total",
    Counter,
    "Calls of Slack's Web API that failed.",
    {"code": "Slack's own name, such as `ratelimited`; `no_answer` where none came; `http_503` for one without a name"},
)
REGISTRY_SECONDS: Final = MetricDefinition(
    "registrar_registry_seconds",
    Histogram,
    "One question to MLflow, until its answer or its failure.",
    {"operation": "what MLflow's client calls it, such as `get_registered_model`"},
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REGISTRY_ERRORS: Final = MetricDefinition(
    "registrar_registry_errors_total",
    Counter,
    "Questions to MLflow that failed; “no such model” is an answer.",
    {"error": "`RegistryUnreachable`: no answer, or not in time; `RegistryRefused`: it said no"},
)
BUILD_INFO: Final = MetricDefinition(
    "registrar_build_info", Gauge, "Always 1; which version runs.", {"version": "ours"}
)
LEDGER_UP: Final = MetricDefinition(
    "registrar_ledger_up", Gauge, "1, or 0 where the ledger did not answer: then all of it is missing."
)
OPEN_REQUESTS: Final = MetricDefinition(
    "registrar_requests", Gauge, "Requests that have not ended.", {"state": _enum_values(OPEN_STATES)}
)
REQUEST_AGE: Final = MetricDefinition(
    "registrar_request_oldest_seconds",
    Gauge,
    "How long ago the oldest of them was opened.",
    {"state": _enum_values(OPEN_STATES)},
)
QUEUED_COMMANDS: Final = MetricDefinition(
    "registrar_asks", Gauge, "What was asked for and is not carried out yet: MLflow is away, mostly."
)
QUEUED_COMMAND_AGE: Final = MetricDefinition(
    "registrar_ask_oldest_seconds", Gauge, "How long ago the oldest of it was asked for."
)
TRANSITIONS: Final = MetricDefinition(
    "registrar_moves",
    Gauge,
    "Moves that were decided and are not made yet.",
    {"state": _enum_values(UNFINISHED_STATES)},
)
TRANSITION_AGE: Final = MetricDefinition(
    "registrar_move_oldest_seconds",
    Gauge,
    "How long ago the oldest of them was decided.",
    {"state": _enum_values(UNFINISHED_STATES)},
)
_OUTBOX_LABELS = {"to": "`slack`, or `endpoints`: the signed events of the policy's `notify`"}
OUTBOX: Final = MetricDefinition("registrar_outbox", Gauge, "Messages that are not delivered yet.", _OUTBOX_LABELS)
OUTBOX_AGE: Final = MetricDefinition(
    "registrar_outbox_oldest_seconds", Gauge, "How long ago the oldest of them was written.", _OUTBOX_LABELS
)
TAG_UPDATES: Final = MetricDefinition(
    "registrar_tags_waiting", Gauge, "Tags and descriptions that are not written to MLflow yet."
)
OPEN_INCIDENTS: Final = MetricDefinition(
    "registrar_incidents", Gauge, "Incidents that are open.", {"kind": _enum_values(IncidentKind)}
)
TRIPPED_BREAKERS: Final = MetricDefinition(
    "registrar_breakers_tripped", Gauge, "Breakers that stop automatic rollbacks until an admin resets them."
)
CHECKED_MONITORS: Final = MetricDefinition(
    "registrar_monitors",
    Gauge,
    "Monitors that are checked, by what they said last.",
    {"state": _enum_values(MonitorStatus)},
)
OVERDUE_CHECKS: Final = MetricDefinition(
    "registrar_checks_overdue", Gauge, "Checks whose time has come and that nobody has judged yet."
)
OVERDUE_CHECK_AGE: Final = MetricDefinition(
    "registrar_check_overdue_seconds", Gauge, "How long ago the time of the first of them came."
)
AUDIT_LENGTH: Final = MetricDefinition("registrar_audit_length", Gauge, "Events in the audit's chain.")
METRIC_DEFINITIONS: Final = (
    OPEN_REQUESTS,
    REQUEST_AGE,
    DECISION_SECONDS,
    VOTES,
    REFUSALS,
    ROLLBACKS,
    CHECKS,
    CHECK_DELAY_SECONDS,
    OVERDUE_CHECKS,
    OVERDUE_CHECK_AGE,
    CHECKED_MONITORS,
    OPEN_INCIDENTS,
    TRIPPED_BREAKERS,
    OUTBOX,
    OUTBOX_AGE,
    QUEUED_COMMANDS,
    QUEUED_COMMAND_AGE,
    TRANSITIONS,
    TRANSITION_AGE,
    TAG_UPDATES,
    SLACK_ERRORS,
    REGISTRY_SECONDS,
    REGISTRY_ERRORS,
    EVENTS,
    AUDIT_LENGTH,
    LEDGER_UP,
    BUILD_INFO,
)
LEDGER_METRICS: Final = frozenset(
    {
        OPEN_REQUESTS.name,
        REQUEST_AGE.name,
        OVERDUE_CHECKS.name,
        OVERDUE_CHECK_AGE.name,
        CHECKED_MONITORS.name,
        OPEN_INCIDENTS.name,
        TRIPPED_BREAKERS.name,
        OUTBOX.name,
        OUTBOX_AGE.name,
        QUEUED_COMMANDS.name,
        QUEUED_COMMAND_AGE.name,
        TRANSITIONS.name,
        TRANSITION_AGE.name,
        TAG_UPDATES.name,
        AUDIT_LENGTH.name,
        LEDGER_UP.name,
    }
)
