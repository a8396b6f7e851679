"""Rollbacks of a model whose Production changed twice."""

from __future__ import annotations

import pytest

from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn
from tests.support.services.bench import Bench

ROLL_BACK = 'rollback churn --reason "accuracy fell"'


@pytest.fixture
def served(bench: Bench) -> Bench:
    """Return a bench whose `churn` had v3, then v2, then v4 in Production."""
    bench.watch.poll()
    for version in (2, 4):
        bench.clock.advance(hours=30)
        bench.approved(f"promote churn {version} production")
        bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]
    return bench


def package_with_input(kind: str) -> ModelPackage:
    return ModelPackage(flavors=("sklearn",), signature=Signature(inputs=(SignatureColumn(name="tenure", type=kind),)))
