"""Requests whose gates pass or fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Caller
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Signature, SignatureColumn, Stage
from tests.support.services.bench import BOB, DAVE, POLICY, Bench

ACCURATE: Mapping[str, Any] = {"metric": "accuracy", "at_least": 0.85}


NO_WORSE: Mapping[str, Any] = {"metric": "f1", "not_worse_than_incumbent_by": 0.01}


FRAUD = "promote fraud 2 production"


SIGNATURE = Signature(inputs=(SignatureColumn(name="age", type="long"),))


GOOD = {"accuracy": 0.9, "f1": 0.8}


def set_gates(bench: Bench, *gates: Mapping[str, Any], **production: Any) -> None:
    """Apply these gates and this rule to Production of every model."""
    rule = {"approvers": ["lead"], "gates": list(gates)} | production
    models = {"*": {"staging": {"approvers": ["lead"]}, "production": rule}}
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": models}), "edited")


def measure(bench: Bench, version: int, **metrics: float) -> None:
    """Set the metrics of a version of `fraud`."""
    bench.registry.add_run(f"run{version}", metrics=metrics)


@pytest.fixture
def fraud(bench: Bench) -> Bench:
    """Return the bench with a model `fraud`: v1 in Production and v2 in no stage, with equal metrics."""
    bench.registry.add_model("fraud")
    for version, stage in ((1, Stage.PRODUCTION), (2, Stage.NONE)):
        measure(bench, version, **GOOD)
        bench.registry.add_version("fraud", stage=stage, run_id=f"run{version}")
    return bench


@pytest.fixture
def blocked(fraud: Bench) -> Request:
    """Return an open request whose version isn't accurate enough; an admin can override the gate."""
    set_gates(fraud, ACCURATE, override=["admin"])
    measure(fraud, 2, accuracy=0.83)
    return fraud.open(FRAUD)


def override_gates(bench: Bench, request: Request, who: Caller = DAVE, reason: str = "known") -> Request:
    return bench.override(request, who, reason).request


def withdraw(bench: Bench, request: Request, who: Caller = BOB) -> int:
    return bench.withdraw(request, who).approvals


def run_transition(bench: Bench, request: Request) -> Request:
    """Make the transition of an approved request, and return the ended request."""
    bench.moves.execute_due(request.model)
    return bench.now(request)


def events(bench: Bench, tag: EventTag) -> list[Event]:
    return [event for event in bench.events() if event.tag is tag]
