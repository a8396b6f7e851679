"""Codes for why a rule gives no verdict, and why a failing monitor doesn't lead to a rollback.

A sentence carries its code, even in the ledger, so no decision depends on its wording.
"""

from __future__ import annotations

from enum import StrEnum

from bot.domain.core.sentence import Sentence


class Reason(StrEnum):
    """A reason that the code acts on. The values are stored."""

    # Why there's no verdict.
    SOURCE_ERROR = "source error"
    NO_DATA = "no data"
    TOO_SOON = "too soon"  # after the promotion
    LABELS_DELAYED = "labels delayed"
    TOO_FEW_READINGS = "too few readings"
    WINDOW_EMPTY = "window empty"
    WINDOW_INCOMPLETE = "window incomplete"
    TOO_FEW_DAYS = "too few days"  # of the baseline, at this time of day
    BASELINE_TOO_SHORT = "baseline too short"
    BASELINE_TOO_LARGE = "baseline too large"  # its readings
    NO_TOTAL = "no total"
    EFFECT_MEANINGLESS = "effect meaningless"  # for such a metric
    OWN_BASELINE = "own baseline"  # the rule can't have one
    RULE_ERROR = "rule error"
    OVERDUE = "overdue"
    NOT_JUDGED_YET = "not judged yet"  # but there's data again
    CLOCK_SET_BACK = "clock set back"
    UNKNOWN_WHY = "unknown why"
    NOT_MEASURED = "not measured"  # in a backtest

    TARGET_SKIPPED = "target skipped"  # the previous version; the rollback goes to an earlier one

    # Why nothing is rolled back.
    COMMON_CAUSE = "common cause"
    AUTOMATION_STOPPED = "automation stopped"
    NO_TARGET = "no target"
    MAY_NOT_LOAD = "may not load"
    LOADABILITY_UNKNOWN = "loadability unknown"
    ALREADY_TRIED = "already tried"
    LIMIT_OF_ALL_REACHED = "limit of all reached"


def reason_of(why: Sentence | None) -> str:
    """Return the code of the reason that a sentence gives; empty if there's no reason or it's unknown.

    Rows written by 0.2.0 have sentences without codes, so those are recognized by the templates of that time. This
    matters only for incidents that are open during the upgrade.
    """
    return why.code or _REASONS_BY_OLD_TEMPLATE.get(why.template, "") if why else ""


_LOADS = "Whether {v} of {model} loads cannot be told now. {why} "
_REASONS_BY_OLD_TEMPLATE: dict[str, str] = {
    "Many monitors of the source {source} fail together, so the source is in doubt and nothing is done.": (
        Reason.COMMON_CAUSE
    ),
    "Registrar and MLflow disagree, so nothing moves automatically until an admin accepts it.": (
        Reason.AUTOMATION_STOPPED
    ),
    "There is no version to go back to that has served for long enough and was not rolled back as bad. Choose one: "
    "{how}": Reason.NO_TARGET,
    "{v} of {model} may not load: {why}. If you know better: {how}": Reason.MAY_NOT_LOAD,
    _LOADS + "If you know that it does: {how}": Reason.MAY_NOT_LOAD,
    _LOADS + "It is looked at again with each check, and gone back to once it is known to load.": (
        Reason.LOADABILITY_UNKNOWN
    ),
    "A rollback was tried already for v{v}, and came to nothing.": Reason.ALREADY_TRIED,
    "As many automatic rollbacks of all models as the policy allows within 24 hours: {n}.": Reason.LIMIT_OF_ALL_REACHED,
}
