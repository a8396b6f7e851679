"""The output of `registrar doctor`: a symbol and a word for each part, followed by what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from handlers.doctor.check import Diagnosis, DiagnosisState, exit_code, summarize_diagnoses
from handlers.doctor.diagnose import diagnose
from handlers.terminal.output import console, json_and_csv, styles

SIGNS = {
    DiagnosisState.OK: ("✓", styles.GOOD),
    DiagnosisState.WARNING: ("!", styles.ATTENTION),
    DiagnosisState.ERROR: ("✗", styles.BAD),
    DiagnosisState.NO_REPLY: ("?", styles.SILENT),
    DiagnosisState.SKIPPED: ("–", styles.QUIET),
}


def run_doctor(*, live: bool, as_json: bool) -> int:
    """Run every check, print the findings, and return the exit code."""
    with Console(stderr=True).status("Checking everything; this takes a few seconds…"):  # on a screen only
        diagnoses = diagnose(live=live)
    if as_json:
        findings = [asdict(part) | {"state": part.state.value, "advice": part.advice or None} for part in diagnoses]
        output = json_and_csv.to_json({"healthy": not exit_code(diagnoses), "findings": findings})
    else:
        output = console.render(lambda _: render_diagnoses(diagnoses, is_terminal=console.stdout_console().is_terminal))
    console.write_output(output)
    return exit_code(diagnoses)


def render_diagnoses(diagnoses: Sequence[Diagnosis], *, is_terminal: bool) -> list[RenderableType]:
    """Return the report for people: a table on a terminal, or else a line for each part."""
    parts: list[RenderableType] = (
        [_diagnoses_table(diagnoses)] if is_terminal else [Text(diagnosis_line(diagnosis)) for diagnosis in diagnoses]
    )
    return [*parts, *([Text()] if is_terminal else []), Text(summarize_diagnoses(diagnoses), style="bold")]


def diagnosis_line(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as one line."""
    return f"{diagnosis.state.label:<8}  {diagnosis.area}: {diagnosis.sentence}" + (
        f" → {diagnosis.advice}" if diagnosis.advice else ""
    )


def _diagnoses_table(diagnoses: Sequence[Diagnosis]) -> Table:
    table = console.new_table()
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for diagnosis in diagnoses:
        sign, style = SIGNS[diagnosis.state]
        sentence = Text(diagnosis.sentence, style=styles.QUIET if diagnosis.state is DiagnosisState.SKIPPED else "")
        if diagnosis.advice:
            is_urgent = diagnosis.state in {DiagnosisState.ERROR, DiagnosisState.NO_REPLY}
            sentence.append(f"\n→ {diagnosis.advice}", style="bold" if is_urgent else "")
        area = "" if diagnosis.area == before else diagnosis.area
        table.add_row(Text(f"{sign} {diagnosis.state.label}", style=style), Text(area), sentence)
        before = diagnosis.area
    return table
