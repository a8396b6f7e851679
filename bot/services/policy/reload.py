"""Reloads the policy file while the bot runs: a valid edit takes effect once the file has settled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.durations import format_duration
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.parser import revision_of
from bot.domain.policy.pending_edit import (
    MIN_SETTLE,
    PendingPolicyEdit,
    PolicyEditState,
    describe_policy_changes,
    loosens_any_rule,
    settle_duration,
)
from bot.domain.policy.policy import Policy
from bot.domain.policy.rule_changes import PolicyChange
from bot.ports import Directory, LedgerReader, PolicyFile
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message

log = logging.getLogger(__name__)

POLICY_FILE_ACTOR = Automation("policy-file")  # because the file doesn't say who edited it
MISSING_REVISION = "gone"  # the revision of a file that can't be read
UNREADABLE_MESSAGE = "This version can't read the last policy in the audit log, so the file takes effect."


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileState:
    """The file's state at the last poll, unchanged since `since`. It has either a policy or an error."""

    change_marker: object
    since: datetime
    revision: str
    text: str = ""
    policy: Policy | None = None
    error: Misconfigured | None = None
    changes: Sequence[PolicyChange] = ()
    applies_at: datetime | None = None


class PolicyReloader:
    """Applies edits to the policy file.

    Nothing counts as done until it's in the ledger; until then, each poll tries again. How long the file has been
    unchanged is measured from poll to poll, not by its modification time.
    """

    def __init__(self, context: Context, file: PolicyFile, directory: Directory) -> None:
        self._context = context
        self._file = file
        self._directory = directory
        self._file_state: _FileState | None = None
        self._refused_revision = ""  # the last rejected revision, so that it's announced once
        self._announced_state: _FileState | None = None  # the settling edit that was last announced

    def load_initial(self) -> None:
        """Choose the policy in effect at startup, before anything is served.

        This is the file's policy, unless it loosens the last policy in the audit log; in that case, the last one stays
        in effect until the file has settled. Raises Misconfigured if the file can't be used, and LedgerUnavailable.
        """
        state = self._poll_file()
        if state.error:
            raise state.error
        with self._context.ledger.read() as reader:
            last = _last_applied(reader)
        before = _parse_applied(last, self._file.parse) if last else None
        if last is None or before is None or last.event.after == state.revision:
            self._apply(
                replace(state, changes=()), message=None, why="" if last is None or before else UNREADABLE_MESSAGE
            )
            return
        self._context.active_policy.replace(before, str(last.event.after))
        self._file_state = None
        state = self._poll_file()  # again, to compare it with the policy now in effect
        if state.error:
            raise state.error
        if not loosens_any_rule(state.changes):
            self._apply(state, self._applied_message(state))
            return
        self._record_pending_edit(state)
        log.warning("policy file loosens revision %s, which stays in effect until the file settles", last.event.after)

    def reload(self) -> bool:
        """Put the file's policy into effect if it's new and has settled; return whether that happened.

        If the file is invalid, report it in the log, the channel, and the audit log. Raises LedgerUnavailable; the next
        call then tries again.
        """
        state = self._poll_file()
        self._record_pending_edit(state)
        if state.revision == self._context.active_policy.revision:
            self._refused_revision = ""
            return False
        unchanged_for = self._context.clock.now() - state.since
        if state.error:
            if unchanged_for >= MIN_SETTLE:
                self._refuse(state.revision, state.error)
            return False
        assert state.applies_at is not None
        if self._context.clock.now() < state.applies_at and not self._was_applied_elsewhere(state):
            if unchanged_for >= MIN_SETTLE:
                self._announce(state)
            return False
        self._apply(state, self._applied_message(state))
        return True

    def _poll_file(self) -> _FileState:
        """Return the file's state, with the time of its last change. Never raises."""
        now, before, marker = self._context.clock.now(), self._file_state, self._file.change_marker()
        text, error = "", None
        try:
            text = self._file.read_text()
        except Misconfigured as failure:
            error = failure
        revision = MISSING_REVISION if error else revision_of(text)
        if before and (before.change_marker, before.revision) == (marker, revision) and before.since <= now:
            return before
        self._file_state = _FileState(change_marker=marker, since=now, revision=revision, text=text, error=error)
        if not error:
            self._file_state = self._parse(self._file_state)
        return self._file_state

    def _parse(self, state: _FileState) -> _FileState:
        """Return the state with the parsed policy and its differences from the policy in effect, or with the error."""
        try:
            policy = self._file.parse(state.text)
        except Misconfigured as error:
            return replace(state, error=error)
        in_force = self._context.policy
        changes = policy_changes(in_force, policy)
        return replace(
            state, policy=policy, changes=changes, applies_at=state.since + settle_duration(changes, in_force)
        )

    def _record_pending_edit(self, state: _FileState) -> None:
        """Record why the policy in effect isn't the one on disk, for status queries."""
        edit = None
        if state.error:
            edit = PendingPolicyEdit(
                PolicyEditState.MISSING if state.revision == MISSING_REVISION else PolicyEditState.BROKEN
            )
        elif state.revision != self._context.active_policy.revision:
            edit = PendingPolicyEdit(PolicyEditState.SETTLING, state.applies_at)
        self._context.active_policy.pending_edit = edit

    def _was_applied_elsewhere(self, state: _FileState) -> bool:
        """Return whether another process has applied the same text, which means that the file had stopped changing."""
        with self._context.ledger.read() as reader:
            last = _last_applied(reader)
        return last is not None and last.event.after == state.revision

    def _announce(self, state: _FileState) -> None:
        if self._announced_state is state:
            return
        assert state.applies_at is not None
        announcement = say(
            "The policy file changed, and the edit loosens a rule. It takes effect at {when} ({wait} after the edit) "
            "unless the file changes again. Until then, revision {old} stays in effect.\n{changes}",
            when=state.applies_at,
            wait=format_duration(state.applies_at - state.since),
            old=Code(self._context.active_policy.revision),
            changes=describe_policy_changes(state.changes),
        )
        # The key is the same in all processes, so only one message is sent.
        key = f"policy-settling:{state.revision}:{state.applies_at:%Y%m%d%H%M}"
        with self._context.ledger.write() as tx:
            tx.add_message(channel_message(key, self._context.policy.channel, announcement))
        self._announced_state = state

    def _applied_message(self, state: _FileState) -> Sentence:
        return say(
            "Policy updated: revision {new} replaces {old}.\n{changes}\nTo see a model's rules: {command}",
            new=Code(state.revision),
            old=Code(self._context.active_policy.revision or "none"),
            changes=describe_policy_changes(state.changes),
            command=Code("/model policy MODEL"),
        )

    def _apply(self, state: _FileState, message: Sentence | None, why: str = "") -> None:
        """Record the policy in the audit log unless it's the last one there, then put it into effect."""
        policy, revision = state.policy, state.revision
        assert policy is not None
        names = self._directory.display_names(sorted(policy.all_slack_ids()))
        before = self._context.active_policy.revision
        with self._context.ledger.write() as tx:
            tx.lock("policy")
            last = _last_applied(tx)
            if last is None or last.event.after != revision:
                evidence = {
                    "text": state.text,
                    "names": names,
                    "changes": [change.to_evidence() for change in state.changes],
                }
                event = self._policy_event(
                    EventTag.POLICY_LOADED, revision, before=before or None, after=revision, evidence=evidence, why=why
                )
                tx.add_audit_event(event)
                if message:
                    tx.add_message(
                        channel_message(f"policy:{revision}:{last.number if last else 0}", policy.channel, message)
                    )
        self._context.active_policy.replace(policy, revision)
        self._context.active_policy.pending_edit = None
        self._refused_revision = ""

    def _refuse(self, refused_revision: str, error: Misconfigured) -> None:
        if refused_revision == self._refused_revision:
            return
        notice = say(
            "⚠️ Can't use the edited {file}, so policy revision {old} stays in effect. {why}",
            file=Code(self._file.name),
            old=Code(self._context.active_policy.revision),
            why=error.sentence,
        )
        with self._context.ledger.write() as tx:
            tx.lock("policy")
            last = next(
                iter(tx.latest_audit_events(tags=[EventTag.POLICY_INVALID, EventTag.POLICY_LOADED], limit=1)), None
            )
            is_recorded = (
                last
                and last.event.tag is EventTag.POLICY_INVALID
                and last.event.subject == f"policy:{refused_revision}"
            )
            if not is_recorded:  # otherwise, another process has recorded it
                tx.add_audit_event(
                    self._policy_event(EventTag.POLICY_INVALID, refused_revision, why=str(error.sentence))
                )
                number = last.number if last else 0
                tx.add_message(
                    channel_message(f"policy-broken:{refused_revision}:{number}", self._context.policy.channel, notice)
                )
        log.error(
            "can't use the edited policy; revision %s stays in effect: %s", self._context.active_policy.revision, error
        )
        self._refused_revision = refused_revision

    def _policy_event(self, tag: EventTag, event_revision: str, **fields: object) -> Event:
        return Event(
            at=self._context.clock.now(),
            actor=POLICY_FILE_ACTOR,
            tag=tag,
            subject=f"policy:{event_revision}",
            origin="job",
            **fields,  # type: ignore[arg-type]  # before, after, why, and evidence, as passed by the callers above
        )


def last_applied_policy(reader: LedgerReader, parse: Callable[[str], Policy]) -> tuple[Policy, str] | None:
    """Return the policy that a bot last put into effect, and its revision, for processes other than the bot.

    Return None if there isn't one, or if this version of Registrar can't read it. Raises LedgerUnavailable.
    """
    last = _last_applied(reader)
    policy = _parse_applied(last, parse) if last else None
    return (policy, str(last.event.after)) if last and policy else None


def _last_applied(reader: LedgerReader) -> ChainedEvent | None:
    return next(iter(reader.latest_audit_events(tags=[EventTag.POLICY_LOADED], limit=1)), None)


def _parse_applied(applied: ChainedEvent, parse: Callable[[str], Policy]) -> Policy | None:
    try:
        return parse(str(applied.event.evidence["text"]))
    except (KeyError, Misconfigured):
        return None
