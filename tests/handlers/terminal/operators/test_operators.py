"""The terminal on the bot's machine, on its ledger and registry, as the person in the policy's `operators`."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import (
    MonitorAdd,
    MonitorBacktest,
    MonitorCheck,
    MonitorList,
    MonitorReview,
    MonitorShow,
)
from bot.domain.commands.policy import FreezeModel
from bot.domain.commands.registry import Archive, Describe, ListModels, SetTags, ShowModel
from bot.domain.commands.rollbacks import Rollback, ShowHistory
from bot.domain.monitoring.rules.false_rollbacks import FALSE_ROLLBACKS_PER_MONTH
from handlers.terminal.command_line.json_keys import document_keys
from handlers.terminal.command_line.terminal_only_commands import ImportHistory
from tests.support.registry.registries import MlflowBackend
from tests.support.slack.worst_case_monitors import an_incident
from tests.support.terminal.operator_terminal import ANOTHER, ME, OperatorTerminal, production_version


class TestRollingBack:
    @pytest.mark.parametrize("force", [(), ("--force",)], ids=["plain", "forced"])
    @pytest.mark.parametrize("version", ["1", "3"], ids=["archived", "just registered"])
    def test_a_version_that_never_served_needs_a_promotion(
        self, terminal: OperatorTerminal, version: str, force: tuple[str, ...]
    ) -> None:
        said = terminal.types("rollback", "churn", version, *force, "--reason", "it is better")
        assert (said.code, "has never been in Production" in said.err) == (1, True)
        assert f'registrar promote churn {version} production --reason "…"' in said.err
        assert production_version(terminal) == 2


class TestImportingHistory:
    def test_an_admin_imports_a_file(self, terminal: OperatorTerminal) -> None:
        (terminal.folder / "before.csv").write_text("model,version,since,until\nchurn,1,2026-01-10,2026-02-01\n")
        said = terminal.types("history", "import", "before.csv", "--reason", "from the old registry", "--json")
        assert (said.code, list(said.document)) == (0, list(document_keys(ImportHistory)))
        assert (said.document["rows"], said.document["added"]) == (1, 1)
        [event] = terminal.events(EventTag.HISTORY_IMPORTED)
        assert (event.why, event.evidence["sha256"]) == ("from the old registry", said.document["sha256"])
        assert "imported by" in terminal.types("history", "churn").out

    def test_only_admins_can_import(self, terminal: OperatorTerminal) -> None:
        terminal.rule(admins=ANOTHER)
        (terminal.folder / "before.csv").write_text("model,version,since,until\nchurn,1,2026-01-10,2026-02-01\n")
        said = terminal.types("history", "import", "before.csv", "--reason", "from the old registry")
        assert (said.code, terminal.events(EventTag.HISTORY_IMPORTED)) == (1, [])

    def test_a_missing_file_is_an_error(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("history", "import", "before.csv", "--reason", "from the old registry")
        assert (said.code, "Can't read" in said.err) == (2, True)

    def test_a_model_named_like_a_subcommand_needs_its_flag(self, terminal: OperatorTerminal) -> None:
        terminal.a_bot_was_here()
        said = terminal.types("history", "--model-name", "import")
        assert (said.code, "“import”" in said.err) == (2, True)


class TestChanging:
    def test_a_rollback_runs_at_once(self, terminal: OperatorTerminal) -> None:
        terminal.serves(2)
        terminal.types("promote", "churn", "3", "production", "--approver", ME)
        said = terminal.types("rollback", "churn", "2", "--reason", "bad figures", "--json")
        assert (said.code, said.document["state"], production_version(terminal)) == (0, "done", 2)
        assert "was rolled back" in terminal.types("show", "churn").out
        assert "registrar unblock churn 3 --reason" in terminal.types("show", "churn", "3").out
        shown = terminal.types("show", "churn", "--json").document["versions"]
        assert [one["version"] for one in shown if one["blocked"]] == [3]
        assert "bad figures" in terminal.types("show", "churn", "3", "--json").document["blocked"]
        compared = terminal.types("compare", "churn", "--json").document["versions"]
        assert [one["version"] for one in compared if one["blocked"]] == [3]
        assert terminal.types("unblock", "churn", "3", "--reason", "it was the feature store").code == 0
        told = terminal.types("history", "churn")
        assert "rolled back from v3" in told.out
        served = terminal.types("history", "churn", "--json").document["served"]
        assert [(one["version"], one["cause"]) for one in served[:2]] == [(2, "rollback"), (3, "promotion")]

    def test_an_outcome_has_its_states_color(self, terminal: OperatorTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal.serves(2)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        assert terminal.types("cancel", terminal.asks()).out.startswith("\x1b[38;5;243m")
        assert terminal.types("archive", "churn", "3").out.startswith("\x1b[38;5;29m")

    def test_a_version_is_described_tagged_and_archived(self, terminal: OperatorTerminal) -> None:
        assert terminal.types("describe", "churn", "3", "wider trees").code == 0
        assert terminal.types("tag", "churn", "3", "owner=ann").code == 0
        assert terminal.types("archive", "churn", "3", "--reason", "old").code == 0
        shown = terminal.types("show", "churn", "--json").document["versions"]
        assert [(one["version"], one["stage"]) for one in shown] == [
            (3, "Archived"),
            (2, "Production"),
            (1, "Archived"),
        ]
        assert "ann" in terminal.types("show", "churn", "3").out

    def test_production_is_frozen_and_unfrozen(self, terminal: OperatorTerminal) -> None:
        assert terminal.types("freeze", "churn", "--until", "1h", "--reason", "end of the quarter").code == 0
        refused = terminal.types("promote", "churn", "3", "production", "--approver", ME)
        assert (refused.code, "froze Production" in refused.err) == (1, True)
        assert terminal.types("unfreeze", "churn").code == 0

    def test_a_monitor_is_added_shown_paused_and_removed(self, terminal: OperatorTerminal) -> None:
        words = ("churn", "accuracy")
        added = terminal.types(
            "monitor", "add", *words, "--source", "push", "--query", "accuracy", "--greater-than", "0.85"
        )
        assert added.code == 0, added.err
        assert "accuracy" in terminal.types("monitor", "list").out
        assert terminal.types("monitor", "show", *words, "--json").document["rule"]["greater_than"] == 0.85
        assert terminal.types("monitor", "show", *words).code == 0
        assert terminal.types("monitor", "pause", *words).code == 0
        assert terminal.types("monitor", "show", *words, "--json").document["is_paused"] is True
        assert terminal.types("monitor", "resume", *words).code == 0
        assert terminal.types("monitor", "check", *words).code == 0
        assert terminal.types("monitor", "backtest", *words).code == 0
        assert terminal.types("monitor", "remove", *words).code == 0

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
    def test_change_documents_have_every_documented_key(
        self, terminal: OperatorTerminal, verb: type[Command], words: list[str]
    ) -> None:
        terminal.serves(1, 2)
        said = terminal.types(*words, "--json")
        assert (said.code, said.err, list(said.document)) == (0, "", list(document_keys(verb)))

    def test_monitor_documents_have_every_documented_key(self, terminal: OperatorTerminal) -> None:
        added = terminal.types(
            "monitor", "add", "churn", "accuracy", "--source", "push", "--greater-than", "0.85", "--json"
        )
        assert list(added.document) == list(document_keys(MonitorAdd))
        shown = terminal.types("monitor", "show", "churn", "accuracy", "--json").document
        assert list(shown) == list(document_keys(MonitorShow))
        listed = terminal.types("monitor", "list", "--json").document
        assert listed == {"monitors": [shown], "false_rollbacks": None}
        assert list(listed) == list(document_keys(MonitorList))
        checked = terminal.types("monitor", "check", "churn", "accuracy", "--json").document
        assert list(checked) == list(document_keys(MonitorCheck))
        replayed = terminal.types("monitor", "backtest", "churn", "accuracy", "--json").document
        assert list(replayed) == list(document_keys(MonitorBacktest))

    def test_an_incident_s_review_is_markdown(self, terminal: OperatorTerminal) -> None:
        terminal.a_bot_was_here()
        with terminal.ledger() as ledger, ledger.write() as tx:
            tx.add_incident(an_incident("plain"))
        said = terminal.types("monitor", "review", "i4k7q")
        assert (said.code, said.out.startswith("# Incident review: ")) == (0, True)
        document = terminal.types("monitor", "review", "i4k7q", "--json").document
        assert document == {"incident": "i4k7q", "markdown": said.out}
        assert list(document) == list(document_keys(MonitorReview))
        unknown = terminal.types("monitor", "review", "nosuch")
        assert "There's no incident nosuch. Copy the ID from its alert." in unknown.err

    def test_the_list_estimates_an_armed_monitors_false_rollbacks(self, terminal: OperatorTerminal) -> None:
        terminal.types("monitor", "add", "churn", "accuracy", "--source", "push", "--action", "auto")
        assert "armed." not in terminal.types("monitor", "list").out
        armed = terminal.types("monitor", "arm", "churn", "accuracy", "--override", "--reason", "known")
        assert armed.code == 0, armed.err
        said = terminal.types("monitor", "list", "--json").document["false_rollbacks"]
        assert list(said) == ["armed", "counted", "per_month", "thresholds", "hard_limits", "others", "sentence"]
        assert (said["armed"], said["counted"], said["per_month"]) == (1, 1, FALSE_ROLLBACKS_PER_MONTH["default"])
        assert " ".join(terminal.types("monitor", "list").out.split()).endswith(said["sentence"])

    def test_a_check_uses_the_version_that_mlflow_has_in_production(self, terminal: OperatorTerminal) -> None:
        terminal.types("monitor", "add", "churn", "accuracy", "--source", "push", "--greater-than", "0.85")
        said = terminal.types("monitor", "check", "churn", "accuracy")
        assert said.out == "Checked “churn” accuracy: v2 not measured yet. No readings.\n"

    def test_suggested_commands_work_in_the_terminal(self, terminal: OperatorTerminal) -> None:
        freezes = terminal.types("freeze", "churn", "--until", "1h", "--reason", "audit")
        assert freezes.out.endswith("To unfreeze: registrar unfreeze churn\n")
        missing = terminal.types("approve")
        assert missing.err == "Missing REQUEST. Usage: registrar approve REQUEST [--json]\n"
        unknown = terminal.types("monitor", "show", "churn", "accuracy")
        assert unknown.err.endswith("registrar monitor add churn NAME.\n")


class TestLooking:
    def test_an_empty_search_names_the_search_text(self, terminal: OperatorTerminal) -> None:
        assert terminal.types("list", "fraud").out == "No model has “fraud” in its name.\n"

    def test_query_documents_have_every_documented_key(self, terminal: OperatorTerminal) -> None:
        terminal.types("promote", "churn", "3", "production", "--approver", ME)
        assert list(terminal.types("list", "--json").document) == list(document_keys(ListModels))
        assert list(terminal.types("show", "churn", "--json").document) == list(document_keys(ShowModel))
        assert list(terminal.types("history", "churn", "--json").document) == list(document_keys(ShowHistory))

    def test_history_at_a_time_is_a_sentence(self, terminal: OperatorTerminal) -> None:
        terminal.types("promote", "churn", "3", "production", "--approver", ME)
        said = terminal.types("history", "churn", "--at", "2020-01-01")
        assert (said.code, said.out.startswith("No record: Registrar has been watching “churn” only")) == (0, True)

    def test_a_version_card_is_readable(self, terminal: OperatorTerminal, mlflow_backend: MlflowBackend) -> None:
        mlflow_backend.add_version("churn", run_id=mlflow_backend.add_run(metrics={"f1": 0.91}))
        lines = terminal.types("show", "churn", "4").out.splitlines()
        shown = {line[:25].strip(): line[25:].strip() for line in lines}
        assert (shown["Metrics"], shown["Use case"]) == ("f1 0.91", "missing")
        assert shown["Training date"].endswith(" UTC")

    def test_long_names_do_not_cut_ids_and_times_at_80_columns(
        self, terminal: OperatorTerminal, mlflow_backend: MlflowBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        mlflow_backend.add_model("fraud-detection-for-europe-and-elsewhere-v2")
        mlflow_backend.add_version("fraud-detection-for-europe-and-elsewhere-v2")
        words = ("promote", "fraud-detection-for-europe-and-elsewhere-v2", "1", "production", "--json")
        asked = terminal.types(*words).document
        text = terminal.types("requests").out
        assert max(len(line) for line in text.splitlines()) <= 80
        row = next(line for line in text.splitlines() if line.startswith(asked["id"]))
        assert row.endswith(asked["expires_at"].replace("T", " ")[:16])

    def test_list_and_show_need_no_ledger(self, terminal: OperatorTerminal) -> None:
        assert "churn" in terminal.types("list").out
        assert "v2" in terminal.types("show", "churn").out
        assert terminal.types("show", "churn", "2", "--json").document["version"] == 2
        assert not (terminal.folder / ".registrar").exists()

    def test_history_without_a_ledger_names_its_location(self, terminal: OperatorTerminal) -> None:
        said = terminal.types("history", "churn")
        assert (said.code, "No ledger at" in said.err, "REGISTRAR_DATABASE_URL" in said.err) == (2, True, True)
        assert not (terminal.folder / ".registrar").exists()
