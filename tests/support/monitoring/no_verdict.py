"""Monitors that can't judge."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.core.sentence import say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.evaluation import evaluate_rule as real_judge
from bot.services.monitoring import check_evaluation
from tests.support.monitoring.monitoring import HOURS, tick
from tests.support.services.bench import Bench

# Ten-minute windows and a check per minute, so a baseline's week takes seven hours.
BLOCKS: dict[str, Any] = HOURS | {"min_points": 1, "action": "notify"}


WHY = "The baseline is gone."


def measure_minutes(bench: Bench, says: str, query: str = "accuracy") -> None:
    """Run a check a minute, one per letter: `+` has a usual reading, `.` none, and `!` an error."""
    for at, letter in enumerate(says):
        bench.clock.advance(seconds=66)
        answers = {
            "+": Answer(points=[(bench.clock.now(), 0.9 + 0.002 * (at % 5))]),
            ".": Answer(),
            "!": Answer(outcome=CheckOutcome.ERROR, why=say("It is down.")),
        }
        bench.sources.answers[query] = answers[letter]
        tick(bench)


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> dict[str, RuleResult | Exception]:
    """Return the results of rules by monitor name: set one, and its rule returns or raises it."""
    said: dict[str, RuleResult | Exception] = {}

    def judge(monitor: Monitor, *more: Any) -> RuleResult | None:
        found = said.get(monitor.name)
        if isinstance(found, Exception):
            raise found
        return found or real_judge(monitor, *more)

    monkeypatch.setattr(check_evaluation, "evaluate_rule", judge)
    return said


CANT = RuleResult(is_worse=None, why=say(WHY).with_code(Reason.NO_DATA))
