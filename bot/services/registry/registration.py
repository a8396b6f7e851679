"""Register versions from runs, each with a proposed semver."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.commands.registry import Register
from bot.domain.core.errors import Busy, UnknownModel, UnknownRun, UnknownVersion
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.registry import edit_messages, semver
from bot.domain.registry.metric_direction import is_better
from bot.domain.registry.model import (
    COMMAND_TAG,
    SEMVER_TAG,
    ModelPackage,
    RunInfo,
    Stage,
    VersionInfo,
    check_exact_name,
)
from bot.domain.registry.semver import BaseVersion, BuildFacts, SemverProposal, highest_semver, parse_semver
from bot.ports import LedgerReader, QueuedCommand, TagUpdate
from bot.services.core.command_queue import mark_done
from bot.services.core.commands import CommandResult, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.registry.announcements import announce_versions, describe_metrics

LOCK_TIMEOUT = 5.0  # seconds to wait for another process; after that, the command is retried later
LOCK_POLL_INTERVAL = 0.2  # seconds
MAX_RECENT = 20  # recent registrations to search for semvers that MLflow doesn't have yet
LEASE = timedelta(seconds=90)  # longer than the timeouts of all registry calls in one registration


class Registration:
    """Registers versions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._locks: Mapping[str, threading.Lock] = defaultdict(threading.Lock)

    def handlers(self) -> RegistryChangeHandlers:
        """Return the handler for `register`."""
        return {Register: self.execute}

    def execute(self, queued: QueuedCommand, command: Register) -> CommandResult:
        """Register a version, audit it, and announce it in the channel. See `RegistryChangeHandler`.

        Creates the version unless an earlier attempt did, and sets the semver that was recorded then, if there is one.
        Raises UnknownRun, UnknownVersion, BadInput, RegistryRefused, RegistryUnreachable, and Busy.
        """
        run = self._context.tracker.runs([command.run_id]).get(command.run_id)
        if run is None or run.is_deleted:
            raise UnknownRun(
                say("{product} has no run {run}. Copy the ID from the run's page.", run=Name(command.run_id))
                if run is None
                else say("Run {run} was deleted in {product}. Restore it first.", run=Name(command.run_id))
            )
        # Concurrent registrations, here or in another process, would get the same semver.
        with self._locks[command.model], self._exclusive(command.model):
            version, answer, others = self._register(queued, command, run)
        metrics = describe_metrics(self._context, [version], others, {run.id: run})
        with self._context.ledger.write() as tx:
            if mark_done(tx, queued, str(answer)):
                announce_versions(
                    tx,
                    self._context,
                    version,
                    (version.version,),
                    registered_by=queued.caller,
                    metrics=metrics.get(version.version),
                )
                # The ledger has the version now, so a late retry finds it without this tag.
                tx.add_tag_update(
                    TagUpdate(
                        id=f"{queued.id}:registered",
                        model=version.model,
                        version=version.version,
                        tags={COMMAND_TAG: None},
                    )
                )
        return CommandResult(answer=answer)

    @contextmanager
    def _exclusive(self, model: str) -> Iterator[None]:
        """Hold the lease on registering this model's versions, once it's free. Raises Busy after LOCK_TIMEOUT."""
        name = _lease_name(model)
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            with self._context.ledger.write() as tx:
                if tx.acquire_lease(name, self._context.claim(LEASE)):
                    break
            if time.monotonic() > deadline:
                raise Busy(_busy_message(model))
            time.sleep(LOCK_POLL_INTERVAL)
        try:
            yield
        finally:
            with self._context.ledger.write() as tx:
                tx.release_lease(name, self._context.owner)

    def _register(
        self, queued: QueuedCommand, command: Register, run: RunInfo
    ) -> tuple[VersionInfo, Sentence, list[VersionInfo]]:
        """Register the version; return it with the answer and the model's other versions."""
        with self._context.ledger.read() as reader:
            recorded, recent = registration_event(reader, queued), _recent_registrations(reader, command.model)
        others = self._context.registry.versions(command.model)
        self._require_exact_name(command.model, others)
        pairs = dict(tag.split("=", maxsplit=1) for tag in command.tags)
        made = self._find_existing(queued, recorded, command.model, others) or self._context.registry.register_version(
            command.model,
            command.run_id,
            artifact=command.artifact,
            description=command.description,
            tags={name: value for name, value in pairs.items() if value} | {COMMAND_TAG: queued.id},
        )
        others = [version for version in others if version.version != made.version]
        package = self._context.package(made)
        if recorded is None:
            untagged = [version for version in others if not version.semver]
            reserved = [  # recorded semvers of versions whose tag isn't written yet
                str(each.event.evidence["semver"])
                for each in recent
                if any(_is_about(each.event, version) for version in untagged)
            ]
            proposal = self._propose(command, made, run, package, others, reserved)
            proposal = self._record(queued, made, proposal, recent)
        else:
            proposal = _recorded_proposal(recorded)
        if made.semver != proposal.semver:
            self._context.registry.set_tags(made.model, made.version, {SEMVER_TAG: proposal.semver})
            made = replace(made, tags={**made.tags, SEMVER_TAG: proposal.semver})
        answer = edit_messages.registration_confirmation(
            made.model,
            made.version,
            proposal,
            earlier_version=next((version.version for version in others if version.run_id == run.id), None),
            has_model=package is not None,
        )
        return made, answer, others

    def _find_existing(
        self, queued: QueuedCommand, recorded_event: Event | None, model: str, versions: Sequence[VersionInfo]
    ) -> VersionInfo | None:
        """Return the version that an earlier attempt created, or None. Raises UnknownVersion if it has been deleted.

        If the registry's response was lost, the version isn't recorded yet, so it's found by its tag.
        """
        if recorded_event is None:
            return next((version for version in versions if version.tags.get(COMMAND_TAG) == queued.id), None)
        for version in versions:
            if _is_about(recorded_event, version):
                return version
        raise UnknownVersion(
            say(
                "{v} of {model} was registered, but {product} no longer has it. Register the run again.",
                v=Code(recorded_event.after),
                model=Name(model),
            )
        )

    def _record(
        self, queued: QueuedCommand, version: VersionInfo, proposal: SemverProposal, recent: Sequence[ChainedEvent]
    ) -> SemverProposal:
        """Audit the version and its semver before the semver is written to MLflow; return the recorded proposal.

        Once recorded, the proposal never changes. Raises Busy if another process has registered a version since
        `recent` was read, because that version can have the same semver.
        """
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            tx.lock(_lease_name(version.model))
            if (recorded := registration_event(tx, queued)) is not None:
                return _recorded_proposal(recorded)
            if _recent_registrations(tx, version.model) != recent:
                raise Busy(_busy_message(version.model))
            tx.add_audit_event(
                Event(
                    at=now,
                    actor=queued.caller,
                    tag=EventTag.REGISTERED,
                    subject=f"{version.model} v{version.version}",
                    model=version.model,
                    after=f"v{version.version}",
                    origin="registrar",
                    why="; ".join(str(reason) for reason in proposal.reasons),
                    evidence={
                        "run": version.run_id,
                        "semver": proposal.semver,
                        "against": proposal.base_version,
                        "overridden": proposal.overridden,
                        "ask": queued.id,
                    },
                )
            )
        return proposal

    def _require_exact_name(self, name: str, versions: Sequence[VersionInfo]) -> None:
        """Raise UnknownModel if an existing model's name differs only in case; a new name is fine."""
        try:
            stored_name = versions[0].model if versions else self._context.registry.model(name).name
        except UnknownModel:
            return
        check_exact_name(name, stored_name)

    def _propose(
        self,
        command: Register,
        version: VersionInfo,
        run: RunInfo,
        package: ModelPackage | None,
        others: Sequence[VersionInfo],
        reserved: Sequence[str],
    ) -> SemverProposal:
        taken = [*(version.semver for version in others if version.semver), *reserved]
        base = self._read_base(others)
        directions = self._context.policy.metrics_for(command.model).directions
        proposal = semver.propose_semver(
            self._read_build(version, run, package),
            base,
            taken,
            override=command.bump,
            is_better=lambda metric, new, old: is_better(metric, new, old, directions),
        )
        if version.semver in {None, proposal.semver}:
            return proposal
        kept = say("{semver} was already set, so it was kept", semver=Code(version.semver or ""))
        return SemverProposal(
            semver=str(version.semver), bump=None, reasons=(kept,), base_version=None, overridden=False
        )

    def _read_base(self, others: Sequence[VersionInfo]) -> BaseVersion | None:
        """Return the version to compare the new one with, or None."""
        version = base_version(others)
        if version is None:
            return None
        runs = self._context.tracker.runs([version.run_id]) if version.run_id else {}
        run = runs.get(version.run_id or "", RunInfo(id=""))
        build = self._read_build(version, run, self._context.package(version))
        return BaseVersion(version=version.version, stage=version.stage, semver=version.semver, build=build)

    def _read_build(self, version: VersionInfo, run: RunInfo, package: ModelPackage | None) -> BuildFacts:
        """Return the facts about a version that the semver rules use."""
        return BuildFacts(
            signature=package.signature if package else None,
            flavors=package.flavors if package else (),
            algorithm=self._context.algorithm(version, run, package),
            params=run.params,
            metrics=run.metrics,
        )


