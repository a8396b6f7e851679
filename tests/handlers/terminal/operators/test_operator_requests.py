"""Requests in a terminal on the bot's machine: opening, approving, and breaking glass."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from bot.bootstrap.build import build_for_terminal
from bot.bootstrap.storage import open_ledger
from bot.domain.audit.events import EventTag
from bot.domain.commands.parser import parse_command
from bot.domain.commands.promotions import Approve
from bot.domain.core.actors import Operator, Person, Profile
from bot.domain.core.errors import Refused, RegistryUnreachable
from bot.domain.policy.authorization import AccessTarget, approver_ids
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.policy_file import load_policy
from bot.ports import MessageKind
from bot.services.core.command_queue import CommandQueue
from bot.services.core.commands import CommandResult, Origin
from bot.settings import read_settings
from handlers.terminal.command_line.json_keys import document_keys
from handlers.terminal.command_line.terminal_only_commands import PromoteFromTerminal
from handlers.terminal.session import current_operator
from handlers.terminal.waiting import wait_until_final
from tests.support.terminal.operator_terminal import ANOTHER, ME, OperatorTerminal, production_version

BOTH = f"{ME}, {ANOTHER}"


JOB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_RUN_ID": "1"}


class TestAsking:
    def test_promote_opens_a_request_and_queues_the_card(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("promote", "churn", "3", "production", "--reason", "better f1", "--json")
        assert (said.code, said.document["state"], said.document["requester"]) == (
            0,
            "pending",
            f"operator:{current_operator().name}",
        )
        with terminal.ledger() as ledger, ledger.read() as reading:
            assert [note.kind for note in reading.due_messages(reading.request(said.document["id"]).opened_at)] == [
                MessageKind.CARD
            ]
        assert production_version(terminal) == 2

    def test_an_operator_outside_the_policy_cannot_approve(self, terminal: OperatorTerminal) -> None:
        text = (terminal.folder / "registrar.yml").read_text().replace(current_operator().name, "somebody-else")
        (terminal.folder / "registrar.yml").write_text(text)
        said = terminal.types("promote", "churn", "3", "production")
        assert (said.code, "operators" in said.err) == (1, True)

    def test_the_requester_is_not_among_the_approvers(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=f"{ME}, {ANOTHER}", may="false")
        policy = load_policy(terminal.folder / "registrar.yml")
        own = AccessTarget(model="churn", target=Stage.PRODUCTION, requester=current_operator())
        assert approver_ids(own, policy) == [ANOTHER]

    def test_a_timeout_without_wait_is_an_error(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("promote", "churn", "3", "production", "--timeout", "4h")
        assert (said.code, "--wait" in said.err) == (2, True)

    def test_the_json_document_has_every_documented_key(self, terminal: OperatorTerminal) -> None:
        asked = terminal.types("promote", "churn", "3", "production", "--json").document
        [listed] = terminal.types("requests", "--json").document["requests"]
        assert list(asked) == list(listed) == list(document_keys(PromoteFromTerminal))

    def test_the_same_idempotency_key_opens_one_request(self, terminal: OperatorTerminal) -> None:
        ids = {
            terminal.types("promote", "churn", "3", "production", "--idempotency-key", "k1", "--json").document["id"]
            for _ in range(2)
        }
        assert len(ids) == 1

    def test_the_same_ci_run_opens_one_request(
        self, terminal: OperatorTerminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal.a_bot_was_here()
        for name, value in JOB.items():
            monkeypatch.setenv(name, value)
        assert terminal.asks() == terminal.asks()

    def test_a_job_fails_if_no_bot_would_post_the_card(
        self, terminal: OperatorTerminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in JOB.items():
            monkeypatch.setenv(name, value)
        said = terminal.types("promote", "churn", "3", "production", "--wait")
        assert (said.code, "REGISTRAR_URL" in said.err, terminal.events(EventTag.PROMOTION_REQUESTED)) == (2, True, [])

    def test_outside_ci_a_missing_bot_causes_a_warning(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("promote", "churn", "3", "production")
        assert (said.code, "No bot has used" in said.err) == (0, True)

    def test_the_wait_can_time_out(self, terminal: OperatorTerminal) -> None:
        assert terminal.types("promote", "churn", "3", "production", "--wait", "--timeout", "1s").code == 5

    def test_pending_requests_are_listed(self, terminal: OperatorTerminal) -> None:
        asked = terminal.types("promote", "churn", "3", "production", "--json").document["id"]
        assert asked in terminal.types("requests").out
        assert [one["id"] for one in terminal.types("requests", "churn", "--json").document["requests"]] == [asked]


class TestApproving:
    def test_approving_as_oneself_promotes(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("promote", "churn", "3", "production", "--approver", ME, "--wait")
        assert (said.code, "Done" in said.out, production_version(terminal)) == (0, True, 3)
        [vote] = terminal.events(EventTag.VOTED)
        assert (vote.actor, vote.origin) == (Operator(current_operator().name), "terminal")

    def test_approving_as_someone_else_is_refused(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("promote", "churn", "3", "production", "--approver", ANOTHER)
        assert (said.code, production_version(terminal), terminal.events(EventTag.REQUEST_OPENED)) == (1, 2, [])

    def test_self_approval_works_only_if_the_rule_allows_it(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=BOTH, may="false")
        said = terminal.types("promote", "churn", "3", "production", "--approver", ME)
        assert (said.code, "someone else has to decide" in said.err, production_version(terminal)) == (1, True, 2)
        with terminal.ledger() as ledger, ledger.read() as reading:
            [request] = reading.requests()
        assert request.state is RequestState.PENDING
        assert said.err.endswith(f"Request {request.id} is still open.\n")

    @pytest.mark.parametrize(
        "words", [["approve"], ["reject", "--reason", "no"], ["withdraw"], ["override", "--reason", "no"]], ids=str
    )
    def test_an_operator_outside_the_policy_cannot_decide(self, terminal: OperatorTerminal, words: list[str]) -> None:
        asked = terminal.asks()
        text = (terminal.folder / "registrar.yml").read_text().replace(current_operator().name, "somebody-else")
        (terminal.folder / "registrar.yml").write_text(text)
        said = terminal.types(words[0], asked, *words[1:])
        assert (said.code, "so you can't decide from here" in said.err, production_version(terminal)) == (1, True, 2)
        cancelled = terminal.types("cancel", asked)
        assert (cancelled.code, "operators doesn't map" in cancelled.err) == (1, True)

    def test_the_last_approver_sees_the_outcome(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("approve", terminal.asks())
        assert (said.code, said.out, production_version(terminal)) == (
            0,
            "Done: “churn” v2 → v3 in Production, verified in MLflow.\n",
            3,
        )

    def test_json_has_the_requests_state(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=BOTH, more="required: 2")
        document = terminal.types("approve", terminal.asks(), "--json").document
        assert (list(document), document["state"]) == (list(document_keys(Approve)), "pending")
        assert document["sentence"].endswith(" (1 of 2).")

    def test_a_vote_in_slack_does_not_count_again_in_the_terminal(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=BOTH, more="required: 2")
        asked = terminal.asks()
        terminal.votes_in_slack(asked, ME)
        said = terminal.types("approve", asked)
        assert (said.code, said.err, production_version(terminal)) == (
            1,
            f"You've already voted on request {asked}.\n",
            2,
        )

    def test_votes_from_slack_and_the_terminal_add_up(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=BOTH, more="required: 2")
        asked = terminal.asks()
        terminal.votes_in_slack(asked, ANOTHER)
        assert (terminal.types("approve", asked).code, production_version(terminal)) == (0, 3)

    def test_a_terminal_request_counts_as_ones_own_in_slack(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=BOTH, may="false")
        with pytest.raises(Refused, match="someone else has to decide"):
            terminal.votes_in_slack(terminal.asks(), ME)

    def test_repeating_the_key_keeps_the_vote(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=BOTH, more="required: 2")
        words = ("promote", "churn", "3", "production", "--approver", ME, "--idempotency-key", "k1", "--json")
        assert [
            (said.code, len(said.document["votes"])) for said in (terminal.types(*words), terminal.types(*words))
        ] == [
            (0, 1),
            (0, 1),
        ]

    def test_the_vote_is_cast_once_mlflow_responds_and_the_request_opens(
        self, terminal: OperatorTerminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        carry_out, tries = CommandQueue.execute, iter([RegistryUnreachable("MLflow does not answer.")])

        def at_first_in_vain(errands: CommandQueue, ask_id: str, *, tell: bool = False) -> CommandResult:
            if (error := next(tries, None)) is not None:
                raise error
            return carry_out(errands, ask_id, notify_caller=tell)

        def the_bot_goes_on(seconds: float) -> None:
            settings = read_settings()
            policy = load_policy(settings.policy)
            with terminal.ledger() as ledger, ledger.read() as reading:
                [asked] = reading.due_command_ids(datetime.now(UTC) + timedelta(hours=1))
            with closing(build_for_terminal(settings, policy, open_ledger(settings), warn=print)) as registrar:
                registrar.command_queue.execute(asked)

        monkeypatch.setattr(CommandQueue, "execute", at_first_in_vain)
        monkeypatch.setattr(wait_until_final, "__kwdefaults__", {"monotonic": time.monotonic, "sleep": the_bot_goes_on})
        said = terminal.types("promote", "churn", "3", "production", "--approver", ME, "--wait")
        assert (said.code, production_version(terminal)) == (0, 3)

    def test_a_failed_gate_can_be_overridden_with_a_reason(self, terminal: OperatorTerminal) -> None:
        terminal.rule(more="override: [admin], gates: [{metric: f1, at_least: 0.9}]")
        asked = terminal.asks_in_slack()
        waits = terminal.types("approve", asked)
        assert (waits.code, f"registrar override {asked}" in waits.out, production_version(terminal)) == (0, True, 2)
        assert terminal.types("override", asked).code == 2  # a reason is missing
        assert (terminal.types("override", asked, "--reason", "a hotfix").code, production_version(terminal)) == (0, 3)

    def test_the_requester_cannot_override_a_failed_gate(self, terminal: OperatorTerminal) -> None:
        terminal.rule(admins=BOTH, more="override: [admin], gates: [{metric: f1, at_least: 0.9}]")
        said = terminal.types("override", terminal.asks(), "--reason", "a hotfix")
        assert (said.code, f"someone else has to override its gates: @{ANOTHER}" in said.err) == (1, True)

    def test_the_requester_can_cancel(self, terminal: OperatorTerminal) -> None:
        asked = terminal.asks()
        said = terminal.types("cancel", asked, "--json")
        assert (said.code, said.document["state"], said.document["decided_by"]) == (
            0,
            "cancelled",
            f"operator:{current_operator().name}",
        )

    def test_a_second_vote_does_not_count(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=f"{ME}, {ANOTHER}", more="required: 2")
        asked = terminal.asks()
        assert terminal.types("approve", asked).code == 0
        again = terminal.types("approve", asked)
        assert (again.code, "already voted on request" in again.err) == (1, True)
        assert terminal.types("withdraw", asked).code == 0
        assert terminal.types("reject", asked).code == 2  # a reason is missing
        assert terminal.types("reject", asked, "--reason", "too slow").code == 0
        assert terminal.types("cancel", asked).code == 1


class TestUnderAnEditedPolicy:
    """An edit applies in the terminal once the bot has applied it, not when it's on disk."""

    @pytest.fixture
    def terminal(self, terminal: OperatorTerminal) -> OperatorTerminal:
        """Return a terminal where the bot applied a policy under which someone else decides."""
        terminal.rule(leads=ANOTHER, admins=ANOTHER)
        terminal.a_bot_took_the_policy()
        return terminal

    @pytest.mark.parametrize(
        "words",
        [
            ("approve", "{request}"),
            ("reject", "{request}", "--reason", "no"),
            ("override", "{request}", "--reason", "no"),
            ("rollback", "churn", "1", "--reason", "no"),
            ("freeze", "churn", "--reason", "no"),
            ("archive", "churn", "3", "--reason", "no"),
            ("promote", "churn", "3", "production", "--break-glass", "--reason", "no"),
            ("review", "{request}", "--reason", "no"),
        ],
    )
    def test_an_edit_that_loosens_a_rule_does_not_apply_yet(
        self, terminal: OperatorTerminal, words: tuple[str, ...]
    ) -> None:
        terminal.rule(more="override: [admin], gates: [{metric: f1, at_least: 0.9}]" if "override" in words else "")
        request = terminal.asks()
        said = terminal.types(*(word.format(request=request) for word in words))
        assert (said.code, production_version(terminal)) == (1, 2), said

    def test_an_invalid_policy_file_does_not_block_decisions(self, terminal: OperatorTerminal) -> None:
        (terminal.folder / "registrar.yml").write_text("modles: {}")
        assert terminal.types("promote", "churn", "3", "production").code == 0

    def test_a_policy_that_the_bot_applied_applies_in_the_terminal(self, terminal: OperatorTerminal) -> None:
        terminal.rule()
        terminal.a_bot_took_the_policy()
        request = terminal.asks()
        assert (terminal.types("approve", request).code, production_version(terminal)) == (0, 3)


