"""The terminal beside the bot: on its ledger and registry, as whom the policy's `operators` name."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.domain.approvals import RequestState
from bot.domain.events import Event, Tag
from bot.domain.people import Operator
from bot.domain.registry import Stage
from bot.ledger import SqlLedger
from bot.ports import NoteKind
from handlers.cli import main
from handlers.terminal.counter import operator
from localslack import LocalSlack
from tests.registries import MlflowShelf

ME, ANOTHER = "U05ANN", "U02BOB"
POLICY = """\
channel: "#ml-models"
roles: {{lead: [{leads}], admin: [{admins}]}}
operators: {{"{name}": {user}}}
models:
  "*":
    staging: {{approvers: [lead], requester_may_approve: true}}
    production: {{approvers: [lead], requester_may_approve: {may}}}
    rollback: {{by: [lead]}}
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Desk:
    """A folder with a policy, a ledger and a registry, in which commands are typed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.rule()

    def rule(self, *, leads: str = ME, admins: str = ME, may: str = "true", user: str = ME) -> None:
        """Let another policy hold."""
        text = POLICY.format(leads=leads, admins=admins, may=may, user=user, name=operator().name)
        (self.folder / "registrar.yml").write_text(text, encoding="utf-8")

    def types(self, *words: str) -> Said:
        code = main(words)
        printed = self._capsys.readouterr()
        return Said(code, printed.out, printed.err)

    def ledger(self) -> closing[SqlLedger]:
        return closing(SqlLedger(f"sqlite:///{self.folder / '.registrar' / 'ledger.db'}"))

    def events(self, tag: Tag) -> list[Event]:
        with self.ledger() as ledger, ledger.read() as reading:
            return [link.event for link in reading.links() if link.event.tag is tag]


@pytest.fixture
def desk(
    mlflow_sqlite: str, mlflow_shelf: MlflowShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Desk:  # fmt: skip
    """`churn` with v1 archived, v2 in Production and v3."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
    mlflow_shelf.add("churn")
    for stage in (Stage.ARCHIVED, Stage.PRODUCTION, Stage.NONE):
        mlflow_shelf.add_version("churn", stage=stage)
    return Desk(tmp_path, capsys)


def holder(desk: Desk) -> int | None:
    models = desk.types("list", "--json").document["models"]
    found: int | None = next(one["production"] for one in models if one["model"] == "churn")
    return found


