"""The commands that only the terminal has: for auditors, for the ledger, and for a policy file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from bot.domain.commands.base import MAX_EVENT_NUMBER, Argument, Command, ModelName, OptionalModelName, Reason
from bot.domain.commands.policy import ShowPolicy
from bot.domain.commands.promotions import Promote
from bot.domain.core.ci_run import CiRun
from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.relative_time import RelativeDay, parse_past
from bot.domain.core.sentence import Code, Name, say


def _parse_timespan(text: object) -> timedelta | None:
    if text is None or isinstance(text, timedelta):
        return text
    try:
        return parse_duration(str(text).strip())
    except ValueError:
        raise BadInput(
            say(
                "{word} is no span of time. Write one like {a} or {b}.",
                word=Name(str(text)[:40]),
                a=Code("30m"),
                b=Code("4h"),
            )
        ) from None


Since = Annotated[
    timedelta | datetime | RelativeDay | None,
    BeforeValidator(parse_past),
    Argument("TIME", "how far back (30d), or from when (yesterday, 2026-11-01; in UTC)", False, ("--since",)),
]
PolicyFileArgument = Annotated[
    str, Argument("FILE", "the policy file; without, what REGISTRAR_POLICY says", flags=("--file",))
]


class AuditShow(Command):
    """Tell what happened."""

    verb = "audit show"
    summary = "Show who did what, and what was refused, newest first"
    example = "audit show churn --since 30d"
    model: OptionalModelName = None
    since: Since = None
    last: Annotated[
        int, Field(ge=1, le=100_000), Argument("N", "how many at most", positional=False, flags=("--last",))
    ] = 20
    before: Annotated[
        int | None,
        Field(ge=1, le=MAX_EVENT_NUMBER),
        Argument("NUMBER", "only those before this number: the next page", False, ("--before",)),
    ] = None
    by: Annotated[
        str, Argument("ACTOR", "only what they did, such as slack:T012AB3CD/U0BOB or client:ci", False, ("--by",))
    ] = ""
    tag: Annotated[str, Argument("TAG", "only events with this tag", False, ("--tag",))] = ""

    @model_validator(mode="after")
    def _require_one_filter(self) -> AuditShow:
        """Each of these has an index of its own; of two together the audit might be read to its beginning."""
        if sum(map(bool, (self.model, self.by, self.tag))) > 1:
            raise BadInput(
                say(
                    "Choose one of a model, {by} and {tag}; audit export has everything.",
                    by=Code("--by"),
                    tag=Code("--tag"),
                )
            )
        return self


class AuditVerify(Command):
    """Look whether the audit is whole."""

    verb = "audit verify"
    summary = "Verify that the audit is whole; if it isn't, name the first bad row and what was done to it"
    example = "audit verify --anchor anchor.jsonl"
    anchor: Annotated[
        str, Argument("FILE", "heads that were anchored, to be compared as well", positional=False, flags=("--anchor",))
    ] = ""


class AuditExport(Command):
    """Write the audit out."""

    verb = "audit export"
    summary = "Export the audit or a part of it, oldest first, one event per line"
    example = "audit export --since 2026-11-01 > audit.jsonl"
    model: OptionalModelName = None
    since: Since = None
    format: Annotated[
        Literal["jsonl", "csv"], Argument("FORMAT", "jsonl or csv", positional=False, flags=("--format",))
    ] = "jsonl"


class ImportHistory(Command):
    """Add what was in Production before Registrar to the history."""

    verb = "history import"
    summary = "Import earlier history from a CSV or JSON file; admins only"
    example = 'history import before.csv --reason "exported from the old registry"'
    file: Annotated[
        str, Argument("FILE", "rows with model, version, since; optionally until, by, why", flags=("--file",))
    ]
    reason: Reason


class DbStatus(Command):
    """Tell how the ledger's tables are."""

    verb = "db status"
    summary = "Show where the ledger is, whether its tables are up to date, and what to do"
    example = "db status"


class DbUpgrade(Command):
    """Bring the ledger's tables up to date."""

    verb = "db upgrade"
    summary = "Create the ledger's tables, or bring those of an older Registrar up to date"
    example = "db upgrade"


