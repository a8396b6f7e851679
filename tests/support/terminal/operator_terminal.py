"""The terminal of someone in the policy's `operators`."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.bootstrap.build import build_for_terminal
from bot.bootstrap.storage import open_ledger
from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.parser import parse_command
from bot.domain.commands.promotions import Approve
from bot.domain.core.actors import Automation, Person, Profile
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger import SqlLedger
from bot.policy_file import LocalPolicyFile, load_policy
from bot.ports import NO_DIRECTORY
from bot.services.core.commands import Origin
from bot.services.core.context import ActivePolicy, Context
from bot.services.policy.reload import PolicyReloader
from bot.settings import read_settings
from handlers.terminal.main import main
from handlers.terminal.session import current_operator
from localslack import LocalSlack
from localslack.seed import PersonSeed
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.registries import MlflowBackend
from tests.support.services.fakes import ManualClock
from tests.support.terminal.cli_runner import CommandOutput

ME, ANOTHER = "U05ANN", "U02BOB"


POLICY = """\
channel: "#ml-models"
roles: {{lead: [{leads}], admin: [{admins}]}}
operators: {{"{name}": {user}}}
models:
  "*":
    staging: {{approvers: [lead], requester_may_approve: true}}
    production: {{approvers: [lead], requester_may_approve: {may}{more}}}
    rollback: {{by: [lead]}}
"""


class OperatorTerminal:
    """A folder with a policy, a ledger, and a registry, for typing commands."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.rule()

    def rule(self, *, leads: str = ME, admins: str = ME, may: str = "true", user: str = ME, more: str = "") -> None:
        """Apply another policy; `more` are settings of Production."""
        text = POLICY.format(
            leads=leads,
            admins=admins,
            may=may,
            user=user,
            name=current_operator().name,
            more=f", {more}" if more else "",
        )
        (self.folder / "registrar.yml").write_text(text, encoding="utf-8")

    def types(self, *words: str) -> CommandOutput:
        code = main(words)
        printed = self._capsys.readouterr()
        return CommandOutput(code, printed.out, printed.err)

    def asks(self, *more: str) -> str:
        """Request v3 in Production, and return the request's id."""
        return str(self.types("promote", "churn", "3", "production", "--json", *more).document["id"])

    def a_bot_was_here(self) -> None:
        """Mark the ledger as used by a bot."""
        taken = Event(at=datetime.now(UTC), actor=Automation("policy"), tag=EventTag.POLICY_LOADED, subject="policy:1")
        with closing(open_ledger(read_settings())) as ledger, ledger.write() as tx:
            tx.add_audit_event(taken)

    def a_bot_took_the_policy(self) -> None:
        """Start a bot with the current file, and let the file settle."""
        with closing(open_ledger(read_settings())) as ledger:
            file = LocalPolicyFile(self.folder / "registrar.yml")
            context = Context(
                ledger=ledger,
                registry=MemoryRegistry(),
                tracker=MemoryRegistry(),
                active_policy=ActivePolicy(file.parse(file.read_text())),
                clock=ManualClock(),
                owner="here:1:bot",
            )
            policies = PolicyReloader(context, file, NO_DIRECTORY)
            policies.load_initial()
            context.clock.advance(seconds=30)  # type: ignore[attr-defined]  # it's the hand clock
            policies.reload()

    def serves(self, *versions: int) -> None:
        """Add these versions to Production's history, one after another."""
        now = datetime.now(UTC)
        with closing(open_ledger(read_settings())) as ledger, ledger.write() as tx:
            for version in versions:
                tx.add_transition(
                    Transition(
                        id=f"found:{version}",
                        kind=TransitionKind.OBSERVED,
                        model="churn",
                        version=version,
                        from_stage=Stage.NONE,
                        target=Stage.PRODUCTION,
                        expected_incumbent=None,
                        actor=Automation("registry-poll"),
                        intended_at=now,
                        finished_at=now,
                        state=TransitionState.DONE,
                    )
                )

    def asks_in_slack(self, user: str = ANOTHER) -> str:
        """Request v3 in Production as another person, and return the request's id."""
        settings = read_settings()
        with closing(
            build_for_terminal(settings, load_policy(settings.policy), open_ledger(settings), warn=print)
        ) as registrar:
            person, command = Profile(person=Person("T0LOCAL", user)), parse_command("promote churn 3 production")
            assert command is not None
            queued = registrar.commands.execute(person, command, Origin(entry_point="slack")).queued
            assert queued is not None
            registrar.command_queue.execute(queued.id)
        return queued.id

    def votes_in_slack(self, request: str, user: str, team: str = "T0LOCAL") -> None:
        """Approve with the card's button, as another person."""
        settings = read_settings()
        with closing(
            build_for_terminal(settings, load_policy(settings.policy), open_ledger(settings), warn=print)
        ) as registrar:
            person = Profile(person=Person(team, user))
            registrar.commands.execute(person, Approve(request=request), Origin(entry_point="slack"))

    def waits_for_slack(self) -> list[str]:
        """Return the messages that the bot has yet to post."""
        with self.ledger() as ledger, ledger.read() as reading:
            return [json.dumps(note.data) for note in reading.due_messages(datetime.now(UTC))]

    def ledger(self) -> closing[SqlLedger]:
        return closing(SqlLedger(f"sqlite:///{self.folder / '.registrar' / 'ledger.db'}"))

    def events(self, tag: EventTag) -> list[Event]:
        with self.ledger() as ledger, ledger.read() as reading:
            return [link.event for link in reading.audit_events() if link.event.tag is tag]


@pytest.fixture
def terminal(
    mlflow_sqlite: str,
    mlflow_backend: MlflowBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    slack: LocalSlack,
) -> OperatorTerminal:
    """Return a terminal on `churn` with v1 archived, v2 in Production, and v3, and with a local Slack."""
    for user, name in ((ME, "ann"), (ANOTHER, "ben")):
        slack.add_person(PersonSeed(id=user, name=name))
    monkeypatch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
    monkeypatch.setenv("SLACK_API_URL", slack.api_url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
    mlflow_backend.add_model("churn")
    for stage in (Stage.ARCHIVED, Stage.PRODUCTION, Stage.NONE):
        mlflow_backend.add_version("churn", stage=stage)
    return OperatorTerminal(tmp_path, capsys)


def production_version(terminal: OperatorTerminal) -> int | None:
    models = terminal.types("list", "--json").document["models"]
    found: int | None = next(one["production"] for one in models if one["model"] == "churn")
    return found
