"""Who an operator is, with and without Slack."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from localslack import LocalSlack
from tests.support.terminal.operator_terminal import ANOTHER, ME, OperatorTerminal, production_version


class TestWithSlack:
    def test_slack_identifies_the_operator(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads="U0BOB", user="U0BOB")
        assert terminal.types("promote", "churn", "3", "production", "--approver", "U0BOB").code == 0
        [vote] = terminal.events(EventTag.VOTED)
        assert vote.evidence["by"]["name"]

    def test_a_group_member_has_the_groups_permissions(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads="S0LEADS", user="U0BOB")
        assert terminal.types("promote", "churn", "3", "production", "--approver", "U0BOB").code == 0

    def test_others_are_refused(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads="S0LEADS", user="U0ALICE")
        said = terminal.types("promote", "churn", "3", "production", "--approver", "U0ALICE")
        assert (said.code, production_version(terminal)) == (1, 2)

    @pytest.mark.parametrize("changes", [{"deleted": True}, {"is_restricted": True}], ids=["deactivated", "a guest"])
    def test_a_deactivated_account_is_refused(
        self, terminal: OperatorTerminal, slack: LocalSlack, changes: dict[str, bool]
    ) -> None:
        slack.change_person("bob", **changes)
        terminal.rule(leads="U0BOB", user="U0BOB")
        said = terminal.types("promote", "churn", "3", "production", "--approver", "U0BOB")
        assert (said.code, production_version(terminal), terminal.events(EventTag.REQUEST_OPENED)) == (1, 2, [])

    def test_without_slack_the_policys_ids_count(
        self, terminal: OperatorTerminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/api/")
        said = terminal.types("promote", "churn", "3", "production", "--approver", ME)
        assert (said.code, "Can't read user groups" in said.err, production_version(terminal)) == (
            0,
            True,
            2,
        )

    def test_an_approver_who_was_deactivated_later_does_not_count(
        self, terminal: OperatorTerminal, slack: LocalSlack
    ) -> None:
        terminal.rule(leads=f"{ME}, {ANOTHER}", more="required: 2")
        asked = terminal.asks()
        terminal.votes_in_slack(asked, ANOTHER)
        slack.change_person("ben", deleted=True)
        said = terminal.types("approve", asked, "--json").document
        assert (said["state"], [vote["counts"] for vote in said["votes"]], production_version(terminal)) == (
            "pending",
            [False, True],
            2,
        )


class TestWithoutSlack:
    @pytest.fixture(autouse=True)
    def _alone(self, terminal: OperatorTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SLACK_BOT_TOKEN")

    def test_the_vote_counts_and_the_bot_executes_the_transition(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("approve", terminal.asks(), "--json")
        assert (said.code, said.document["state"], production_version(terminal)) == (0, "approved", 2)

    def test_a_break_glass_promotion_is_executed_by_the_bot(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud", "--json")
        assert (said.code, said.document["state"], production_version(terminal)) == (0, "approved", 2)

    def test_a_rollback_runs_at_once(self, terminal: OperatorTerminal) -> None:
        terminal.serves(1, 2)
        assert terminal.types("rollback", "churn", "1", "--force", "--reason", "bad figures").code == 0
        assert production_version(terminal) == 1
