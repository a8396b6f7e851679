"""The policy file while the bot runs: an edit applies once the file has settled, a broken one changes nothing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.audit.events import Event, Link, Tag
from bot.domain.core.actors import Automation
from bot.domain.core.durations import show_duration
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Say, say
from bot.domain.policy.changes import policy_changes
from bot.domain.policy.pending_edit import QUIET, EditState, FileEdit, change_lines, loosens, waits
from bot.domain.policy.policy import Policy
from bot.domain.policy.rule_changes import Change
from bot.ports import Directory, PolicyFile, Reading
from bot.services.core.context import Context
from bot.services.core.outbox_messages import said_note

log = logging.getLogger(__name__)

READER = Automation("policy-file")  # who edited it the file does not say; its own history does
GONE = "gone"  # the revision of a file that cannot be read
UNREADABLE = "This version can't read the last policy in the audit log, so the file applies."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The file as polls have seen it, unchanged since a time. It has either a policy or an error."""

    mark: object
    since: datetime
    revision: str
    text: str = ""
    policy: Policy | None = None
    error: Misconfigured | None = None
    changes: Sequence[Change] = ()
    applies_at: datetime | None = None


class Policies:
    """Takes up what is written into the policy file.

    Nothing is remembered as done before the ledger has it: while that is busy, each poll tries again. How long the file
    has been unchanged is measured from poll to poll, never by its own times.
    """

    def __init__(self, context: Context, file: PolicyFile, directory: Directory) -> None:
        self._it = context
        self._file = file
        self._directory = directory
        self._seen: _Seen | None = None
        self._refused = ""  # the revision that was refused last, which is told once
        self._announced: _Seen | None = None  # the edit that the channel knows to be settling

    def begin(self) -> None:
        """Decide which policy is in force at the start, before anything is served.

        That's the file's, unless it loosens the last one in the audit log: then that one is in force until the file has
        settled. Raises Misconfigured where the file can't be used, and LedgerUnavailable.
        """
        seen = self._look()
        if seen.error:
            raise seen.error
        with self._it.ledger.read() as reading:
            last = _last_taken(reading)
        before = _policy_of(last, self._file.parse) if last else None
        if last is None or before is None or last.event.after == seen.revision:
            self._take(replace(seen, changes=()), told=None, why="" if last is None or before else UNREADABLE)
            return
        self._it.rules.replace(before, str(last.event.after))
        self._seen = None
        seen = self._look()  # again, to compare it with what is in force now
        if seen.error:
            raise seen.error
        if not loosens(seen.changes):
            self._take(seen, self._said_taken(seen))
            return
        self._note_edit(seen)
        log.warning("the policy file loosens revision %s, which stays in force until it settles", last.event.after)

    def take_up(self) -> bool:
        """Put the file's policy in force if it's another one and has settled; return whether one was.

        A broken one is refused: in the log, in the channel and in the audit. Raises LedgerUnavailable; the next call
        then tries again.
        """
        seen = self._look()
        self._note_edit(seen)
        if seen.revision == self._it.rules.revision:
            self._refused = ""
            return False
        quiet = self._it.clock.now() - seen.since
        if seen.error:
            if quiet >= QUIET:
                self._refuse(seen.revision, seen.error)
            return False
        assert seen.applies_at is not None
        if self._it.clock.now() < seen.applies_at and not self._has_been_taken(seen):
            if quiet >= QUIET:
                self._announce(seen)
            return False
        self._take(seen, self._said_taken(seen))
        return True

    def _look(self) -> _Seen:
        """Return the file as it is, with the time since when polls have seen it so. It never raises."""
        now, before, mark = self._it.clock.now(), self._seen, self._file.mark()
        text, error = "", None
        try:
            text = self._file.text()
        except Misconfigured as found:
            error = found
        word = GONE if error else revision(text)
        if before and (before.mark, before.revision) == (mark, word) and before.since <= now:
            return before
        self._seen = _Seen(mark=mark, since=now, revision=word, text=text, error=error)
        if not error:
            self._seen = self._read(self._seen)
        return self._seen

    def _read(self, seen: _Seen) -> _Seen:
        """Return it with its policy, compared with the one in force, or with what is wrong with it."""
        try:
            policy = self._file.parse(seen.text)
        except Misconfigured as error:
            return replace(seen, error=error)
        in_force = self._it.policy
        changes = policy_changes(in_force, policy)
        return replace(seen, policy=policy, changes=changes, applies_at=seen.since + waits(changes, in_force))

    def _note_edit(self, seen: _Seen) -> None:
        """Keep for whoever asks why the policy in force isn't the one on disk."""
        edit = None
        if seen.error:
            edit = FileEdit(EditState.MISSING if seen.revision == GONE else EditState.BROKEN)
        elif seen.revision != self._it.rules.revision:
            edit = FileEdit(EditState.SETTLING, seen.applies_at)
        self._it.rules.edit = edit

    def _has_been_taken(self, seen: _Seen) -> bool:
        """Tell whether another process of ours has put the same text in force, so that it has settled there."""
        with self._it.ledger.read() as reading:
            last = _last_taken(reading)
        return last is not None and last.event.after == seen.revision

    def _announce(self, seen: _Seen) -> None:
        if self._announced is seen:
            return
        assert seen.applies_at is not None
        told = say(
            "The policy file changed and loosens a rule. The edit applies at {when} ({wait} after it was made) "
            "unless the file changes again. Until then, revision {old} is in force.\n{changes}",
            when=seen.applies_at,
            wait=show_duration(seen.applies_at - seen.since),
            old=Code(self._it.rules.revision),
            changes=change_lines(seen.changes),
        )
        key = f"policy-settling:{seen.revision}:{seen.applies_at:%Y%m%d%H%M}"  # of several processes', one is told
        with self._it.ledger.write() as tx:
            tx.add_note(said_note(key, self._it.policy.channel, told))
        self._announced = seen

    def _said_taken(self, seen: _Seen) -> Say:
        return say(
            "Policy updated: revision {new} is in force; {old} was before.\n{changes}\nFor one model: {command}",
            new=Code(seen.revision),
            old=Code(self._it.rules.revision or "none"),
            changes=change_lines(seen.changes),
            command=Code("/model policy MODEL"),
        )

    def _take(self, seen: _Seen, told: Say | None, why: str = "") -> None:
        """Write the policy into the audit log unless it's the last one there, then put it in force."""
        policy, taken = seen.policy, seen.revision
        assert policy is not None
        names = self._directory.names(sorted(policy.everybody()))
        before = self._it.rules.revision
        with self._it.ledger.write() as tx:
            tx.lock("policy")
            last = _last_taken(tx)
            if last is None or last.event.after != taken:
                evidence = {"text": seen.text, "names": names, "changes": [one.evidence() for one in seen.changes]}
                event = self._event(
                    Tag.POLICY_TAKEN, taken, before=before or None, after=taken, evidence=evidence, why=why
                )
                tx.append(event)
                if told:
                    tx.add_note(said_note(f"policy:{taken}:{last.number if last else 0}", policy.channel, told))
        self._it.rules.replace(policy, taken)
        self._it.rules.edit = None
        self._refused = ""

    def _refuse(self, found: str, error: Misconfigured) -> None:
        if found == self._refused:
            return
        told = say(
            "⚠️ {file} was edited and cannot be used, so revision {old} of the policy goes on holding. {why}",
            file=Code(self._file.name),
            old=Code(self._it.rules.revision),
            why=error.sentence,
        )
        with self._it.ledger.write() as tx:
            tx.lock("policy")
            last = next(iter(tx.latest(tags=[Tag.POLICY_BROKEN, Tag.POLICY_TAKEN], most=1)), None)
            is_told = last and last.event.tag is Tag.POLICY_BROKEN and last.event.subject == f"policy:{found}"
            if not is_told:  # else by another process of ours
                tx.append(self._event(Tag.POLICY_BROKEN, found, why=str(error.sentence)))
                number = last.number if last else 0
                tx.add_note(said_note(f"policy-broken:{found}:{number}", self._it.policy.channel, told))
        log.error("the edited policy is refused, revision %s stays in force: %s", self._it.rules.revision, error)
        self._refused = found

    def _event(self, tag: Tag, word: str, **more: object) -> Event:
        return Event(
            at=self._it.clock.now(),
            actor=READER,
            tag=tag,
            subject=f"policy:{word}",
            origin="job",
            **more,  # type: ignore[arg-type]  # before, after, why and evidence, as the callers above give them
        )


def policy_in_force(reading: Reading, parse: Callable[[str], Policy]) -> tuple[Policy, str] | None:
    """Return the policy that a bot put in force last, and its revision, for processes beside the bot.

    None where no bot ever did, or this version can't read it. Raises LedgerUnavailable.
    """
    last = _last_taken(reading)
    policy = _policy_of(last, parse) if last else None
    return (policy, str(last.event.after)) if last and policy else None


def _last_taken(reading: Reading) -> Link | None:
    return next(iter(reading.latest(tags=[Tag.POLICY_TAKEN], most=1)), None)


def _policy_of(taken: Link, parse: Callable[[str], Policy]) -> Policy | None:
    try:
        return parse(str(taken.event.evidence["text"]))
    except (KeyError, Misconfigured):
        return None


def revision(text: str) -> str:
    """Return the word that tells a policy's text from every other: the beginning of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
