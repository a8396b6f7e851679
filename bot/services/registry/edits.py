"""Edit the registry: set descriptions and tags, archive versions, and repair stages."""

from __future__ import annotations

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.registry import Archive, Describe, SetTags
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import Refused, RegistryRefused
from bot.domain.core.sentence import Code, say, truncate
from bot.domain.policy.authorization import Permission
from bot.domain.registry import edit_messages
from bot.domain.registry.model import VersionInfo
from bot.domain.transitions.transition import UNFINISHED_STATES, archive_transition, check_archivable, repair_transition
from bot.ports import QueuedCommand
from bot.services.core.access import AccessControl
from bot.services.core.command_queue import mark_done
from bot.services.core.commands import CommandResult, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries

MAX_AUDITED_TEXT = 500  # characters of a description in an audit event


class RegistryEdits:
    """Edits the registry. Archiving and repairs are transitions, which the executor carries out."""

    def __init__(self, context: Context, queries: RegistryQueries, access: AccessControl) -> None:
        self._context = context
        self._queries = queries
        self._access = access

    def handlers(self) -> RegistryChangeHandlers:
        """Return the handlers for the commands that edit the registry."""
        return {Describe: self.set_description, SetTags: self.set_tags, Archive: self.archive}

    def set_description(self, queued: QueuedCommand, command: Describe) -> CommandResult:
        """Set a description, verify it, and audit it. See `RegistryChangeHandler`."""
        number, before = self._read_description(command)
        self._context.registry.set_description(command.model, number, command.text)
        if self._read_description(command)[1] != command.text:
            raise RegistryRefused(
                say("{product} accepted the description but returned a different one. Check it in {product}.")
            )
        after = truncate(command.text, MAX_AUDITED_TEXT)
        self._finish(
            queued, EventTag.DESCRIBED, command.model, number, before=truncate(before, MAX_AUDITED_TEXT), after=after
        )
        return CommandResult(answer=edit_messages.description_confirmation(command.model, number))

    def set_tags(self, queued: QueuedCommand, command: SetTags) -> CommandResult:
        """Set tags, verify them, and audit them. See `RegistryChangeHandler`."""
        version = self._queries.version(command.model, command.version)
        tags = command.values_by_key()
        self._context.registry.set_tags(command.model, version.version, tags)
        current = self._context.registry.version(command.model, version.version).tags
        wrong = [key for key, value in tags.items() if current.get(key) != value]
        if wrong:
            keys = [Code(key) for key in wrong]
            raise RegistryRefused(
                say("{product} accepted the tags but returned different values for {keys}.", keys=keys)
            )
        evidence = {"before": {key: version.tags.get(key) for key in tags}, "after": dict(tags)}
        self._finish(queued, EventTag.TAGGED, command.model, version.version, evidence=evidence)
        return CommandResult(answer=edit_messages.tags_confirmation(command.model, version.version, tags))

    def require_archivable(self, caller: Caller, command: Archive, *, origin: str) -> VersionInfo:
        """Return the version to archive; used before asking the caller for confirmation.

        Raises UnknownVersion, BadInput if it's already archived, and Refused (audited if it's about permission).
        """
        self._access.require_permission(caller, Permission.ARCHIVE, model=command.model, origin=origin)
        version = self._queries.version(command.model, command.version)
        check_archivable(version)
        return version

    def archive(self, queued: QueuedCommand, command: Archive) -> CommandResult:
        """Add the transition that archives a version. See `RegistryChangeHandler`."""
        version = self._queries.version(command.model, command.version)
        transition_id = f"archive:{queued.id}"
        transition = archive_transition(
            transition_id, version, queued.caller, self._context.clock.now(), command.reason
        )
        with self._context.ledger.write() as tx:
            if mark_done(tx, queued):
                tx.add_transition(transition)
        return CommandResult(transition_id=transition_id, due_model=command.model)

    def repair_stage(self, caller: Caller, notice_id: str, *, origin: str) -> str:
        """Add the transition that repairs a stage with several holders; return the model, for the executor.

        Raises UnknownRequest, Refused (audited if it's about permission), and LedgerUnavailable.
        """
        with self._context.ledger.read() as reader:
            notice = reader.drift_notice(notice_id)
        self._access.require_permission(
            caller, Permission.REPAIR, model=notice.model, target=notice.stage, origin=origin
        )
        now, actor = self._context.clock.now(), actor_of(caller)
        with self._context.ledger.write() as tx:
            notice = tx.drift_notice(notice_id)
            if notice.mend is None or not notice.is_repairable:
                raise Refused("That has already been repaired.")
            if any(
                transition.finding == notice_id and transition.state in UNFINISHED_STATES
                for transition in tx.transitions(notice.model)
            ):
                raise Refused("A repair is already in progress.")
            transition_id = f"mend:{notice_id}:{self._context.new_id()}"
            tx.add_transition(
                repair_transition(transition_id, notice.model, notice.mend, notice.stage, actor, now, notice_id)
            )
        return notice.model

    def _read_description(self, command: Describe) -> tuple[int | None, str]:
        """Return the version number (None for the model) and the current description."""
        if command.version is None:
            return None, self._queries.model_and_versions(command.model)[0].description
        version: VersionInfo = self._queries.version(command.model, command.version)
        return version.version, version.description

    def _finish(self, queued: QueuedCommand, tag: EventTag, model: str, version: int | None, **fields: object) -> None:
        subject = model if version is None else f"{model} v{version}"
        event = Event(
            at=self._context.clock.now(),
            actor=queued.caller,
            tag=tag,
            subject=subject,
            model=model,
            origin="registrar",
            **fields,  # type: ignore[arg-type]  # before, after, and evidence, as the callers above pass them
        )
        with self._context.ledger.write() as tx:
            if mark_done(tx, queued):
                tx.add_audit_event(event)
