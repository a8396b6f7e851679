"""Requests at the terminal beside the bot: asking, approving, and breaking the glass."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from bot.bootstrap import build_for_terminal, open_ledger
from bot.domain.approvals import RequestState
from bot.domain.authority import deciders
from bot.domain.commands import Approve
from bot.domain.errors import Refused, RegistryUnreachable
from bot.domain.events import Tag
from bot.domain.parsing import parse
from bot.domain.people import Operator, Person, Profile
from bot.domain.registry import Stage
from bot.policy_file import load_policy
from bot.ports import NoteKind
from bot.services.errands import Done, Errands
from bot.settings import read_settings
from handlers.terminal.counter import operator
from handlers.terminal.documents import keys_of
from handlers.terminal.verbs import PromoteHere
from handlers.terminal.waiting import follow
from tests.support.terminal.operator_desk import ANOTHER, ME, Desk, holder

BOTH = f"{ME}, {ANOTHER}"


JOB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_RUN_ID": "1"}


class TestAsking:
    def test_it_asks_and_the_card_waits_for_the_bot(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production", "--reason", "better f1", "--json")
        assert (said.code, said.document["state"], said.document["requester"]) == (
            0,
            "pending",
            f"operator:{operator().name}",
        )
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

    def test_whoever_asked_is_not_among_those_who_are_to_decide(self, desk: Desk) -> None:
        desk.rule(leads=f"{ME}, {ANOTHER}", may="false")
        policy = load_policy(desk.folder / "registrar.yml")
        assert deciders("churn", Stage.PRODUCTION, operator(), policy) == [ANOTHER]

    def test_a_span_without_a_wait_is_a_mistake(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production", "--timeout", "4h")
        assert (said.code, "--wait" in said.err) == (2, True)

    def test_the_document_has_every_key_that_is_promised(self, desk: Desk) -> None:
        asked = desk.types("promote", "churn", "3", "production", "--json").document
        [listed] = desk.types("requests", "--json").document["requests"]
        assert list(asked) == list(listed) == list(keys_of(PromoteHere))

    def test_the_same_key_opens_one(self, desk: Desk) -> None:
        ids = {
            desk.types("promote", "churn", "3", "production", "--idempotency-key", "k1", "--json").document["id"]
            for _ in range(2)
        }
        assert len(ids) == 1

    def test_so_does_the_same_run_of_a_job(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        desk.a_bot_was_here()
        for name, value in JOB.items():
            monkeypatch.setenv(name, value)
        assert desk.asks() == desk.asks()

    def test_a_job_whose_card_no_bot_would_post_is_told(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in JOB.items():
            monkeypatch.setenv(name, value)
        said = desk.types("promote", "churn", "3", "production", "--wait")
        assert (said.code, "REGISTRAR_URL" in said.err, desk.events(Tag.ASKED)) == (2, True, [])

    def test_at_a_desk_it_is_said_that_no_bot_was_here_yet(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production")
        assert (said.code, "No bot has worked" in said.err) == (0, True)

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
        desk.rule(leads=BOTH, may="false")
        said = desk.types("promote", "churn", "3", "production", "--approver", ME)
        assert (said.code, "somebody else has to decide" in said.err, holder(desk)) == (1, True, 2)
        with desk.ledger() as ledger, ledger.read() as reading:
            [request] = reading.requests()
        assert request.state is RequestState.PENDING
        assert said.err.endswith(f"Request {request.id} is open all the same.\n")

    def test_the_last_one_hears_how_the_move_ended(self, desk: Desk) -> None:
        said = desk.types("approve", desk.asks())
        assert (said.code, said.out, holder(desk)) == (
            0,
            "Done: “churn” v2 → v3 in Production, read back from MLflow.\n",
            3,
        )

    def test_a_program_reads_how_the_request_stands(self, desk: Desk) -> None:
        desk.rule(leads=BOTH, more="required: 2")
        document = desk.types("approve", desk.asks(), "--json").document
        assert (list(document), document["state"]) == (list(keys_of(Approve)), "pending")
        assert document["sentence"].endswith("is recorded: 1 of 2.")

    def test_a_person_who_voted_in_slack_does_not_count_again_here(self, desk: Desk) -> None:
        desk.rule(leads=BOTH, more="required: 2")
        asked = desk.asks()
        desk.votes_in_slack(asked, ME)
        said = desk.types("approve", asked)
        assert (said.code, said.err, holder(desk)) == (1, f"You have voted on request {asked} already.\n", 2)

    def test_a_vote_from_slack_and_one_from_here_are_two(self, desk: Desk) -> None:
        desk.rule(leads=BOTH, more="required: 2")
        asked = desk.asks()
        desk.votes_in_slack(asked, ANOTHER)
        assert (desk.types("approve", asked).code, holder(desk)) == (0, 3)

    def test_one_s_own_request_from_here_is_one_s_own_in_slack(self, desk: Desk) -> None:
        desk.rule(leads=BOTH, may="false")
        with pytest.raises(Refused, match="somebody else has to decide"):
            desk.votes_in_slack(desk.asks(), ME)

    def test_with_the_same_key_again_the_vote_stands(self, desk: Desk) -> None:
        desk.rule(leads=BOTH, more="required: 2")
        words = ("promote", "churn", "3", "production", "--approver", ME, "--idempotency-key", "k1", "--json")
        assert [(said.code, len(said.document["votes"])) for said in (desk.types(*words), desk.types(*words))] == [
            (0, 1),
            (0, 1),
        ]

    def test_a_vote_comes_as_soon_as_mlflow_lets_a_waiting_request_be_opened(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        carry_out, tries = Errands.carry_out, iter([RegistryUnreachable("MLflow does not answer.")])

        def at_first_in_vain(errands: Errands, ask_id: str, *, tell: bool = False) -> Done:
            if (error := next(tries, None)) is not None:
                raise error
            return carry_out(errands, ask_id, tell=tell)

        def the_bot_goes_on(seconds: float) -> None:
            settings = read_settings()
            policy = load_policy(settings.policy)
            with desk.ledger() as ledger, ledger.read() as reading:
                [asked] = reading.waiting_asks(datetime.now(UTC) + timedelta(hours=1))
            with closing(build_for_terminal(settings, policy, open_ledger(settings), warn=print)) as registrar:
                registrar.errands.carry_out(asked)

        monkeypatch.setattr(Errands, "carry_out", at_first_in_vain)
        monkeypatch.setattr(follow, "__kwdefaults__", {"monotonic": time.monotonic, "sleep": the_bot_goes_on})
        said = desk.types("promote", "churn", "3", "production", "--approver", ME, "--wait")
        assert (said.code, holder(desk)) == (0, 3)

    def test_a_gate_that_failed_is_let_pass_with_a_reason(self, desk: Desk) -> None:
        desk.rule(more="override: [admin], gates: [{metric: f1, at_least: 0.9}]")
        asked = desk.asks()
        waits = desk.types("approve", asked)
        assert (waits.code, f"registrar override {asked}" in waits.out, holder(desk)) == (0, True, 2)
        assert desk.types("override", asked).code == 2  # a reason is missing
        assert (desk.types("override", asked, "--reason", "a hotfix").code, holder(desk)) == (0, 3)

    def test_who_asked_can_call_it_off(self, desk: Desk) -> None:
        asked = desk.asks()
        said = desk.types("cancel", asked, "--json")
        assert (said.code, said.document["state"], said.document["decided_by"]) == (
            0,
            "cancelled",
            f"operator:{operator().name}",
        )

    def test_a_second_vote_does_not_count(self, desk: Desk) -> None:
        desk.rule(leads=f"{ME}, {ANOTHER}", more="required: 2")
        asked = desk.asks()
        assert desk.types("approve", asked).code == 0
        again = desk.types("approve", asked)
        assert (again.code, "voted on request" in again.err) == (1, True)
        assert desk.types("withdraw", asked).code == 0
        assert desk.types("reject", asked).code == 2  # a reason is missing
        assert desk.types("reject", asked, "--reason", "too slow").code == 0
        assert desk.types("cancel", asked).code == 1


class TestUnderAnEditedPolicy:
    """An edit counts at the terminal when the bot has put it in force, not when it's on disk."""

    @pytest.fixture
    def desk(self, desk: Desk) -> Desk:
        """The bot has put a policy in force under which somebody else decides."""
        desk.rule(leads=ANOTHER, admins=ANOTHER)
        desk.a_bot_took_the_policy()
        return desk

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
    def test_nobody_decides_by_an_edit_that_loosens_it(self, desk: Desk, words: tuple[str, ...]) -> None:
        desk.rule(more="override: [admin], gates: [{metric: f1, at_least: 0.9}]" if "override" in words else "")
        request = desk.asks()
        said = desk.types(*(word.format(request=request) for word in words))
        assert (said.code, holder(desk)) == (1, 2), said

    def test_a_broken_file_stops_nobody(self, desk: Desk) -> None:
        (desk.folder / "registrar.yml").write_text("modles: {}")
        assert desk.types("promote", "churn", "3", "production").code == 0

    def test_what_the_bot_puts_in_force_counts_here_too(self, desk: Desk) -> None:
        desk.rule()
        desk.a_bot_took_the_policy()
        request = desk.asks()
        assert (desk.types("approve", request).code, holder(desk)) == (0, 3)


