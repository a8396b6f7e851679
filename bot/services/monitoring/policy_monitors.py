"""Monitors of the policy file: taken up, changed and taken away in the ledger as the file says, and armed by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import MonitorState
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY
from bot.ports import LedgerReader, LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message, thread_message
from bot.services.core.threads import production_thread

POLICY_FILE_AUTOMATION = Automation("policy-file")

WantedRules = dict[tuple[str, str], MonitorConfig]  # by model and name


@dataclass(frozen=True, slots=True)
class _Difference:
    """A monitor as the ledger has it, and what the file says of it; one of them may be missing."""

    model: str
    name: str
    current: Monitor | None
    rule: MonitorConfig | None

    @property
    def with_default_rule(self) -> Monitor | None:
        """The monitor with the file's rule, if an earlier version took `blocks` because the file sets none."""
        there, rule = self.current, self.rule
        if there is None or rule is None or not there.is_from_file or rule.has_explicit_rule:
            return None
        return replace(there, rule=rule) if (there.rule.rule, rule.rule) == ("blocks", "default") else None

    @property
    def is_default_only(self) -> bool:
        """Tell whether that's the only difference: what it has found by `blocks` stays true."""
        is_same = self.current and self.rule == self.current.rule.model_copy(update={"rule": "default"})
        return bool(is_same and self.with_default_rule)


class PolicyMonitors:
    """Lets the ledger have the monitors that the policy file names, for every model that it knows."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def sync(self) -> int:
        """Write the differences down, and tell which monitors are judged by `default` now; return how many there were.

        A monitor that an earlier version judged by `blocks`, since the file says no rule, stays armed. If nothing else
        is different, its standing and its incident continue.
        """
        with self._context.ledger.read() as reading:
            if not self._differences(reading):
                return 0
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            tx.lock("monitors of the file")
            differences = self._differences(tx)
            told_in = self._announce_default_rule(
                tx, [after for one in differences if (after := one.with_default_rule)]
            )
            for one in differences:
                self._apply(tx, one, now, told_in.get(one.model, "") if one.with_default_rule else "")
        return len(differences)

    def _differences(self, reader: LedgerReader) -> list[_Difference]:
        wanted = self._wanted_rules(reader)
        there = {(one.model, one.name): one for one in reader.monitors()}
        found: list[_Difference] = []
        for key in sorted({*wanted, *(key for key, one in there.items() if one.is_from_file)}):
            now, rule = there.get(key), wanted.get(key)
            if now is None or not now.is_from_file or now.rule != rule:
                found.append(_Difference(*key, now, rule))
        return found

    def _wanted_rules(self, reader: LedgerReader) -> WantedRules:
        policy = self._context.policy
        named = {pattern for pattern in policy.models if not set("*?[") & set(pattern)}
        models = {name for name in reader.registry_snapshots() if name != REGISTRY_SEEN_KEY} | named
        return {(model, rule.name): rule for model in models for rule in policy.rules_for(model).monitors}

    def _announce_default_rule(self, tx: LedgerTransaction, monitors: Sequence[Monitor]) -> dict[str, str]:
        """Say which monitors are judged by `default` now; return the lane of each model's message.

        It's one message in the thread of the promotion to Production. Models without such a thread share one message
        in their channel, since the file may name a monitor for hundreds of models.
        """
        together: dict[tuple[str | None, str], list[Monitor]] = defaultdict(list)
        for one in monitors:
            together[production_thread(tx, one.model), self._context.policy.channel_for(one.model)].append(one)
        told_in: dict[str, str] = {}
        for (thread, channel), some in together.items():
            sentence, key = monitor_messages.judged_by_default(some), f"default:{self._context.new_id()}"
            note = thread_message(thread, key, sentence) if thread else channel_message(key, channel, sentence)
            tx.add_message(note)
            told_in |= {one.model: note.lane for one in some}
        return told_in

    def _apply(self, tx: LedgerTransaction, difference: _Difference, now: datetime, announced_in: str) -> None:
        there, rule = difference.current, difference.rule
        before, after = (_rule_json(it) if it else None for it in (there.rule if there else None, rule))
        tx.add_audit_event(
            Event(
                at=now,
                actor=POLICY_FILE_AUTOMATION,
                tag=EventTag.POLICY_MONITORS_LOADED,
                subject=f"{difference.model} {difference.name}",
                model=difference.model,
                before=before,
                after=after,
                origin="job",
                evidence={"told_in": announced_in} if announced_in else {},
            )
        )
        if there is not None and rule is not None and there.is_from_file:
            tx.save_monitor(
                replace(there, rule=rule)
                if difference.is_default_only
                else replace(there.with_rule(rule), created_at=now)
            )
            return
        if there is not None:  # somebody made one of this name in Slack; the file has its own review, and wins
            tx.save_monitor(replace(there, removed_at=now))
        if rule is not None:
            monitor = Monitor(id=self._context.new_id(), model=difference.model, rule=rule, created_at=now)
            tx.add_monitor(monitor)
            tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=monitor.first_check_at(now)))


def _rule_json(rule: MonitorConfig) -> str:
    return rule.model_dump_json(exclude_defaults=True)
