"""Making versions out of runs, and proposing their semver."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.audit.events import Event, Link, Tag
from bot.domain.commands.changes import Register
from bot.domain.core.errors import Busy, UnknownModel, UnknownRun, UnknownVersion
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.registry import edit_messages, semver
from bot.domain.registry.metric_direction import is_better
from bot.domain.registry.model import ASK_TAG, SEMVER, Package, RunInfo, Stage, VersionInfo, check_spelling
from bot.domain.registry.semver import Base, Build, Proposal, highest, parse_semver
from bot.ports import Ask, Copy, Reading
from bot.services.core.command_queue import end
from bot.services.core.commands import Done
from bot.services.core.context import Context
from bot.services.registry.announcements import announce

PATIENCE = 5.0  # seconds that one waits for another process; then the ask is tried again later
AGAIN = 0.2  # seconds until it is looked whether the other one is through
LATELY = 20  # registrations that are looked through for a semver that MLflow doesn't have yet
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
        made = self.register(ask, command)
        answer = edit_messages.registered(
            made.version.model, made.version.version, made.proposal, again=made.again, has_model=made.has_model
        )
        with self._it.ledger.write() as tx:
            if end(tx, ask, str(answer)):
                version = made.version
                announce(tx, self._it, version, (version.version,), by=ask.caller)
                # From here on the ledger knows the version: a late try finds it there, and the tag has served.
                tx.add_copy(
                    Copy(id=f"{ask.id}:registered", model=version.model, version=version.version, tags={ASK_TAG: None})
                )
        return Done(answer=answer)

    def register(self, ask: Ask, command: Register) -> Registered:
        """Make the version unless an earlier try has, and give it its semver: the one that was recorded, if one was.

        Raises UnknownRun, UnknownVersion, BadInput, RegistryRefused, RegistryUnreachable, Busy.
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
            return self._register(ask, command, run)

    @contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        """Wait until no other process registers a version of this model. Raises Busy where one does for long."""
        name = _lease(model)
        until = time.monotonic() + PATIENCE
        while not self._take(name):
            if time.monotonic() > until:
                raise Busy(_busy(model))
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

    def _register(self, ask: Ask, command: Register, run: RunInfo) -> Registered:
        with self._it.ledger.read() as reading:
            recorded, lately = registered_for(reading, ask), _lately(reading, command.model)
        others = self._it.registry.versions(command.model)
        self._check_spelling(command.model, others)
        made = self._found(ask, recorded, command.model, others) or self._make(command, ask.id)
        others = [one for one in others if one.version != made.version]
        package = self._it.package(made)
        if recorded is None:
            proposal = self._propose(command, made, run, package, others, _promised(lately, others))
            proposal = self._record(ask, made, proposal, lately)
        else:
            proposal = _proposal(recorded)
        if made.semver != proposal.semver:
            self._it.registry.set_tags(made.model, made.version, {SEMVER: proposal.semver})
            made = replace(made, tags={**made.tags, SEMVER: proposal.semver})
        again = next((one.version for one in others if one.run_id == run.id), None)
        return Registered(version=made, proposal=proposal, again=again, has_model=package is not None)

    def _found(
        self, ask: Ask, recorded: Event | None, model: str, versions: Sequence[VersionInfo]
    ) -> VersionInfo | None:
        """Return the version that an earlier try made: as recorded, else by its tag. Raises UnknownVersion: it's gone.

        A version whose answer got lost has no record yet, so the tag tells.
        """
        if recorded is None:
            return next((one for one in versions if one.tags.get(ASK_TAG) == ask.id), None)
        for one in versions:
            if _is_of(recorded, one):
                return one
        raise UnknownVersion(
            say(
                "{v} of {model} was registered, but MLflow no longer has it. Register the run again.",
                v=Code(recorded.after),
                model=Name(model),
            )
        )

    def _record(self, ask: Ask, made: VersionInfo, proposal: Proposal, lately: Sequence[Link]) -> Proposal:
        """Write the version and its semver into the audit before MLflow hears of the semver; return what is recorded.

        From then on it never changes. Raises Busy where another process has registered a version since `lately` was
        read: it may have given it the same number.
        """
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            tx.lock(_lease(made.model))
            if (before := registered_for(tx, ask)) is not None:
                return _proposal(before)
            if _lately(tx, made.model) != lately:
                raise Busy(_busy(made.model))
            tx.append(_event(ask, made, proposal, now))
        return proposal

    def _check_spelling(self, name: str, versions: Sequence[VersionInfo]) -> None:
        """Raise UnknownModel for the name of a model that is there in another letter case; a new name is fine."""
        try:
            stored = versions[0].model if versions else self._it.registry.model(name).name
        except UnknownModel:
            return
        check_spelling(name, stored)

    def _make(self, command: Register, key: str) -> VersionInfo:
        pairs = dict(tag.split("=", maxsplit=1) for tag in command.tags)
        tags = {name: value for name, value in pairs.items() if value} | {ASK_TAG: key}
        return self._it.registry.register(
            command.model, command.run_id, artifact=command.artifact, description=command.description, tags=tags
        )

    def _propose(
        self,
        command: Register,
        made: VersionInfo,
        run: RunInfo,
        package: Package | None,
        others: Sequence[VersionInfo],
        promised: Sequence[str],
    ) -> Proposal:
        taken = [*(one.semver for one in others if one.semver), *promised]
        base = self._base(others)
        directions = self._it.policy.directions_for(command.model)
        proposal = semver.propose(
            self._build(made, run, package),
            base,
            taken,
            override=command.bump,
            is_better=lambda metric, new, old: is_better(metric, new, old, directions),
        )
        if made.semver in {None, proposal.semver}:
            return proposal
        kept = say("{semver} was set before this was recorded, so it stays", semver=Code(made.semver or ""))
        return Proposal(semver=str(made.semver), bump=None, reasons=(kept,), against=None, overridden=False)

    def _base(self, others: Sequence[VersionInfo]) -> Base | None:
        """Return what the new version is compared with, read whole."""
        version = base_version(others)
        if version is None:
            return None
        runs = self._it.registry.runs([version.run_id]) if version.run_id else {}
        run = runs.get(version.run_id or "", RunInfo(id=""))
        build = self._build(version, run, self._it.package(version))
        return Base(version=version.version, stage=version.stage, semver=version.semver, build=build)

    def _build(self, version: VersionInfo, run: RunInfo, package: Package | None) -> Build:
        """Return what the semver rules look at."""
        return Build(
            signature=package.signature if package else None,
            flavors=package.flavors if package else (),
            algorithm=self._it.algorithm(version, run, package),
            params=run.params,
            metrics=run.metrics,
        )


