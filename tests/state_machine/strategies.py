"""Hypothesis strategies for the state machine, and helpers for outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import strategies as st

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import RegistrarError
from tests.state_machine.fixtures import PEOPLE
from tests.state_machine.records import (
    ACCURACY,
    ARCHIVED,
    F1,
    LEADS,
    NONE,
    PRODUCTION,
    STAGING,
    ExternalChange,
    InjectedFault,
    InternalFault,
    ProcessDied,
    Rule,
)

MODELS = ("churn", "pair")
PROCESSES = ("here", "there")
FIRST_RULES = {
    ("churn", STAGING): Rule(own=True),
    ("churn", PRODUCTION): Rule(gates=(ACCURACY, F1), override=frozenset({"dave"}), remind=timedelta(hours=1)),
    ("pair", STAGING): Rule(gates=(ACCURACY,)),
    ("pair", PRODUCTION): Rule(required=2, lives=timedelta(hours=4), remind=timedelta(hours=1)),
}
JOBS = {
    EventTag.DRIFT_FOUND,
    EventTag.TRANSITION_OBSERVED,
    EventTag.POLICY_LOADED,
}  # these have their own tests; only their effects matter here
LEGAL = {  # a request's possible states at the next check, by its state at the last one
    "pending": {"pending", "approved", "executing", "done", "failed", "rejected", "cancelled", "expired", "stale"},
    "approved": {"approved", "executing", "done", "failed", "stale", "expired"},
    "executing": {"approved", "executing", "done", "failed", "stale", "expired"},
}
DECIDERS = [name for name in PEOPLE if name != "desk"]  # the terminal can't press buttons in Slack
ASKED, VOTED = "who asked", "who voted last"
WRITES, READS = {"transition", "set_alias"}, {"model", "version", "versions"}

processes = st.sampled_from(PROCESSES)
models = st.sampled_from(MODELS)
which = st.integers(0, 3)  # which item, counted from the newest
versions = st.integers(1, 5)
figures = st.dictionaries(st.sampled_from([ACCURACY, F1]), st.sampled_from([0.7, 0.8, 0.81, 0.9]), max_size=2)
stages = st.sampled_from([PRODUCTION, PRODUCTION, STAGING])
spans = st.builds(
    lambda seconds: timedelta(seconds=seconds), st.sampled_from([0, 2, 20, 61, 4200, 90_000, -1, -30, -600])
)
rules = st.builds(
    Rule,
    approvers=st.sampled_from([*[LEADS] * 4, *[LEADS | {"alice"}] * 2, frozenset({"carol", "erin"}), frozenset()]),
    required=st.sampled_from([1, 1, 2]),
    own=st.booleans(),
    gates=st.sampled_from([(), (), (ACCURACY,), (F1,), (ACCURACY, F1)]),
    override=st.sampled_from([frozenset(), frozenset({"dave"}), LEADS]),
    lives=st.sampled_from([timedelta(hours=1), timedelta(hours=24)]),
    remind=st.sampled_from([None, timedelta(minutes=30)]),
)


@st.composite
def external_changes(draw: st.DrawFn) -> ExternalChange:
    """Draw a change that someone makes directly in MLflow."""
    stage = draw(st.sampled_from([PRODUCTION, PRODUCTION, STAGING, ARCHIVED, NONE, None]))
    return ExternalChange(draw(models), draw(versions), stage, draw(st.booleans()))


def injected_faults(*calls: str) -> st.SearchStrategy[list[InjectedFault]]:
    """Draw up to two faults around the registry calls with these names."""
    blows = st.sampled_from(["dies", "stumbles", "away", *["overtaken"] * (2 if "transition" in calls else 0)])
    any_time = st.builds(
        InjectedFault, st.sampled_from(["before", "after"]), st.sampled_from(calls), blows | external_changes()
    )
    refused = st.builds(InjectedFault, st.just("before"), st.sampled_from(calls), st.just("refuses"))
    return st.just([]) | st.lists(any_time | refused, min_size=1, max_size=2)


@dataclass(frozen=True)
class Measured:
    """New metrics for a version's run, or a new version with them if `version` is None."""

    model: str
    version: int | None
    figures: dict[str, float]


in_asking = injected_faults("model", "versions", "runs")
in_moving = injected_faults("versions", "runs", "transition", "set_alias", "model", "version")


def outcome(act: Callable[[], str]) -> str:
    """Return what an action returned, or the class name of the error that it raised."""
    try:
        return act()
    except (RegistrarError, InternalFault, ProcessDied) as error:
        return type(error).__name__


def then(word: str, act: Callable[[], object]) -> Callable[[], str]:
    """Return a function that runs `act`, then returns `word`."""

    def do() -> str:
        act()
        return word

    return do


def die() -> str:
    """Raise ProcessDied."""
    raise ProcessDied


def nth(things: list[str], number: int) -> str | None:
    """Return one item, counted from the newest, or None if the list is empty."""
    return things[-1 - number % len(things)] if things else None


def by_subject(told: list[tuple[str, str, str, object]]) -> dict[str, list[tuple[str, str, object]]]:
    """Return the audit events by subject, in order. The order across subjects doesn't matter."""
    found: dict[str, list[tuple[str, str, object]]] = defaultdict(list)
    for tag, who, about, more in told:
        found[about].append((tag, who, more))
    return dict(found)
