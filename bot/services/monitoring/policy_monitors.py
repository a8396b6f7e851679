"""Syncs the ledger with the monitors in the policy file: adds, changes, and removes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.policy.monitor_config import RULE_IF_UNSET, RULE_IF_UNSET_BEFORE, MonitorConfig
from bot.ports import LedgerReader, LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message, production_thread, thread_message

POLICY_FILE_AUTOMATION = Automation("policy-file")

WantedRules = dict[tuple[str, str], MonitorConfig]  # by model and name


@dataclass(frozen=True, slots=True)
class _Difference:
    """A monitor in the ledger and its rule in the policy file; one of them can be missing."""

    model: str
    name: str
    current: Monitor | None
    rule: MonitorConfig | None

    @property
    def with_default_rule(self) -> Monitor | None:
        """The monitor with the file's settings if they set no rule and its rule is an old default; otherwise, None."""
        current, rule = self.current, self.rule
        if current is None or rule is None or not current.is_from_file or rule.has_explicit_rule:
            return None
        return (
            replace(current, rule=rule)
            if (current.rule.rule, rule.rule)
            == (
                RULE_IF_UNSET_BEFORE,
                RULE_IF_UNSET,
            )
            else None
        )

    @property
    def is_default_only(self) -> bool:
        """Whether the default rule is the only difference, so that the monitor's state still applies."""
        is_same = self.current and self.rule == self.current.rule.model_copy(update={"rule": RULE_IF_UNSET})
        return bool(is_same and self.with_default_rule)


class PolicyMonitors:
    """Applies the policy file's monitors to every known model."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def sync(self) -> int:
        """Save the differences, and announce the monitors whose default rule changed; return the number saved.

        If the file sets no rule and an earlier release used a different default, the monitor stays armed. If nothing
        else differs, its state and its incident continue.
        """
        with self._context.ledger.read() as reader:
            if not self._differences(reader):
                return 0
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            tx.lock("monitors of the file")
            differences = self._differences(tx)
            announced_in = self._announce_default_rule(
                tx, [after for difference in differences if (after := difference.with_default_rule)]
            )
            for difference in differences:
                self._apply(
                    tx, difference, now, announced_in.get(difference.model, "") if difference.with_default_rule else ""
                )
        return len(differences)

    def _differences(self, reader: LedgerReader) -> list[_Difference]:
        wanted_rules = self._wanted_rules(reader)
        current = {(monitor.model, monitor.name): monitor for monitor in reader.monitors()}
        differences: list[_Difference] = []
        for key in sorted({*wanted_rules, *(key for key, monitor in current.items() if monitor.is_from_file)}):
            now, rule = current.get(key), wanted_rules.get(key)
            if now is None or not now.is_from_file or now.rule != rule:
                differences.append(_Difference(*key, now, rule))
        return differences

    def _wanted_rules(self, reader: LedgerReader) -> WantedRules:
        policy = self._context.policy
        literal_names = {pattern for pattern in policy.models if not set("*?[") & set(pattern)}
        models = {*reader.model_names(), *literal_names}
        return {(model, rule.name): rule for model in models for rule in policy.rules_for(model).monitors}

    def _announce_default_rule(self, tx: LedgerTransaction, monitors: Sequence[Monitor]) -> dict[str, str]:
        """Announce the monitors whose default rule changed; return the ordering key of each model's message.

        Each model gets one message in the thread of its promotion to Production. Models without such a thread share one
        message in their channel, because the file may define a monitor for hundreds of models.
        """
        by_thread: dict[tuple[str | None, str], list[Monitor]] = defaultdict(list)
        for monitor in monitors:
            by_thread[production_thread(tx, monitor.model), self._context.policy.channel_for(monitor.model)].append(
                monitor
            )
        announced_in: dict[str, str] = {}
        for (thread, channel), group in by_thread.items():
            sentence, key = monitor_messages.judged_by_default(group), f"default:{self._context.new_id()}"
            note = thread_message(thread, key, sentence) if thread else channel_message(key, channel, sentence)
            tx.add_message(note)
            announced_in |= {monitor.model: note.lane for monitor in group}
        return announced_in

    def _apply(self, tx: LedgerTransaction, difference: _Difference, now: datetime, announced_in: str) -> None:
        current, rule = difference.current, difference.rule
        before, after = (
            config.model_dump_json(exclude_defaults=True) if config else None
            for config in (current.rule if current else None, rule)
        )
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
        if current is not None and rule is not None and current.is_from_file:
            tx.save_monitor(
                replace(current, rule=rule)
                if difference.is_default_only
                else replace(current.with_rule(rule), created_at=now)
            )
            return
        if current is not None:  # someone added it in Slack; the reviewed file takes precedence
            tx.save_monitor(replace(current, removed_at=now))
        if rule is not None:
            monitor = Monitor(id=self._context.new_id(), model=difference.model, rule=rule, created_at=now)
            tx.add_monitor(monitor)
            tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=monitor.first_check_at(now)))