def registered_for(reading: Reading, ask: Ask) -> Event | None:
    """Return the audit's event of the version that was made for an ask, looking back to when it was asked for."""
    model, run, before = str(ask.command["model"]), ask.command["run_id"], None
    while links := reading.latest(model=model, tags=[Tag.REGISTERED], since=ask.at, before=before):
        for event in (link.event for link in links):
            if event.evidence.get("run") == run and event.evidence.get("ask", ask.id) == ask.id:
                return event
        before = links[-1].number
    return None


def _lately(reading: Reading, model: str) -> list[Link]:
    return reading.latest(model=model, tags=[Tag.REGISTERED], most=LATELY)


def _promised(lately: Sequence[Link], others: Sequence[VersionInfo]) -> list[str]:
    """Return the semvers that are recorded for versions to which MLflow's tag isn't written yet."""
    bare = [one for one in others if not one.semver]
    return [str(link.event.evidence["semver"]) for link in lately if any(_is_of(link.event, one) for one in bare)]


def _event(ask: Ask, version: VersionInfo, proposal: Proposal, now: datetime) -> Event:
    return Event(
        at=now,
        actor=ask.caller,
        tag=Tag.REGISTERED,
        subject=f"{version.model} v{version.version}",
        model=version.model,
        after=f"v{version.version}",
        origin="registrar",
        why="; ".join(str(reason) for reason in proposal.reasons),
        evidence={
            "run": version.run_id,
            "semver": proposal.semver,
            "against": proposal.against,
            "overridden": proposal.overridden,
            "ask": ask.id,
        },
    )


def _proposal(recorded: Event) -> Proposal:
    """Return the proposal as it was recorded, its reasons as one text. Which part of the number went up isn't kept."""
    facts = recorded.evidence
    return Proposal(
        semver=facts["semver"],
        bump=None,
        reasons=(say("{why}", why=recorded.why),),
        against=facts["against"],
        overridden=facts["overridden"],
    )


def _is_of(recorded: Event, version: VersionInfo) -> bool:
    return recorded.after == f"v{version.version}" and recorded.evidence.get("run") == version.run_id


def _lease(model: str) -> str:
    return f"register:{model}"


def _busy(model: str) -> Say:
    return say("Another version of {model} is being registered at this moment.", model=Name(model))


def base_version(others: Sequence[VersionInfo]) -> VersionInfo | None:
    """Return the version in Production, else the one with the highest semver, else None."""
    holders = [one for one in others if one.stage is Stage.PRODUCTION]
    if holders:
        return max(holders, key=lambda one: one.version)
    top = highest(one.semver for one in others if one.semver)
    numbered = [one for one in others if one.semver and top and parse_semver(one.semver) == parse_semver(top)]
    return max(numbered, key=lambda one: one.version, default=None)
