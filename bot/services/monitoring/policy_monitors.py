"""Monitors of the policy file: taken up, changed and taken away in the ledger as the file says, and armed by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Automation
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import Standing
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.transitions.drift import BASELINE
from bot.ports import Reading, Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import said_note, thread_note
from bot.services.core.threads import thread_of

FILE = Automation("policy-file")

Wanted = dict[tuple[str, str], MonitorRule]  # by model and name


@dataclass(frozen=True, slots=True)
class _Difference:
    """A monitor as the ledger has it, and what the file says of it; one of them may be missing."""

    model: str
    name: str
    there: Monitor | None
    rule: MonitorRule | None

    @property
    def after(self) -> Monitor | None:
        """The monitor with the file's rule, if an earlier version took `blocks` because the file sets none."""
        there, rule = self.there, self.rule
        if there is None or rule is None or not there.is_from_file or rule.says_its_rule:
            return None
        return replace(there, rule=rule) if (there.rule.rule, rule.rule) == ("blocks", "default") else None

    @property
    def is_default_only(self) -> bool:
        """Tell whether that's the only difference: what it has found by `blocks` stays true."""
        is_same = self.there and self.rule == self.there.rule.model_copy(update={"rule": "default"})
        return bool(is_same and self.after)


class FileMonitors:
    """Lets the ledger have the monitors that the policy file names, for every model that it knows."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def sync(self) -> int:
        """Write the differences down, and tell which monitors are judged by `default` now; return how many there were.

        A monitor that an earlier version judged by `blocks`, since the file says no rule, stays armed. If nothing else
        is different, its standing and its incident continue.
        """
        with self._it.ledger.read() as reading:
            if not self._differences(reading):
                return 0
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            tx.lock("monitors of the file")
            differences = self._differences(tx)
            told_in = self._tell(tx, [after for one in differences if (after := one.after)])
            for one in differences:
                self._settle(tx, one, now, told_in.get(one.model, "") if one.after else "")
        return len(differences)

    def _differences(self, reading: Reading) -> list[_Difference]:
        wanted = self._wanted(reading)
        there = {(one.model, one.name): one for one in reading.monitors()}
        found: list[_Difference] = []
        for key in sorted({*wanted, *(key for key, one in there.items() if one.is_from_file)}):
            now, rule = there.get(key), wanted.get(key)
            if now is None or not now.is_from_file or now.rule != rule:
                found.append(_Difference(*key, now, rule))
        return found

    def _wanted(self, reading: Reading) -> Wanted:
        policy = self._it.policy
        named = {pattern for pattern in policy.models if not set("*?[") & set(pattern)}
        models = {name for name in reading.looks() if name != BASELINE} | named
        return {(model, rule.name): rule for model in models for rule in policy.rules_for(model).monitors}

    def _tell(self, tx: Writing, monitors: Sequence[Monitor]) -> dict[str, str]:
        """Say which monitors are judged by `default` now; return the lane of each model's message.

        It's one message in the thread of the promotion to Production. Models without such a thread share one message
        in their channel, since the file may name a monitor for hundreds of models.
        """
        together: dict[tuple[str | None, str], list[Monitor]] = defaultdict(list)
        for one in monitors:
            together[thread_of(tx, one.model), self._it.policy.channel_for(one.model)].append(one)
        told_in: dict[str, str] = {}
        for (thread, channel), some in together.items():
            sentence, key = monitor_messages.judged_by_default(some), f"default:{self._it.new_id()}"
            note = thread_note(thread, key, sentence) if thread else said_note(key, channel, sentence)
            tx.add_note(note)
            told_in |= {one.model: note.lane for one in some}
        return told_in

    def _settle(self, tx: Writing, one: _Difference, now: datetime, told_in: str) -> None:
        there, rule = one.there, one.rule
        before, after = (_said(it) if it else None for it in (there.rule if there else None, rule))
        tx.append(
            Event(
                at=now,
                actor=FILE,
                tag=Tag.MONITORS_TAKEN,
                subject=f"{one.model} {one.name}",
                model=one.model,
                before=before,
                after=after,
                origin="job",
                evidence={"told_in": told_in} if told_in else {},
            )
        )
        if there is not None and rule is not None and there.is_from_file:
            tx.save_monitor(
                replace(there, rule=rule) if one.is_default_only else replace(there.changed(rule), created_at=now)
            )
            return
        if there is not None:  # somebody made one of this name in Slack; the file has its own review, and wins
            tx.save_monitor(replace(there, removed_at=now))
        if rule is not None:
            monitor = Monitor(id=self._it.new_id(), model=one.model, rule=rule, created_at=now)
            tx.add_monitor(monitor)
            tx.save_standing(Standing(monitor=monitor.id, next_at=monitor.first_check(now)))


def _said(rule: MonitorRule) -> str:
    return rule.model_dump_json(exclude_defaults=True)
