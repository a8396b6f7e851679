"""A check and a transition end at the same moment: the monitor continues with the next slot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.policy.monitor_config import MonitorConfig
from bot.ledger import SqlLedger


def test_a_stale_writer_does_not_reset_the_monitor_s_slot(ledger: SqlLedger) -> None:
    now = datetime.now(UTC)
    rule = MonitorConfig(name="accuracy", source="push", greater_than=0.85)
    seen_before = MonitorState(monitor="m1", slot=1, next_at=now)
    with ledger.write() as tx:
        tx.add_monitor(Monitor(id="m1", model="churn", created_at=now, rule=rule))
        tx.save_monitor_state(replace(seen_before, slot=2))  # the check
        tx.save_monitor_state(seen_before)  # the transition, which read the earlier state
    with ledger.read() as reading:
        assert reading.monitor_state("m1").slot == 2
