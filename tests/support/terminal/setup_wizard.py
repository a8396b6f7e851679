"""The steps of `registrar setup` in this process. The answers are lines of standard input."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.domain.core.errors import RegistrarError
from handlers.setup.files import save_values
from handlers.setup.prompts import Prompts
from handlers.setup.steps.step import SetupState, SetupStep, finish
from handlers.terminal.main import main
from handlers.terminal.session import current_operator
from localslack import LocalSlack
from tests.support.network.ports import free_port


class Wizard:
    """An empty folder, and what a person types there.

    error: why the last step ended, if it failed. code: the last run's exit code. user: who is at the keyboard, if the
    steps should know. shell: variables that aren't from `.env`.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.error: RegistrarError | None = None
        self.code: int | None = None
        self.user = ""
        self.shell: dict[str, str] = {}
        self._before = dict(os.environ)
        self._patch = patch
        self._capsys = capsys

    def finishes(self, step: SetupStep, *lines: str) -> str:
        """Return what's printed while these lines are typed, until the step is finished or the input ends."""
        self._types(lines)
        state = SetupState(Prompts(), self.folder / ".env", self.shell, user=self.user)
        return self._screen(lambda: finish(step, state))

    def runs(self, *lines: str) -> str:
        """Return what the entire command prints while these lines are typed."""
        self._types(lines)
        self.code = main(["setup"])
        printed = self._capsys.readouterr()
        return printed.out + printed.err

    def forgets_its_shell(self) -> None:
        """Restore the environment, as in a new shell."""
        os.environ.clear()
        os.environ.update(self._before)

    def knows(self, slack: LocalSlack) -> None:
        """Set the address and both tokens of a workspace."""
        os.environ["SLACK_API_URL"] = slack.api_url
        os.environ |= {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}

    def saves(self, **values: str) -> None:
        """Store variables as an earlier run did, for the command to read."""
        save_values(self.folder / ".env", values)
        os.environ.update(values)

    def writes_policy(self, user: str = "U0BOB") -> None:
        """Write a policy for the current user of this machine."""
        text = f"channel: C0MLMODELS\noperators: {{{current_operator().name}: {user}}}\n"
        text += 'models: {"*": {production: {approvers: [U0ALICE]}}}\n'
        (self.folder / "registrar.yml").write_text(text)

    def _types(self, lines: tuple[str, ...]) -> None:
        self._patch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    def _screen(self, act: Callable[[], object]) -> str:
        self.error = None
        try:
            act()
        except RegistrarError as error:
            self.error = error
        return self._capsys.readouterr().out


@pytest.fixture
def wizard(
    slack: LocalSlack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mlflow_patience: None,
) -> Iterator[Wizard]:
    """Return the wizard in an empty folder, for the local workspace. Afterwards, the environment is as before."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REGISTRAR_PORT", str(free_port()))
    wizard = Wizard(folder, monkeypatch, capsys)
    os.environ["SLACK_API_URL"] = wizard.shell["SLACK_API_URL"] = slack.api_url
    yield wizard
    wizard.forgets_its_shell()
