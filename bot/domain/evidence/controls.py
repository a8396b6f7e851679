"""The controls that reports address, and the kinds of exceptions that they list. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ExceptionKind(Enum):
    """A kind of exception: its name in reports, which never changes, and its meaning. Reports list exceptions first."""

    OUTSIDE_REGISTRAR = (
        "outside_registrar",
        "Production was changed in the registry directly, without Registrar.",
    )
    ALIAS_OUTSIDE_REGISTRAR = (
        "alias_outside_registrar",
        "The alias of Production was moved in the registry directly.",
    )
    SELF_APPROVAL = (
        "self_approval",
        "Someone approved or reviewed a change that they, their CI job, or their agent had requested.",
    )
    TOO_FEW_APPROVALS = (
        "too_few_approvals",
        "Fewer different people approved than the rule required.",
    )
    APPROVER_NOT_NAMED = (
        "approver_not_named",
        "Someone approved, but the policy in effect didn't name them.",
    )
    BREAK_GLASS_NOT_REVIEWED = (
        "break_glass_not_reviewed",
        "Nobody reviewed an emergency promotion in time.",
    )
    BREAK_GLASS_LATE_REVIEW = (
        "break_glass_late_review",
        "An emergency promotion was reviewed after its due date.",
    )
    GATES_OVERRIDDEN = (
        "gates_overridden",
        "A version was promoted although gates failed, because someone overrode them.",
    )
    FORCED_ROLLBACK = (
        "forced_rollback",
        "Someone rolled back to a version that might not load.",
    )
    NOT_READ_BACK = (
        "not_read_back",
        "A change was approved, but no event says how it ended before it expired.",
    )
    FAILED = (
        "failed",
        "An approved change failed, so Production didn't get what was approved.",
    )
    SERVING_NOT_CONFIRMED = (
        "serving_not_confirmed",
        "The endpoint didn't report the new version in time.",
    )
    FILES_CHANGED = (
        "files_changed",
        "Files of the version in Production differ from what was recorded.",
    )
    REGISTRY_DIFFERS = (
        "registry_differs",
        "The registry's last reading has another version than the audit log.",
    )
    CHAIN_FAULT = (
        "chain_fault",
        "An audit event was edited, inserted, or cut off.",
    )
    NUMBERING_GAP = (
        "numbering_gap",
        "Numbers of audit events are missing.",
    )
    ANCHOR_MISMATCH = (
        "anchor_mismatch",
        "The audit log differs from a head that was recorded elsewhere.",
    )
    TRANSITION_WITHOUT_EVENT = (
        "transition_without_event",
        "The ledger has a change that the audit log doesn't have.",
    )
    EVENT_WITHOUT_TRANSITION = (
        "event_without_transition",
        "The audit log has a change that the ledger doesn't have.",
    )
    TRANSITION_DIFFERS = (
        "transition_differs",
        "The ledger's rows of a change, its request, or its approvals differ from the audit log.",
    )

    def __init__(self, code: str, meaning: str) -> None:
        self.code = code
        self.meaning = meaning


@dataclass(frozen=True, slots=True)
class ControlText:
    """What a control asks for, what its report provides, and what the report doesn't show."""

    title: str
    asks: str
    answers: str
    not_shown: tuple[str, ...]


class Control(Enum):
    """A control that a report addresses."""

    SOC2_CHANGE_MANAGEMENT = "soc2:CC8.1"
    EU_AI_ACT_RECORDS = "eu-ai-act:12"
    EU_AI_ACT_OVERSIGHT = "eu-ai-act:14"

    @property
    def text(self) -> ControlText:
        """What the control asks for, what its report provides, and what the report doesn't show."""
        return _TEXTS[self]


DISCLAIMER = (
    "This report isn't legal advice. It says what Registrar's ledger shows; whether that satisfies a control is for "
    "your auditor to decide."
)
NEVER_SHOWN = (
    "Changes before the first audit event, except those that someone imported.",
    "Moves of the alias of Production that Registrar 0.2.0 or an earlier release found: it recorded only a sentence.",
    "Changes in the registry that were undone before Registrar read it again: the ledger doesn't record each reading.",
    "Whether people who can write to the ledger's database rewrote all of it, unless an anchor was compared.",
)
_TEXTS = {
    Control.SOC2_CHANGE_MANAGEMENT: ControlText(
        "SOC 2 CC8.1: change management",
        "Changes are authorized, tested, approved by someone else, and implemented as approved. An auditor draws a "
        "sample from the complete population of changes in a period. Emergency changes are reviewed afterward.",
        "All changes to Production, a reproducible sample of them from request to implementation, and all exceptions.",
        ("How the models were developed and tested.", "Access reviews of Slack and of the registry."),
    ),
    Control.EU_AI_ACT_RECORDS: ControlText(
        "EU AI Act, Articles 12 and 19: record-keeping",
        "Automatic logs over the system's lifetime identify risks and substantial modifications, and support "
        "monitoring after the system is on the market. They're kept for at least six months.",
        "The completeness of the audit log, each change to Production as a possible substantial modification, the "
        "verdicts of monitors, incidents, and how far back the log reaches.",
        ("Logs of individual predictions.", "Whether a change is a substantial modification under the law."),
    ),
    Control.EU_AI_ACT_OVERSIGHT: ControlText(
        "EU AI Act, Articles 14 and 26: human oversight",
        "Named, competent people can understand the system, decide not to use it, override it, interrupt it, and "
        "reverse it.",
        "Who could approve, roll back, and freeze on each date; who did; how long people took to respond to alerts; "
        "and overrides with their reasons.",
        (
            "Whether these people were trained.",
            "Who was in a Slack user group on a date: the policy names only the group.",
            "Which rollbacks were drills: the ledger doesn't tell a drill from another rollback.",
        ),
    ),
}
