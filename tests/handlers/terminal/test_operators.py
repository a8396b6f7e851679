"""The terminal beside the bot: on its ledger and registry, as whom the policy's `operators` name."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.bootstrap import build_for_terminal, open_ledger
from bot.domain.approvals import Choice, RequestState
from bot.domain.authority import deciders
from bot.domain.commands import Approve, Archive, Describe, FreezeModel, History, List, Rollback, SetTags, Show
from bot.domain.errors import Refused, RegistryUnreachable
from bot.domain.events import Event, Tag
from bot.domain.false_rollbacks import PER_MONTH
from bot.domain.grammar import Command
from bot.domain.monitor_commands import MonitorAdd, MonitorCheck, MonitorList, MonitorShow
from bot.domain.moves import Move, MoveKind, MoveState
from bot.domain.parsing import parse
from bot.domain.people import Automation, Operator, Person, Profile
from bot.domain.registry import Stage
from bot.ledger import SqlLedger
from bot.policy_file import PolicyFile, load_policy
from bot.ports import NO_SLACK, NoteKind
from bot.registry.memory import MemoryRegistry
from bot.services.context import Context, Rules
from bot.services.errands import Done, Errands
from bot.services.policies import Policies
from bot.settings import read_settings
from handlers.cli import main
from handlers.terminal.counter import operator
from handlers.terminal.documents import keys_of
from handlers.terminal.verbs import HistoryImport, PromoteHere
from handlers.terminal.waiting import follow
from localslack import LocalSlack
from localslack.seed import PersonSeed
from tests.support.app.cli_runner import Said
from tests.support.registry.registries import MlflowShelf
from tests.support.services.bench import HandClock

ME, ANOTHER = "U05ANN", "U02BOB"
BOTH = f"{ME}, {ANOTHER}"
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


JOB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_RUN_ID": "1"}


class Desk:
    """A folder with a policy, a ledger and a registry, in which commands are typed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.rule()

    def rule(self, *, leads: str = ME, admins: str = ME, may: str = "true", user: str = ME, more: str = "") -> None:
        """Let another policy hold; `more` are settings of Production."""
        text = POLICY.format(
            leads=leads, admins=admins, may=may, user=user, name=operator().name, more=f", {more}" if more else ""
        )
        (self.folder / "registrar.yml").write_text(text, encoding="utf-8")

    def types(self, *words: str) -> Said:
        code = main(words)
        printed = self._capsys.readouterr()
        return Said(code, printed.out, printed.err)

    def asks(self, *more: str) -> str:
        """Ask for v3 in Production and return the request's id."""
        return str(self.types("promote", "churn", "3", "production", "--json", *more).document["id"])

    def a_bot_was_here(self) -> None:
        """Let the ledger be one on which a bot has worked."""
        taken = Event(at=datetime.now(UTC), actor=Automation("policy"), tag=Tag.POLICY_TAKEN, subject="policy:1")
        with closing(open_ledger(read_settings())) as ledger, ledger.write() as tx:
            tx.append(taken)

    def a_bot_took_the_policy(self) -> None:
        """Let a bot start with the file as it is, and let it settle."""
        with closing(open_ledger(read_settings())) as ledger:
            file = PolicyFile(self.folder / "registrar.yml")
            context = Context(
                ledger=ledger,
                registry=MemoryRegistry(),
                rules=Rules(file.parse(file.text())),
                clock=HandClock(),
                owner="here:1:bot",
            )
            policies = Policies(context, file, NO_SLACK)
            policies.begin()
            context.clock.turn(seconds=30)  # type: ignore[attr-defined]  # it's the hand clock
            policies.take_up()

    def serves(self, *versions: int) -> None:
        """Let the history have these versions in Production, one after the other."""
        now = datetime.now(UTC)
        with closing(open_ledger(read_settings())) as ledger, ledger.write() as tx:
            for version in versions:
                tx.add_move(
                    Move(
                        id=f"found:{version}",
                        kind=MoveKind.OBSERVED,
                        model="churn",
                        version=version,
                        from_stage=Stage.NONE,
                        target=Stage.PRODUCTION,
                        expected_incumbent=None,
                        actor=Automation("registry-poll"),
                        intended_at=now,
                        finished_at=now,
                        state=MoveState.DONE,
                    )
                )

    def votes_in_slack(self, request: str, user: str, team: str = "T0LOCAL") -> None:
        """Let somebody approve by the card's button."""
        settings = read_settings()
        with closing(
            build_for_terminal(settings, load_policy(settings.policy), open_ledger(settings), warn=print)
        ) as registrar:
            person = Profile(person=Person(team, user))
            registrar.requests.vote(person, request, Choice.APPROVE, origin="slack")

    def waits_for_slack(self) -> list[str]:
        """Return what the bot is still to post."""
        with self.ledger() as ledger, ledger.read() as reading:
            return [json.dumps(note.data) for note in reading.due_notes(datetime.now(UTC))]

    def ledger(self) -> closing[SqlLedger]:
        return closing(SqlLedger(f"sqlite:///{self.folder / '.registrar' / 'ledger.db'}"))

    def events(self, tag: Tag) -> list[Event]:
        with self.ledger() as ledger, ledger.read() as reading:
            return [link.event for link in reading.links() if link.event.tag is tag]


