"""`registrar audit evidence`: read the ledger and print a report for an auditor. Needs neither Slack nor MLflow."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from bot.bootstrap.ledger_tools import SqlLedger
from bot.domain.audit.anchors import AnchoredHead, parse_anchors
from bot.domain.audit.events import canonical_time
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import say
from bot.domain.evidence.controls import Control, ExceptionKind
from bot.domain.evidence.population import LATEST, EvidenceQuestion
from bot.domain.policy.policy import Policy
from bot.policy_file import parse_policy
from bot.ports import LedgerReader
from bot.services.evidence.collection import EvidenceCollector
from bot.services.policy.reload import last_applied_policy
from bot.settings import read_settings
from handlers.terminal.audit import read_anchor_file
from handlers.terminal.command_line.grammar import Invocation
from handlers.terminal.command_line.terminal_only_commands import AuditEvidence
from handlers.terminal.evidence.page import evidence_page, moment
from handlers.terminal.output import console, json_and_csv, styles


def execute(invocation: Invocation) -> int:
    """Print the report and return the exit code, which is always 0. Raises Misconfigured and LedgerUnavailable."""
    command = invocation.command
    assert isinstance(command, AuditEvidence)
    with closing(SqlLedger(read_settings().ledger_url)) as ledger:
        ledger.require_current()
        with ledger.read() as reader:
            document = report(reader, command)
    if command.format == "json":
        console.write_output(json_and_csv.to_json(document))
    elif command.format == "html":
        console.write_output(evidence_page(document))
    else:
        console.write_output(console.render(lambda _: _summary(document)))
    return 0


def report(reader: LedgerReader, command: AuditEvidence) -> dict[str, Any]:
    """Return the report's document. Raises Misconfigured if the ledger was altered, and LedgerUnavailable."""
    question = EvidenceQuestion(
        since=canonical_time(command.since),
        until=canonical_time(command.until) if command.until else LATEST,
        model=command.model,
        sample=command.sample,
        seed=command.seed,
    )
    try:
        collector = EvidenceCollector(reader, question, _parse_policy, _anchors(reader, command.anchor))
        return collector.report(Control(command.control))
    except ValueError as error:  # a row that can't be parsed
        text = "The ledger has a value that Registrar never writes ({what}). Someone may have altered it."
        raise Misconfigured(say(text, what=error)) from error


def _parse_policy(text: str) -> Policy:
    return parse_policy(text, Path("registrar.yml"))


def _anchors(reader: LedgerReader, given: str) -> list[AnchoredHead] | None:
    """Return the anchors in the given file, or else in the policy's file if it's on this machine; otherwise, None."""
    configured = None
    with suppress(ValueError, KeyError, TypeError, AttributeError):  # the policy's event was altered
        applied = last_applied_policy(reader, _parse_policy)
        configured = applied[0].anchor.file if applied and applied[0].anchor else None
    file = given or (configured if configured and Path(configured).is_file() else None)
    return parse_anchors(read_anchor_file(file), file) if file else None


def _summary(document: dict[str, Any]) -> list[RenderableType]:
    period, found = document["period"], document["summary"]["exceptions"]
    parts: list[RenderableType] = [
        Text(document["control"]["title"], style="bold"),
        Text(f"{moment(period['from'])} to {moment(period['to'])}, based on event {document['head']['number']}."),
        Text(f"Changes to Production: {document['summary']['changes']}."),
    ]
    table = console.new_table("Exception", "Number", "Meaning")
    for kind in (kind for kind in ExceptionKind if kind.code in found):
        table.add_row(Text(kind.code, style=styles.BAD), Text(f"{found[kind.code]:,}"), Text(kind.meaning))
    more = "For the whole report, add --format html or --format json."
    return [*parts, table if found else Text("No exceptions."), Text(more), Text(document["disclaimer"], style="dim")]
