"""Everything that can go wrong, as a tree. Each error knows the sentence that a person reads.

    RegistrarError
    ├── BadInput                what was typed cannot be understood         exit 2
    │   ├── WrongField          one field of a form or a flag
    │   ├── UnknownModel
    │   ├── UnknownVersion
    │   ├── UnknownRun
    │   └── UnknownRequest
    ├── Refused                 the rules say no                            exit 1
    │   ├── AlreadyOpen         a request for this model and stage is open
    │   ├── GateFailed          a gate failed that nobody may let pass
    │   ├── TooFewApprovers     fewer people can approve than have to
    │   └── AlreadyDecided      somebody was faster
    ├── Misconfigured           a setting or the policy file is wrong       exit 2
    │   └── WrongPolicy         the policy file, with every fault by itself
    ├── RegistryRefused         the registry was reached and said no        exit 1
    └── Unreachable             a part does not answer                      exit 3
        ├── RegistryUnreachable
        ├── Busy                  another process is at it
        ├── LedgerUnavailable
        ├── SlackUnreachable
        │   └── SlackNotConnected this process has no Slack to ask
        └── BotUnreachable    the terminal does not reach the bot

The cause (a foreign exception) is chained, for the log; it is never shown to a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bot.domain.core.sentence import Sentence, say


class RegistrarError(Exception):
    """The root. `sentence` is for the person; `exit_code` is what the terminal returns."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: Sentence | str) -> None:
        self.sentence = say("{it}", it=sentence) if isinstance(sentence, str) else sentence
        super().__init__(str(self.sentence))


class BadInput(RegistrarError):
    """What was typed cannot be understood; nothing was changed."""

    exit_code = 2


class WrongField(BadInput):
    """A value that a field can't have; `field` is its name, so that a form can show the sentence there."""

    def __init__(self, field: str, sentence: Sentence | str) -> None:
        self.field = field
        super().__init__(sentence)


class UnknownModel(BadInput):
    """The registry has no such model."""


class UnknownVersion(BadInput):
    """The model has no such version."""


class UnknownRun(BadInput):
    """MLflow has no such run, or it was deleted."""


class UnknownRequest(BadInput):
    """The ledger has no such request."""


class Refused(RegistrarError):
    """The rules say no; nothing was changed but the audit, which keeps the refusal."""


class AlreadyOpen(Refused):
    """One pending request per model and stage; the sentence names the open one."""


class GateFailed(Refused):
    """A gate failed that nobody may let pass. `evidence` is what was seen, as plain JSON values."""

    def __init__(self, sentence: Sentence | str, evidence: Mapping[str, Any]) -> None:
        self.evidence = evidence
        super().__init__(sentence)


class TooFewApprovers(Refused):
    """Fewer people can approve than have to, so the request could never be decided."""


class AlreadyDecided(Refused):
    """The request was decided before this came; the sentence says by whom."""


class Misconfigured(RegistrarError):
    """A setting or the policy file is wrong; the sentence says where, and what was expected."""

    exit_code = 2


class WrongPolicy(Misconfigured):
    """The policy file is wrong. `faults` are sentences, each with its place in the file."""

    def __init__(self, sentence: Sentence | str, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        super().__init__(sentence)


class RegistryRefused(RegistrarError):
    """The registry was reached and refused: trying again will not help."""


class Unreachable(RegistrarError):
    """A part that we need does not answer; trying again may help."""

    exit_code = 3


class RegistryUnreachable(Unreachable):
    """MLflow does not answer, or not in time."""


class FilesUnreachable(RegistryUnreachable):
    """The files of a version do not come, or not in time; the registry itself may answer."""


class Busy(Unreachable):
    """Another process of ours is at the same thing at this moment."""


class LedgerUnavailable(Unreachable):
    """The ledger's database cannot answer in time: nothing was recorded."""


class NoLedgerHere(LedgerUnavailable):
    """This process has no ledger; the bot has."""


class SlackUnreachable(Unreachable):
    """Slack does not answer, or not in time."""


class SlackNotConnected(SlackUnreachable):
    """This process has no Slack to ask; the bot has."""


class BotUnreachable(Unreachable):
    """The bot does not answer the terminal, or not in time."""