@pytest.fixture
def desk(
    mlflow_sqlite: str,
    mlflow_shelf: MlflowShelf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    slack: LocalSlack,
) -> Desk:
    """`churn` with v1 archived, v2 in Production and v3; Slack can be asked who people are."""
    for user, name in ((ME, "ann"), (ANOTHER, "ben")):
        slack.add_person(PersonSeed(id=user, name=name))
    monkeypatch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
    monkeypatch.setenv("SLACK_API_URL", slack.api_url)
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


class TestRollingBack:
    @pytest.mark.parametrize("force", [(), ("--force",)], ids=["plain", "forced"])
    @pytest.mark.parametrize("version", ["1", "3"], ids=["archived", "just registered"])
    def test_a_version_that_never_served_needs_a_promotion(
        self, desk: Desk, version: str, force: tuple[str, ...]
    ) -> None:
        said = desk.types("rollback", "churn", version, *force, "--reason", "it is better")
        assert (said.code, "has never been in Production" in said.err) == (1, True)
        assert f'registrar promote churn {version} production --reason "…"' in said.err
        assert holder(desk) == 2


class TestImportingHistory:
    def test_an_admin_imports_a_file(self, desk: Desk) -> None:
        (desk.folder / "before.csv").write_text("model,version,since,until\nchurn,1,2026-01-10,2026-02-01\n")
        said = desk.types("history", "import", "before.csv", "--reason", "from the old registry", "--json")
        assert (said.code, list(said.document)) == (0, list(keys_of(HistoryImport)))
        assert (said.document["rows"], said.document["added"]) == (1, 1)
        [event] = desk.events(Tag.HISTORY_IMPORTED)
        assert (event.why, event.evidence["sha256"]) == ("from the old registry", said.document["sha256"])
        assert "imported by" in desk.types("history", "churn").out

    def test_only_admins_do(self, desk: Desk) -> None:
        desk.rule(admins=ANOTHER)
        (desk.folder / "before.csv").write_text("model,version,since,until\nchurn,1,2026-01-10,2026-02-01\n")
        said = desk.types("history", "import", "before.csv", "--reason", "from the old registry")
        assert (said.code, desk.events(Tag.HISTORY_IMPORTED)) == (1, [])

    def test_a_file_that_is_not_there_is_a_mistake(self, desk: Desk) -> None:
        said = desk.types("history", "import", "before.csv", "--reason", "from the old registry")
        assert (said.code, "Can't read" in said.err) == (2, True)

    def test_a_model_of_that_name_is_given_with_its_flag(self, desk: Desk) -> None:
        desk.a_bot_was_here()
        said = desk.types("history", "--model-name", "import")
        assert (said.code, "“import”" in said.err) == (2, True)


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