class TestBreakingTheGlass:
    def test_an_admin_does(self, desk: Desk) -> None:
        desk.rule(leads=ANOTHER, may="false")
        said = desk.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert (said.code, holder(desk)) == (0, 3)
        assert [event.why for event in desk.events(Tag.BROKE_GLASS)] == ["fraud"]

    def test_the_channel_is_alarmed(self, desk: Desk) -> None:
        desk.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert any("fraud" in note and "broke the glass" in note for note in desk.waits_for_slack())

    def test_another_person_reviews_it(self, desk: Desk) -> None:
        desk.rule(leads=ME, admins=ANOTHER)
        settings = read_settings()
        with closing(
            build_for_terminal(settings, load_policy(settings.policy), open_ledger(settings), warn=print)
        ) as registrar:
            command = parse("promote churn 3 production --break-glass --reason fraud")
            assert command is not None
            admin = Profile(person=Person("T0LOCAL", ANOTHER))
            asked = registrar.errands.ask(admin, command, where="C1", origin="slack").id
            registrar.errands.carry_out(asked)
            registrar.moves.run("churn")
        said = desk.types("review", asked, "--reason", "it was right", "--json")
        assert (said.code, said.document["review"]["by"], said.document["review"]["reason"]) == (
            0,
            f"operator:{operator().name}",
            "it was right",
        )
        assert desk.types("review", asked, "--reason", "it was wrong").code == 1

    def test_nobody_reviews_their_own_under_another_name(self, desk: Desk) -> None:
        desk.rule(leads=ME, admins=ANOTHER, user=ANOTHER)
        words = ("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud", "--json")
        request = str(desk.types(*words).document["id"])
        own = desk.types("review", request, "--reason", "it was right")
        assert (own.code, "someone else has to review it" in own.err) == (1, True)
        assert desk.types("review", request).code == 2  # a reason is missing
        desk.rule(leads=ME, admins=ANOTHER, user=ME)  # `operators` says that the same person is someone else
        assert desk.types("review", request, "--reason", "it was right").code == 1

    def test_nobody_else_does(self, desk: Desk) -> None:
        desk.rule(admins=ANOTHER)
        said = desk.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud")
        assert (said.code, holder(desk)) == (1, 2)
