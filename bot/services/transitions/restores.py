"""Handle restored backups: compare the ledger and registry at startup, hold pending work, and let an admin decide."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from bot.domain.audit.anchors import parse_last_anchor, torn_lines
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput, Misconfigured, Refused, RegistryUnreachable
from bot.domain.core.sentence import Sentence, say
from bot.domain.policy.authorization import Permission, describe_caller
from bot.domain.registry.model import ModelInfo, VersionIdentity, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions import restore_messages as words
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, RegistrySnapshot
from bot.domain.transitions.registry_tags import ledger_tags, tag_fingerprints
from bot.domain.transitions.restores import (
    MAX_STORED_LINES,
    RESTORE_CHECKER,
    Discrepancy,
    Hold,
    HoldKind,
    RestoreFacts,
    anchor_discrepancy,
    find_discrepancies,
    hold_kind,
    is_rolled_back_in_registry,
    new_discrepancies,
)
from bot.domain.transitions.transition import UNFINISHED_STATES, TransitionState
from bot.ports import AnchorFile, HeldWork, LedgerTransaction, TagUpdate
from bot.services.core.access import AccessControl
from bot.services.core.command_queue import CommandQueue
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message
from bot.services.promotions.voting import Requests
from bot.services.transitions.completion import Completion

log = logging.getLogger(__name__)

MAX_TRIES = 3  # attempts to read a model that another process keeps changing

KnownBad = tuple[VersionInfo, str]  # a version that was rolled back, and why


class Restores:
    """Detects that the ledger or registry was restored from a backup, and holds pending work until an admin decides."""

    def __init__(
        self,
        context: Context,
        file: AnchorFile,
        access: AccessControl,
        completion: Completion,
        queue: CommandQueue,
        requests: Requests,
    ) -> None:
        self._context = context
        self._file = file
        self._access = access
        self._completion = completion
        self._queue = queue
        self._requests = requests

    def check(self) -> None:
        """Compare the ledger with the registry and the anchor; open a hold if they don't match.

        Takes one registry request per page of models, and one for each model that has changed since its snapshot or
        has pending work. Raises Unreachable.
        """
        facts = self._read_facts()
        discrepancies = [
            discrepancy
            for model_facts in facts
            for discrepancy in find_discrepancies(model_facts, self._context.aliases)
        ]
        discrepancies += filter(None, [self._compare_with_anchor()])
        if not discrepancies:
            return
        known_bad = [
            (version, version.tags.get("rollback_reason", ""))
            for each in facts
            for version in each.versions
            if is_rolled_back_in_registry(version, each.written_fingerprints.get(version.version, ()))
        ]
        with self._context.ledger.write() as tx:
            commands = tx.backlog(self._context.clock.now()).commands.number
            has_pending_work = bool(tx.models_with_transitions(UNFINISHED_STATES)) or commands > 0
            new = new_discrepancies(discrepancies, tx.holds(), has_pending_work=has_pending_work)
            if new:
                hold = open_hold(tx, self._context, hold_kind(new), new)
                self._block_known_bad(tx, known_bad, hold)

    def _read_facts(self) -> list[RestoreFacts]:
        """Return facts about each model that has changed or has pending work."""
        with self._context.ledger.read() as reader:
            snapshots, with_work = reader.registry_snapshots(), set(reader.models_with_pending_work())
        models = {
            model.name: model for model in self._context.registry.models()
        }  # after the snapshots: see `_read_model`
        to_check = [
            snapshot
            for name, snapshot in sorted(snapshots.items())
            if name != REGISTRY_SEEN_KEY
            and (name in with_work or name not in models or not snapshot.matches_summary(models[name]))
        ]
        return [facts for snapshot in to_check if (facts := self._read_model(snapshot, models.get(snapshot.model)))]

    def _read_model(self, snapshot: RegistrySnapshot, info: ModelInfo | None) -> RestoreFacts | None:
        """Return the facts about one model, or None if another process is changing it or has already compared it.

        The registry is read between two reads of the ledger. The second one shows any transition in between, and tags
        are recorded in the ledger before they're written.
        """
        for _ in range(MAX_TRIES):
            with self._context.ledger.read() as reader:
                before = reader.transitions(snapshot.model)
            versions = self._context.registry.versions(snapshot.model) if info else []
            with self._context.ledger.read() as reader:
                now, transitions, tag_updates = (
                    reader.registry_snapshot(snapshot.model),
                    reader.transitions(snapshot.model),
                    reader.tag_updates(snapshot.model),
                )
            if now != snapshot:  # another process polls, so it has compared already
                return None
            if transitions == before:
                return RestoreFacts(
                    snapshot=snapshot,
                    model=info,
                    versions=versions,
                    transitions=transitions,
                    written_fingerprints=_written_fingerprints(tag_updates),
                )
        return None

    def _compare_with_anchor(self) -> Discrepancy | None:
        """Return a discrepancy if the anchor file has an event that the ledger lacks. Unusable files are logged."""
        anchor = self._context.policy.anchor
        if anchor is None or not anchor.file:
            return None
        try:
            text = self._file.read_text(anchor.file)
            last = None if text is None else parse_last_anchor(text, anchor.file)
        except Misconfigured as error:
            log.warning("can't compare the audit log with its anchor: %s", error)
            return None
        if text is None or last is None:
            return None
        for line_number in torn_lines(text):
            log.warning("skipped line %s of the anchor file: the write was interrupted", line_number)
        with self._context.ledger.read() as reader:
            event = next(iter(reader.audit_events(after_number=last.number - 1, limit=1)), None)
        return anchor_discrepancy(last, event.hash if event and event.number == last.number else None)

    def _block_known_bad(self, tx: LedgerTransaction, known_bad: Sequence[KnownBad], hold: Hold) -> None:
        """Block versions that were rolled back after the backup, so that no rollback targets them during the hold.

        A version that the ledger already blocks is blocked again, because approvals since the earlier block didn't take
        the later one into account.
        """
        for version, why in known_bad:
            transition = f"hold:{hold.id}"
            if (version.version, transition) in {
                (block.version, block.move) for block in tx.rollback_blocks(version.model)
            }:
                continue
            tx.add_rollback_block(
                RollbackBlock(
                    id=self._context.new_id(),
                    model=version.model,
                    version=version.version,
                    move=transition,
                    at=hold.at,
                    by=RESTORE_CHECKER,
                    reason=why,
                )
            )
            tx.add_audit_event(
                Event(
                    at=self._context.clock.now(),
                    actor=RESTORE_CHECKER,
                    tag=EventTag.BLOCKED,
                    model=version.model,
                    why=why,
                    subject=f"{version.model} v{version.version}",
                    origin="job",
                    evidence={"hold": hold.id},
                )
            )

    def accept(self, caller: Caller, reason: str, *, origin: str) -> Sentence:
        """Lift the hold, so that pending work is executed with all checks. Return the answer.

        Raises Refused if the caller isn't an admin or nothing is held, BadInput, and Unreachable.
        """
        hold = self.active_hold()
        is_migrated = hold is not None and hold.kind is HoldKind.REGISTRY_MIGRATED
        sources = self._moved_sources() if is_migrated else []

        def take_over(tx: LedgerTransaction, _hold: Hold, _why: Sentence) -> None:
            for snapshot, identities in sources:
                tx.save_registry_snapshot(snapshot)
                tx.update_sources(snapshot.model, identities)

        return self._lift(caller, reason, origin, EventTag.HOLD_ACCEPTED, take_over)

    def drop(self, caller: Caller, reason: str, *, origin: str) -> Sentence:
        """End all held work, and lift the hold. Return the answer. Raises the same errors as `accept`."""
        return self._lift(caller, reason, origin, EventTag.HOLD_DROPPED, self._end_held_work)

    def active_hold(self) -> Hold | None:
        """Return the active hold, or None."""
        with self._context.ledger.read() as reader:
            return reader.active_hold()

    def _lift(
        self,
        caller: Caller,
        reason: str,
        origin: str,
        tag: EventTag,
        action: Callable[[LedgerTransaction, Hold, Sentence], None],
    ) -> Sentence:
        if not reason:
            raise BadInput("Give a reason. It's shown in the channel and the audit log.")
        self._access.require_permission(caller, Permission.LIFT_HOLD, origin=origin)
        if (
            not self._context.startup_check.has_passed() and self.active_hold() is None
        ):  # nothing has been compared since the restore
            raise RegistryUnreachable(
                say("{product} isn't responding, so nothing was compared or changed. Try again later.")
            )
        by, now = actor_of(caller), self._context.clock.now()
        with self._context.ledger.write() as tx:
            tx.lock("hold")
            hold = tx.active_hold()
            if hold is None:
                raise Refused(words.NOTHING_HELD)
            held_work = tx.held_work()
            action(tx, hold, words.dropped_reason(reason))
            outcome = "accepted" if tag is EventTag.HOLD_ACCEPTED else "dropped"
            tx.save_hold(replace(hold, lifted_at=now, lifted_by=by, outcome=outcome))
            for request in held_work.requests:  # its version may have been unblocked in the meantime
                self._requests.decide_if_complete(tx, request.id, {})
            announce = (
                words.hold_accepted_announcement if tag is EventTag.HOLD_ACCEPTED else words.hold_dropped_announcement
            )
            announcement = announce(hold, by, reason, _count_held(held_work))
            tx.add_message(channel_message(f"lifted:{hold.id}", self._context.policy.channel, announcement))
            tx.add_audit_event(
                Event(
                    at=now,
                    actor=by,
                    tag=tag,
                    subject=f"hold:{hold.id}",
                    why=reason,
                    origin=origin,
                    evidence=_held_evidence(held_work) | {"by": describe_caller(caller, self._context.policy)},
                )
            )
        return announcement

    def _moved_sources(self) -> list[tuple[RegistrySnapshot, dict[int, VersionIdentity]]]:
        """Return the snapshots of models whose files moved, with the new locations, and the versions' identities."""
        with self._context.ledger.read() as reader:
            snapshots = reader.registry_snapshots()
        return [
            (
                snapshot.with_sources_of(versions),
                {version.version: version.identity(model.created_at) for version in versions},
            )
            for model in self._context.registry.models()
            if (snapshot := snapshots.get(model.name))
            and snapshot.has_moved_files(model)
            and (versions := self._context.registry.versions(model.name))
        ]

    def _end_held_work(self, tx: LedgerTransaction, _: Hold, why: Sentence) -> None:
        """End everything that the hold covers, with audit events and messages."""
        held_work, now = tx.held_work(), self._context.clock.now()
        for transition in held_work.transitions:
            self._completion.finish(tx, replace(transition, state=TransitionState.STALE, why=str(why), finished_at=now))
        for request in held_work.requests:
            self._requests.end_held(tx, request.id, why)
        for queued in held_work.commands:
            self._queue.mark_refused(tx, queued, Refused(why), notify_caller=True)
        tx.discard_held_tag_updates(str(why))


