"""What is done with the ledger as a database: look, upgrade, copy, move, and decide about what a restore left waiting.

The last one compares the ledger with MLflow; the others need neither Slack nor MLflow.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.domain.commands.base import Command
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Say, say
from bot.domain.transitions import restore_messages
from bot.ledger import SqlLedger, audit_chain, backup, copy_to_postgres, schema
from bot.ledger.copy_to_postgres import Moved
from bot.ledger.schema import Age, Schema
from bot.settings import read_settings
from handlers.terminal.command_line.commands import DbAccept, DbBackup, DbCopy, DbDropPending, DbStatus, DbUpgrade
from handlers.terminal.command_line.grammar import Asked, Form
from handlers.terminal.output import console, documents


def act(asked: Asked) -> int:
    """Do what was asked for and return the exit code. Raises Misconfigured, Refused and LedgerUnavailable."""
    if isinstance(asked.command, DbAccept | DbDropPending):
        return _lift(asked.command, asked.form)
    url = read_settings().ledger_url
    with closing(SqlLedger(url)) as ledger:
        return _ACTS[type(asked.command)](ledger, url, asked.command, asked.form)


# -- the tables --------------------------------------------------------------------------------------------------------


def _status(ledger: SqlLedger, url: str, command: DbStatus, form: Form) -> int:
    found = ledger.schema()
    told, mend = schema.standing(found, ledger.address), schema.advice(found)
    held = _held(ledger) if found.age is Age.CURRENT else None
    document = _schema(ledger, found) | {
        "sentence": str(told),
        "advice": str(mend) if mend else None,
        "held": str(held) if held else None,
    }
    return _tell(form, document, told, *filter(None, [mend, held]))


def _held(ledger: SqlLedger) -> Say | None:
    with ledger.read() as reading:
        hold = reading.hold()
    return restore_messages.summary(hold) if hold else None


def _upgrade(ledger: SqlLedger, url: str, command: DbUpgrade, form: Form) -> int:
    before = ledger.schema()
    ledger.migrate()
    found = ledger.schema()
    told = _upgraded(before, found, ledger.address)
    return _tell(form, _schema(ledger, found) | {"before": before.revision, "sentence": str(told)}, told)


def _upgraded(before: Schema, now: Schema, url: str) -> Say:
    if before.age is Age.CURRENT:
        return say("{told} There was nothing to do.", told=schema.standing(now, url))
    if before.age is Age.NONE:
        return say("Made the ledger at {url}: {now}.", url=Code(url), now=Code(now.revision))
    return say(
        "Brought the ledger at {url} from {before} to {now}.",
        url=Code(url),
        before=Code(before.revision),
        now=Code(now.revision),
    )


def _schema(ledger: SqlLedger, found: Schema) -> dict[str, Any]:
    return {"database": ledger.address, "revision": found.revision, "newest": found.newest, "state": found.age.value}


# -- a copy ------------------------------------------------------------------------------------------------------------


def _backup(ledger: SqlLedger, url: str, command: DbBackup, form: Form) -> int:
    ledger.require()
    with Console(stderr=True).status("Copying the ledger…"):  # on a screen only
        made = backup.back_up(url, Path(command.file))
    told = say(
        "Copied the ledger at {url} to {file}, {size} bytes. {audit}",
        url=Code(ledger.address),
        file=Code(command.file),
        size=f"{made.size:,}",
        audit=_of_audit(made.head.number, made.fault),
    )
    document = {
        "database": ledger.address,
        "file": command.file,
        "bytes": made.size,
        "events": made.head.number,
        "head": made.head.hash,
        "whole": made.fault is None,
        "sentence": str(told),
    }
    return _tell(form, document, told) or int(made.fault is not None)


def _of_audit(number: int, fault: audit_chain.Fault | None) -> Say:
    if fault:
        return audit_chain.told(fault)
    events = counted(number, "event")
    return say("Its audit is whole: {events}.", events=events)


# -- another database --------------------------------------------------------------------------------------------------


def _copy(ledger: SqlLedger, url: str, command: DbCopy, form: Form) -> int:
    with (
        Console(stderr=True).status("Looking at both…") as status,  # on a screen only
        closing(SqlLedger(command.to)) as target,
    ):
        moved = copy_to_postgres.move(
            ledger,
            target,
            is_forced=command.force,
            is_dry=command.dry_run,
            tell=lambda table, rows: status.update(f"Copied {rows:,} rows of {table}…"),
        )
        told = _moved(moved, target.address, is_dry=command.dry_run)
        document = {
            "from": ledger.address,
            "to": target.address,
            "dry_run": command.dry_run,
            "rows": dict(moved.rows),
            "events": moved.head.number,
            "head": moved.head.hash,
            "whole": moved.fault is None,
            "sentence": str(told),
        }
    return _tell(form, document, told)


def _moved(moved: Moved, url: str, *, is_dry: bool) -> Say:
    state = say("its audit is whole there, with the same head") if moved.fault is None else say("its audit as it was")
    tables = sum(1 for rows in moved.rows.values() if rows)
    what = say(
        "{rows} rows of {tables} tables, {events} audit events among them: {state}",
        tables=tables,
        state=state,
        rows=f"{moved.number:,}",
        events=f"{moved.head.number:,}",
    )
    if is_dry:
        return say("Copied {what}. It was taken back, as a trial is.", what=what)
    return say(
        "Copied {what}. From now on set {name} to {url}, and put the old file away: nobody may go on with it.",
        what=what,
        name=Code("REGISTRAR_DATABASE_URL"),
        url=Code(url),
    )


# -- after a restore ---------------------------------------------------------------------------------------------------


def _lift(command: DbAccept | DbDropPending, form: Form) -> int:
    """Lift the hold, as whoever sits here. Raises Refused where nothing is held, and RegistryUnreachable."""
    from bot.bootstrap.build import build_for_terminal
    from bot.bootstrap.storage import open_ledger  # noqa: PLC0415 - MLflow takes seconds to load
    from bot.policy_file import load_policy  # noqa: PLC0415
    from handlers.terminal.session import Counter, warn  # noqa: PLC0415

    settings = read_settings()
    with (
        Console(stderr=True).status("Asking MLflow…"),  # on a screen only
        closing(
            build_for_terminal(settings, load_policy(settings.policy), open_ledger(settings), warn=warn)
        ) as registrar,
    ):
        caller, restores = Counter(settings, registrar).caller(), registrar.restores
        lift = restores.accept if isinstance(command, DbAccept) else restores.drop
        said = lift(caller, command.reason, origin="terminal")
    return _tell(form, {"sentence": str(said)}, said)


def _tell(form: Form, document: dict[str, Any], *told: Say) -> int:
    if form is Form.JSON:
        console.write(documents.to_json(document, console.encoding()))
    else:
        console.write("".join(f"{line}\n" for line in told))
    return 0


_ACTS: dict[type[Command], Callable[[SqlLedger, str, Any, Form], int]] = {
    DbStatus: _status,
    DbUpgrade: _upgrade,
    DbBackup: _backup,
    DbCopy: _copy,
}
