"""The commands that only the terminal has, such as those for auditors, the ledger, keys, and policy files."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from bot.domain.commands.base import (
    MAX_EVENT_NUMBER,
    Argument,
    Command,
    ModelName,
    OptionalModelName,
    Reason,
    RequestIdArgument,
)
from bot.domain.commands.policy import ShowPolicy
from bot.domain.commands.promotions import Promote
from bot.domain.core.ci_run import CiRun
from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.relative_time import RelativeDay, parse_day_or_moment, parse_past
from bot.domain.core.sentence import Code, Name, say


def _parse_timespan(text: object) -> timedelta | None:
    if text is None or isinstance(text, timedelta):
        return text
    try:
        return parse_duration(str(text).strip())
    except ValueError:
        raise BadInput(
            say(
                "Can't read {word} as a duration. Try {a} or {b}.",
                word=Name(str(text)[:40]),
                a=Code("30m"),
                b=Code("4h"),
            )
        ) from None


Since = Annotated[
    timedelta | datetime | RelativeDay | None,
    BeforeValidator(parse_past),
    Argument("TIME", "how far back (30d), or the start time (yesterday, 2026-11-01; UTC)", False, ("--since",)),
]
PolicyFileArgument = Annotated[str, Argument("FILE", "the policy file; default: REGISTRAR_POLICY", flags=("--file",))]


class AuditShow(Command):
    """Show what happened."""

    verb = "audit show"
    summary = "Show who did what, and what was refused, newest first"
    example = "audit show churn --since 30d"
    model: OptionalModelName = None
    since: Since = None
    last: Annotated[
        int, Field(ge=1, le=100_000), Argument("N", "the maximum number of events", positional=False, flags=("--last",))
    ] = 20
    before: Annotated[
        int | None,
        Field(ge=1, le=MAX_EVENT_NUMBER),
        Argument("NUMBER", "only events before this event number, for the next page", False, ("--before",)),
    ] = None
    by: Annotated[
        str, Argument("ACTOR", "only this actor's events, such as slack:T012AB3CD/U0BOB or client:ci", False, ("--by",))
    ] = ""
    tag: Annotated[str, Argument("TAG", "only events with this tag", False, ("--tag",))] = ""

    @model_validator(mode="after")
    def _require_one_filter(self) -> AuditShow:
        """Reject two filters: each has an index, but combining them could read the whole audit log."""
        if sum(map(bool, (self.model, self.by, self.tag))) > 1:
            raise BadInput(
                say(
                    "Use only one of MODEL, {by}, and {tag}. For every event, run registrar audit export.",
                    by=Code("--by"),
                    tag=Code("--tag"),
                )
            )
        return self


class AuditVerify(Command):
    """Verify the audit log."""

    verb = "audit verify"
    summary = "Verify that the audit log is intact; if it isn't, show the first bad entry and what happened to it"
    example = "audit verify --anchor anchor.jsonl"
    anchor: Annotated[
        str,
        Argument(
            "FILE", "also compare the log with the anchored heads in this file", positional=False, flags=("--anchor",)
        ),
    ] = ""


def _parse_fixed_time(text: object, time_of_day: time) -> datetime:
    """Parse a day or a time that means the same whenever the command runs.

    A day becomes `time_of_day` on that day, in UTC. Raises BadInput.
    """
    moment = parse_day_or_moment(text)
    if isinstance(moment, datetime):
        return moment
    if not isinstance(moment, date):
        raise BadInput(
            say(
                "{word} depends on today. Give a day, such as {day}.", word=Name(str(text)[:40]), day=Code("2026-01-01")
            )
        )
    return datetime.combine(moment, time_of_day, UTC)


class AuditEvidence(Command):
    """Report what the ledger shows about a control."""

    verb = "audit evidence"
    summary = "Report all changes to Production in a period, with exceptions and a sample, for an auditor's control"
    example = "audit evidence --control soc2:CC8.1 --from 2026-01-01 --to 2026-12-31 --format html > evidence.html"
    control: Annotated[
        Literal["soc2:CC8.1", "eu-ai-act:12", "eu-ai-act:14"],
        Argument("CONTROL", "soc2:CC8.1, eu-ai-act:12, or eu-ai-act:14", positional=False, flags=("--control",)),
    ]
    since: Annotated[
        datetime,
        BeforeValidator(lambda text: _parse_fixed_time(text, time.min)),
        Argument("TIME", "the start of the period (UTC): a day or a time", positional=False, flags=("--from",)),
    ]
    until: Annotated[
        datetime | None,
        BeforeValidator(lambda text: None if text is None else _parse_fixed_time(text, time.max)),
        Argument(
            "TIME",
            "the end of the period (UTC): a day, which is included, or a time; default: the last event",
            positional=False,
            flags=("--to",),
        ),
    ] = None
    model: OptionalModelName = None
    sample: Annotated[
        int, Field(ge=0, le=1000), Argument("N", "the size of the sample", positional=False, flags=("--sample",))
    ] = 25
    seed: Annotated[
        int, Field(ge=0, le=2**63), Argument("N", "the random seed for the sample", positional=False, flags=("--seed",))
    ] = 7
    anchor: Annotated[
        str,
        Argument("FILE", "also compare the log with this anchor file", positional=False, flags=("--anchor",)),
    ] = ""
    format: Annotated[
        Literal["text", "json", "html"],
        Argument("FORMAT", "text, json, or html", positional=False, flags=("--format",)),
    ] = "text"


class AuditExport(Command):
    """Export the audit log."""

    verb = "audit export"
    summary = "Export all or part of the audit log, oldest first, one event per line"
    example = "audit export --since 2026-11-01 > audit.jsonl"
    model: OptionalModelName = None
    since: Since = None
    format: Annotated[
        Literal["jsonl", "csv"], Argument("FORMAT", "jsonl or csv", positional=False, flags=("--format",))
    ] = "jsonl"


class Replay(Command):
    """Recompute a request's verdict from the audit log."""

    verb = "replay"
    summary = "Recompute a request's verdict from recorded facts"
    example = "replay r7k2m"
    request: RequestIdArgument


