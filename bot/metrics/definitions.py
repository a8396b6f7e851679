"""Every metric and its labels; docs/reference/metrics.md is generated from these definitions."""

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
from bot.domain.promotions.request import OPEN_STATES
from bot.domain.promotions.votes import VoteChoice
from bot.domain.transitions.transition import UNFINISHED_STATES, TransitionState

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """The definition of one metric. `labels` maps each label to a description of its values."""

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
    "registrar_events_total", Counter, "Committed audit events.", {"tag": "the tags of [audit events](audit-events.md)"}
)
DECISION_SECONDS: Final = MetricDefinition(
    "registrar_decision_seconds",
    Histogram,
    "Time from opening a request to its decision, or to its end without one.",
    {"end": ", ".join(f"`{end}`" for end in REQUEST_ENDS.values())},
    (10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY),
)
VOTES: Final = MetricDefinition(
    "registrar_votes_total",
    Counter,
    "Votes; `withdrawn` counts votes that were withdrawn.",
    {"choice": f"{_enum_values(VoteChoice)}, `withdrawn`"},
)
REFUSALS: Final = MetricDefinition(
    "registrar_refusals_total",
    Counter,
    "Refusals by a rule or because of the registry's state. The audit log has the reason.",
    {
        "what": ", ".join(f"`{what}`" for what in REFUSAL_KINDS.values()),
        "reason": "the error's class, such as `Refused`, `AlreadyDecided`, `GateFailed`, `UnknownVersion`",
    },
)
ROLLBACKS: Final = MetricDefinition(
    "registrar_rollbacks_total",
    Counter,
    "Finished rollbacks, started by a monitor or a person.",
    {"cause": ", ".join(f"`{cause}`" for cause in ROLLBACK_CAUSES), "end": _enum_values(ROLLBACK_ENDS)},
)
CHECKS: Final = MetricDefinition(
    "registrar_checks_total",
    Counter,
    "Recorded monitor checks.",
    {"outcome": _enum_values(CheckOutcome)},
)
CHECK_DELAY_SECONDS: Final = MetricDefinition(
    "registrar_check_delay_seconds",
    Histogram,
    "Delay between a check's due time and its result.",
    {},
    (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, MINUTE, 5 * MINUTE),
)
SLACK_ERRORS: Final = MetricDefinition(
    "registrar_slack_errors_total",
    Counter,
    "Failed Slack Web API calls.",
    {
        "code": "Slack's error code, such as `ratelimited`; `no_answer` if there was no response; `http_503` for a "
        "response without a code"
    },
)
REGISTRY_SECONDS: Final = MetricDefinition(
    "registrar_registry_seconds",
    Histogram,
    "Duration of a call to MLflow, until it responds or fails.",
    {"operation": "the MLflow client's method, such as `get_registered_model`"},
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REGISTRY_ERRORS: Final = MetricDefinition(
    "registrar_registry_errors_total",
    Counter,
    "Failed calls to MLflow; “no such model” isn't a failure.",
    {"error": "`RegistryUnreachable`: no response in time; `RegistryRefused`: MLflow refused the call"},
)
BUILD_INFO: Final = MetricDefinition(
    "registrar_build_info", Gauge, "Always 1; the label has the running version.", {"version": "Registrar's version"}
)
LEDGER_UP: Final = MetricDefinition(
    "registrar_ledger_up", Gauge, "1 if the ledger responds; if 0, all other ledger metrics are missing."
)
OPEN_REQUESTS: Final = MetricDefinition(
    "registrar_requests", Gauge, "Open requests.", {"state": _enum_values(OPEN_STATES)}
)
REQUEST_AGE: Final = MetricDefinition(
    "registrar_request_oldest_seconds",
    Gauge,
    "Age of the oldest open request.",
    {"state": _enum_values(OPEN_STATES)},
)
QUEUED_COMMANDS: Final = MetricDefinition(
    "registrar_asks", Gauge, "Commands that haven't been executed yet, usually because MLflow isn't responding."
)
QUEUED_COMMAND_AGE: Final = MetricDefinition(
    "registrar_ask_oldest_seconds", Gauge, "Age of the oldest of these commands."
)
TRANSITIONS: Final = MetricDefinition(
    "registrar_moves",
    Gauge,
    "Transitions that are decided but not yet done.",
    {"state": _enum_values(UNFINISHED_STATES)},
)
TRANSITION_AGE: Final = MetricDefinition(
    "registrar_move_oldest_seconds",
    Gauge,
    "Age of the oldest of these transitions.",
    {"state": _enum_values(UNFINISHED_STATES)},
)
_OUTBOX_LABELS = {
    "to": "`slack`, `endpoints` for the signed events of the policy's `notify`, or `audit` for its audit stream"
}
OUTBOX: Final = MetricDefinition("registrar_outbox", Gauge, "Undelivered messages.", _OUTBOX_LABELS)
OUTBOX_AGE: Final = MetricDefinition(
    "registrar_outbox_oldest_seconds", Gauge, "Age of the oldest undelivered message.", _OUTBOX_LABELS
)
TAG_UPDATES: Final = MetricDefinition(
    "registrar_tags_waiting", Gauge, "Tags and descriptions not yet written to MLflow."
)
OPEN_INCIDENTS: Final = MetricDefinition(
    "registrar_incidents", Gauge, "Open incidents.", {"kind": _enum_values(IncidentKind)}
)
TRIPPED_BREAKERS: Final = MetricDefinition(
    "registrar_breakers_tripped", Gauge, "Circuit breakers that stop automatic rollbacks until an admin resets them."
)
CHECKED_MONITORS: Final = MetricDefinition(
    "registrar_monitors",
    Gauge,
    "Active monitors, by the result of their latest check.",
    {"state": _enum_values(MonitorStatus)},
)
OVERDUE_CHECKS: Final = MetricDefinition(
    "registrar_checks_overdue", Gauge, "Checks that are due but have no result yet."
)
OVERDUE_CHECK_AGE: Final = MetricDefinition(
    "registrar_check_overdue_seconds", Gauge, "How long the oldest overdue check has been due."
)
AUDIT_LENGTH: Final = MetricDefinition("registrar_audit_length", Gauge, "Events in the audit log.")
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
