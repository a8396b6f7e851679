"""Write a ledger with a year of ordinary work, and exactly the violations that a plan lists.

    python scripts/evidence_year.py PLAN.json --ledger sqlite:///year.db --seed 7

The ledger must exist and be empty (`registrar db upgrade`); an SQLite file is created. `registrar audit evidence` must
then report the planned violations, and nothing else.

The plan is a JSON list of objects:

    {"kind": "self_approval", "at": "2026-03-04T10:00:00+00:00", "model": "churn"}

`kind` is a kind of exception (docs/reference/evidence.md), or `cut_off`, which is reported as `chain_fault`. `at` is
the time in the year when it begins. `model` can be omitted; it's ignored for `chain_fault`, `numbering_gap`,
`anchor_mismatch`, and `cut_off`, which alter the audit log near `at` after the whole log has been written. A plan can
contain at most one of the last two. `--anchors FILE` writes the anchors that the bot would have written each day;
`anchor_mismatch` needs them.

The year begins on January 1, 2026. `--days` sets its length, and `--models` sets how many models it has. The ledger
continues for ten days after the year and its last violation, so that reviews that weren't done are overdue.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bot.domain.audit.anchors import serialize_anchor
from bot.ledger import SqlLedger
from scripts.evidence_tampering import LOG_TAMPERING, ROW_TAMPERING, tamper_with_log, tamper_with_row
from scripts.evidence_work import FLOWS, PLANTED, marked_promotion
from scripts.evidence_world import Flow, World

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TAIL = timedelta(days=10)
STEPS_AT_ONCE = 200  # in one transaction


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the year."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--anchors", type=Path)
    given = parser.parse_args(arguments)
    plan = json.loads(given.plan.read_text(encoding="utf-8"))
    write_year(given.ledger, plan, seed=given.seed, days=given.days, models=given.models, anchors=given.anchors)


def write_year(
    url: str, plan: list[dict[str, Any]], *, seed: int, days: int = 365, models: int = 12, anchors: Path | None = None
) -> None:
    """Write a year to the ledger at `url`. The same arguments give the same ledger."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret
    planted = [_read(entry, chance, models) for entry in plan]
    names = sorted({f"model-{number:02}" for number in range(models)} | {entry["model"] for entry in planted})
    world = World(chance, START - timedelta(minutes=1))  # so that it isn't there already in the year's first moment
    agenda = [*_ordinary(chance, world, names, days), *_planned(world, planted)]
    end = max([START + days * DAY, *(entry["at"] for entry in planted)])
    with closing(SqlLedger(url)) as ledger:
        ledger.migrate()
        with ledger.write() as tx:
            world.begin(tx, names)
        _run(ledger, world, [*agenda, *_quiet_days(world, range((end - START).days))], anchors)
        after = (max(end, world.now) - START).days + 1  # what was planned can have had to wait
        _run(ledger, world, [*_quiet_days(world, range(after, after + TAIL.days))], anchors)
        with ledger.write() as tx:
            world.read_registry(tx, {one["model"]: one["at"] for one in planted if one["kind"] == "registry_differs"})
    for entry in planted:
        if entry["kind"] in ROW_TAMPERING:
            tamper_with_row(url, entry["kind"], world.pick(entry["model"], entry["at"]))
    used: set[int] = set()
    for entry in sorted(planted, key=lambda one: LOG_TAMPERING.get(one["kind"], 0)):
        if entry["kind"] in LOG_TAMPERING:
            tamper_with_log(url, entry["kind"], entry["at"], used)


def _read(entry: dict[str, Any], chance: random.Random, models: int) -> dict[str, Any]:
    kind, at = entry["kind"], datetime.fromisoformat(entry["at"])
    if kind not in {*PLANTED, *ROW_TAMPERING, *LOG_TAMPERING, "registry_differs"}:
        raise SystemExit(f"unknown kind: {kind}")
    model = entry.get("model") or f"model-{chance.randrange(models):02}"
    return {"kind": kind, "at": at if at.tzinfo else at.replace(tzinfo=UTC), "model": model}


def _ordinary(chance: random.Random, world: World, names: list[str], days: int) -> Iterator[tuple[datetime, Flow]]:
    """Yield what people and monitors do on ordinary days, each with its start time."""
    kinds, weights = zip(*((flow, weight) for flow, weight in FLOWS.items()), strict=True)
    for day, model in itertools.product(range(days), names):
        if chance.random() < 0.7:
            at = START + day * DAY + chance.randrange(24 * 60) * timedelta(minutes=1)
            yield at, world.when_free(model, at, chance.choices(kinds, weights)[0], is_optional=True)


def _planned(world: World, planted: list[dict[str, Any]]) -> Iterator[tuple[datetime, Flow]]:
    for entry in planted:
        # A tampered row is one of an ordinary promotion.
        flow: Callable[..., Flow] | None = PLANTED.get(entry["kind"])
        if entry["kind"] in ROW_TAMPERING or entry["kind"] == "registry_differs":
            flow = marked_promotion(entry["at"])
        if flow:
            yield entry["at"], world.when_free(entry["model"], entry["at"], flow)


def _quiet_days(world: World, days: range) -> Iterator[tuple[datetime, Flow]]:
    """Yield the flow of everyday events for each day, with its start time."""
    return ((START + day * DAY, world.quiet_day(START + day * DAY)) for day in days)


def _run(ledger: SqlLedger, world: World, agenda: list[tuple[datetime, Flow]], anchors: Path | None) -> None:
    """Run all flows step by step, in chronological order."""
    order = itertools.count()
    steps = [(at, next(order), flow) for at, flow in agenda]
    heapq.heapify(steps)
    anchored = world.now
    while steps:
        with ledger.write() as tx:
            world.tx = tx
            for _ in range(STEPS_AT_ONCE):
                if not steps:
                    break
                world.now, _, flow = heapq.heappop(steps)
                following = next(flow, None)
                if following is not None:
                    heapq.heappush(steps, (max(following, world.now), next(order), flow))
        if anchors and world.now - anchored > DAY:
            anchored = world.now
            with ledger.read() as reader, anchors.open("a", encoding="utf-8") as file:
                file.write(serialize_anchor(reader.audit_head(), anchored))


if __name__ == "__main__":
    main()
