"""What auditors do: look, verify, write out. It needs the ledger, and neither Slack nor MLflow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from bot.domain.audit import messages as audit_messages
from bot.domain.audit.anchors import AnchoredHead, read_anchors
from bot.domain.audit.events import Head, from_canonical
from bot.domain.commands.base import Command
from bot.domain.core.errors import Misconfigured
from bot.domain.core.numbers import counted
from bot.domain.core.relative_time import begin
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.request import Request
from bot.ledger import SqlLedger, audit_chain
from bot.ledger.audit_chain import Record
from bot.ledger.schema import Age
from bot.ports import Reading
from bot.settings import read_settings
from handlers.terminal.command_line.commands import AuditExport, AuditShow, AuditVerify
from handlers.terminal.command_line.document_keys import KEYS
from handlers.terminal.command_line.grammar import Asked, Form
from handlers.terminal.output import console, documents

PAGE = 1000  # rows that are in memory at a time


def act(asked: Asked) -> int:
    """Do what was asked for and return the exit code; a ledger that is not there is not made.

    Raises Misconfigured and LedgerUnavailable.
    """
    with closing(SqlLedger(read_settings().ledger_url)) as ledger:
        ledger.require()
        return _ACTS[type(asked.command)](ledger, asked.command, asked.form)


# -- looking -----------------------------------------------------------------------------------------------------------


def _show(ledger: SqlLedger, command: AuditShow, form: Form) -> int:
    with ledger.read() as reading:
        found = reading.latest_records(
            model=command.model,
            actor=command.by or None,
            tag=command.tag or None,
            since=_since(command),
            before=command.before,
            most=command.last + 1,
        )
        waiting = _to_review(ledger, reading, command.model)
    shown, more = found[: command.last], len(found) > command.last
    if form is Form.JSON:
        events = [_without(documents.event(one), "body") | {"sentence": str(line(one))} for one in shown]
        document = {"events": events, "more": more, "unreviewed": [one.id for one in waiting]}
        console.write(documents.to_json(document, console.encoding()))
    else:
        head = break_glass_messages.unreviewed(waiting, datetime.now(UTC))
        console.write(console.draw(lambda _: [*([Text(str(head))] if head else []), *_listed(command, shown, more)]))
    return 0


def _to_review(ledger: SqlLedger, reading: Reading, model: str | None = None) -> list[Request]:
    """Return the broken glasses that need a review; a ledger of another version is verified without them."""
    return reading.to_review(model) if ledger.schema().age is Age.CURRENT else []


def line(record: Record) -> Say:
    """Return what a row says to a person; one that is no event, or of a newer Registrar, what its columns say."""
    try:
        return audit_messages.line(from_canonical(record.body))
    except (ValueError, KeyError, TypeError, AttributeError):
        return say("{actor}: {tag}", actor=Name(record.actor), tag=Code(record.tag))


def _listed(command: AuditShow, records: Sequence[Record], more: bool) -> list[RenderableType]:
    if not records:
        if command.by or command.tag or command.before:
            return [Text("The audit has nothing of that kind.")]
        about = say(" about {model}", model=Name(command.model)) if command.model else ""
        when = " in that time" if command.since else ""
        return [Text(str(say("The audit has nothing{about}{when}.", about=about, when=when)))]
    rows = [(str(one.number), str(one.at)[:16].replace("T", " "), str(line(one))) for one in records]
    older = [Text(f"There are older ones: --before {records[-1].number}, or all with audit export.")] if more else []
    if not console.console().is_terminal:
        return [*(Text(f"{number}  {at}  {what}") for number, at, what in rows), *older]
    table = console.table()
    table.add_column("Number", justify="right")
    table.add_column("When (UTC)", no_wrap=True)
    table.add_column("What", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return [table, *older]


# -- verifying ---------------------------------------------------------------------------------------------------------


def _verify(ledger: SqlLedger, command: AuditVerify, form: Form) -> int:
    anchors = _anchors(command.anchor) if command.anchor else None
    with Console(stderr=True).status("Reading the audit…") as status, ledger.read() as reading:  # on a screen only

        def page(after: int) -> Sequence[Record]:
            if after > 0:
                status.update(f"Verified {after:,} events…")
            return reading.records(after=after, most=PAGE)

        head, waiting = reading.head(), _to_review(ledger, reading)
        fault = audit_chain.verify(audit_chain.stream(page), head, anchors=anchors or ())
    review = break_glass_messages.unreviewed(waiting, datetime.now(UTC))
    said = audit_chain.told(fault) if fault else _is_whole(head, anchors)
    advice = audit_chain.advice(fault) if fault else None
    if form is Form.JSON:
        number = None if anchors is None else len(anchors)
        document = documents.verified(fault, head, number, [one.id for one in waiting], said, advice)
        console.write(documents.to_json(document, console.encoding()))
    else:
        console.write("".join(f"{one}\n" for one in (said, advice, review) if one))
    return 1 if fault else 0


def _anchors(file: str) -> list[AnchoredHead]:
    try:
        return read_anchors(Path(file).read_text(encoding="utf-8"), file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Misconfigured(say("{file} cannot be read: {why}.", file=Name(file), why=why)) from error


def _is_whole(head: Head, anchors: Sequence[AnchoredHead] | None) -> Say:
    if not head.number:
        return say("The audit is whole: it has no event yet.")
    events = counted(head.number, "event")
    if not anchors:
        return say("The audit is whole: {events}, head {hash}.", events=events, hash=Code(head.hash))
    agreed = "the anchor agrees" if len(anchors) == 1 else f"all {len(anchors):,} anchors agree"
    last = anchors[-1].number
    return say(
        "The audit is whole: {events}, head {hash}; {agreed}, the last one with number {last}.",
        events=events,
        hash=Code(head.hash),
        agreed=agreed,
        last=last,
    )


# -- writing out -------------------------------------------------------------------------------------------------------


def _export(ledger: SqlLedger, command: AuditExport, form: Form) -> int:
    since, is_csv = _since(command), command.format == "csv"

    def page(after: int) -> Sequence[Record]:
        """Return the next rows, each page in a reading of its own: who reads what we write may take hours."""
        with ledger.read() as reading:
            return reading.records(model=command.model, since=since, after=after, most=PAGE)

    if is_csv:
        console.write(",".join(KEYS[AuditExport]) + "\n")
    after, number = audit_chain.LOWEST, 0
    # How far we are is told on a screen, where the events themselves are not to be seen.
    with Console(stderr=True, quiet=sys.stdout.isatty()).status("Reading the audit…") as status:
        while records := page(after):
            lines = [documents.event_line(one, console.encoding()) for one in records] if not is_csv else []
            console.write(documents.events_csv(records) if is_csv else "".join(lines))
            after, number = records[-1].number, number + len(records)
            status.update(f"Wrote {number:,} events…")
    return 0


def _since(command: AuditShow | AuditExport) -> datetime | None:
    return None if command.since is None else begin(command.since, datetime.now(UTC))


def _without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


_ACTS: dict[type[Command], Callable[[SqlLedger, Any, Form], int]] = {
    AuditShow: _show,
    AuditVerify: _verify,
    AuditExport: _export,
}
