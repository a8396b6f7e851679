"""Commands for auditors: show, verify, export, and replay. They need the ledger, but neither Slack nor MLflow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from bot.bootstrap.ledger_tools import SchemaAge, SqlLedger
from bot.domain.audit import audit_chain
from bot.domain.audit import messages as audit_messages
from bot.domain.audit.anchors import AnchoredHead, parse_anchors, torn_lines
from bot.domain.audit.audit_chain import AuditRecord
from bot.domain.audit.events import ChainHead, parse_canonical_json
from bot.domain.audit.export import EVENT_KEYS, event_document
from bot.domain.commands.base import Command
from bot.domain.core.errors import Misconfigured
from bot.domain.core.numbers import pluralize
from bot.domain.core.relative_time import resolve_start
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.request import Request
from bot.policy_file import parse_policy
from bot.ports import SYSTEM_CLOCK, LedgerReader
from bot.services.promotions.queries import replay_request
from bot.settings import read_settings
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.command_line.terminal_only_commands import AuditExport, AuditShow, AuditVerify, Replay
from handlers.terminal.output import console, json_and_csv, styles
from handlers.terminal.output.command_output import OutputFormat, print_output

PAGE_SIZE = 1000  # rows in memory at a time


def execute(invocation: Invocation) -> int:
    """Execute the command and return the exit code; a missing ledger isn't created.

    Raises Misconfigured and LedgerUnavailable.
    """
    with closing(SqlLedger(read_settings().ledger_url)) as ledger:
        ledger.require_ledger()
        return _HANDLERS[type(invocation.command)](ledger, invocation.command, invocation.output_format)


# -- show --------------------------------------------------------------------------------------------------------------


def _show(ledger: SqlLedger, command: AuditShow, output_format: OutputFormat) -> int:
    with ledger.read() as reading:
        records = reading.latest_audit_records(
            model=command.model,
            actor=command.by or None,
            tag=command.tag or None,
            since=_since(command),
            before_number=command.before,
            limit=command.last + 1,
        )
        waiting = _unreviewed_requests(ledger, reading, command.model)
    page, has_more = records[: command.last], len(records) > command.last
    if output_format is OutputFormat.JSON:
        events = [event_document(record) | {"sentence": str(record_sentence(record))} for record in page]
        for event in events:
            del event["body"]
        document = {"events": events, "more": has_more, "unreviewed": [request.id for request in waiting]}
        console.write_output(json_and_csv.to_json(document))
    else:
        head = break_glass_messages.unreviewed_summary(waiting, SYSTEM_CLOCK.now())
        rows = [*([Text(str(head))] if head else []), *_event_rows(command, page, has_more)]
        console.write_output(console.render(lambda _: rows))
    return 0


def _unreviewed_requests(ledger: SqlLedger, reader: LedgerReader, model: str | None = None) -> list[Request]:
    """Return the break-glass requests to review; none if the ledger's tables are from another release."""
    return reader.requests_to_review(model) if ledger.schema().age is SchemaAge.CURRENT else []


def record_sentence(record: AuditRecord) -> Sentence:
    """Return a sentence that describes a row.

    For an invalid event, or one from a newer version, it's made from the row's columns.
    """
    try:
        return audit_messages.describe_event(parse_canonical_json(record.body))
    except (ValueError, KeyError, TypeError, AttributeError):
        return say("{actor}: {tag}", actor=Name(record.actor), tag=Code(record.tag))


