"""The stops of the code tour in docs/reference/code-tour.md, and its text.

Each stop is a function, identified by an ending of its qualified name that's unique in bot/, handlers/, and the tests'
in-memory registry. tests/journeys/docs/test_code_tour.py runs the tours, and fails if the stops aren't called in this
order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from scripts.architecture import modules, parsed
from scripts.markdown import ROOT, SOURCE


class Stop(NamedTuple):
    """A function on the tour. `shown` is the one to list if the tests run a different implementation of its port."""

    name: str
    shown: str = ""


class Scene(NamedTuple):
    """An event, and the functions that handle it, in order."""

    title: str
    stops: tuple[Stop, ...]


class Tour(NamedTuple):
    """One job's path through the code."""

    title: str
    scenes: tuple[Scene, ...]


class Place(NamedTuple):
    """A function's location, and the first line of its docstring."""

    name: str
    path: Path
    line: int
    sentence: str


TRANSITION_STAGE = Stop("MemoryRegistry.transition_stage", shown="MlflowRegistry.transition_stage")

TOURS = {
    "promotion": Tour(
        "A promotion",
        (
            Scene(
                "Alice types `/model promote churn 4 production`. Before Slack gets its acknowledgment:",
                (
                    Stop("slack.commands.run_typed"),
                    Stop("commands.parser.parse_command"),
                    Stop("CommandDispatcher.execute"),
                    Stop("CommandQueue.submit"),
                    Stop("authorization.authorize"),
                ),
            ),
            Scene(
                "After the acknowledgment, on a worker thread, the request opens and the outbox posts its card:",
                (
                    Stop("CommandQueue.execute"),
                    Stop("RequestOpening.execute"),
                    Stop("GateChecks.take_snapshot"),
                    Stop("WorkQueueStore.claim_message"),
                    Stop("request_card.request_card"),
                    Stop("MessagePoster.post_or_edit"),
                ),
            ),
            Scene(
                "Bob clicks *Approve*. Before the acknowledgment:",
                (
                    Stop("CommandDispatcher.execute"),
                    Stop("Requests.approve"),
                    Stop("authorization.authorize"),
                    Stop("TransitionStore.add_transition"),
                ),
            ),
            Scene(
                "After the acknowledgment, the transition is executed and the card changes:",
                (
                    Stop("TransitionExecutor.execute_due"),
                    Stop("transition.plan_transition"),
                    Stop("GateChecks.retake_snapshot"),
                    TRANSITION_STAGE,
                    Stop("outbox_messages.end_messages"),
                    Stop("request_card.request_card"),
                    Stop("MessagePoster.edit"),
                ),
            ),
        ),
    ),
    "rollback": Tour(
        "A rollback by a monitor",
        (
            Scene("The serving side pushes a bad reading:", (Stop("metrics.push_metrics"),)),
            Scene(
                "The scheduler runs, and the monitor is due:",
                (
                    Stop("MonitorScheduler.tick"),
                    Stop("MonitorScheduler.run_batch"),
                    Stop("PushSource.read"),
                    Stop("threshold.judge_threshold"),
                    Stop("consecutive_checks.assess"),
                    Stop("incident.decide"),
                    Stop("rollback_records.begin_rollback"),
                ),
            ),
            Scene(
                "The same executor as for a promotion executes the transition:",
                (
                    Stop("TransitionExecutor.execute_due"),
                    Stop("transition.plan_transition"),
                    TRANSITION_STAGE,
                    Stop("rollback_records.record_end"),
                ),
            ),
            Scene(
                "The incident ends, and its message in Slack shows how:",
                (Stop("Incidents.end_and_remind"), Stop("incident_card.card"), Stop("MessagePoster.edit")),
            ),
        ),
    ),
    "comparison": Tour(
        "A comparison",
        (
            Scene(
                "Alice types `/model compare churn`. A query is acknowledged immediately:",
                (
                    Stop("slack.commands.run_typed"),
                    Stop("commands.parser.parse_command"),
                    Stop("SlackInteractions.execute_later"),
                ),
            ),
            Scene(
                "After the acknowledgment, on a query thread:",
                (
                    Stop("CommandDispatcher.execute"),
                    Stop("AccessControl.require_permission"),
                    Stop("Comparisons.compare"),
                    Stop("MemoryRegistry.versions", shown="MlflowRegistry.versions"),
                    Stop("MemoryRegistry.runs", shown="MlflowTracker.runs"),
                    Stop("comparison.compare_versions"),
                    Stop("comparison.comparison_message"),
                    Stop("Publisher.post_directly"),
                    Stop("comparison_chart.comparison_chart"),
                ),
            ),
        ),
    ),
}


class WrongStop(Exception):
    """A stop matches no function, several functions, or one without a docstring or not called in this order."""


@cache
def definitions() -> dict[str, Place]:
    """Return every function in bot/, handlers/, and the tests' in-memory registry, by qualified name."""
    files = modules() | {"tests.support.registry.memory": ROOT / "tests/support/registry/memory.py"}
    return {
        place.name: place for module, path in files.items() for place in _definitions_in(parsed(path), path, module)
    }


def _definitions_in(parent: ast.Module | ast.ClassDef, path: Path, prefix: str) -> Iterator[Place]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef):
            yield from _definitions_in(node, path, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef):
            sentence = (ast.get_docstring(node) or "").partition("\n")[0]
            yield Place(f"{prefix}.{node.name}", path, node.lineno, sentence)


def find_place(name: str) -> Place:
    """Return the function whose qualified name ends with `name`.

    Raises WrongStop unless there's exactly one, and it has a docstring.
    """
    found = _ending_with(name)
    if len(found) != 1:
        names = [place.name for place in found or _ending_with(name.rpartition(".")[2])]
        raise WrongStop(f"{name} must be one function for TOURS in scripts/code_tour.py; there are {names}")
    if not found[0].sentence:
        raise WrongStop(f"{found[0].name} has no docstring, which the tour in docs/reference/code-tour.md shows")
    return found[0]


def _ending_with(name: str) -> list[Place]:
    return [place for qualified, place in definitions().items() if f".{qualified}".endswith(f".{name}")]


def check_order(tour: Tour, calls: list[str]) -> None:
    """Raise WrongStop unless the calls, by qualified name, include the tour's stops in order."""
    remaining = iter(calls)
    for scene in tour.scenes:
        for stop in scene.stops:
            name = find_place(stop.name).name
            if name not in remaining:  # this advances to the call
                raise WrongStop(f"{tour.title}: {name} isn't called after the stops before it")


def code_tour() -> str:
    """Return the tours as Markdown: a list of functions for each scene, with links to their lines."""
    parts = []
    for tour in TOURS.values():
        parts.append(f"### {tour.title}")
        number = 0
        for scene in tour.scenes:
            parts.append(scene.title)
            first, number = number + 1, number + len(scene.stops)
            parts.append("\n".join(_line(index, stop) for index, stop in enumerate(scene.stops, start=first)))
    return "\n\n".join(parts)


def _line(number: int, stop: Stop) -> str:
    place = find_place(stop.shown or stop.name)
    path = place.path.relative_to(ROOT).as_posix()
    name = place.name.removeprefix(f"{path.removesuffix('.py').replace('/', '.')}.")
    return f"{number}. [`{name}`]({SOURCE}{path}#L{place.line}) in `{path.rpartition('/')[0]}`: {place.sentence}"
