"""The model's registry: versions, stages, aliases, and external changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from bot.domain.core.errors import RegistryRefused, RegistryUnreachable, UnknownVersion
from tests.state_machine.records import (
    ACCURACY,
    ALIASES,
    ARCHIVED,
    AT_LEAST,
    F1,
    MARGIN,
    NONE,
    NOT_BLOCKED,
    PRODUCTION,
    AskRecord,
    DriftRecord,
    ExternalChange,
    Freeze,
    InjectedFault,
    InternalFault,
    Observation,
    ProcessDied,
    Request,
    Rule,
    Told,
    TransitionRecord,
)


class RegistryModel:
    """Versions with their stages and aliases, and changes to them."""

    def __init__(self, now: datetime, models: Sequence[str]) -> None:
        self.now = now
        self.stages: dict[str, dict[int, str]] = {model: {} for model in models}
        self.made: dict[str, dict[int, int]] = {model: {} for model in models}  # which version each number identifies
        self.highest: Counter[str] = Counter()
        self.number_made = 0
        self.aliases: dict[str, dict[str, int]] = {model: {} for model in models}
        self.metrics: dict[tuple[str, int], dict[str, float]] = {}
        self.changes: Counter[str] = Counter()
        self.down = False
        self.rules: dict[tuple[str, str], Rule] = {}
        self.gone: set[str] = set()  # people with deactivated accounts
        # blocked versions: when each was rolled back, and which version had the number then
        self.bars: dict[tuple[str, int], tuple[datetime, int | None]] = {}
        self.known: dict[tuple[str, str, int, int | None], datetime] = {}  # by process: when a version was checked
        self.freezes: list[Freeze] = []
        self.asks: dict[str, AskRecord] = {}
        self.requests: dict[str, Request] = {}
        self.moves: dict[str, list[TransitionRecord]] = {model: [] for model in models}
        self.past: dict[str, list[TransitionRecord | DriftRecord]] = {model: [] for model in models}
        self.left: dict[str, list[tuple[TransitionRecord, int]]] = {}  # by process: claimed, then interrupted by a bug
        self.looks: dict[str, Observation] = {}
        self.has_polled = False
        self.mishaps: list[InjectedFault] = []
        self.told: list[Told] = []
        self.process = ""  # the process that runs transitions now
        self.overtake: Callable[[str], None] = lambda model: None

    # -- the registry ----------------------------------------------------------------------------------------------

    @contextmanager
    def asking(self, call: str, model: str) -> Iterator[None]:
        """Simulate one call to the registry, with the faults that are scheduled for it."""
        self._happens("before", call, model)
        if self.down:
            raise RegistryUnreachable("")
        yield
        self._happens("after", call, model)

    def _happens(self, when: str, call: str, model: str) -> None:
        mishap = next((one for one in self.mishaps if (one.when, one.call) == (when, call)), None)
        if mishap:
            self.mishaps.remove(mishap)
            self._strike(mishap.what, model)

    def _strike(self, what: str | ExternalChange, model: str) -> None:
        if isinstance(what, ExternalChange):
            self.by_hand(what)
        elif what == "overtaken":
            self.overtake(model)
        else:
            raise strike(what)

    def holders(self, model: str, stage: str) -> list[int]:
        """Return the versions in a stage, newest first."""
        return sorted((number for number, held in self.stages[model].items() if held == stage), reverse=True)

    def add(self, model: str, stage: str, figures: dict[str, float]) -> None:
        """Register a version."""
        self.highest[model] += 1
        self.number_made += 1
        number = self.highest[model]
        self.stages[model][number], self.made[model][number] = stage, self.number_made
        self.metrics[model, number] = figures
        self.changes[model] += 1

    def clear(self, model: str) -> None:
        """Delete a model, and create it again without versions."""
        self.stages[model], self.made[model], self.aliases[model], self.highest[model] = {}, {}, {}, 0
        self.metrics = {key: figures for key, figures in self.metrics.items() if key[0] != model}
        self.changes[model] += 1

    def replace(self, model: str, version: int) -> None:
        """Replace a version with another one that has the same number and metrics."""
        self.number_made += 1
        self.made[model][version] = self.number_made
        self.changes[model] += 1

    def swap(self, one: str, other: str) -> None:
        """Swap the names of two models."""
        names = {one: other, other: one}
        tables: list[dict[str, Any]] = [self.stages, self.made, self.aliases, self.highest]
        for table in tables:
            table[one], table[other] = table[other], table[one]
        self.metrics = {(names[model], number): figures for (model, number), figures in self.metrics.items()}
        self.changes.update([one, other])

    def by_hand(self, hand: ExternalChange) -> None:
        """Move or delete a version directly in MLflow. Do nothing if it doesn't exist."""
        if hand.version not in self.stages[hand.model]:
            return
        if hand.stage is None:
            del self.stages[hand.model][hand.version], self.made[hand.model][hand.version]
            names = self.aliases[hand.model]
            self.aliases[hand.model] = {alias: v for alias, v in names.items() if v != hand.version}
            self.changes[hand.model] += 1
        else:
            self._put(hand.model, hand.version, hand.stage, hand.archive)

    def _put(self, model: str, version: int, stage: str, archive: bool) -> None:
        if version not in self.stages[model]:
            raise UnknownVersion("")
        for other in self.holders(model, stage) if archive and stage in ALIASES else []:
            self.stages[model][other] = ARCHIVED
        self.stages[model][version] = stage
        self.changes[model] += 1

    def _fails(self, rule: Rule, model: str, version: int, incumbent: int | None, told: dict[str, float]) -> set[str]:
        """Return the gates that fail. `told` has the requester's results, used for metrics that the run lacks."""
        value = told | self.metrics[model, version]
        before = self.metrics[model, incumbent] if incumbent is not None else {}
        failed = set()
        if ACCURACY in rule.gates and value.get(ACCURACY, 0) < AT_LEAST:
            failed.add(ACCURACY)
        if F1 in rule.gates:
            is_worse = incumbent is not None and (F1 not in before or value.get(F1, 0) < before[F1] - MARGIN - 1e-9)
            if F1 not in value or is_worse:
                failed.add(F1)
        if self.is_blocked(model, version):
            failed.add(NOT_BLOCKED)
        return failed

    def is_blocked(self, model: str, version: int) -> bool:
        """Return whether this version was rolled back, rather than an earlier one with its number."""
        _, out = self.bars.get((model, version), (None, 0))
        return out is None or out == self.made[model].get(version)

    def last(self, model: str) -> TransitionRecord | DriftRecord | None:
        """Return the last change to Production that the ledger has, or None."""
        past = [one for one in self.past[model] if one.state == "done" and PRODUCTION in one.stages]
        return past[-1] if past else None

    def poll(self) -> str:
        """Check every model that changed and has no transition in progress."""
        with self.asking("models", ""):
            pass
        for model in sorted(self.stages):
            before = self.looks.get(model)
            is_first = before is None and not self.has_polled
            if before and (before.change, before.aliases) == (self.changes[model], self.aliases[model]):
                continue
            is_busy = any(one.is_begun for one in self.moves[model])
            if is_busy and not is_first:
                continue
            with self.asking("versions", model):
                look = Observation(
                    self.now,
                    dict(self.stages[model]),
                    dict(self.aliases[model]),
                    self.changes[model],
                    dict(self.made[model]),
                )
            if not is_busy:
                found = self._observed(model, look)
                self.past[model] = found + self.past[model] if is_first else self.past[model] + found
            self.looks[model] = look
        self.has_polled = True
        return "polled"

    def _observed(self, model: str, look: Observation) -> list[TransitionRecord | DriftRecord]:
        """Return the changes to Production that others made."""
        held = sorted((number for number, stage in look.stages.items() if stage == PRODUCTION), reverse=True)
        last = self.last(model)
        known = last.version if last and last.stages[1] == PRODUCTION else None
        if last and known in held:
            if last.made == look.made[last.version]:
                return []
            held = [last.version]
        elif known is None:  # all of them serve; the one with the alias is current, so it's last
            named = look.aliases.get(ALIASES[PRODUCTION])
            held = sorted(held, key=lambda one: (one == named, one))
        elif not held:
            gone_to = look.stages.get(known, NONE)
            return [DriftRecord(self.now, known, (PRODUCTION, gone_to), look.made.get(known))]
        else:
            held = held[:1]
        return [DriftRecord(self.now, one, (NONE, PRODUCTION), look.made[one]) for one in held]

    def _tell(self, tag: str, who: str, about: str, more: object = None) -> None:
        self.told.append((tag, who, about, more))


def strike(what: str) -> BaseException:
    """Return the exception for a fault."""
    errors: dict[str, BaseException] = {
        "dies": ProcessDied(),
        "stumbles": InternalFault(),
        "away": RegistryUnreachable("It does not answer."),
        "refuses": RegistryRefused("It says no."),
    }
    return errors[what]
