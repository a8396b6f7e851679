"""A ledger with data in every table and every kind of column."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf
from typing import Any

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.core.sentence import say
from bot.domain.integrity.digest import new_digest
from bot.domain.integrity.manifest import FileEntry, FileManifest
from bot.domain.monitoring.incident import TrippedBreaker
from bot.domain.monitoring.monitor import FrozenBaseline
from bot.domain.monitoring.readings import PushedReading
from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.time_series import DAY
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from bot.domain.transitions.restores import Hold, HoldKind
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.ledger import SqlLedger
from bot.ports import IdempotentCall, MessageRef, TagUpdate
from tests.support.monitoring.monitoring import add_monitor, check_values
from tests.support.passports.records import passport
from tests.support.services.approvals import AGENT_OF_BOB, open_by_agent
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, POLICY, Bench
from tests.support.services.fakes import FaultyRegistry, ManualClock


def open_bench(ledger: SqlLedger, registry: FaultyRegistry | None = None) -> Bench:
    """Return the services on this ledger, with a registry that has `churn` by default."""
    if registry is None:
        registry = FaultyRegistry()
        registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
        registry.set_alias("churn", "champion", 3)
    policy = validate_policy(POLICY | {"clients": {"claude": {"may": ["request"], "acts_for": "UBOB"}}})
    return Bench(ledger=ledger, registry=registry, clock=ManualClock(), policy=policy)


def populate(bench: Bench) -> None:
    """Have people request and decide, monitors fail, a rollback run, and someone transition a version in MLflow."""
    bench.watch.poll()
    for version in (2, 4):
        bench.clock.advance(hours=30)
        bench.approved(f'promote churn {version} production --reason "“Größer”, 10% better 🚀"')
        bench.moves.execute_due("churn")
    bench.reject(bench.open("promote churn 1 staging"), CAROL)
    open_by_agent(bench, AGENT_OF_BOB, "promote churn 1 production")
    bench.execute(BOB, build_command(FreezeModel, {"model": "fraud", "reason": "audit week"}))
    bench.clock.advance(minutes=10)
    add_monitor(bench)
    check_values(bench, 0.9, None, 0.5, 0.5)
    with bench.ledger.write() as tx:
        for standing in tx.monitor_states().values():
            tx.save_monitor_state(replace(standing, evidence=(0.1 + 0.2, -inf)))
    bench.registry.by_hand("churn", 1, Stage.PRODUCTION)
    bench.watch.poll()
    bench.do("rollback churn 3 --reason again", BOB)
    _what_comes_from_outside(bench)


def _what_comes_from_outside(bench: Bench) -> None:
    now = bench.clock.now()
    with bench.ledger.write() as tx:
        tx.add_readings(
            [
                PushedReading(
                    source="live",
                    model="churn",
                    version=4,
                    metric="f1",
                    at=now,
                    received_at=now,
                    value=0.1 + 0.2,
                    total=340.0,
                    client="ci",
                )
            ]
        )
        digest = new_digest("churn", 4, bench.registry.version("churn", 4).identity(), now)
        found = FileManifest.of([FileEntry("data/вес.bin", 5 * 10**12, "a" * 64)])
        tx.add_digest(replace(digest.record(found, now), began_at=now, compared_at=now, changed=("data/вес.bin",)))
        tx.add_passport(passport(tx.transitions("churn")[0], envelope='{"payload":"вес"}'))
        tx.add_idempotent_call(IdempotentCall(client="ci", key="k1", digest="d", status=200, answer="{}", at=now))
        tx.add_nonce("client:ci", "0123456789abcdef", now + timedelta(minutes=10))
        tx.trip_breaker(TrippedBreaker(model="churn", at=now, why=say("{n} in a day", n=3)))
        tx.save_serving_check(
            ServingCheck(
                move="m1",
                model="churn",
                version=4,
                lane="r1",
                asked_at=now,
                state=ServingCheckState.PENDING,
                next_at=now + timedelta(minutes=1),
            )
        )
        tx.add_hold(
            Hold(
                id="h1",
                kind=HoldKind.UNEXPLAINED,
                at=now,
                lines=(say("{n} found", n=1),),
                keys=("k",),
                lifted_at=now,
                lifted_by=DAVE.person,
                outcome="accepted",
            )
        )
        by_day: dict[str, Any] = {"same": (0.9,), "days": (7.0,), "expected": (0.9,), "worth": (7.0,)}
        summary = Baseline(
            covers=7 * DAY,
            start=0.0,
            window=DAY,
            day=DAY,
            size=288.0,
            low=0.1 + 0.2,
            high=1.0,
            weekend=0.0,
            weekend_worth=inf,
            noise=0.01,
            degrees=6.0,
            **by_day,
        )
        tx.save_baselines(
            [
                FrozenBaseline(
                    monitor="m1",
                    move="m1",
                    key="1 blocks",
                    since=now - timedelta(days=7),
                    until=now,
                    made_at=now,
                    summary=summary,
                )
            ]
        )
        tx.save_baselines(
            [
                FrozenBaseline(
                    monitor="m1",
                    move="m1",
                    key="1 default live",
                    since=now - timedelta(days=7),
                    until=now,
                    made_at=now,
                    summary=summary,
                )
            ],
            own=True,
        )
        tx.add_tag_update(TagUpdate(id="c1", model="churn", version=4, tags={"a": "b"}))
        note = bench.notes()[0]
        tx.take_channel_turn("C1", timedelta(seconds=1), now)
        tx.mark_delivered(note, MessageRef("C1", "1777000000.000100"))
    bench.open_ask(bench.ask("promote churn 2 staging", ALICE).id)
