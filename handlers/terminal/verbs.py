"""The verbs that only the terminal has: what auditors do, and what can be asked of a policy file without a bot."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from bot.domain.commands import Arg, Command, Model, OptionalModel, Promote, moment
from bot.domain.durations import parse_duration
from bot.domain.errors import BadInput
from bot.domain.text import Code, Name, say


def _span(text: object) -> timedelta | None:
    if text is None or isinstance(text, timedelta):
        return text
    try:
        return parse_duration(str(text).strip())
    except ValueError:
        raise BadInput(
            say("{word} is no span of time. Write one like {a} or {b}.", word=Name(str(text)[:40]), a=Code("30m"),
                b=Code("4h"))
        ) from None  # fmt: skip


Since = Annotated[
    timedelta | datetime | None, BeforeValidator(moment),
    Arg("TIME", "how far back (30d), or from when (2026-11-01)", False, ("--since",)),
]  # fmt: skip
PolicyFile = Annotated[str, Arg("FILE", "the policy file; without, what REGISTRAR_POLICY says", flags=("--file",))]


class AuditShow(Command):
    """Tell what happened."""

    verb = "audit show"
    summary = "Who did what, and what was refused, newest first"
    example = "audit show churn --since 30d"
    model: OptionalModel = None
    since: Since = None
    last: Annotated[
        int, Field(ge=1, le=100_000), Arg("N", "how many at most", positional=False, flags=("--last",))
    ] = 20  # fmt: skip


class AuditVerify(Command):
    """Look whether the audit is whole."""

    verb = "audit verify"
    summary = "Whether the audit is whole; else the first row that is not, and what was done to it"
    example = "audit verify --anchor anchor.jsonl"
    anchor: Annotated[
        str, Arg("FILE", "heads that were anchored, to be compared as well", positional=False, flags=("--anchor",))
    ] = ""


class AuditExport(Command):
    """Write the audit out."""

    verb = "audit export"
    summary = "The audit, whole or in part, oldest first, one event a line"
    example = "audit export --since 2026-11-01 > audit.jsonl"
    model: OptionalModel = None
    since: Since = None
    format: Annotated[
        Literal["jsonl", "csv"], Arg("FORMAT", "jsonl or csv", positional=False, flags=("--format",))
    ] = "jsonl"  # fmt: skip


class PolicyCheck(Command):
    """Look for what is wrong in a policy file."""

    verb = "policy check"
    summary = "Everything that is wrong in a policy file, and what to know about it"
    example = "policy check registrar.yml"
    file: PolicyFile = ""


class PolicyShow(Command):
    """Tell what a policy file says of a model."""

    verb = "policy show"
    summary = "What holds for a model: who decides, how many, which gates"
    example = "policy show churn"
    model: Model
    file: PolicyFile = ""


class PromoteHere(Promote):
    """Ask that a version move, and wait for what comes of it."""

    wait: Annotated[
        bool, Arg("", "wait until it is decided and done; the exit code tells how it ended", False, ("--wait",))
    ] = False  # fmt: skip
    timeout: Annotated[
        timedelta | None, BeforeValidator(_span),
        Arg("TIME", "wait so long at most, such as 4h; the request goes on without you", False, ("--timeout",)),
    ] = None  # fmt: skip
    approver: Annotated[
        str, Arg("ID", "also approve it, as this Slack user, whom the policy's operators say you are", False,
                 ("--approver",)),
    ] = ""  # fmt: skip
    idempotency_key: Annotated[
        str, Field(max_length=200, pattern=r"^[!-~]*$"),
        Arg("KEY", "your own word for this: a second time with it opens no second request", False,
            ("--idempotency-key",)),
    ] = ""  # fmt: skip

    def asked(self) -> Promote:
        """Return what is asked for, without how this terminal goes about it."""
        return Promote(**{name: getattr(self, name) for name in Promote.model_fields})
