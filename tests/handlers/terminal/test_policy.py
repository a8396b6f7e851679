"""`registrar policy`: what is wrong in a file, what is worth knowing, and what it says of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.terminal.command_line.document_keys import DOCUMENT_KEYS
from handlers.terminal.command_line.terminal_only_commands import PolicyCheck, PolicyShow
from handlers.terminal.main import main
from tests.support.terminal.cli_runner import CommandOutput

Registrar = Callable[..., CommandOutput]
GOOD = 'roles: {lead: [U0BOB, U0CAROL]}\nmodels: {"*": {production: {approvers: [lead]}}}\n'


@pytest.fixture
def registrar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Registrar:
    """Return the terminal's command in a folder with `registrar.yml` as it is handed over."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *words: str) -> CommandOutput:
        Path("registrar.yml").write_text(text)
        code = main(["policy", *words])
        printed = capsys.readouterr()
        return CommandOutput(code, printed.out, printed.err)

    return run


# -- check -------------------------------------------------------------------------------------------------------------


def test_a_good_policy_is_said_to_be_one(registrar: Registrar) -> None:
    said = registrar(GOOD, "check")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("registrar.yml can be used (policy ")
    assert len(said.out.splitlines()) == 1


def test_everything_that_is_wrong_is_told_at_once(registrar: Registrar) -> None:
    text = """
roles: {lead: [bob]}
modles: {}
models: {"*": {production: {approvers: [laed], requird: 2}}}
"""
    said = registrar(text, "check")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "registrar.yml cannot be used; 4 things to mend:",
        "  models.*.production.requird: unknown key; did you mean required?",
        "  modles: unknown key; did you mean models?",
        "  models.*.production.approvers: 'laed' is neither a role nor a Slack id; did you mean lead?",
        "  roles.lead: 'bob' is no Slack id (U…, W… or S…).",
    ]


def test_what_a_misspelt_key_leaves_out_is_not_told_beside_it(registrar: Registrar) -> None:
    text = 'models: {"*": {production: {gates: [{metric: f1, at_lest: 0.9}]}}}'
    faults = registrar(text, "check", "--json").document["faults"]
    assert faults == ["models.*.production.gates.0.at_lest: unknown key; did you mean at_least?"]


@pytest.mark.parametrize("text", ["", "models: [", "- 1", "a: 1\na: 2"])
def test_what_is_no_policy_at_all_is_told(registrar: Registrar, text: str) -> None:
    said = registrar(text, "check")
    assert (said.code, said.out) == (2, "")
    assert "registrar.yml cannot be used" in said.err


def test_a_file_that_is_not_there_is_told(registrar: Registrar) -> None:
    said = registrar(GOOD, "check", "elsewhere.yml")
    assert said.code == 2
    assert "registrar init" in said.err


@pytest.mark.parametrize(
    ("models", "notice"),
    [
        (
            '{"*": {production: {approvers: [lead]}}}',
            "request here: models.*.production (needs 1 approval, has 1)",
        ),
        ('{"*": {}, "**": {}}', "models.* (** wins)"),
        ('{"churn*": {}, "churn**": {}}', "models.churn* (churn** wins)"),
        ('{"a?": {}, "a*": {}, "b?": {}, "?b": {}, "a*?*": {}}', "models.a? (a*?* wins)"),
    ],
)
def test_what_is_worth_knowing_is_told_and_is_no_fault(registrar: Registrar, models: str, notice: str) -> None:
    said = registrar(f"roles: {{lead: [U0BOB]}}\nmodels: {models}", "check")
    assert (said.code, said.err) == (0, "")
    assert notice in said.out


def test_a_rule_that_nobody_can_meet_is_an_error_although_the_file_can_be_read(registrar: Registrar) -> None:
    text = GOOD.replace("[lead]}", "[lead], required: 3}")
    said, document = registrar(text, "check"), registrar(text, "check", "--json").document
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "registrar.yml can be read, but has 1 error:",
        "  This rule can't be met: models.*.production (needs 3 approvals, has 2).",
    ]
    assert (document["valid"], len(document["faults"]), len(document["policy"])) == (False, 1, 12)


@pytest.mark.parametrize(
    "models",
    [
        '{"*": {}, "churn*": {}, churn: {}}',
        '{"c*n": {}, "c?": {}, "*x*": {}}',
        '{"[a]*": {}, "a*": {}}',
        '{churn: {}, "chur?": {}, "churn*": {}}',
    ],
)
def test_a_pattern_that_wins_somewhere_is_not_told(registrar: Registrar, models: str) -> None:
    assert registrar(f"models: {models}", "check", "--json").document["notices"] == []


def test_a_check_as_json_has_the_keys_that_are_promised(registrar: Registrar) -> None:
    good, bad = registrar(GOOD, "check", "--json"), registrar("modles: {}", "check", "--json")
    assert (good.code, good.document["valid"], good.document["faults"]) == (0, True, [])
    assert (bad.code, bad.document["valid"], bad.document["policy"]) == (2, False, None)
    assert list(good.document) == list(bad.document) == list(DOCUMENT_KEYS[PolicyCheck])


# -- show --------------------------------------------------------------------------------------------------------------


def test_what_holds_for_a_model_is_told_in_words(registrar: Registrar) -> None:
    said = registrar(GOOD, "show", "churn")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("For “churn” the pattern * holds (policy ")
    assert "Production: one of lead (@U0BOB, @U0CAROL) has to approve" in said.out
    assert registrar(GOOD, "churn").out == said.out


def test_what_holds_as_json_has_the_keys_that_are_promised(registrar: Registrar) -> None:
    document = registrar(GOOD, "show", "churn", "registrar.yml", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[PolicyShow])
    assert (document["pattern"], document["channel"]) == ("*", "#ml-models")


def test_a_model_that_no_pattern_matches_is_told(registrar: Registrar) -> None:
    said = registrar('models: {"fraud*": {}}', "show", "churn")
    assert said.code == 0
    assert "The policy says nothing of “churn”" in said.out


def test_a_broken_policy_shows_nothing(registrar: Registrar) -> None:
    said = registrar("modles: {}", "show", "churn")
    assert (said.code, said.out) == (2, "")
    assert "did you mean models?" in said.err