class TestAsking:
    def test_it_asks_and_the_card_waits_for_the_bot(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production", "--reason", "better f1", "--json")
        assert (said.code, said.document["state"], said.document["requester"]) == (
            0, "pending", f"operator:{operator().name}"
        )  # fmt: skip
        with desk.ledger() as ledger, ledger.read() as reading:
            assert [note.kind for note in reading.due_notes(reading.request(said.document["id"]).opened_at)] == [
                NoteKind.CARD
            ]
        assert holder(desk) == 2

    def test_whom_the_policy_does_not_name_may_not(self, desk: Desk) -> None:
        text = (desk.folder / "registrar.yml").read_text().replace(operator().name, "somebody-else")
        (desk.folder / "registrar.yml").write_text(text)
        said = desk.types("promote", "churn", "3", "production")
        assert (said.code, "operators" in said.err) == (1, True)

    def test_the_same_key_opens_one(self, desk: Desk) -> None:
        ids = {
            desk.types("promote", "churn", "3", "production", "--idempotency-key", "k1", "--json").document["id"]
            for _ in range(2)
        }
        assert len(ids) == 1

    def test_its_own_wait_can_end_first(self, desk: Desk) -> None:
        assert desk.types("promote", "churn", "3", "production", "--wait", "--timeout", "1s").code == 5

    def test_what_waits_is_listed(self, desk: Desk) -> None:
        asked = desk.types("promote", "churn", "3", "production", "--json").document["id"]
        assert asked in desk.types("requests").out
        assert [one["id"] for one in desk.types("requests", "churn", "--json").document["requests"]] == [asked]


class TestApproving:
    def test_as_the_person_that_one_is_it_moves(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production", "--approver", ME, "--wait")
        assert (said.code, "Done" in said.out, holder(desk)) == (0, True, 3)
        [vote] = desk.events(Tag.VOTED)
        assert (vote.actor, vote.origin) == (Operator(operator().name), "terminal")

    def test_as_somebody_else_it_does_not(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production", "--approver", ANOTHER)
        assert (said.code, holder(desk), desk.events(Tag.OPENED)) == (1, 2, [])

    def test_one_s_own_request_only_where_the_rule_lets_one(self, desk: Desk) -> None:
        desk.rule(may="false")
        said = desk.types("promote", "churn", "3", "production", "--approver", ME)
        assert (said.code, "somebody else has to decide" in said.err, holder(desk)) == (1, True, 2)
        with desk.ledger() as ledger, ledger.read() as reading:
            assert [one.state for one in reading.requests()] == [RequestState.PENDING]

    def test_a_second_vote_does_not_count(self, desk: Desk) -> None:
        desk.rule(leads=f"{ME}, {ANOTHER}")
        text = (
            (desk.folder / "registrar.yml")
            .read_text()
            .replace("production: {approvers", "production: {required: 2, approvers")
        )
        (desk.folder / "registrar.yml").write_text(text)
        asked = desk.types("promote", "churn", "3", "production", "--json").document["id"]
        assert desk.types("approve", asked).code == 0
        again = desk.types("approve", asked)
        assert (again.code, "voted on request" in again.err) == (1, True)
        assert desk.types("withdraw", asked).code == 0
        assert desk.types("reject", asked).code == 2  # a reason is missing
        assert desk.types("reject", asked, "--reason", "too slow").code == 0
        assert desk.types("cancel", asked).code == 1


class TestBreakingTheGlass:
    def test_an_admin_does(self, desk: Desk) -> None:
        desk.rule(leads=ANOTHER, may="false")
        said = desk.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert (said.code, holder(desk)) == (0, 3)
        assert [event.why for event in desk.events(Tag.BROKE_GLASS)] == ["fraud"]

    def test_nobody_else_does(self, desk: Desk) -> None:
        desk.rule(admins=ANOTHER)
        said = desk.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert (said.code, holder(desk)) == (1, 2)


class TestChanging:
    def test_a_rollback_is_made_at_once(self, desk: Desk) -> None:
        desk.types("promote", "churn", "3", "production", "--approver", ME)
        said = desk.types("rollback", "churn", "2", "--reason", "bad figures", "--json")
        assert (said.code, said.document["state"], holder(desk)) == (0, "done", 2)
        assert desk.types("clear", "churn", "3", "--reason", "it was the feature store").code == 0
        told = desk.types("history", "churn")
        assert "rolled back from v3" in told.out
        served = desk.types("history", "churn", "--json").document["served"]
        assert [(one["version"], one["cause"]) for one in served[:2]] == [(2, "rollback"), (3, "promotion")]

    def test_a_version_is_described_tagged_and_archived(self, desk: Desk) -> None:
        assert desk.types("describe", "churn", "3", "wider trees").code == 0
        assert desk.types("tag", "churn", "3", "owner=ann").code == 0
        assert desk.types("archive", "churn", "3", "--reason", "old").code == 0
        shown = desk.types("show", "churn", "--json").document["versions"]
        assert [(one["version"], one["stage"]) for one in shown] == [
            (3, "Archived"),
            (2, "Production"),
            (1, "Archived"),
        ]
        assert "ann" in desk.types("show", "churn", "3").out

    def test_production_is_frozen_and_let_go(self, desk: Desk) -> None:
        assert desk.types("freeze", "churn", "--until", "1h", "--reason", "end of the quarter").code == 0
        refused = desk.types("promote", "churn", "3", "production", "--approver", ME)
        assert (refused.code, "frozen" in refused.err) == (1, True)
        assert desk.types("unfreeze", "churn").code == 0

    def test_a_monitor_is_added_shown_paused_and_taken_away(self, desk: Desk) -> None:
        words = ("churn", "accuracy")
        added = desk.types(
            "monitor", "add", *words, "--source", "push", "--query", "accuracy", "--greater-than", "0.85"
        )
        assert added.code == 0, added.err
        assert "accuracy" in desk.types("monitor", "list").out
        assert desk.types("monitor", "show", *words, "--json").document["rule"]["greater_than"] == 0.85
        assert desk.types("monitor", "show", *words).code == 0
        assert desk.types("monitor", "pause", *words).code == 0
        assert desk.types("monitor", "show", *words, "--json").document["is_paused"] is True
        assert desk.types("monitor", "resume", *words).code == 0
        assert desk.types("monitor", "check", *words).code == 0
        assert desk.types("monitor", "backtest", *words).code == 0
        assert desk.types("monitor", "remove", *words).code == 0


class TestLooking:
    def test_models_and_versions_need_no_ledger(self, desk: Desk) -> None:
        assert "churn" in desk.types("list").out
        assert "v2" in desk.types("show", "churn").out
        assert desk.types("show", "churn", "2", "--json").document["version"] == 2
        assert not (desk.folder / ".registrar").exists()

    def test_history_says_where_there_is_no_ledger(self, desk: Desk) -> None:
        assert desk.types("history", "churn").code == 2
        assert not (desk.folder / ".registrar").exists()


class TestWithSlack:
    @pytest.fixture(autouse=True)
    def _connected(self, slack: LocalSlack, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
        monkeypatch.setenv("SLACK_API_URL", slack.api_url)

    def test_slack_says_who_one_is(self, desk: Desk) -> None:
        desk.rule(leads="U0BOB", user="U0BOB")
        assert desk.types("promote", "churn", "3", "production", "--approver", "U0BOB").code == 0
        [vote] = desk.events(Tag.VOTED)
        assert vote.evidence["by"]["name"]

    def test_where_slack_is_away_the_policy_s_ids_decide(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/api/")
        said = desk.types("promote", "churn", "3", "production", "--approver", ME)
        assert (said.code, "Slack does not answer" in said.err) == (0, True)