class TestChanging:
    def test_a_rollback_is_made_at_once(self, desk: Desk) -> None:
        desk.serves(2)
        desk.types("promote", "churn", "3", "production", "--approver", ME)
        said = desk.types("rollback", "churn", "2", "--reason", "bad figures", "--json")
        assert (said.code, said.document["state"], holder(desk)) == (0, "done", 2)
        assert "was rolled back as bad" in desk.types("show", "churn").out
        assert "registrar unblock churn 3 --reason" in desk.types("show", "churn", "3").out
        shown = desk.types("show", "churn", "--json").document["versions"]
        assert [one["version"] for one in shown if one["blocked"]] == [3]
        assert "bad figures" in desk.types("show", "churn", "3", "--json").document["blocked"]
        compared = desk.types("compare", "churn", "--json").document["versions"]
        assert [one["version"] for one in compared if one["blocked"]] == [3]
        assert desk.types("unblock", "churn", "3", "--reason", "it was the feature store").code == 0
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

    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            (Describe, ["describe", "churn", "3", "wider trees"]),
            (SetTags, ["tag", "churn", "3", "owner=ann"]),
            (Archive, ["archive", "churn", "3"]),
            (Rollback, ["rollback", "churn", "1", "--force", "--reason", "bad figures"]),
            (FreezeModel, ["freeze", "churn", "--until", "1h", "--reason", "audit"]),
        ],
        ids=lambda it: getattr(it, "__name__", ""),
    )
    def test_programs_read_every_key_that_is_promised(self, desk: Desk, verb: type[Command], words: list[str]) -> None:
        desk.serves(1, 2)
        said = desk.types(*words, "--json")
        assert (said.code, said.err, list(said.document)) == (0, "", list(keys_of(verb)))

    def test_monitors_are_told_to_programs_by_every_key(self, desk: Desk) -> None:
        added = desk.types(
            "monitor", "add", "churn", "accuracy", "--source", "push", "--greater-than", "0.85", "--json"
        )
        assert list(added.document) == list(keys_of(MonitorAdd))
        shown = desk.types("monitor", "show", "churn", "accuracy", "--json").document
        assert list(shown) == list(keys_of(MonitorShow))
        listed = desk.types("monitor", "list", "--json").document
        assert listed == {"monitors": [shown], "false_rollbacks": None}
        assert list(listed) == list(keys_of(MonitorList))
        checked = desk.types("monitor", "check", "churn", "accuracy", "--json").document
        assert list(checked) == list(keys_of(MonitorCheck))

    def test_the_list_says_what_to_expect_of_an_armed_monitor(self, desk: Desk) -> None:
        desk.types("monitor", "add", "churn", "accuracy", "--source", "push", "--action", "auto")
        assert "armed." not in desk.types("monitor", "list").out
        armed = desk.types("monitor", "arm", "churn", "accuracy", "--override", "--reason", "known")
        assert armed.code == 0, armed.err
        said = desk.types("monitor", "list", "--json").document["false_rollbacks"]
        assert list(said) == ["armed", "counted", "per_month", "thresholds", "hard_limits", "others", "sentence"]
        assert (said["armed"], said["counted"], said["per_month"]) == (1, 1, PER_MONTH["default"])
        assert " ".join(desk.types("monitor", "list").out.split()).endswith(said["sentence"])

    def test_a_monitor_that_is_checked_judges_what_mlflow_serves_now(self, desk: Desk) -> None:
        desk.types("monitor", "add", "churn", "accuracy", "--source", "push", "--greater-than", "0.85")
        said = desk.types("monitor", "check", "churn", "accuracy")
        assert said.out == "Checked “churn” accuracy: nothing measured yet of v2. There are no readings.\n"

    def test_what_to_type_next_can_be_typed_here(self, desk: Desk) -> None:
        freezes = desk.types("freeze", "churn", "--until", "1h", "--reason", "audit")
        assert freezes.out.endswith("To lift it: registrar unfreeze churn\n")
        missing = desk.types("approve")
        assert missing.err == "REQUEST is missing. Write it so: registrar approve REQUEST [--json]\n"
        unknown = desk.types("monitor", "show", "churn", "accuracy")
        assert unknown.err.endswith("registrar monitor add churn NAME\n")


