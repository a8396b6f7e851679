"""The error hierarchy. Each error has the sentence that a person reads.

    RegistrarError
    ├── BadInput                   the input can't be understood                   exit 2
    │   ├── UnknownModel
    │   ├── UnknownVersion
    │   ├── UnknownRun
    │   └── UnknownRequest
    ├── Refused                    the rules say no                                exit 1
    │   ├── AlreadyOpen            a request for this model and stage is open
    │   ├── GateFailed             a gate that no one can override failed
    │   ├── TooFewApprovers        fewer people can approve than are required
    │   ├── AlreadyDecided         someone decided first
    │   └── QuotaExceeded          a quota in the policy is used up for now
    ├── Misconfigured              a setting or the policy file is wrong           exit 2
    │   └── WrongPolicy            the policy file, with a list of its errors
    ├── RegistryRefused            the registry rejected the call                  exit 1
    └── Unreachable                a dependency isn't responding                   exit 3
        ├── RegistryUnreachable
        │   └── FilesUnreachable   a version's files can't be read
        ├── Busy                   another process is doing the same work
        ├── LedgerUnavailable
        │   ├── LedgerFileGone     a ledger file was deleted or replaced
        │   ├── LedgerUpgraded     another version upgraded the tables             exit 2
        │   └── NoLedgerHere       this process has no ledger
        ├── SlackUnreachable
        │   └── SlackNotConnected  this process has no Slack connection
        └── BotUnreachable         the terminal can't reach the bot

The cause (a library's exception) is chained for the log and never shown to a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from bot.domain.core.sentence import Sentence, say


class RegistrarError(Exception):
    """The base class. `sentence` is the text that a person sees; `exit_code` is what the terminal returns.

    `field` is the name of the invalid field, so that a form can show the sentence next to it; empty if there's none.
    `suggestion` is what to write instead of `typo`, the text as it was typed; empty if there's nothing similar.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: Sentence | str, field: str = "", *, typo: str = "", suggestion: str = "") -> None:
        self.sentence = say("{it}", it=sentence) if isinstance(sentence, str) else sentence
        self.field = field
        self.typo, self.suggestion = typo, suggestion
        super().__init__(str(self.sentence))

    @property
    def code(self) -> str:
        """The class's name. The API returns it as `kind`, and the ledger and the audit log store it."""
        return type(self).__name__


class BadInput(RegistrarError):
    """The input can't be understood; nothing was changed."""

    exit_code = 2


class UnknownModel(BadInput):
    """The registry has no such model."""


class UnknownVersion(BadInput):
    """The model has no such version."""


class UnknownRun(BadInput):
    """MLflow has no such run, or it was deleted."""


class UnknownRequest(BadInput):
    """The ledger has no such request."""


class Refused(RegistrarError):
    """The rules don't allow it. Nothing was changed, but the audit log records the refusal."""


class AlreadyOpen(Refused):
    """A request for this model and stage is already open; the sentence names it."""


class GateFailed(Refused):
    """A gate that no one can override failed. `evidence` is what was checked, as plain JSON values."""

    def __init__(self, sentence: Sentence | str, evidence: Mapping[str, Any]) -> None:
        self.evidence = evidence
        super().__init__(sentence)


class TooFewApprovers(Refused):
    """Fewer people can approve than are required, so the request could never be approved."""


class AlreadyDecided(Refused):
    """The request has already been decided; the sentence says by whom."""


class QuotaExceeded(Refused):
    """The caller has used up a quota; it can retry after `retry_after`. Only refusals with `is_new` are audited."""

    def __init__(self, sentence: Sentence | str, *, retry_after: timedelta, is_new: bool) -> None:
        self.retry_after, self.is_new = retry_after, is_new
        super().__init__(sentence)


class Misconfigured(RegistrarError):
    """A setting or the policy file is wrong; the sentence says where, and what was expected."""

    exit_code = 2


class WrongPolicy(Misconfigured):
    """The policy file is wrong. `errors` are sentences, each with its place in the file."""

    def __init__(self, sentence: Sentence | str, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        super().__init__(sentence)


class RegistryRefused(RegistrarError):
    """The registry rejected the call; retrying won't help."""


class Unreachable(RegistrarError):
    """A dependency isn't responding; retrying can help."""

    exit_code = 3


class RegistryUnreachable(Unreachable):
    """The registry didn't respond in time."""


class FilesUnreachable(RegistryUnreachable):
    """A version's files couldn't be read in time; the registry itself may still respond."""


class Busy(Unreachable):
    """Another Registrar process is doing the same work right now."""


class LedgerUnavailable(Unreachable):
    """The ledger's database didn't respond in time; nothing was recorded."""


class LedgerFileGone(LedgerUnavailable):
    """A ledger file was deleted or replaced while it was open. Only a restart helps."""


class LedgerUpgraded(LedgerUnavailable):
    """Another version upgraded the tables while this process was running. Only a restart with that version helps."""

    exit_code = 2


class NoLedgerHere(LedgerUnavailable):
    """This process has no ledger; the bot does."""


class SlackUnreachable(Unreachable):
    """Slack didn't respond in time."""


class SlackNotConnected(SlackUnreachable):
    """This process has no Slack connection; the bot does."""


class BotUnreachable(Unreachable):
    """The bot didn't respond to the terminal in time."""
