"""Ask questions on a terminal. If standard input isn't a terminal, its lines are the answers."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable

from rich.text import Text

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, sanitize_text, say
from handlers.doctor.check import DiagnosisState
from handlers.terminal.doctor import SIGNS
from handlers.terminal.output import console


class Prompts:
    """Prints to the person at the keyboard, and reads their answers."""

    def say(self, text: str = "") -> None:
        """Print a line unwrapped, so that an address in it can be copied."""
        console.write_output(f"{text}\n")

    def done(self, sentence: str) -> None:
        """Print that a step is finished."""
        self._print_with_sign(DiagnosisState.OK, sentence)

    def problem(self, sentence: str) -> None:
        """Print why a step isn't finished."""
        self._print_with_sign(DiagnosisState.ERROR, sentence)

    def notice(self, sentence: str) -> None:
        """Print what works but needs attention."""
        self._print_with_sign(DiagnosisState.WARNING, sentence)

    def ask(self, question: str, default: str = "") -> str:
        """Return the typed line, or the default for an empty one. Raises Misconfigured if the input has ended."""
        console.write_output(f"{question} [{default}]: " if default else f"{question}: ")
        return self._read(input) or default

    def ask_secret(self, question: str) -> str:
        """Return the typed line without showing it on a terminal. Raises Misconfigured if the input has ended."""
        if sys.stdin.isatty():
            return self._read(lambda: getpass.getpass(f"{question}: "))
        return self.ask(question)

    def _read(self, read: Callable[[], str]) -> str:
        try:
            return read().strip()
        except EOFError:
            raise Misconfigured(
                say("The input ended before setup did. To continue, run {setup} again.", setup=Code("registrar setup"))
            ) from None

    def _print_with_sign(self, state: DiagnosisState, sentence: str) -> None:
        sign, style = SIGNS[state]
        console.write_output(console.render(lambda _: [Text.assemble((sign, style), f" {sanitize_text(sentence)}")]))
