"""Commands for the ledger's database: status, upgrade, copy, back up, and release the hold after a restore.

Releasing the hold compares the ledger with MLflow. The other commands need neither Slack nor MLflow.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.bootstrap import ledger_tools
from bot.bootstrap.ledger_tools import CopyResult, Schema, SchemaAge, SqlLedger
from bot.domain.audit import audit_chain
from bot.domain.commands.base import Command
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.registry.model import product
from bot.domain.transitions import restore_messages
from bot.settings import read_settings
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.command_line.terminal_only_commands import (
    DbAccept,
    DbBackup,
    DbCopy,
    DbDropPending,
    DbStatus,
    DbUpgrade,
)
from handlers.terminal.output import styles
from handlers.terminal.output.command_output import OutputFormat, print_output


def execute(invocation: Invocation) -> int:
    """Execute the command and return the exit code.

    Raises Misconfigured, Refused, BadInput, RegistryUnreachable, and LedgerUnavailable.
    """
    if isinstance(invocation.command, DbAccept | DbDropPending):
        return _lift_hold(invocation.command, invocation.output_format)
    url = read_settings().ledger_url
    with closing(SqlLedger(url)) as ledger:
        return _HANDLERS[type(invocation.command)](ledger, url, invocation.command, invocation.output_format)


# -- the tables --------------------------------------------------------------------------------------------------------


def _status(ledger: SqlLedger, url: str, command: DbStatus, output_format: OutputFormat) -> int:
    current, hold = ledger.schema(), None
    if current.age is SchemaAge.CURRENT:
        with ledger.read() as reading:
            hold = (held := reading.active_hold()) and restore_messages.hold_summary(held)
    sentence, advice = ledger_tools.describe_schema(current, ledger.address), ledger_tools.advice(current)
    document = _schema_document(ledger, current) | {
        "sentence": str(sentence),
        "advice": str(advice) if advice else None,
        "held": str(hold) if hold else None,
    }
    style = styles.GOOD if current.age is SchemaAge.CURRENT else styles.ATTENTION
    print_output(output_format, document, sentence, *filter(None, [advice, hold]), style=style)
    return 0


def _upgrade(ledger: SqlLedger, url: str, command: DbUpgrade, output_format: OutputFormat) -> int:
    before = ledger.migrate(force=command.force)
    now, address = ledger.schema(), Code(ledger.address)
    if before == now.revision:
        sentence = say("{told} Nothing to do.", told=ledger_tools.describe_schema(now, ledger.address))
    elif before is None:
        sentence = say("Created the ledger at {url} (revision {now}).", url=address, now=Code(now.revision))
    else:
        sentence = say(
            "Upgraded the ledger at {url} from revision {before} to {now}.",
            url=address,
            before=Code(before),
            now=Code(now.revision),
        )
    document = _schema_document(ledger, now) | {"before": before, "sentence": str(sentence)}
    print_output(output_format, document, sentence)
    return 0


def _schema_document(ledger: SqlLedger, schema_: Schema) -> dict[str, Any]:
    return {
        "database": ledger.address,
        "revision": schema_.revision,
        "newest": schema_.newest,
        "state": schema_.age.value,
    }


# -- a copy ------------------------------------------------------------------------------------------------------------


def _backup(ledger: SqlLedger, url: str, command: DbBackup, output_format: OutputFormat) -> int:
    ledger.require_ledger()
    with Console(stderr=True).status("Backing up the ledger…"):  # on a screen only
        result = ledger_tools.back_up(url, Path(command.file))
    sentence = say(
        "Backed up the ledger at {url} to {file} ({size} bytes). {audit}",
        url=Code(ledger.address),
        file=Code(command.file),
        size=f"{result.size:,}",
        audit=audit_chain.describe_fault(result.fault)
        if result.fault
        else say("Its audit log is intact: {events}.", events=pluralize(result.head.number, "event")),
    )
    document = {
        "database": ledger.address,
        "file": command.file,
        "bytes": result.size,
        "events": result.head.number,
        "head": result.head.hash,
        "whole": result.fault is None,
        "sentence": str(sentence),
    }
    print_output(output_format, document, sentence)
    return int(result.fault is not None)


# -- another database --------------------------------------------------------------------------------------------------


def _copy(ledger: SqlLedger, url: str, command: DbCopy, output_format: OutputFormat) -> int:
    with (
        Console(stderr=True).status("Checking both databases…") as status,  # on a screen only
        closing(SqlLedger(command.to)) as target,
    ):
        moved = ledger_tools.copy_ledger(
            ledger,
            target,
            force=command.force,
            dry_run=command.dry_run,
            report_progress=lambda table, rows: status.update(f"Copied {rows:,} rows of {table}…"),
        )
        sentence = _copy_sentence(moved, target.address, is_dry_run=command.dry_run)
        document = {
            "from": ledger.address,
            "to": target.address,
            "dry_run": command.dry_run,
            "rows": dict(moved.rows),
            "events": moved.head.number,
            "head": moved.head.hash,
            "whole": moved.fault is None,
            "sentence": str(sentence),
        }
    print_output(output_format, document, sentence)
    return 0


def _copy_sentence(copy_result: CopyResult, url: str, *, is_dry_run: bool) -> Sentence:
    state = (
        "the audit log is intact, with the same head"
        if copy_result.fault is None
        else "the altered audit log is copied unchanged"
    )
    tables = sum(1 for rows in copy_result.rows.values() if rows)
    result = say(
        "{rows} rows in {tables} tables, including {events} audit events; {state}",
        tables=tables,
        state=state,
        rows=f"{sum(copy_result.rows.values()):,}",
        events=f"{copy_result.head.number:,}",
    )
    if is_dry_run:
        return say("Copied {what}. This was a dry run, so the copy was rolled back.", what=result)
    return say(
        "Copied {what}. Now set {name} to {url}, and archive the old file so that nothing uses it.",
        what=result,
        name=Code("REGISTRAR_DATABASE_URL"),
        url=Code(url),
    )


# -- after a restore ---------------------------------------------------------------------------------------------------


def _lift_hold(command: DbAccept | DbDropPending, output_format: OutputFormat) -> int:
    """Release the hold as the current operator.

    Raises Refused if there's no hold or the operator isn't an admin, and RegistryUnreachable.
    """
    from bot.bootstrap.build import build_for_terminal
    from bot.bootstrap.storage import open_ledger
    from bot.policy_file import load_policy
    from handlers.terminal.session import TerminalSession, print_warning

    settings = read_settings()
    policy, ledger = load_policy(settings.policy), open_ledger(settings)
    with (
        Console(stderr=True).status(f"Asking {product().name}…"),  # on a screen only
        closing(build_for_terminal(settings, policy, ledger, warn=print_warning)) as registrar,
    ):
        caller, restores = TerminalSession(settings, registrar).caller(), registrar.restores
        lift = restores.accept if isinstance(command, DbAccept) else restores.drop
        sentence = lift(caller, command.reason, origin="terminal")
    print_output(output_format, {"sentence": str(sentence)}, sentence)
    return 0


_HANDLERS: dict[type[Command], Callable[[SqlLedger, str, Any, OutputFormat], int]] = {
    DbStatus: _status,
    DbUpgrade: _upgrade,
    DbBackup: _backup,
    DbCopy: _copy,
}
