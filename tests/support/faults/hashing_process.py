"""A process that only hashes files: LEDGER-URL MLFLOW-URI BYTES-PER-SECOND."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from bot.domain.integrity.digest import VersionDigest
from bot.domain.policy.parser import validate_policy
from bot.ledger import SqlLedger
from bot.ports import SYSTEM_CLOCK, LedgerTransaction
from bot.process_identity import new_process_name
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.core.context import ActivePolicy, Context
from bot.services.integrity.digests import DigestLimits, Digests

POLICY = {
    "channel": "#ml",
    "roles": {"lead": ["UBOB"]},
    "models": {"*": {"production": {"approvers": ["lead"]}}},
}


@contextmanager
def hashing(
    ledger_url: str,
    mlflow_uri: str,
    rate: int = 10**9,
    on_recorded: Callable[[LedgerTransaction, VersionDigest], object] = lambda *_: None,
) -> Iterator[tuple[Context, Digests]]:
    """Open the ledger and MLflow, and return what hashes files with them."""
    ledger, registry = SqlLedger(ledger_url, timeout=20), MlflowRegistry(mlflow_uri)
    context = Context(
        ledger=ledger,
        registry=registry,
        tracker=registry.tracker,
        active_policy=ActivePolicy(validate_policy(POLICY)),
        clock=SYSTEM_CLOCK,
        owner=new_process_name(),
    )
    limits = DigestLimits(rate=rate, max_bytes=10**12, recheck=timedelta(hours=24))
    try:
        yield context, Digests(context, limits, on_recorded=on_recorded, on_changed=on_recorded)
    finally:
        registry.close()
        ledger.close()


if __name__ == "__main__":
    with hashing(sys.argv[1], sys.argv[2], int(sys.argv[3])) as (_, digests):
        digests.run_due()
