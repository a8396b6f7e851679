"""The policy file while the bot runs: an edit holds at once, a broken one changes nothing, and each is kept whole."""

from __future__ import annotations

import hashlib
import logging

from bot.domain.errors import Misconfigured
from bot.domain.events import Event, Tag
from bot.domain.people import Automation
from bot.domain.policy import Policy
from bot.domain.text import Code, Say, say
from bot.ports import Directory, PolicyFile
from bot.services.context import Context
from bot.services.rows import said_note

log = logging.getLogger(__name__)

READER = Automation("policy-file")  # who edited it the file does not say; its own history does
GONE = "gone"  # the revision of a file that cannot be read


class Policies:
    """Takes up what is written into the policy file."""

    def __init__(self, context: Context, file: PolicyFile, directory: Directory) -> None:
        self._it = context
        self._file = file
        self._directory = directory
        self._refused = ""  # the revision that was refused last, which is told once

    def begin(self) -> None:
        """Keep the policy with which the bot starts, unless the audit has it as the last one."""
        self._file.has_changed()
        text = self._file.text()
        self._take(text, self._file.parse(text), told=None)

    def take_up(self) -> bool:
        """Let the file's policy hold from now on if it was edited; return whether another one holds now.

        One that is wrong is refused: in the log, in the channel and in the audit; the one before goes on holding.
        """
        if not self._file.has_changed():
            return False
        try:
            text = self._file.text()
        except Misconfigured as error:
            self._refuse(GONE, error)
            return False
        if revision(text) == self._it.rules.revision:
            self._refused = ""
            return False
        try:
            policy = self._file.parse(text)
        except Misconfigured as error:
            self._refuse(revision(text), error)
            return False
        told = say("The policy was edited: revision {new} holds from now on, {old} did before. To see what it says of "
                   "a model: {command}", new=Code(revision(text)), old=Code(self._it.rules.revision or "none"),
                   command=Code("/model policy MODEL"))  # fmt: skip
        self._take(text, policy, told)
        return True

    def _take(self, text: str, policy: Policy, told: Say | None) -> None:
        names, taken = self._directory.names(sorted(policy.everybody())), revision(text)
        before = self._it.rules.revision
        with self._it.ledger.write() as tx:
            tx.lock("policy")
            last = next(iter(tx.latest(tags=[Tag.POLICY_TAKEN], most=1)), None)
            if last is None or last.event.subject != f"policy:{taken}":
                evidence = {"text": text, "names": names}
                tx.append(self._event(Tag.POLICY_TAKEN, taken, before=before or None, after=taken, evidence=evidence))
                if told:
                    tx.add_note(said_note(f"policy:{taken}:{last.number if last else 0}", policy.channel, told))
        self._it.rules.replace(policy, taken)
        self._refused = ""

    def _refuse(self, found: str, error: Misconfigured) -> None:
        if found == self._refused:
            return
        self._refused = found
        log.error("the edited policy is refused, revision %s goes on holding: %s", self._it.rules.revision, error)
        told = say("⚠️ {file} was edited and cannot be used, so revision {old} of the policy goes on holding. {why}",
                   file=Code(self._file.name), old=Code(self._it.rules.revision), why=error.sentence)  # fmt: skip
        with self._it.ledger.write() as tx:
            tx.lock("policy")
            last = next(iter(tx.latest(tags=[Tag.POLICY_BROKEN, Tag.POLICY_TAKEN], most=1)), None)
            if last and last.event.tag is Tag.POLICY_BROKEN and last.event.subject == f"policy:{found}":
                return  # another process of ours has told of it
            tx.append(self._event(Tag.POLICY_BROKEN, found, why=str(error.sentence)))
            number = last.number if last else 0
            tx.add_note(said_note(f"policy-broken:{found}:{number}", self._it.policy.channel, told))

    def _event(self, tag: Tag, word: str, **more: object) -> Event:
        return Event(
            at=self._it.clock.now(), actor=READER, tag=tag, subject=f"policy:{word}", origin="job",
            **more,  # type: ignore[arg-type]  # before, after, why and evidence, as the callers above give them
        )  # fmt: skip


def revision(text: str) -> str:
    """Return the word that tells a policy's text from every other: the beginning of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
