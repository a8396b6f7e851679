"""The step that runs `registrar doctor`."""

from __future__ import annotations

from handlers.doctor.check import Diagnosis, exit_code, summarize_diagnoses
from handlers.doctor.diagnose import diagnose
from handlers.setup.steps.step import SetupState, SetupStep, StepPendingError
from handlers.terminal.doctor import render_diagnoses
from handlers.terminal.output import console


def _check_all(state: SetupState) -> str:
    state.prompts.say("Checking everything; this takes a few seconds…")
    diagnoses = diagnose(live=False)
    has_errors = bool(exit_code(diagnoses))
    if has_errors or state.has_asked:
        _show(diagnoses)
    if has_errors:
        raise StepPendingError("Doctor found errors. Fix them first.")
    return f"Doctor: {summarize_diagnoses(diagnoses)}"


def _show(diagnoses: list[Diagnosis]) -> None:
    is_terminal = console.stdout_console().is_terminal
    console.write_output(console.render(lambda _: render_diagnoses(diagnoses, is_terminal=is_terminal)))


DOCTOR_STEP = SetupStep(_check_all, lambda state: state.prompts.ask("Press Enter to check again"))
