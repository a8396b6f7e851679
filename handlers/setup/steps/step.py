"""A step of setup, and what the steps share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.domain.core.errors import Unreachable
from handlers.doctor.check import error_sentence
from handlers.setup.files import save_values, saved_values
from handlers.setup.prompts import Prompts


class StepPendingError(Exception):
    """A step isn't finished. The message says why; it's empty if the step hasn't begun."""


@dataclass(slots=True)
class SetupState:
    """What the steps share.

    `env_file`: where the answers are stored. `given`: the environment variables that don't come from that file. `user`:
    the Slack ID of the person at the keyboard; empty if it's unknown. `has_asked`: whether this run has asked anything.
    """

    prompts: Prompts
    env_file: Path
    given: Mapping[str, str] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)
    user: str = ""
    has_asked: bool = False

    def answer(self, name: str, value: str) -> None:
        """Set a variable for this process; `finish` stores it once its step is finished."""
        if self.given.get(name, value) != value:
            self.prompts.notice(f"{name} is also set in this shell, which overrides {self.env_file}. Run: unset {name}")
        os.environ[name] = self.unsaved[name] = value

    def keep(self, name: str) -> None:
        """Also store an address that's set only in this shell, so that commands work in other shells."""
        if name in self.given and name not in saved_values(self.env_file):
            self.unsaved[name] = os.environ[name]

    def save(self) -> None:
        """Store the answers. Raises Misconfigured."""
        if self.unsaved:
            save_values(self.env_file, self.unsaved)
            self.unsaved.clear()


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step. `check` returns a sentence if it's finished; otherwise, it raises StepPendingError, and `ask` follows."""

    check: Callable[[SetupState], str]
    ask: Callable[[SetupState], object]


def finish(step: SetupStep, state: SetupState) -> None:
    """Ask until the step is finished, then store the answers and say so. Raises Misconfigured."""
    while True:
        try:
            try:
                sentence = step.check(state)
                break
            except StepPendingError as pending:
                if str(pending):
                    state.prompts.problem(str(pending))
                state.has_asked = True
                step.ask(state)
        except Unreachable as error:
            state.prompts.problem(error_sentence(error))
            state.prompts.ask("Press Enter to try again")
    state.save()
    state.prompts.done(sentence)
