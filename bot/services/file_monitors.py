"""Monitors of the policy file: taken up, changed and taken away in the ledger as the file says, and armed by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.domain.events import Event, Tag
from bot.domain.looks import BASELINE
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Monitor, Standing
from bot.domain.people import Automation
from bot.ports import Reading, Writing
from bot.services.context import Context

FILE = Automation("policy-file")

Wanted = dict[tuple[str, str], MonitorRule]  # by model and name


class FileMonitors:
    """Lets the ledger have the monitors that the policy file names, for every model that it knows."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def sync(self) -> int:
        """Write the differences down; return how many there were."""
        with self._it.ledger.read() as reading:
            if not self._differences(reading):
                return 0
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            tx.lock("monitors of the file")
            differences = self._differences(tx)
            for there, rule, key in differences:
                self._settle(tx, there, rule, key, now)
        return len(differences)

    def _differences(self, reading: Reading) -> list[tuple[Monitor | None, MonitorRule | None, tuple[str, str]]]:
        """Return what is to be changed: the monitor that is there, and what the file says of it."""
        wanted = self._wanted(reading)
        there = {(one.model, one.name): one for one in reading.monitors()}
        found: list[tuple[Monitor | None, MonitorRule | None, tuple[str, str]]] = []
        for key in sorted({*wanted, *(key for key, one in there.items() if one.is_from_file)}):
            now, rule = there.get(key), wanted.get(key)
            if now is None or not now.is_from_file or now.rule != rule:
                found.append((now, rule, key))
        return found

    def _wanted(self, reading: Reading) -> Wanted:
        policy = self._it.policy
        named = {pattern for pattern in policy.models if not set("*?[") & set(pattern)}
        models = {name for name in reading.looks() if name != BASELINE} | named
        return {(model, rule.name): rule for model in models for rule in policy.rules_for(model).monitors}

    def _settle(
        self, tx: Writing, there: Monitor | None, rule: MonitorRule | None, key: tuple[str, str], now: datetime
    ) -> None:
        if rule is None:
            assert there is not None
            tx.save_monitor(replace(there, removed_at=now))
            tx.append(_event(key, now, before=_said(there.rule), after=None))
            return
        if there is not None and there.is_from_file:
            tx.save_monitor(replace(there.changed(rule), created_at=now))
            tx.append(_event(key, now, before=_said(there.rule), after=_said(rule)))
            return
        if there is not None:  # somebody made one of this name in Slack; the file has its own review, and wins
            tx.save_monitor(replace(there, removed_at=now))
        monitor = Monitor(id=self._it.new_id(), model=key[0], rule=rule, created_at=now)
        tx.add_monitor(monitor)
        tx.save_standing(Standing(monitor=monitor.id, next_at=monitor.first_check(now)))
        tx.append(_event(key, now, before=_said(there.rule) if there else None, after=_said(rule)))


def _said(rule: MonitorRule) -> str:
    return rule.model_dump_json(exclude_defaults=True)


def _event(key: tuple[str, str], now: datetime, *, before: str | None, after: str | None) -> Event:
    model, name = key
    return Event(at=now, actor=FILE, tag=Tag.MONITORS_TAKEN, subject=f"{model} {name}", model=model, before=before,
                 after=after, origin="job")  # fmt: skip
