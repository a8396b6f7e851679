"""What a form's menus offer: from the ledger, and from what the registry said a moment ago."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.core.errors import UnknownModel, UnknownVersion
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage, parse_version_ref
from bot.services.core.context import ActivePolicy
from bot.services.registry.queries import RegistryQueries
from bot.services.registry.suggestions import Suggestions
from tests.support.app.harness import Tap, tapped_registry
from tests.support.registry.opened import tracker_of
from tests.support.services.bench import BOB, POLICY, Bench
from tests.support.services.rollbacks import ROLL_BACK

GATED = POLICY | {
    "models": {"*": {"production": {"approvers": ["lead"], "gates": [{"metric": "F1", "at_least": 0.5}]}}}
}


def over(bench: Bench, tap: Tap | None = None) -> Suggestions:
    """Return suggestions for the bench, with a gate on F1; `tap` gets every call of the registry."""
    registry = tapped_registry(bench.registry, tap) if tap else bench.registry
    policy = ActivePolicy(validate_policy(GATED))
    context = replace(bench.context, registry=registry, tracker=tracker_of(registry), active_policy=policy)
    return Suggestions(context, RegistryQueries(context))


@pytest.fixture
def suggestions(bench: Bench) -> Suggestions:
    bench.watch.poll()
    return over(bench)


def labels(suggestions: Suggestions, typed: str = "") -> list[str]:
    return [choice.label for choice in suggestions.versions("churn", typed, Stage.PRODUCTION)]


def test_models_come_from_the_ledger(bench: Bench, suggestions: Suggestions) -> None:
    bench.registry.is_down = True
    assert [choice.value for choice in suggestions.models("")] == ["churn"]


def test_a_version_of_an_unread_model_is_offered_with_what_the_ledger_knows(suggestions: Suggestions) -> None:
    assert labels(suggestions) == ["v4", "v3 · Production", "v2 · Staging", "v1 · Archived"]


def test_after_a_read_the_semver_and_the_best_version_by_the_first_gate_are_shown(
    bench: Bench, suggestions: Suggestions
) -> None:
    for f1 in (0.8, 0.9, 0.7):
        run = bench.registry.add_run(metrics={"f1": f1})
        bench.registry.add_version("churn", run_id=run, tags={"semver": f"1.0.{int(f1 * 10)}"})
    suggestions.refresh("churn")
    assert labels(suggestions)[:4] == ["v7 · 1.0.7", "v6 · 1.0.9 · ★ best F1", "v5 · 1.0.8", "v4"]
    assert labels(suggestions, "1.0.9") == ["v6 · 1.0.9 · ★ best F1", "1.0.9 (as typed)"]


def test_typing_takes_no_request_and_a_read_takes_three_at_most_every_five_seconds(bench: Bench) -> None:
    run = bench.registry.add_run(metrics={"f1": 0.8})
    bench.registry.add_version("churn", run_id=run)
    bench.watch.poll()
    calls: list[str] = []
    suggestions = over(bench, lambda when, name: calls.append(name) if when == "before" else None)
    for typed in ("", "4", "9"):
        suggestions.models(typed), labels(suggestions, typed), suggestions.metrics("churn", typed)
        suggestions.rollback_targets("churn", typed)
    assert calls == []
    suggestions.refresh("churn")
    suggestions.refresh("churn")
    assert calls == ["model", "versions", "runs"]
    bench.clock.advance(seconds=6)
    suggestions.refresh("churn")
    assert len(calls) == 6


def test_a_transition_after_the_last_read_shows_in_the_stage(bench: Bench, suggestions: Suggestions) -> None:
    suggestions.refresh("churn")
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    bench.clock.advance(seconds=1)
    bench.watch.poll()
    assert labels(suggestions)[:2] == ["v4 · Production", "v3 · Archived"]


def test_a_registry_that_is_down_leaves_what_was_known(bench: Bench, suggestions: Suggestions) -> None:
    bench.registry.is_down = True
    suggestions.refresh("churn")
    assert labels(suggestions, "v9") == ["v9 (as typed)"]
    assert labels(suggestions, "@champion") == ["@champion (as typed)"]
    suggestions.check("churn", parse_version_ref("9"))


def test_a_version_that_was_rolled_back_says_when(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    served.watch.poll()
    served.clock.advance(minutes=25)
    assert "⛔ rolled back 25 min ago" in labels(over(served))[0]


def test_only_versions_that_served_and_are_not_blocked_can_be_rolled_back_to(served: Bench) -> None:
    served.do(ROLL_BACK, BOB)
    served.watch.poll()
    offered = over(served).rollback_targets("churn", "")
    assert [choice.label for choice in offered] == ["v3 · Archived · previous good version"]


def test_metrics_are_those_of_gates_runs_and_monitors_and_any_text(bench: Bench, suggestions: Suggestions) -> None:
    run = bench.registry.add_run(metrics={"recall": 0.8, "auc": 0.9})
    bench.registry.add_version("churn", run_id=run)
    suggestions.refresh("churn")
    assert [choice.value for choice in suggestions.metrics("churn", "")] == ["F1", "auc", "recall"]
    assert [choice.label for choice in suggestions.metrics("churn", "drift")] == ["drift (as typed)"]


def test_a_version_or_model_that_the_registry_has_just_denied_is_refused_for_a_minute(
    bench: Bench, suggestions: Suggestions
) -> None:
    suggestions.refresh("churn")
    suggestions.refresh("chrun")
    suggestions.check("churn", parse_version_ref("4"))
    with pytest.raises(UnknownVersion, match="no version v9"):
        suggestions.check("churn", parse_version_ref("9"))
    with pytest.raises(UnknownModel, match="Did you mean “churn”"):
        suggestions.check("chrun", parse_version_ref("4"))
    bench.clock.advance(seconds=61)
    suggestions.check("churn", parse_version_ref("9"))
