"""The grammar: what people type on keyboards and phones, and the answers to invalid input."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.commands.base import Command, MissingArguments
from bot.domain.commands.catalog import COMMANDS
from bot.domain.commands.help import Help
from bot.domain.commands.parser import build_command, load_command, parse_command
from bot.domain.commands.promotions import Approve, Cancel, ListRequests, Promote, Reject
from bot.domain.commands.registry import ListModels, ShowModel
from bot.domain.commands.rollbacks import Rollback, ShowHistory
from bot.domain.core.errors import BadInput
from bot.domain.registry.model import Stage, VersionRef

SEVEN = VersionRef("number", "7")
WANTED = Promote(model="churn", version=SEVEN, to=Stage.PRODUCTION)


def refusal(text: str) -> str:
    """Return the answer to invalid input."""
    with pytest.raises(BadInput) as caught:
        parse_command(text)
    return str(caught.value)


def reason(text: str) -> str:
    """Return the parsed reason."""
    command = parse_command(text)
    assert isinstance(command, Promote)
    return command.reason


# -- valid input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("help", Help()),
        ("help promote", Help(about="promote")),
        ("promote help", Help(about="promote")),
        ("freeze Help", Help(about="freeze")),
        ("list", ListModels()),
        ("list churn", ListModels(text="churn")),
        ("list --text churn", ListModels(text="churn")),
        ("show churn", ShowModel(model="churn")),
        ("show churn 7", ShowModel(model="churn", version=SEVEN)),
        ("promote churn 7 production", WANTED),
        ("promote churn v7 to production", WANTED),
        ("promote churn --version 7 to production", WANTED),
        ("promote to 7 production", WANTED.model_copy(update={"model": "to"})),
        ('rollback churn to v7 --reason "to v6"', Rollback(model="churn", version=SEVEN, reason="to v6")),
        ("approve r4k7q", Approve(request="r4k7q")),
        ("approve #R4K7Q", Approve(request="r4k7q")),
        ('reject r4k7q --reason "too slow"', Reject(request="r4k7q", reason="too slow")),
        ("cancel r4k7q", Cancel(request="r4k7q")),
        ("requests", ListRequests()),
        ("requests churn", ListRequests(model="churn")),
        ("requests --model churn", ListRequests(model="churn")),
        ("history churn", ShowHistory(model="churn")),
        ("history churn --last 5", ShowHistory(model="churn", last=5)),
    ],
)
def test_every_verb_is_parsed(text: str, command: Command) -> None:
    assert parse_command(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "rollback churn --reason back to 3",
        "rollback churn --reason up to production",
        "unblock churn --reason similar to 4",
        "promote churn 7 --reason back to staging",
    ],
)
def test_an_unquoted_reason_does_not_set_a_version_or_stage(text: str) -> None:
    with pytest.raises(BadInput):
        parse_command(text)


@pytest.mark.parametrize(
    "text",
    [
        "promote churn 7 production",
        "PROMOTE churn V7 Production",
        "/promote churn 7 production",
        "promote --model-name churn --version 7 --to production",
        "promote --to production --version 7 --model churn",
        "promote --model-name=churn --version=7 --to=production",
        "promote churn --version 7 production",
        "promote churn --version=7 production",
        "promote --model-name churn 7 production",
        "promote --to production churn 7",
        "promote 7 production --model-name churn",
        "promote churn 7 --to production",
        "promote churn -- 7 production",
        "  promote\tchurn   7\nproduction ",
        'promote "churn" 7 "production"',
    ],
)
def test_an_argument_works_by_position_and_by_flag(text: str) -> None:
    assert parse_command(text) == WANTED


def test_a_flag_can_come_between_arguments() -> None:
    assert reason('promote churn --reason "better f1" 7 production') == "better f1"


def test_a_flag_without_a_value_is_a_switch() -> None:
    command = parse_command("promote churn --keep-existing 7 production")
    assert command == Promote(model="churn", version=SEVEN, to=Stage.PRODUCTION, keep_existing=True)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_text_is_not_an_error(text: str) -> None:
    assert parse_command(text) is None


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_verb_accepts_help(verb: str, flag: str) -> None:
    assert parse_command(f"{verb} churn {flag}") == Help(about=verb)


@pytest.mark.parametrize("verb", COMMANDS.values())
def test_every_verbs_example_is_parsed(verb: type[Command]) -> None:
    assert isinstance(parse_command(verb.example), verb)


@pytest.mark.parametrize("typed", ["clear", "CLEAR", "/clear"])
def test_an_old_name_of_a_verb_still_works(typed: str) -> None:
    assert parse_command(f"{typed} churn 7 --reason fixed") == parse_command("unblock churn 7 --reason fixed")
    assert parse_command(f"{typed} --help") == Help(about="unblock")


def test_a_command_stored_under_an_old_name_is_loaded() -> None:
    stored = {"verb": "clear", "model": "churn", "version": "7", "reason": "fixed"}
    assert load_command(stored) == parse_command("unblock churn 7 --reason fixed")


# -- phones ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "promote churn 7 production --reason “better f1”",
        "promote churn 7 production --reason ‘better f1’",
        "promote churn 7 production --reason „better f1“",
        "promote churn 7 production --reason «better f1»",
        "promote churn 7 production —reason “better f1”",
        "promote churn 7 production –reason “better f1”",
        "promote “churn” 7 production —reason “better f1”",
        "promote churn —version 7 production —reason=“better f1”",
    ],
)
def test_smart_quotes_and_dashes_are_accepted(text: str) -> None:
    assert reason(text) == "better f1"


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("it's", "it's"),
        ("it’s", "it's"),
        ("\"it's better, isn't it\"", "it's better, isn't it"),
        ("“it’s better”", "it's better"),
        ("'said \"no\"'", 'said "no"'),
        ('"f1 0.80 – 0.86 — at last"', "f1 0.80 – 0.86 — at last"),
        ('"5–7 —really"', "5–7 —really"),
        ("🚀🚀", "🚀🚀"),
        ('"👩‍👩‍👧 agreed"', "👩‍👩‍👧 agreed"),
        ('"<!channel> *bold* `code` & more"', "<!channel> *bold* `code` & more"),
        ('"--help"', "--help"),
        ('"a\u202eb\u200bc"', "abc"),
        ('"two\nlines"', "two lines"),
        (r'"a\b"', r"a\b"),
        ('"#5 fixed"', "#5 fixed"),
        ("''", ""),
        ("-1", "-1"),
    ],
)
def test_a_reason_keeps_its_text(typed: str, understood: str) -> None:
    if typed == '"--help"':
        typed = f"={typed}"
        assert reason(f"promote churn 7 production --reason{typed}") == understood
    else:
        assert reason(f"promote churn 7 production --reason {typed}") == understood


def test_a_reason_of_1000_characters_is_kept() -> None:
    assert len(reason(f'promote churn 7 production --reason "{"a" * 1000}"')) == 1000


def test_a_reason_of_3000_characters_is_refused() -> None:
    assert "over 1,000 characters" in refusal(f'promote churn 7 production --reason "{"a" * 3000}"')


def test_any_valid_registry_name_is_accepted_as_a_model() -> None:
    assert parse_command('show "<!channel> & 模型 🚀"') == ShowModel(model="<!channel> & 模型 🚀")


# -- missing arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "given", "missing"),
    [
        ("promote", {}, ["MODEL", "VERSION", "STAGE"]),
        ("promote churn", {"model": "churn"}, ["VERSION", "STAGE"]),
        ("promote churn 7", {"model": "churn", "version": "7"}, ["STAGE"]),
        ("promote --version 7", {"version": "7"}, ["MODEL", "STAGE"]),
        ("promote churn --to staging", {"model": "churn", "to": "staging"}, ["VERSION"]),
        ("promote --reason x", {"reason": "x"}, ["MODEL", "VERSION", "STAGE"]),
        ("reject r4k7q", {"request": "r4k7q"}, ["TEXT"]),
        ("show", {}, ["MODEL"]),
        ("approve", {}, ["REQUEST"]),
        ("history", {}, ["MODEL"]),
    ],
)
def test_missing_arguments_are_named_and_given_ones_kept(text: str, given: dict[str, str], missing: list[str]) -> None:
    with pytest.raises(MissingArguments) as caught:
        parse_command(text)
    assert (caught.value.given, caught.value.missing) == (given, missing)


def test_missing_arguments_are_reported_with_the_usage() -> None:
    said = refusal("promote churn")
    assert "Missing VERSION and STAGE." in said
    assert "promote MODEL VERSION STAGE [--reason TEXT]" in said


# -- invalid input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("promot churn 7 production", "Did you mean /model promote?"),
        ("aprove r4k7q", "Did you mean /model approve?"),
        ("xyzzy", "Unknown command “xyzzy”. Try /model help."),
        ("''", "Try /model help"),
        ("--help", "Did you mean /model help?"),
        ("promote churn 7 prodction", "Try staging or production"),
        ("promote churn seven production", "Can't read “seven” as a version"),
        ("promote a/b 7 production", "slashes"),
        ("promote churn 7 production now", "Unexpected word “now”. Put a reason in quotes after --reason."),
        ("promote churn 7 production better f1", "Unexpected word “better”"),
        ("promote churn 7 production --version 8", "Unexpected word “production”"),
        ("approve r4k7q r4k7r", "Unexpected word “r4k7r”. Usage: approve REQUEST"),
        ("promote churn 7 production --resaon x", "promote has no flag “--resaon”. Did you mean --reason?"),
        ("promote churn 7 production --xyzzy", "has no flag “--xyzzy”. Usage"),
        ("promote churn 7 production --reas x", "Did you mean --reason?"),
        ("promote churn 7 production -x", "has no flag “-x”"),
        ("promote churn 7 production --reason", "--reason needs a value"),
        ("promote churn 7 --to", "--to needs a value"),
        ("promote churn 7 production --keep-existing=yes", "Can't read that"),
        ('promote churn 7 production --reason "open', "Missing a closing quotation mark"),
        ("history churn --last many", "--last: "),
        ("history churn --last 0", "--last: "),
        ("history churn --last 51", "--last: "),
        ("approve ???", "Can't read “???” as a request ID"),
        ("requests ''", "Missing model name"),
    ],
)
def test_invalid_input_is_answered_with_a_suggestion(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("list --page two", "--page: must be a whole number, such as 2."),
        ("list --page 0", "--page: must be at least 1."),
        ("history churn --last 51", "--last: must be at most 50."),
    ],
)
def test_an_invalid_value_is_explained_in_plain_words(typed: str, answer: str) -> None:
    assert refusal(typed) == answer


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ("promote churn 4 moon", "to"),
        ("promote churn soon production", "version"),
        ("promote a/b 4 production", "model"),
        (f"promote churn 4 production --reason {'x' * 1001}", "reason"),
        ("show churn --page 0", "page"),
        ("compare churn --last many", "last"),
        ("promote churn 4 production --flag", ""),
    ],
)
def test_an_error_has_its_field(typed: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_command(typed)
    assert (caught.value.field, caught.value.code) == (field, "BadInput")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(BadInput, match="--colour"):
        build_command(Approve, {"request": "r4k7q", "colour": "blue"})


def test_environment_variables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "VERSION", "TO", "REASON", "KEEP_EXISTING", "REQUEST", "TEXT", "LAST", "ABOUT"):
        monkeypatch.setenv(name, "from-outside")
        monkeypatch.setenv(name.lower(), "from-outside")
    assert parse_command("promote churn 7 production") == WANTED


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("promote --help", "promote churn 7 production --xyzzy", "promote churn --to"):
        _refusal(text)
    assert capsys.readouterr() == ("", "")


LINES = st.lists(
    st.sampled_from(
        [
            *COMMANDS,
            "churn",
            "7",
            "v7",
            "@a",
            "latest",
            "production",
            "--",
            "-",
            "—",
            "–to",
            "--to",
            "--version=7",
            "-h",
            "--reason",
            "“",
            "”",
            "'",
            '"',
            "’",
            "\\",
            "#",
            "&lt;",
            "@",
            "=",
            "--=",
            "-1",
            "r4k7q",
            "🚀",
            "\u202e",
        ]
    ),
    max_size=8,
).map(" ".join)


@given(st.text() | LINES)
@example("promote -- -- --")
@example("\ue000'\ue000")
def test_any_text_is_parsed_or_refused_with_a_sentence(text: str) -> None:
    assert _refusal(text) != ""


@given(st.sampled_from(list(COMMANDS)), st.lists(st.text(max_size=30), max_size=5))
def test_any_words_after_a_verb_are_parsed_or_refused_with_a_sentence(verb: str, words: list[str]) -> None:
    assert _refusal(shlex.join([verb, *words])) != ""


def _refusal(text: str) -> str | None:
    """Return the sentence that refuses a text; None if it's a command."""
    try:
        parse_command(text)
    except BadInput as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "far",
    ["9" * 30 + "d", "0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"],
)
@pytest.mark.parametrize("line", ["audit churn --since", "freeze churn --reason x --until"])
def test_a_time_out_of_range_is_refused(line: str, far: str) -> None:
    assert any(words in refusal(f"{line} {far}") for words in ("too far from today", "as a time"))


@pytest.mark.parametrize("number", [str(2**63), "9" * 30, "0", "-1"])
def test_an_event_number_fits_in_a_database_integer(number: str) -> None:
    assert "--before" in refusal(f"audit churn --before={number}")