class TestLooking:
    def test_a_search_that_finds_nothing_says_what_was_searched(self, desk: Desk) -> None:
        assert desk.types("list", "fraud").out == "No model has “fraud” in its name.\n"

    def test_models_versions_and_history_have_every_key_that_is_promised(self, desk: Desk) -> None:
        desk.types("promote", "churn", "3", "production", "--approver", ME)
        assert list(desk.types("list", "--json").document) == list(keys_of(List))
        assert list(desk.types("show", "churn", "--json").document) == list(keys_of(Show))
        assert list(desk.types("history", "churn", "--json").document) == list(keys_of(History))

    def test_who_served_then_is_a_sentence(self, desk: Desk) -> None:
        desk.types("promote", "churn", "3", "production", "--approver", ME)
        said = desk.types("history", "churn", "--at", "2020-01-01")
        assert (said.code, said.out.startswith("No record: Registrar has watched “churn” since")) == (0, True)

    def test_a_card_is_read_by_people(self, desk: Desk, mlflow_shelf: MlflowShelf) -> None:
        mlflow_shelf.add_version("churn", run_id=mlflow_shelf.add_run(metrics={"f1": 0.91}))
        lines = desk.types("show", "churn", "4").out.splitlines()
        shown = {line[:25].strip(): line[25:].strip() for line in lines}
        assert (shown["Metrics"], shown["Use case"]) == ("f1 0.91", "missing")
        assert shown["Training date"].endswith(" UTC")

    def test_a_long_name_leaves_ids_and_times_whole_in_eighty_columns(
        self, desk: Desk, mlflow_shelf: MlflowShelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        mlflow_shelf.add("fraud-detection-for-europe-and-elsewhere-v2")
        mlflow_shelf.add_version("fraud-detection-for-europe-and-elsewhere-v2")
        words = ("promote", "fraud-detection-for-europe-and-elsewhere-v2", "1", "production", "--json")
        asked = desk.types(*words).document
        text = desk.types("requests").out
        assert max(len(line) for line in text.splitlines()) <= 80
        row = next(line for line in text.splitlines() if line.startswith(asked["id"]))
        assert row.endswith(asked["expires_at"].replace("T", " ")[:16])

    def test_models_and_versions_need_no_ledger(self, desk: Desk) -> None:
        assert "churn" in desk.types("list").out
        assert "v2" in desk.types("show", "churn").out
        assert desk.types("show", "churn", "2", "--json").document["version"] == 2
        assert not (desk.folder / ".registrar").exists()

    def test_history_says_where_there_is_no_ledger(self, desk: Desk) -> None:
        said = desk.types("history", "churn")
        assert (said.code, "There is no ledger at" in said.err, "REGISTRAR_DATABASE_URL" in said.err) == (2, True, True)
        assert not (desk.folder / ".registrar").exists()


class TestWithSlack:
    def test_slack_says_who_one_is(self, desk: Desk) -> None:
        desk.rule(leads="U0BOB", user="U0BOB")
        assert desk.types("promote", "churn", "3", "production", "--approver", "U0BOB").code == 0
        [vote] = desk.events(Tag.VOTED)
        assert vote.evidence["by"]["name"]

    def test_a_member_of_a_group_may_what_the_group_may(self, desk: Desk) -> None:
        desk.rule(leads="S0LEADS", user="U0BOB")
        assert desk.types("promote", "churn", "3", "production", "--approver", "U0BOB").code == 0

    def test_nobody_else_may(self, desk: Desk) -> None:
        desk.rule(leads="S0LEADS", user="U0ALICE")
        said = desk.types("promote", "churn", "3", "production", "--approver", "U0ALICE")
        assert (said.code, holder(desk)) == (1, 2)

    @pytest.mark.parametrize("changes", [{"deleted": True}, {"is_restricted": True}], ids=["deactivated", "a guest"])
    def test_whom_slack_no_longer_takes_for_a_member_may_not(
        self, desk: Desk, slack: LocalSlack, changes: dict[str, bool]
    ) -> None:
        slack.change_person("bob", **changes)
        desk.rule(leads="U0BOB", user="U0BOB")
        said = desk.types("promote", "churn", "3", "production", "--approver", "U0BOB")
        assert (said.code, holder(desk), desk.events(Tag.OPENED)) == (1, 2, [])

    def test_where_slack_is_away_the_policy_s_ids_decide(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/api/")
        said = desk.types("promote", "churn", "3", "production", "--approver", ME)
        assert (said.code, "Slack does not answer" in said.err, holder(desk)) == (0, True, 2)

    def test_an_approver_whose_account_is_gone_since_does_not_count(self, desk: Desk, slack: LocalSlack) -> None:
        desk.rule(leads=f"{ME}, {ANOTHER}", more="required: 2")
        asked = desk.asks()
        desk.votes_in_slack(asked, ANOTHER)
        slack.change_person("ben", deleted=True)
        said = desk.types("approve", asked, "--json").document
        assert (said["state"], [vote["counts"] for vote in said["votes"]], holder(desk)) == (
            "pending",
            [False, True],
            2,
        )


class TestWithoutSlack:
    @pytest.fixture(autouse=True)
    def _alone(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SLACK_BOT_TOKEN")

    def test_the_vote_counts_and_the_bot_makes_the_move(self, desk: Desk) -> None:
        said = desk.types("approve", desk.asks(), "--json")
        assert (said.code, said.document["state"], holder(desk)) == (0, "approved", 2)

    def test_so_does_it_for_a_broken_glass(self, desk: Desk) -> None:
        said = desk.types("promote", "churn", "3", "production", "--break-glass", "--reason", "fraud", "--json")
        assert (said.code, said.document["state"], holder(desk)) == (0, "approved", 2)

    def test_a_rollback_is_made_at_once(self, desk: Desk) -> None:
        desk.serves(1, 2)
        assert desk.types("rollback", "churn", "1", "--force", "--reason", "bad figures").code == 0
        assert holder(desk) == 1
