"""Making versions out of runs, and proposing their semver."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.domain import semver, words
from bot.domain.card import algorithm_of
from bot.domain.commands import Register
from bot.domain.directions import is_better
from bot.domain.errors import Busy, UnknownRun
from bot.domain.events import Event, Tag
from bot.domain.registry import ASK_TAG, SEMVER, Package, RunInfo, Stage, VersionInfo
from bot.domain.semver import Base, Build, Proposal, highest, parse_semver
from bot.domain.text import Name, say
from bot.ports import Ask, Writing
from bot.services.context import Context
from bot.services.errands import Done, end
from bot.services.watch import announce

PATIENCE = 5.0  # seconds that one waits for another process; then the ask is tried again later
AGAIN = 0.2  # seconds until it is looked whether the other one is through
LEASE = timedelta(seconds=90)  # longer than the registry's time limits for the few calls of one registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new version, its proposal, the older version of the same run, and whether its model could be read."""

    version: VersionInfo
    proposal: Proposal
    again: int | None
    has_model: bool


class Registration:
    """Registers versions."""

    def __init__(self, context: Context) -> None:
        self._it = context
        self._locks: Mapping[str, threading.Lock] = defaultdict(threading.Lock)

    def carry_out(self, ask: Ask, command: Register) -> Done:
        """Register what was asked for, write it into the audit and let the channel hear of it. See `Hand`."""
        made = self.register(command, key=ask.id)
        answer = words.registered(
            made.version.model, made.version.version, made.proposal, again=made.again, has_model=made.has_model
        )
        with self._it.ledger.write() as tx:
            if end(tx, ask, str(answer)):
                self._write_down(tx, ask, made)
        return Done(answer=answer)

    def register(self, command: Register, *, key: str) -> Registered:
        """Make the version unless the first try with this key has, and give it its semver.

        Raises UnknownRun, BadInput, RegistryRefused, RegistryUnreachable.
        """
        run = self._it.registry.runs([command.run_id]).get(command.run_id)
        if run is None or run.is_deleted:
            raise UnknownRun(
                say("MLflow has no run {run}. Copy its id from the run's page.", run=Name(command.run_id))
                if run is None
                else say("Run {run} is deleted in MLflow; restore it first.", run=Name(command.run_id))
            )
        # Two that are registered at once would be given the same semver, whether here or by another process.
        with self._locks[command.model], self._alone(command.model):
            return self._register(command, run, key)

    @contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        """Wait until no other process registers a version of this model. Raises Busy where one does for long."""
        name = f"register:{model}"
        until = time.monotonic() + PATIENCE
        while not self._take(name):
            if time.monotonic() > until:
                raise Busy(say("Another version of {model} is being registered at this moment.", model=Name(model)))
            time.sleep(AGAIN)
        try:
            yield
        finally:
            with self._it.ledger.write() as tx:
                tx.give_lease(name, self._it.owner)

    def _take(self, name: str) -> bool:
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            return tx.take_lease(name, self._it.owner, now, now + LEASE)

    def _register(self, command: Register, run: RunInfo, key: str) -> Registered:
        others = self._it.registry.versions(command.model)
        made = next((one for one in others if one.tags.get(ASK_TAG) == key), None) or self._make(command, key)
        others = [one for one in others if one.version != made.version]
        package = self._it.package(made)
        proposal = self._propose(command, made, run, package, others)
        if made.semver != proposal.semver:
            self._it.registry.set_tags(made.model, made.version, {SEMVER: proposal.semver})
            made = replace(made, tags={**made.tags, SEMVER: proposal.semver})
        again = next((one.version for one in others if one.run_id == run.id), None)
        return Registered(version=made, proposal=proposal, again=again, has_model=package is not None)

    def _make(self, command: Register, key: str) -> VersionInfo:
        pairs = dict(tag.split("=", maxsplit=1) for tag in command.tags)
        tags = {name: value for name, value in pairs.items() if value} | {ASK_TAG: key}
        return self._it.registry.register(
            command.model, command.run_id, artifact=command.artifact, description=command.description, tags=tags
        )

    def _propose(
        self, command: Register, made: VersionInfo, run: RunInfo, package: Package | None, others: Sequence[VersionInfo]
    ) -> Proposal:
        taken = [one.semver for one in others if one.semver]
        base = self._base(others)
        directions = self._it.policy.directions_for(command.model)
        return semver.propose(
            build_of(made, run, package), base, taken, override=command.bump,
            is_better=lambda metric, new, old: is_better(metric, new, old, directions),
        )  # fmt: skip

    def _base(self, others: Sequence[VersionInfo]) -> Base | None:
        """Return what the new version is compared with, read whole."""
        version = base_version(others)
        if version is None:
            return None
        runs = self._it.registry.runs([version.run_id]) if version.run_id else {}
        run = runs.get(version.run_id or "", RunInfo(id=""))
        build = build_of(version, run, self._it.package(version))
        return Base(version=version.version, stage=version.stage, semver=version.semver, build=build)

    def _write_down(self, tx: Writing, ask: Ask, made: Registered) -> None:
        by, version, proposal = ask.caller, made.version, made.proposal
        tx.append(
            Event(at=self._it.clock.now(), actor=by, tag=Tag.REGISTERED, subject=f"{version.model} v{version.version}",
                  model=version.model, after=f"v{version.version}", origin="registrar",
                  why="; ".join(str(reason) for reason in proposal.reasons),
                  evidence={"run": version.run_id, "semver": proposal.semver, "against": proposal.against,
                            "overridden": proposal.overridden, "ask": ask.id})
        )  # fmt: skip
        announce(tx, self._it, version, (version.version,), by=by)


def base_version(others: Sequence[VersionInfo]) -> VersionInfo | None:
    """Return the version in Production, else the one with the highest semver, else None."""
    holders = [one for one in others if one.stage is Stage.PRODUCTION]
    if holders:
        return max(holders, key=lambda one: one.version)
    top = highest(one.semver for one in others if one.semver)
    numbered = [one for one in others if one.semver and top and parse_semver(one.semver) == parse_semver(top)]
    return max(numbered, key=lambda one: one.version, default=None)


def build_of(version: VersionInfo, run: RunInfo, package: Package | None) -> Build:
    """Return what the semver rules look at."""
    return Build(
        signature=package.signature if package else None, flavors=package.flavors if package else (),
        algorithm=algorithm_of(version, run), params=run.params, metrics=run.metrics,
    )  # fmt: skip