class ImportHistory(Command):
    """Import Production history from before Registrar."""

    verb = "history import"
    summary = "Import earlier history from a CSV or JSON file; admins only"
    example = 'history import before.csv --reason "exported from the old registry"'
    file: Annotated[
        str, Argument("FILE", "the columns: model, version, since; optional: until, by, why", flags=("--file",))
    ]
    reason: Reason


class DbStatus(Command):
    """Show the state of the ledger's tables."""

    verb = "db status"
    summary = "Show where the ledger is, whether its tables are up to date, and what to do next"
    example = "db status"


class DbUpgrade(Command):
    """Create or upgrade the ledger's tables."""

    verb = "db upgrade"
    summary = "Create the ledger's tables, or upgrade those of an older version"
    example = "db upgrade"
    force: Annotated[bool, Argument("", "on PostgreSQL, disconnect other processes first", False, ("--force",))] = False


class DbBackup(Command):
    """Back up the ledger to a file."""

    verb = "db backup"
    summary = "Back up the ledger to a new file while the bot runs, and verify its audit log"
    example = "db backup ledger-2026-11-27.db"
    file: Annotated[str, Argument("FILE", "the file to create", flags=("--file",))]


class DbCopy(Command):
    """Copy the ledger to PostgreSQL."""

    verb = "db copy"
    summary = "Copy the ledger from SQLite to an empty PostgreSQL database; stop the bot first"
    example = "db copy --to postgresql+psycopg://registrar@db.internal/registrar"
    to: Annotated[
        str,
        Argument("URL", "the target database; libpq reads the password from PGPASSWORD or ~/.pgpass", False, ("--to",)),
    ]
    dry_run: Annotated[bool, Argument("", "copy and compare everything, then roll back", False, ("--dry-run",))] = False
    force: Annotated[bool, Argument("", "copy the audit log as is, even if it was altered", False, ("--force",))] = (
        False
    )


class DbAccept(Command):
    """Release the hold after a restore, and carry out pending work."""

    verb = "db accept"
    summary = "After a restore, carry out pending work; transitions are checked as usual"
    example = 'db accept --reason "the registry was moved to a new server"'
    reason: Reason


