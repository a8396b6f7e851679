"""The verbs about monitors: two words, flags that come from the rule's fields, and kind refusals."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.commands.base import MissingArguments
from bot.domain.commands.catalog import COMMANDS
from bot.domain.commands.help import Help
from bot.domain.commands.monitoring import (
    MonitorAdd,
    MonitorArm,
    MonitorBacktest,
    MonitorEdit,
    MonitorList,
    MonitorPause,
    MonitorReset,
    MonitorShow,
    MonitorSilence,
    MonitorUnsilence,
)
from bot.domain.commands.parser import load_command, parse_command
from bot.domain.commands.rule_flags import flag_of
from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.policy.effect_size import EffectKind, MinimumEffect, parse_effect
from bot.domain.policy.monitor_config import MonitorConfig, rule_sentence

OURS = [verb for name, verb in COMMANDS.items() if name.startswith("monitor ")]


def refusal(text: str) -> str:
    """Return what is answered to text that cannot be understood."""
    with pytest.raises(BadInput) as caught:
        parse_command(text)
    return str(caught.value)


def added(text: str) -> MonitorConfig:
    """Return the rule that was typed."""
    command = parse_command(text)
    assert isinstance(command, MonitorAdd)
    return command.to_rule("push")


def edited(text: str, **before: object) -> MonitorConfig:
    """Return what comes of a rule by what was typed."""
    command = parse_command(text)
    assert isinstance(command, MonitorEdit)
    return command.apply_to(MonitorConfig.model_validate({"name": "accuracy", "source": "push"} | before))


# -- what is understood ------------------------------------------------------------------------------------------------


def test_the_example_of_the_readme_works_to_the_letter() -> None:
    rule = added("monitor add churn accuracy --source push --greater-than 0.85 --every 5m --action notify")
    assert (rule.name, rule.query, rule.source, rule.rule) == ("accuracy", "accuracy", "push", "threshold")
    assert (rule.greater_than, rule.every, rule.action) == (0.85, timedelta(minutes=5), "notify")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("monitor", MonitorList()),
        ("monitor churn", MonitorList(model="churn")),
        ("monitor list churn", MonitorList(model="churn")),
        ("/Monitor Show churn accuracy", MonitorShow(model="churn", name="accuracy")),
        ("monitor show --name accuracy churn", MonitorShow(model="churn", name="accuracy")),
        ("monitor pause churn accuracy-live", MonitorPause(model="churn", name="accuracy-live")),
        ("monitor backtest churn accuracy", MonitorBacktest(model="churn", name="accuracy", days=30)),
        ("monitor backtest churn accuracy --days 7", MonitorBacktest(model="churn", name="accuracy", days=7)),
        ("monitor arm churn accuracy", MonitorArm(model="churn", name="accuracy")),
        ("monitor reset churn", MonitorReset(model="churn")),
        ("monitor reset --all", MonitorReset(everywhere=True)),
        ("monitor silence churn accuracy 2h", MonitorSilence(model="churn", name="accuracy", span="2h")),
        ("monitor silence churn 2h --all", MonitorSilence(model="churn", every_one=True, span="2h")),
        (
            "monitor silence churn accuracy 2h —reason “a move”",
            MonitorSilence(model="churn", name="accuracy", span="2h", reason="a move"),
        ),
        ("monitor unsilence churn --all", MonitorUnsilence(model="churn", every_one=True)),
        ("help monitor", Help(about="monitor")),
        ("help monitor add", Help(about="monitor add")),
        ("monitor --help", Help(about="monitor")),
        ("monitor add --help", Help(about="monitor add")),
    ],
)
def test_what_is_typed_is_understood(text: str, command: object) -> None:
    assert parse_command(text) == command


@pytest.mark.parametrize("verb", OURS, ids=lambda verb: str(verb.verb))
def test_an_example_is_a_command_that_can_be_kept(verb: type) -> None:
    command = parse_command(verb.example)  # type: ignore[attr-defined]  # a verb
    assert isinstance(command, verb)
    assert load_command(command.dump()) == command  # type: ignore[union-attr]  # it is one


@pytest.mark.parametrize("field", [name for name in MonitorConfig.model_fields if name != "name"])
def test_every_field_of_the_rule_is_a_flag_that_says_what_it_means(field: str) -> None:
    for verb in (MonitorAdd, MonitorEdit):
        means = {one: arg.help for one, _, arg in verb.arguments() if arg.flags == (flag_of(field),)}
        assert means == {field: MonitorConfig.model_fields[field].description}


def test_what_is_shown_as_the_default_is_the_default() -> None:
    for name, field, _ in MonitorAdd.arguments():
        default = MonitorConfig.model_fields[name].default if name in MonitorConfig.model_fields else None
        if isinstance(default, timedelta):
            assert parse_duration(field.default) == default
        if isinstance(default, MinimumEffect):
            assert parse_effect(field.default) == default


def test_dashes_and_capitals_in_a_choice_are_understood() -> None:
    assert added("monitor add churn a --greater-than 1 --action Dry-Run").action == "dry_run"


def test_a_bound_below_zero_is_no_flag() -> None:
    assert added("monitor add churn a --less-than -0.5").less_than == -0.5


def test_without_a_bound_it_is_compared_with_the_production_before() -> None:
    assert added("monitor add churn a").rule == "default"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "--rule blocks",
            "Fails when the mean of a over 1h is worse than the Production before it by more than 2% and 3 standard "
            "deviations, 2 windows in a row.",
        ),
        (
            "--rule default",
            "Fails when the mean of a over 1h is worse than the Production before it by more than 2% and 3 standard "
            "deviations, 2 windows in a row, or the mean over any of 30m to 8h is, by about twice as many, 2 checks in "
            "a row.",
        ),
        (
            "--window 15m --fail-after 1",
            "Fails when the mean of a over 15m is worse than the Production before it by more than 2% and 3 standard "
            "deviations, or the mean over any of 7m 30s to 2h is, by about twice as many.",
        ),
    ],
)
def test_people_read_when_it_fails(typed: str, said: str) -> None:
    assert str(rule_sentence(added(f"monitor add churn a {typed}"))) == said


@pytest.mark.parametrize(
    ("typed", "effect"),
    [
        ("3%", MinimumEffect(0.03)),
        ("0.03", MinimumEffect(0.03)),
        ("3 %", MinimumEffect(0.03)),
        ("'0.01 abs'", MinimumEffect(0.01, EffectKind.ABSOLUTE)),
        ("‘0.01 abs’", MinimumEffect(0.01, EffectKind.ABSOLUTE)),
        ("0.01 abs", MinimumEffect(0.01, EffectKind.ABSOLUTE)),
        ("'10% of error'", MinimumEffect(0.1, EffectKind.OF_ERROR)),
        ("10% of error", MinimumEffect(0.1, EffectKind.OF_ERROR)),
        ("10 % of the error", MinimumEffect(0.1, EffectKind.OF_ERROR)),
    ],
)
def test_how_much_worse_counts_is_typed_with_quotes_or_without(typed: str, effect: MinimumEffect) -> None:
    assert added(f"monitor add churn a --min-effect {typed} --every 1m").min_effect == effect
    assert added(f"monitor add --min-effect {typed} churn a").min_effect == effect
    assert edited(f"monitor edit churn accuracy --min-effect {typed}").min_effect == effect


def test_a_monitor_called_error_is_no_part_of_an_effect() -> None:
    command = parse_command("monitor add churn --min-effect 2% error")
    assert isinstance(command, MonitorAdd)
    assert (command.name, command.to_rule("push").min_effect) == ("error", MinimumEffect(0.02))


def test_a_command_with_an_effect_can_be_kept() -> None:
    command = parse_command("monitor add churn a --min-effect '0.01 abs'")
    assert isinstance(command, MonitorAdd)
    assert load_command(command.dump()) == command


# -- changing ----------------------------------------------------------------------------------------------------------


def test_only_what_was_typed_is_changed() -> None:
    rule = edited("monitor edit churn accuracy --every 10m", greater_than=0.8, fail_after=4)
    assert (rule.every, rule.greater_than, rule.fail_after) == (timedelta(minutes=10), 0.8, 4)


def test_a_setting_can_be_taken_away() -> None:
    assert edited("monitor edit churn accuracy --hard-limit none", greater_than=0.8, hard_limit=0.5).hard_limit is None


def test_a_bound_makes_a_threshold_of_it_and_another_rule_drops_the_bound() -> None:
    assert edited("monitor edit churn accuracy --greater-than 0.9", rule="blocks").rule == "threshold"
    assert edited("monitor edit churn accuracy --rule blocks", greater_than=0.8).greater_than is None


# -- what is not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("monitor shwo churn accuracy", "Did you mean monitor show?"),
        ("monitor paus", "For a model of that name it is monitor list paus"),
        ("monitor frob churn accuracy", "Try help monitor"),
        ("monitr", "Did you mean monitor?"),
        ("monitor add churn a --greatr-than 3", "Did you mean --greater-than?"),
        ("monitor add churn a --greater-than high", "--greater-than: it should be a number, such as 0.85."),
        ("monitor add churn a --greater-than nan", "--greater-than: it should be a finite number."),
        ("monitor add churn a --every 1s", "--every: it should be greater than or equal to 10 seconds."),
        ("monitor add churn a --every soon", "--every: is no duration; write one like 30m, 24h or 7d."),
        ("monitor add churn a --window 0s", "--window: it should be greater than nothing."),
        ("monitor add churn a --window 5d", "--window: A baseline has at most 21d; a window of 5d fits"),
        ("monitor add churn a --window 7h", "never judged. Use 6h or 8h."),
        ("monitor add churn a --every 2h", "--window: A window of 1h is shorter than the 2h between checks"),
        ("monitor add churn loss --min-effect 10% of error", "--min-effect: Lower is better for loss, so a plain"),
        ("monitor add churn a --min-effect much", "--min-effect: isn't an effect; write one like 2%, 0.01 abs, or"),
        ("monitor add churn a --min-effect '2% abs'", "--min-effect: is a percentage and a distance at once; write 2%"),
        ("monitor add churn a --fail-after two", "--fail-after: it should be a whole number, such as 2."),
        ("monitor add churn a --action boo", "--action: it should be 'dry_run', 'notify', 'ask' or 'auto'."),
        ("monitor add churn a --aggregate p1", "--aggregate: 'p1' is no aggregate; there are mean, last"),
        ("monitor add churn a --of all --aggregate p95", "Counts (of) are added up; their aggregate is mean or last"),
        ("monitor add churn a --of ''", "--of: it should have at least 1 character."),
        ("monitor add churn a --rule threshold", "The rule threshold needs --greater-than or --less-than."),
        ("monitor add churn a --greater-than 2 --less-than 1", "--greater-than must lie below --less-than."),
        ("monitor add churn a --rule blocks --greater-than 2", "blocks has --hard-limit."),
        ("monitor add churn 'a b'", "“a b” is no name for a monitor"),
        ("monitor edit churn a", "Say what to change, such as /model monitor edit"),
        ("monitor silence churn a 73h", "72 hours at most"),
        ("monitor silence churn a soon", "“soon” is no time to be silent"),
        ("monitor silence churn a", "“a” is no time to be silent"),
        ("monitor backtest churn a --days 0", "--days: it should be greater than or equal to 1"),
        ("monitor show churn", "NAME is missing. Write it so: monitor show MODEL NAME"),
    ],
)
def test_what_cannot_be_understood_gets_a_sentence(text: str, said: str) -> None:
    assert said in refusal(text)


def test_what_is_wrong_says_which_field_it_is() -> None:
    for text, field in (("--window 7h", "window"), ("--every 5d", "every"), ("--min-effect much", "min_effect")):
        with pytest.raises(BadInput) as caught:
            parse_command(f"monitor add churn a {text}")
        assert caught.value.field == field


def test_an_edit_to_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(BadInput, match="Use 6h or 8h"):
        edited("monitor edit churn accuracy --window 7h")
    with pytest.raises(BadInput, match="Use 6h or 8h"):
        edited("monitor edit churn accuracy --action notify", window="7h")
    assert edited("monitor edit churn accuracy --window 6h", window="7h").window == timedelta(hours=6)
    assert edited("monitor edit churn accuracy --greater-than 0.9", window="7h").rule == "threshold"


def test_what_is_missing_of_a_new_monitor_is_asked_for_in_a_form() -> None:
    with pytest.raises(MissingArguments) as caught:
        parse_command("monitor add churn --every 10m")
    assert caught.value.command_class is MonitorAdd
    assert caught.value.given == {"model": "churn", "every": "10m"}


def test_no_forged_field_gets_into_a_rule() -> None:
    with pytest.raises(BadInput, match="A monitor has no"):
        load_command({"verb": "monitor add", "model": "churn", "name": "a", "armed_at": "now"})