def open_hold(tx: LedgerTransaction, context: Context, kind: HoldKind, discrepancies: Sequence[Discrepancy]) -> Hold:
    """Open a hold on all pending work, or extend the active one, and announce it in the channel. Return the hold."""
    now, keys, lines = (
        context.clock.now(),
        tuple(discrepancy.key for discrepancy in discrepancies),
        tuple(discrepancy.sentence for discrepancy in discrepancies),
    )
    tx.lock("hold")
    hold = tx.active_hold()
    if hold is None:
        hold = Hold(id=context.new_id(), kind=kind, at=now, lines=lines[:MAX_STORED_LINES], keys=keys)
        tx.add_hold(hold)
    else:
        hold = replace(hold, at=now, lines=(*hold.lines, *lines)[:MAX_STORED_LINES], keys=(*hold.keys, *keys))
        tx.save_hold(hold, extend=True)
    tx.add_message(
        channel_message(f"held:{hold.id}:{len(hold.keys)}", context.policy.channel, words.hold_announcement(hold))
    )
    tx.add_audit_event(
        Event(
            at=now,
            actor=RESTORE_CHECKER,
            tag=EventTag.WORK_HELD,
            subject=f"hold:{hold.id}",
            why=str(words.hold_cause(hold)),
            origin="job",
            evidence={
                "kind": hold.kind.value,
                "lines": [str(line) for line in lines],
                **_held_evidence(tx.held_work()),
            },
        )
    )
    return hold


def _written_fingerprints(tag_updates: Sequence[TagUpdate]) -> dict[int, Collection[str]]:
    """Return the fingerprints of all tags that were ever written or queued for a model, by version."""
    fingerprints: dict[int, set[str]] = {}
    for tag_update in tag_updates:
        fingerprints.setdefault(tag_update.version, set()).update(
            tag_fingerprints(ledger_tags(tag_update.tags)).values()
        )
    return dict(fingerprints)


def _count_held(held_work: HeldWork) -> str:
    return words.count_pending_work(
        len(held_work.transitions), len(held_work.commands), len(held_work.requests), len(held_work.tag_updates)
    )


def _held_evidence(held_work: HeldWork) -> dict[str, object]:
    """Return the audit evidence about held work."""
    return {
        "moves": [transition.id for transition in held_work.transitions],
        "asks": [command.id for command in held_work.commands],
        "requests": [request.id for request in held_work.requests],
        "copies": len(held_work.tag_updates),
    }