class TestBreakingTheGlass:
    def test_an_admin_can_break_glass(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=ANOTHER, may="false")
        said = terminal.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert (said.code, production_version(terminal)) == (0, 3)
        assert [event.why for event in terminal.events(EventTag.BROKE_GLASS)] == ["fraud"]

    def test_the_channel_is_alerted(self, terminal: OperatorTerminal) -> None:
        terminal.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert any("fraud" in note and "broke glass" in note for note in terminal.waits_for_slack())

    def test_another_person_reviews_it(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=ME, admins=ANOTHER)
        settings = read_settings()
        with closing(
            build_for_terminal(settings, load_policy(settings.policy), open_ledger(settings), warn=print)
        ) as registrar:
            command = parse_command("promote churn 3 production --break-glass --reason fraud")
            assert command is not None
            admin = Profile(person=Person("T0LOCAL", ANOTHER))
            queued = registrar.commands.execute(admin, command, Origin(entry_point="slack", channel="C1")).queued
            assert queued is not None
            asked = queued.id
            registrar.command_queue.execute(asked)
            registrar.transition_executor.execute_due("churn")
        said = terminal.types("review", asked, "--reason", "it was right", "--json")
        assert (said.code, said.document["review"]["by"], said.document["review"]["reason"]) == (
            0,
            f"operator:{current_operator().name}",
            "it was right",
        )
        assert terminal.types("review", asked, "--reason", "it was wrong").code == 1

    def test_no_one_can_review_their_own_promotion_under_another_name(self, terminal: OperatorTerminal) -> None:
        terminal.rule(leads=ME, admins=ANOTHER, user=ANOTHER)
        words = ("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud", "--json")
        request = str(terminal.types(*words).document["id"])
        own = terminal.types("review", request, "--reason", "it was right")
        assert (own.code, "someone else has to review it" in own.err) == (1, True)
        assert terminal.types("review", request).code == 2  # a reason is missing
        terminal.rule(leads=ME, admins=ANOTHER, user=ME)  # `operators` says that the same person is someone else
        assert terminal.types("review", request, "--reason", "it was right").code == 1

    def test_non_admins_cannot_break_glass(self, terminal: OperatorTerminal) -> None:
        terminal.rule(admins=ANOTHER)
        said = terminal.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert (said.code, production_version(terminal)) == (1, 2)
