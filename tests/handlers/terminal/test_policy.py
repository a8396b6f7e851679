"""`registrar policy`: a file's errors and notices, and a model's rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from handlers.terminal.command_line.terminal_only_commands import PolicyCheck, PolicyShow
from handlers.terminal.main import main
from tests.support.terminal.cli_runner import CommandOutput

Registrar = Callable[..., CommandOutput]
GOOD = 'roles: {lead: [U0BOB, U0CAROL]}\nmodels: {"*": {production: {approvers: [lead]}}}\n'


@pytest.fixture
def registrar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Registrar:
    """Return the terminal's command in a folder with this `registrar.yml`."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *words: str) -> CommandOutput:
        Path("registrar.yml").write_text(text)
        code = main(["policy", *words])
        printed = capsys.readouterr()
        return CommandOutput(code, printed.out, printed.err)

    return run


# -- check -------------------------------------------------------------------------------------------------------------


def test_a_valid_policy_is_reported_as_valid(registrar: Registrar) -> None:
    said = registrar(GOOD, "check")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("registrar.yml is valid (revision ")
    assert len(said.out.splitlines()) == 1


def test_a_valid_policy_is_green(registrar: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert registrar(GOOD, "check").out.startswith("\x1b[38;5;29m")


def test_all_errors_are_reported_at_once(registrar: Registrar) -> None:
    text = """
roles: {lead: [bob]}
modles: {}
models: {"*": {production: {approvers: [laed], requird: 2}}}
"""
    said = registrar(text, "check")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "registrar.yml can't be used. It has 4 errors:",
        "  models.*.production.requird: unknown key; did you mean required?",
        "  modles: unknown key; did you mean models?",
        "  models.*.production.approvers: 'laed' is neither a role nor a Slack ID; did you mean lead?",
        "  roles.lead: 'bob' isn't a Slack ID (U…, W…, or S…).",
    ]


def test_a_misspelled_key_does_not_also_report_a_missing_key(registrar: Registrar) -> None:
    text = 'models: {"*": {production: {gates: [{metric: f1, at_lest: 0.9}]}}}'
    faults = registrar(text, "check", "--json").document["faults"]
    assert faults == ["models.*.production.gates.0.at_lest: unknown key; did you mean at_least?"]


@pytest.mark.parametrize("text", ["", "models: [", "- 1", "a: 1\na: 2"])
def test_a_file_that_is_not_a_policy_is_reported(registrar: Registrar, text: str) -> None:
    said = registrar(text, "check")
    assert (said.code, said.out) == (2, "")
    assert "registrar.yml can't be used" in said.err


def test_a_missing_file_is_reported(registrar: Registrar) -> None:
    said = registrar(GOOD, "check", "elsewhere.yml")
    assert said.code == 2
    assert "registrar init" in said.err


@pytest.mark.parametrize(
    ("models", "notice"),
    [
        (
            '{"*": {production: {approvers: [lead]}}}',
            "because they can't approve their own: models.*.production (needs 1 approval, has 1)",
        ),
        ('{"*": {}, "**": {}}', "models.* (** takes precedence)"),
        ('{"churn*": {}, "churn**": {}}', "models.churn* (churn** takes precedence)"),
        ('{"a?": {}, "a*": {}, "b?": {}, "?b": {}, "a*?*": {}}', "models.a? (a*?* takes precedence)"),
    ],
)
def test_notices_are_shown_and_are_not_errors(registrar: Registrar, models: str, notice: str) -> None:
    said = registrar(f"roles: {{lead: [U0BOB]}}\nmodels: {models}", "check")
    assert (said.code, said.err) == (0, "")
    assert notice in said.out


def test_a_rule_that_no_one_can_meet_is_an_error(registrar: Registrar) -> None:
    text = GOOD.replace("[lead]}", "[lead], required: 3}")
    said, document = registrar(text, "check"), registrar(text, "check", "--json").document
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "registrar.yml can be read, but it has 1 error:",
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
def test_a_pattern_that_applies_somewhere_causes_no_notice(registrar: Registrar, models: str) -> None:
    assert registrar(f"models: {models}", "check", "--json").document["notices"] == []


def test_check_json_has_the_documented_keys(registrar: Registrar) -> None:
    good, bad = registrar(GOOD, "check", "--json"), registrar("modles: {}", "check", "--json")
    assert (good.code, good.document["valid"], good.document["faults"]) == (0, True, [])
    assert (bad.code, bad.document["valid"], bad.document["policy"]) == (2, False, None)
    assert list(good.document) == list(bad.document) == list(DOCUMENT_KEYS[PolicyCheck])


# -- show --------------------------------------------------------------------------------------------------------------


def test_a_models_rules_are_shown_as_sentences(registrar: Registrar) -> None:
    said = registrar(GOOD, "show", "churn")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Policy for “churn” (rule *, revision ")
    assert "Production: 1 of lead (@U0BOB, @U0CAROL) must approve" in said.out
    assert registrar(GOOD, "churn").out == said.out


def test_policy_show_json_has_the_documented_keys(registrar: Registrar) -> None:
    document = registrar(GOOD, "show", "churn", "registrar.yml", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[PolicyShow])
    assert (document["pattern"], document["channel"]) == ("*", "#ml-models")


def test_a_model_without_a_pattern_is_reported(registrar: Registrar) -> None:
    said = registrar('models: {"fraud*": {}}', "show", "churn")
    assert said.code == 0
    assert "No policy rule matches “churn”" in said.out


def test_an_invalid_policy_shows_no_rules(registrar: Registrar) -> None:
    said = registrar("modles: {}", "show", "churn")
    assert (said.code, said.out) == (2, "")
    assert "did you mean models?" in said.err
