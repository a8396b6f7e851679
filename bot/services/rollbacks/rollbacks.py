"""Roll back Production manually, and unblock versions that were rolled back."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.rollbacks import Rollback, Unblock
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput, FilesUnreachable, Refused, Unreachable
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.policy.authorization import Permission, describe_caller
from bot.domain.registry.model import Stage, VersionInfo, VersionRef
from bot.domain.rollbacks import messages as words
from bot.domain.rollbacks.rollback_targets import ServingPeriod, rollback_targets, rollback_transition, serving_periods
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.transition import UNFINISHED_STATES, Transition, TransitionKind
from bot.ports import LedgerReader, QueuedCommand
from bot.services.core.access import AccessControl
from bot.services.core.command_queue import mark_done
from bot.services.core.commands import ChangeHandlers, CommandResult, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message
from bot.services.promotions.voting import Requests
from bot.services.registry.queries import RegistryQueries
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.rollback_records import progress_link

MAX_TRANSITIONS = 400  # transitions of Production to search for rollback targets


class Rollbacks:
    """Adds the transitions for rollbacks. The executor carries them out."""

    def __init__(
        self,
        context: Context,
        queries: RegistryQueries,
        access: AccessControl,
        loadability: LoadabilityChecks,
        requests: Requests,
    ) -> None:
        self._context = context
        self._requests = requests
        self._queries = queries
        self._access = access
        self._loadability = loadability

    def registry_change_handlers(self) -> RegistryChangeHandlers:
        """Return the handler for `rollback`."""
        return {Rollback: self.roll_back}

    def change_handlers(self) -> ChangeHandlers:
        """Return the handler for `unblock`."""
        return {Unblock: self.unblock}

    def roll_back(self, queued: QueuedCommand, command: Rollback) -> CommandResult:
        """Add the transition that rolls Production back. See `RegistryChangeHandler`.

        Raises Refused if there's no target, if the given version never served or is blocked, or if the target might not
        load and the command doesn't force the rollback. Raises BadInput if the target is already in Production.
        """
        if not command.reason:
            raise BadInput("A rollback needs a reason, so the version's author knows what went wrong.")
        with self._context.ledger.read() as reader:
            periods = self.serving_periods(reader, command.model)
            blocked = {block.version for block in reader.rollback_blocks(command.model)}
            snapshot = reader.registry_snapshot(command.model)
        incumbent = self._incumbent(command.model, periods)
        target = self._choose_target(command, periods, blocked, snapshot)
        if target == incumbent:
            raise BadInput(say("v{v} of {model} is already in Production.", v=target, model=Name(command.model)))
        self._require_target(command.model, target)
        with self._context.ledger.read() as reader:
            identity = rollback_records.identity_when_served(reader, command.model, target)
        reasons = self._load_problems(command, target, incumbent)
        if reasons and not command.force:
            raise Refused(words.may_not_load_refusal(command.model, target, reasons))
        transition = rollback_transition(
            f"rollback:{queued.id}",
            command.model,
            target=target,
            incumbent=incumbent,
            actor=queued.caller,
            now=self._context.clock.now(),
            reason=command.reason,
            identity=identity,
        )
        transition = replace(transition, is_forced=bool(reasons))
        with self._context.ledger.write() as tx:
            if mark_done(tx, queued):
                rollback_records.begin_rollback(tx, self._context, transition)
                if reasons:
                    tx.add_audit_event(self._forced_event(transition, reasons))
        return CommandResult(transition_id=transition.id, due_model=command.model)

    def check_named_target(self, command: Rollback) -> None:
        """Raise Refused if the given version can't be a target; used before asking anyone for a reason.

        Reads only the ledger. `roll_back` checks what the ledger can't answer (an alias, or a model without history).
        """
        with self._context.ledger.read() as reader:
            is_known = bool(reader.transitions(command.model, stage=Stage.PRODUCTION, limit=1))
        if is_known and command.version is not None and command.version.kind == "number":
            self._require_target(command.model, int(command.version.value))

    def require_in_production(self, model: str, version: int) -> None:
        """Raise Refused if a version isn't in Production anymore, according to the ledger."""
        with self._context.ledger.read() as reader:
            periods = self.serving_periods(reader, model)
        if not periods or periods[0].until is not None or periods[0].version != version:
            raise Refused(words.not_in_production_refusal(model, version))

    def _require_target(self, model: str, version: int) -> None:
        """Raise Refused for a version that never served or is blocked; `--force` doesn't change that."""
        with self._context.ledger.read() as reader:
            no_target = rollback_records.why_not_a_target(reader, model, version)
        if no_target is not None:
            raise Refused(no_target)

    def _load_problems(self, command: Rollback, target: int, incumbent: int | None) -> tuple[Sentence, ...]:
        """Return why the target might not load. With `--force`, failing to check that is a reason, not an error."""
        try:
            return self._loadability.problems(command.model, target, incumbent)
        except Unreachable as error:
            if (
                isinstance(error, FilesUnreachable) and not command.force
            ):  # otherwise, it would wait for them without telling anyone
                raise Refused(words.loadability_unknown_refusal(command.model, target, error.sentence)) from error
            if not command.force:
                raise
            return (say("its run and files couldn't be checked ({why})", why=error.sentence),)

    def roll_back_for_incident(self, caller: Caller, incident_id: str, *, origin: str) -> str:
        """Add the transition for the rollback that an incident proposes; return the model, for the executor.

        Raises UnknownRequest, Refused (audited if it's about permission), and LedgerUnavailable.
        """
        with self._context.ledger.read() as reader:
            incident = reader.incident(incident_id)
        self._access.require_permission(
            caller, Permission.ROLL_BACK, model=incident.model, target=Stage.PRODUCTION, origin=origin
        )
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            incident = tx.incident(incident_id)
            transitions = tx.transitions(incident.model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS)
            for transition in transitions:
                if transition.kind is TransitionKind.ROLLBACK and transition.state in UNFINISHED_STATES:
                    channel = self._context.policy.channel_for(incident.model)
                    raise Refused(words.already_in_progress_refusal(progress_link(transition, channel)))
            periods = serving_periods(transitions)
            if (
                not incident.is_open
                or incident.target is None
                or not periods
                or periods[0].started_by.id != incident.move
            ):
                raise Refused(
                    say(
                        "Production has changed since then, so I did nothing. Check the model: {show}",
                        show=Code(f"/model show {incident.model}"),
                    )
                )
            if (no_target := rollback_records.why_not_a_target(tx, incident.model, incident.target)) is not None:
                raise Refused(no_target)
            problems = self._loadability.cached_problems(incident.model, incident.target, incident.version)
            if problems:  # a click doesn't wait for the registry; the executor checks it
                raise Refused(words.may_not_load_refusal(incident.model, incident.target, problems))
            reason = truncate("; ".join(str(line) for line in incident.lines), 500)
            transition = rollback_transition(
                f"rollback:{incident.id}:{self._context.new_id()}",
                incident.model,
                target=incident.target,
                incumbent=incident.version,
                actor=actor_of(caller),
                now=now,
                reason=reason,
                identity=rollback_records.identity_when_served(tx, incident.model, incident.target),
            )
            transition = replace(transition, incident=incident.id)
            rollback_records.begin_rollback(tx, self._context, transition)
            tx.save_incident(replace(incident, rollback=transition.id))
        return incident.model

    def unblock(self, caller: Caller, command: Unblock, *, origin: str) -> CommandResult:
        """Unblock a version and return the answer. Reads the ledger, and earlier approvers' profiles from Slack.

        Afterward, transitions can be due for requests that were waiting only for this.

        Raises BadInput if the version isn't blocked, and LedgerUnavailable.
        """
        if not command.reason:
            raise BadInput("Unblocking needs a reason, because that version was rolled back.")
        version, now, by = (
            self._version_number(command.model, command.version),
            self._context.clock.now(),
            actor_of(caller),
        )
        profiles = self._requests.profiles_before_unblocking(command.model, version)
        with self._context.ledger.write() as tx:
            blocks = [block for block in tx.rollback_blocks(command.model) if block.version == version]
            for one in blocks:
                tx.save_rollback_block(replace(one, cleared_at=now, cleared_by=by, clear_reason=command.reason))
            if blocks:
                announcement = words.unblock_announcement(command.model, version, by, command.reason)
                channel = self._context.policy.channel_for(command.model)
                tx.add_message(channel_message(f"cleared:{blocks[0].id}", channel, announcement))
                tx.add_audit_event(
                    Event(
                        at=now,
                        actor=by,
                        tag=EventTag.UNBLOCKED,
                        subject=f"{command.model} v{version}",
                        model=command.model,
                        why=command.reason,
                        origin=origin,
                        evidence={"by": describe_caller(caller, self._context.policy)},
                    )
                )
                self._requests.pass_blocked_gate(tx, command.model, version, blocks[-1].id, profiles)
        if not blocks:
            raise BadInput(words.not_blocked_refusal(command.model, version))
        answer = say("Unblocked {v} of {model} and told the channel.", v=Code(f"v{version}"), model=Name(command.model))
        return CommandResult(answer=answer, due_model=command.model)

    def serving_periods(self, reader: LedgerReader, model: str) -> list[ServingPeriod]:
        """Return a model's serving periods, newest first."""
        return serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))

    def _incumbent(self, model: str, periods: list[ServingPeriod]) -> int | None:
        """Return the version in Production: from the history, or from the registry if there's no history."""
        if periods:
            return periods[0].version if periods[0].until is None else None
        _, versions = self._queries.model_and_versions(model)
        return next((version.version for version in versions if version.stage is Stage.PRODUCTION), None)

    def _choose_target(
        self, command: Rollback, periods: list[ServingPeriod], blocked: set[int], snapshot: RegistrySnapshot | None
    ) -> int:
        if command.version is not None:
            return self._version_number(command.model, command.version)
        targets = rollback_targets(periods, blocked, snapshot)
        if not targets:
            raise Refused(words.no_rollback_target_refusal(command.model))
        return targets[0]

    def _version_number(self, model: str, ref: VersionRef) -> int:
        if ref.kind == "number":
            return int(ref.value)
        version: VersionInfo = self._queries.version(model, ref)
        return version.version

    def _forced_event(self, transition: Transition, reasons: tuple[Sentence, ...]) -> Event:
        return Event(
            at=transition.intended_at,
            actor=transition.actor,
            tag=EventTag.ROLLBACK_FORCED,
            subject=transition.id,
            model=transition.model,
            why=transition.reason,
            origin="registrar",
            evidence={"version": transition.version, "against": [str(reason) for reason in reasons]},
        )
