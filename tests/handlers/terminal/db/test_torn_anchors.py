"""`registrar audit verify` with an anchor file whose last line was cut off."""

from __future__ import annotations

from pathlib import Path

from bot.domain.audit.anchors import serialize_anchor
from tests.support.ledger.tampering import NOW
from tests.support.services.bench import Bench
from tests.support.terminal.cli_runner import CliRunner


def test_a_torn_last_line_is_reported_and_the_one_before_is_compared(
    registrar: CliRunner, populated_ledger: Bench, tmp_path: Path
) -> None:
    with populated_ledger.ledger.read() as reading:
        line = serialize_anchor(reading.audit_head(), NOW)
    (tmp_path / "anchor.jsonl").write_text(line + line[:40])
    said = registrar("audit", "verify", "--anchor", "anchor.jsonl")
    assert (said.code, "the anchor matches" in said.out) == (0, True)
    assert "Skipped line 2 of “anchor.jsonl”: the write was interrupted." in said.out
    document = registrar("audit", "verify", "--anchor", "anchor.jsonl", "--json").document
    assert (document["anchors"], document["torn_lines"]) == (1, [2])