def _event_rows(command: AuditShow, records: Sequence[AuditRecord], has_more: bool) -> list[RenderableType]:
    if not records:
        if command.by or command.tag or command.before:
            return [Text("The audit log has no matching events.")]
        about = say(" for {model}", model=Name(command.model)) if command.model else ""
        when = " in that period" if command.since else ""
        return [Text(str(say("The audit log has no events{about}{when}.", about=about, when=when)))]
    rows = [
        (str(record.number), str(record.at)[:16].replace("T", " "), str(record_sentence(record))) for record in records
    ]
    older = (
        [Text(f"For older events, add --before {records[-1].number}. For all events, run registrar audit export.")]
        if has_more
        else []
    )
    if not console.stdout_console().is_terminal:
        return [*(Text(f"{number}  {at}  {sentence}") for number, at, sentence in rows), *older]
    table = console.new_table()
    table.add_column("Number", justify="right")
    table.add_column("When (UTC)", no_wrap=True)
    table.add_column("What", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return [table, *older]


# -- verify ------------------------------------------------------------------------------------------------------------


def _verify(ledger: SqlLedger, command: AuditVerify, output_format: OutputFormat) -> int:
    text = read_anchor_file(command.anchor) if command.anchor else None
    anchors, torn = (None, []) if text is None else (parse_anchors(text, command.anchor), torn_lines(text))
    with Console(stderr=True).status("Reading the audit log…") as status, ledger.read() as reading:  # on a screen only

        def page(after: int) -> Sequence[AuditRecord]:
            if after > 0:
                status.update(f"Verified {after:,} events…")
            return reading.audit_records(after_number=after, limit=PAGE_SIZE)

        head, waiting = reading.audit_head(), _unreviewed_requests(ledger, reading)
        fault = audit_chain.verify(audit_chain.stream_records(page), head, anchors=anchors or ())
    review = break_glass_messages.unreviewed_summary(waiting, SYSTEM_CLOCK.now())
    sentence = audit_chain.describe_fault(fault) if fault else _verified_sentence(head, anchors)
    advice = audit_chain.advice(fault) if fault else None
    skipped = [
        say("Skipped line {at} of {file}: the write was interrupted.", at=at, file=Name(command.anchor)) for at in torn
    ]
    document = {
        "whole": fault is None,
        "events": head.number,
        "head": head.hash,
        "anchors": None if anchors is None else len(anchors),
        "torn_lines": torn,
        "unreviewed": [request.id for request in waiting],
        "fault": fault and {"number": fault.number, "last": fault.last, "kind": fault.kind.value, "why": fault.why},
        "sentence": str(sentence),
        "advice": str(advice) if advice else None,
    }
    style = styles.BAD if fault else styles.GOOD
    print_output(output_format, document, *filter(None, (sentence, *skipped, advice, review)), style=style)
    return 1 if fault else 0


def read_anchor_file(path: str) -> str:
    """Return the text of an anchor file. Raises Misconfigured."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it isn't text"
        raise Misconfigured(say("Can't read {file}: {why}.", file=Name(path), why=why)) from error


def _verified_sentence(head: ChainHead, anchors: Sequence[AnchoredHead] | None) -> Sentence:
    if not head.number:
        return say("The audit log is intact: no events yet.")
    events = pluralize(head.number, "event")
    if not anchors:
        return say("The audit log is intact: {events}, head {hash}.", events=events, hash=Code(head.hash))
    agreed = "the anchor matches" if len(anchors) == 1 else f"all {len(anchors):,} anchors match"
    last = anchors[-1].number
    return say(
        "The audit log is intact: {events}, head {hash}; {agreed} (last: event {last}).",
        events=events,
        hash=Code(head.hash),
        agreed=agreed,
        last=last,
    )


# -- export ------------------------------------------------------------------------------------------------------------


def _export(ledger: SqlLedger, command: AuditExport, output_format: OutputFormat) -> int:
    since, is_csv = _since(command), command.format == "csv"

    def page(after: int) -> Sequence[AuditRecord]:
        """Return the next rows, in their own transaction, since it can take hours for the output to be read."""
        with ledger.read() as reading:
            return reading.audit_records(model=command.model, since=since, after_number=after, limit=PAGE_SIZE)

    if is_csv:
        console.write_output(",".join(EVENT_KEYS) + "\n")
    after, number = audit_chain.MIN_NUMBER, 0
    # Show progress only if the events don't go to the same terminal.
    with Console(stderr=True, quiet=sys.stdout.isatty()).status("Reading the audit log…") as status:
        while records := page(after):
            lines = (json_and_csv.to_json(event_document(record), indent=None) for record in records)
            console.write_output(json_and_csv.events_csv(records) if is_csv else "".join(lines))
            after, number = records[-1].number, number + len(records)
            status.update(f"Wrote {number:,} events…")
    return 0


# -- replay ------------------------------------------------------------------------------------------------------------


def _replay(ledger: SqlLedger, command: Replay, output_format: OutputFormat) -> int:
    ledger.require_current()
    with ledger.read() as reading:
        steps = replay_request(reading, command.request, lambda text: parse_policy(text, Path("registrar.yml")))
    verdicts = [step.agrees for step in steps] or [None]
    agrees = False if False in verdicts else None if None in verdicts else True
    values = {"id": Code(command.request), "n": verdicts.count(agrees), "all": pluralize(len(steps), "step")}
    sentence = say(_REPLAY_TEMPLATES[agrees], **values)
    document = {
        "request": command.request,
        "agrees": agrees,
        "steps": [
            {
                "event": step.event,
                "name": str(step.name),
                "recorded": step.recorded,
                "derived": step.derived,
                "agrees": step.agrees,
            }
            for step in steps
        ],
        "sentence": str(sentence),
    }
    style = styles.BAD if agrees is False else styles.GOOD
    print_output(output_format, document, sentence, *(step.sentence for step in steps), style=style)
    return 1 if agrees is False else 0


def _since(command: AuditShow | AuditExport) -> datetime | None:
    return None if command.since is None else resolve_start(command.since, SYSTEM_CLOCK.now())


_REPLAY_TEMPLATES = {
    True: "The replay of {id} agrees with the audit log in all of its {all}.",
    False: "The replay of {id} differs from the audit log in {n} of {all}.",
    None: "The replay of {id} is incomplete: the facts of {n} of {all} weren't recorded. The others agree.",
}
_HANDLERS: dict[type[Command], Callable[[SqlLedger, Any, OutputFormat], int]] = {
    AuditShow: _show,
    AuditVerify: _verify,
    AuditExport: _export,
    Replay: _replay,
}
