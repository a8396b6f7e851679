"""The verbs that only the terminal has: what auditors do, and what can be asked of a policy file without a bot."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from bot.domain.commands import Arg, Command, Model, OptionalModel, moment

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