class DbDropPending(Command):
    """Release the hold after a restore, and end pending work."""

    verb = "db drop-pending"
    summary = "After a restore, end every pending request, transition, command, and tag update"
    example = 'db drop-pending --reason "the ledger is from Friday; all of this is done"'
    reason: Reason


class PolicyCheck(Command):
    """Check a policy file for errors."""

    verb = "policy check"
    summary = "Check a policy file, and list its errors and notices"
    example = "policy check registrar.yml"
    file: PolicyFileArgument = ""


class PolicyShow(Command):
    """Show a policy file's rules for a model."""

    verb = "policy show"
    summary = ShowPolicy.summary
    example = "policy show churn"
    model: ModelName
    file: PolicyFileArgument = ""


class PromoteFromTerminal(Promote):
    """Request a promotion, and optionally wait for its outcome."""

    wait: Annotated[bool, Argument("", "wait for the outcome; the exit code reports it", False, ("--wait",))] = False
    timeout: Annotated[
        timedelta | None,
        BeforeValidator(_parse_timespan),
        Argument("TIME", "wait at most this long, such as 4h; the request continues after that", False, ("--timeout",)),
    ] = None
    approver: Annotated[
        str,
        Argument(
            "ID",
            "also approve it as this Slack user; the policy's operators must map you to them",
            False,
            ("--approver",),
        ),
    ] = ""
    idempotency_key: Annotated[
        str,
        Field(max_length=200, pattern=r"^[!-~]*$"),
        Argument(
            "KEY",
            "your own key for this request; reusing it doesn't open another request",
            False,
            ("--idempotency-key",),
        ),
    ] = ""

    @model_validator(mode="after")
    def _require_wait(self) -> PromoteFromTerminal:
        if self.timeout is not None and not self.wait:
            raise BadInput(
                say("{timeout} works only with {wait}. Add {wait}.", timeout=Code("--timeout"), wait=Code("--wait"))
            )
        return self

    def idempotency_key_for(self, ci: CiRun) -> str:
        """Return the given idempotency key, or else one that's the same for all attempts of a CI run.

        It makes a rerun job wait for the request that its first attempt opened. Outside CI, it's empty unless it was
        given.
        """
        if self.idempotency_key or not ci.run:
            return self.idempotency_key
        words = f"{ci.repository}/{ci.run}/{self.model}/{self.version}/{self.to.value}"
        return "".join(char if "!" <= char <= "~" else "_" for char in words)[:200]

    def plain_command(self) -> Promote:
        """Return Slack's version of the command, without the terminal's own flags."""
        return Promote(**{name: getattr(self, name) for name in Promote.model_fields})


KeyFolderArgument = Annotated[
    str,
    Argument(
        "DIR", "the folder with the keys; if set, the ledger isn't used; default: REGISTRAR_KEYS", False, ("--folder",)
    ),
]


class KeysList(Command):
    """List the keys that sign passports."""

    verb = "keys list"
    summary = "List the keys that sign passports, with their public keys for those who verify them"
    example = "keys list"
    folder: KeyFolderArgument = ""


class KeysInit(Command):
    """Create the first key."""

    verb = "keys init"
    summary = "Create the signing key, and issue passports for the versions in Staging and Production"
    example = "keys init"
    folder: KeyFolderArgument = ""


class KeysRotate(Command):
    """Replace the key."""

    verb = "keys rotate"
    summary = "Sign with a new key, and reissue passports for the versions in Staging and Production"
    example = "keys rotate --retire"
    folder: KeyFolderArgument = ""
    retire: Annotated[bool, Argument("", "delete the old private key; its public key stays", False, ("--retire",))] = (
        False
    )


COMMANDS: tuple[type[Command], ...] = (
    PromoteFromTerminal,
    AuditShow,
    AuditVerify,
    AuditExport,
    Replay,
    AuditEvidence,
    PolicyShow,
    PolicyCheck,
    DbStatus,
    DbUpgrade,
    DbBackup,
    DbCopy,
    DbAccept,
    DbDropPending,
    ImportHistory,
    KeysList,
    KeysInit,
    KeysRotate,
)
