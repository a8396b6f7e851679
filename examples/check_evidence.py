"""Check a report of `registrar audit evidence` against an export of the audit log. Needs only Python.

    registrar audit evidence --control soc2:CC8.1 --from 2026-01-01 --to 2026-12-31 --format json > report.json
    registrar audit export > audit.jsonl
    python check_evidence.py report.json audit.jsonl

It computes the chain of hashes again, counts the changes to Production itself, and draws the sample itself.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOVED = "registrar:version:moved"
ENTRIES = {MOVED, "registrar:version:rolled_back", "registrar:stage:mended", "registry:version:moved"}


class Wrong(Exception):
    """The report doesn't match the export."""


def require(condition: bool, message: str) -> None:
    """Raise Wrong with the message unless the condition is true."""
    if not condition:
        raise Wrong(message)


def check_chain(lines: Iterable[str], head: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events up to the report's head. Each event's hash must follow from the one before."""
    previous, events = "0" * 64, list[dict[str, Any]]()
    for line in lines:
        row = json.loads(line)
        if row["number"] > head["number"]:
            break
        require(row["number"] == len(events) + 1, f"event {len(events) + 1} is missing")
        require(row["previous"] == previous, f"event {row['number']} doesn't follow the one before")
        previous = hashlib.sha256(f"{previous}\n{row['body']}".encode()).hexdigest()
        require(row["hash"] == previous, f"event {row['number']} was edited")
        events.append(json.loads(row["body"]))
    require(len(events) == head["number"], f"the export ends at event {len(events)}")
    require(not events or previous == head["hash"], "the head's hash differs")
    return events


def changes_of_production(events: list[dict[str, Any]], period: dict[str, Any]) -> dict[str, int]:
    """Return the IDs of the changes to Production in the period, and the number of the event of each."""
    broke_glass = {event["subject"] for event in events if event["tag"] == "person:request:broke_glass"}
    found = {}
    for event in events:
        evidence = event["evidence"]
        enters = "stage" in evidence or "Production" in (evidence.get("target"), evidence.get("to"))
        is_covered = period["from"] <= event["at"] <= period["to"] and period["model"] in (None, event["model"])
        if event["tag"] in ENTRIES and enters and is_covered:
            subject = event["subject"]
            kind = "break_glass" if subject in broke_glass else "promotion"
            change = f"{kind}:{subject}" if event["tag"] == MOVED else subject
            found[change] = event["number"]
    return found


def check(report: dict[str, Any], lines: Iterable[str]) -> str:
    """Check everything; raise Wrong at the first difference."""
    events = check_chain(lines, report["head"])
    found = changes_of_production(events, report["period"])
    population = {change["id"]: change["event"] for change in report["population"]}
    require(len(population) == len(report["population"]), "a change is listed twice")
    missing, invented = sorted(found.keys() - population.keys()), sorted(population.keys() - found.keys())
    require(not missing, f"the report lacks changes: {', '.join(missing[:5])}")
    require(not invented, f"the log lacks changes: {', '.join(invented[:5])}")
    require(found == population, "the audit events of changes differ")
    require(report["summary"]["changes"] == len(found), "the number of changes differs")
    for change in report["population"]:
        event = events[change["event"] - 1]
        require((event["at"], event["actor"], event["model"]) == (change["at"], change["executed_by"], change["model"]),
                f"{change['id']} differs from its audit event")  # fmt: skip
    sample = report["sample"]
    ranked = sorted(found, key=lambda change: hashlib.sha256(f"{sample['seed']}:{change}".encode()).hexdigest())
    drawn = [change["id"] for change in sample["changes"]]
    require(drawn == ranked[: sample["size"]], "the seed gives another sample")
    rows = {change["id"]: change for change in report["population"]}
    for change in sample["changes"]:
        require(rows[change["id"]].items() <= change.items(), f"{change['id']} differs between sample and population")
    return f"The report matches the log: {len(events)} events, {len(found)} changes, a sample of {len(drawn)}."


def main() -> int:
    """Check the files that the command line names, and return the exit code."""
    report, export = map(Path, sys.argv[1:3])
    with export.open(encoding="utf-8") as lines:
        try:
            print(check(json.loads(report.read_text(encoding="utf-8")), lines))
        except (Wrong, KeyError, ValueError, TypeError, IndexError) as error:
            print(f"The report doesn't match the log: {error!s}.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