def registration_event(reader: LedgerReader, queued: QueuedCommand) -> Event | None:
    """Return the audit event for the version that a command registered, or None.

    Searches back to when the command was queued.
    """
    model, run, before = str(queued.command["model"]), queued.command["run_id"], None
    while events := reader.latest_audit_events(
        model=model, tags=[EventTag.REGISTERED], since=queued.at, before_number=before
    ):
        for event in (link.event for link in events):
            if event.evidence.get("run") == run and event.evidence.get("ask", queued.id) == queued.id:
                return event
        before = events[-1].number
    return None


def _recent_registrations(reader: LedgerReader, model: str) -> list[ChainedEvent]:
    return reader.latest_audit_events(model=model, tags=[EventTag.REGISTERED], limit=MAX_RECENT)


def _recorded_proposal(recorded_event: Event) -> SemverProposal:
    """Return the recorded proposal, with its reasons joined into one. `bump` isn't recorded, so it's None."""
    facts = recorded_event.evidence
    return SemverProposal(
        semver=facts["semver"],
        bump=None,
        reasons=(say("{why}", why=recorded_event.why),),
        base_version=facts["against"],
        overridden=facts["overridden"],
    )


def _is_about(recorded_event: Event, version: VersionInfo) -> bool:
    return recorded_event.after == f"v{version.version}" and recorded_event.evidence.get("run") == version.run_id


def _lease_name(model: str) -> str:
    return f"register:{model}"


def _busy_message(model: str) -> Sentence:
    return say("Another version of {model} is being registered right now.", model=Name(model))


def base_version(others: Sequence[VersionInfo]) -> VersionInfo | None:
    """Return the version in Production, else the one with the highest semver, else None."""
    holders = [version for version in others if version.stage is Stage.PRODUCTION]
    if holders:
        return max(holders, key=lambda version: version.version)
    highest = highest_semver(version.semver for version in others if version.semver)
    candidates = [
        version
        for version in others
        if version.semver and highest and parse_semver(version.semver) == parse_semver(highest)
    ]
    return max(candidates, key=lambda version: version.version, default=None)
