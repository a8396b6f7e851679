"""A message on the docs' pages has the values that its code states, and else those of message_values.toml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from scripts import message_values
from scripts.message_examples import UNKNOWN, example
from scripts.message_source import Scope, module, returned

Read = Callable[[str], str]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return what reads the text that the function `message` returns, in a module with this code."""
    file = str(tmp_path / "messages.py")
    values = {"model": "churn", "n": "3", "why": "It's slow.", f"{tmp_path}/": {"reason": "too slow"}}
    values |= {file: {"who": "@carol"}, f"{file}:message": {"until": {"frozen": "Friday", "": "18:00"}}}
    monkeypatch.setattr(message_values, "VALUES", values)

    def read(code: str) -> str:
        Path(file).write_text(dedent(code), encoding="utf-8")
        function = module(file).functions["message"]
        scope = Scope(file, "message", function)
        return example(returned(scope)[-1], scope)

    return read


def test_a_value_that_the_call_states_is_shown(read: Read) -> None:
    code = """
        def message(count):
            v = Code(f"v{4}")
            return say("{v} has {gates}, {ways}.", v=v, gates=pluralize(count, "entry", "entries"),
                       ways=join_with_conjunction(["a", "b", "c"], "or"))
    """
    assert read(code) == "`v4` has 3 entries, a, b, or c."


def test_a_function_that_returns_text_is_followed_to_its_last_return(read: Read) -> None:
    code = """
        def message(request):
            return say("Failed: {step}", step=describe(request.model))

        def describe(model) -> Sentence:
            if model is None:
                return say("nothing")
            return say("{model} in {stage}", model=Name(model), stage=STAGE)

        STAGE = "Production"
    """
    assert read(code) == "Failed: `churn` in Production"


def test_a_value_has_the_example_for_its_place_before_the_one_for_its_name(read: Read) -> None:
    code = """
        def message(who, reason, other):
            return say("{who}: {why} {because} {other}", who=Mention(who), why=other.why, because=reason, other=other)
    """
    assert read(code) == f"@carol: It's slow. too slow {UNKNOWN}"


@pytest.mark.parametrize(("template", "shown"), [("Now frozen until {until}.", "Friday"), ("Until {until}.", "18:00")])
def test_an_example_can_depend_on_the_message(read: Read, template: str, shown: str) -> None:
    code = f"""
        def message(until):
            return say("{template}", until=until)
    """
    assert read(code) == template.replace("{until}", shown)


def test_what_is_only_sometimes_added_is_left_out(read: Read) -> None:
    code = """
        def message(n, note):
            more = say(" ({note})", note=note) if note else ""
            return say("{n} models.{more}{why}", n=n, more=more, why=f" Now {n}.")
    """
    assert read(code) == "3 models. Now 3."


def test_a_logged_message_is_read_with_its_values(read: Read) -> None:
    assert read('def message(model, n):\n    return "%s has %d" % (model, n)') == "churn has 3"


def test_a_sentence_in_the_middle_of_another_has_no_period(read: Read) -> None:
    code = """
        def message(why):
            return say("Nothing changed ({why}).", why=why)
    """
    assert read(code) == "Nothing changed (It's slow)."
