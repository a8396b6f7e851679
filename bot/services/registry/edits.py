"""Small changes that people make to the registry: descriptions, tags, archiving, mending."""

from __future__ import annotations

from bot.domain.audit.events import Event, Tag
from bot.domain.commands.changes import Archive, Describe, SetTags
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import Refused, RegistryRefused
from bot.domain.core.sentence import Code, say, short
from bot.domain.policy.authorization import Act
from bot.domain.registry import edit_messages
from bot.domain.registry.model import VersionInfo
from bot.domain.transitions.transition import UNFINISHED, archiving, check_can_be_archived, mending
from bot.ports import Ask
from bot.services.core.access import Gatekeeper
from bot.services.core.command_queue import end
from bot.services.core.commands import Done
from bot.services.core.context import Context
from bot.services.registry.queries import Lookups

KEPT = 500  # characters of a description that an audit event repeats


class Tending:
    """Carries out the small changes."""

    def __init__(self, context: Context, lookups: Lookups, gatekeeper: Gatekeeper) -> None:
        self._it = context
        self._lookups = lookups
        self._gatekeeper = gatekeeper

    def describe(self, ask: Ask, command: Describe) -> Done:
        """Write a description, read it back, and write that into the audit. See `Hand`."""
        number, before = self._described(command)
        self._it.registry.describe(command.model, number, command.text)
        if self._described(command)[1] != command.text:
            raise RegistryRefused("MLflow took the description but tells another one; look at the version in MLflow.")
        after = short(command.text, KEPT)
        self._end(ask, Tag.DESCRIBED, command.model, number, before=short(before, KEPT), after=after)
        return Done(answer=edit_messages.described(command.model, number))

    def tag(self, ask: Ask, command: SetTags) -> Done:
        """Set tags, read them back, and write that into the audit. See `Hand`."""
        version = self._lookups.version(command.model, command.version)
        tags = command.pairs()
        self._it.registry.set_tags(command.model, version.version, tags)
        now = self._it.registry.version(command.model, version.version).tags
        wrong = [key for key, value in tags.items() if now.get(key) != value]
        if wrong:
            keys = [Code(key) for key in wrong]
            raise RegistryRefused(say("MLflow took the tags but tells others: {keys}.", keys=keys))
        self._end(
            ask,
            Tag.TAGGED,
            command.model,
            version.version,
            evidence={
                "before": {key: version.tags.get(key) for key in tags},
                "after": dict(tags),
            },
        )
        return Done(answer=edit_messages.tagged(command.model, version.version, tags))

    def archivable(self, caller: Caller, command: Archive, *, origin: str) -> VersionInfo:
        """Return the version that a person wants to take aside, before they are asked whether they mean it.

        Raises UnknownVersion, BadInput where it is archived already, and Refused (kept in the audit where it is for
        who asks).
        """
        self._gatekeeper.admit(caller, Act.ARCHIVE, model=command.model, origin=origin)
        version = self._lookups.version(command.model, command.version)
        check_can_be_archived(version)
        return version

    def archive(self, ask: Ask, command: Archive) -> Done:
        """Write down the move that takes a version aside; the executor makes it. See `Hand`."""
        version = self._lookups.version(command.model, command.version)
        move_id = f"archive:{ask.id}"
        move = archiving(move_id, version, ask.caller, self._it.clock.now(), command.reason)
        with self._it.ledger.write() as tx:
            if end(tx, ask):
                tx.add_move(move)
        return Done(move=move_id, model=command.model)

    def mend(self, caller: Caller, finding_id: str, *, origin: str) -> str:
        """Write down the move that gives a stage its one holder back; return the model whose move is to be made.

        Raises UnknownRequest, Refused (kept in the audit) and LedgerUnavailable.
        """
        with self._it.ledger.read() as reading:
            finding = reading.finding(finding_id)
        self._gatekeeper.admit(caller, Act.MEND, model=finding.model, target=finding.stage, origin=origin)
        now, actor = self._it.clock.now(), actor_of(caller)
        with self._it.ledger.write() as tx:
            finding = tx.finding(finding_id)
            if finding.mend is None or not finding.can_be_mended:
                raise Refused("That was mended already.")
            if any(move.finding == finding_id and move.state in UNFINISHED for move in tx.moves(finding.model)):
                raise Refused("Somebody is mending it already.")
            move_id = f"mend:{finding_id}:{self._it.new_id()}"
            tx.add_move(mending(move_id, finding.model, finding.mend, finding.stage, actor, now, finding_id))
        return finding.model

    def _described(self, command: Describe) -> tuple[int | None, str]:
        """Return which version is meant, None for the model, and its description as it is now."""
        if command.version is None:
            return None, self._lookups.model_and_versions(command.model)[0].description
        version: VersionInfo = self._lookups.version(command.model, command.version)
        return version.version, version.description

    def _end(self, ask: Ask, tag: Tag, model: str, version: int | None, **more: object) -> None:
        subject = model if version is None else f"{model} v{version}"
        event = Event(
            at=self._it.clock.now(),
            actor=ask.caller,
            tag=tag,
            subject=subject,
            model=model,
            origin="registrar",
            **more,  # type: ignore[arg-type]  # before, after and evidence, as the callers above give them
        )
        with self._it.ledger.write() as tx:
            if end(tx, ask):
                tx.append(event)