class DbBackup(Command):
    """Copy the ledger into a file."""

    verb = "db backup"
    summary = "Copy the ledger into a new file while the bot runs, and verify its audit"
    example = "db backup ledger-2026-11-27.db"
    file: Annotated[str, Argument("FILE", "the file, which must not be there yet", flags=("--file",))]


class DbCopy(Command):
    """Move the ledger to PostgreSQL."""

    verb = "db copy"
    summary = "Copy the ledger from SQLite to an empty PostgreSQL, its audit chain intact; stop the bot first"
    example = "db copy --to postgresql+psycopg://registrar@db.internal/registrar"
    to: Annotated[
        str, Argument("URL", "where to; libpq finds the password in PGPASSWORD or ~/.pgpass", False, ("--to",))
    ]
    dry_run: Annotated[
        bool, Argument("", "do and compare everything, and then take it back", False, ("--dry-run",))
    ] = False
    force: Annotated[bool, Argument("", "also copy an audit that is not whole, as it is", False, ("--force",))] = False


class DbAccept(Command):
    """Lift the hold after a restore, and carry out what was waiting."""

    verb = "db accept"
    summary = "After a restore, carry out what was pending, with every check that a transition has"
    example = 'db accept --reason "the registry was moved to a new server"'
    reason: Reason


class DbDropPending(Command):
    """Lift the hold after a restore, and end what was waiting."""

    verb = "db drop-pending"
    summary = "After a restore, end every pending request, transition, command, and tag update"
    example = 'db drop-pending --reason "the ledger is from Friday, all of that was done"'
    reason: Reason


class PolicyCheck(Command):
    """Look for what is wrong in a policy file."""

    verb = "policy check"
    summary = "Check a policy file, and list every error in it and what to know about it"
    example = "policy check registrar.yml"
    file: PolicyFileArgument = ""


class PolicyShow(Command):
    """Tell what a policy file says of a model."""

    verb = "policy show"
    summary = ShowPolicy.summary
    example = "policy show churn"
    model: ModelName
    file: PolicyFileArgument = ""


class PromoteFromTerminal(Promote):
    """Ask that a version move, and wait for what comes of it."""

    wait: Annotated[
        bool, Argument("", "wait until it is decided and done; the exit code tells how it ended", False, ("--wait",))
    ] = False
    timeout: Annotated[
        timedelta | None,
        BeforeValidator(_parse_timespan),
        Argument("TIME", "wait so long at most, such as 4h; the request goes on without you", False, ("--timeout",)),
    ] = None
    approver: Annotated[
        str,
        Argument(
            "ID", "also approve it, as this Slack user, whom the policy's operators say you are", False, ("--approver",)
        ),
    ] = ""
    idempotency_key: Annotated[
        str,
        Field(max_length=200, pattern=r"^[!-~]*$"),
        Argument(
            "KEY",
            "your own word for this: a second time with it opens no second request",
            False,
            ("--idempotency-key",),
        ),
    ] = ""

    @model_validator(mode="after")
    def _require_wait(self) -> PromoteFromTerminal:
        if self.timeout is not None and not self.wait:
            raise BadInput(
                say("{timeout} says how long {wait} waits: add that.", timeout=Code("--timeout"), wait=Code("--wait"))
            )
        return self

    def idempotency_key_for(self, ci: CiRun) -> str:
        """Return the idempotency key: the same for every attempt of one CI run; empty outside of CI.

        So a job that's run again keeps waiting for the request that its first attempt opened.
        """
        if self.idempotency_key or not ci.run:
            return self.idempotency_key
        words = f"{ci.repository}/{ci.run}/{self.model}/{self.version}/{self.to.value}"
        return "".join(char if "!" <= char <= "~" else "_" for char in words)[:200]

    def plain_command(self) -> Promote:
        """Return the command as Slack knows it, without the terminal's own flags."""
        return Promote(**{name: getattr(self, name) for name in Promote.model_fields})


COMMANDS: tuple[type[Command], ...] = (
    PromoteFromTerminal,
    AuditShow,
    AuditVerify,
    AuditExport,
    PolicyShow,
    PolicyCheck,
    DbStatus,
    DbUpgrade,
    DbBackup,
    DbCopy,
    DbAccept,
    DbDropPending,
    ImportHistory,
)
