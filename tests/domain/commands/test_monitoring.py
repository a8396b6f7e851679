"""The monitor commands: two words, flags from the rule's fields, and clear refusals."""

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
    """Return the answer to invalid input."""
    with pytest.raises(BadInput) as caught:
        parse_command(text)
    return str(caught.value)


def added(text: str) -> MonitorConfig:
    """Return the rule from a typed command."""
    command = parse_command(text)
    assert isinstance(command, MonitorAdd)
    return command.to_rule("push")


def edited(text: str, **before: object) -> MonitorConfig:
    """Return a rule after a typed edit."""
    command = parse_command(text)
    assert isinstance(command, MonitorEdit)
    return command.apply_to(MonitorConfig.model_validate({"name": "accuracy", "source": "push"} | before))


# -- valid input -------------------------------------------------------------------------------------------------------


def test_the_readme_example_works() -> None:
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
        ("monitor help", Help(about="monitor")),
        ("monitor add help", Help(about="monitor add")),
        ("monitor add --help", Help(about="monitor add")),
    ],
)
def test_typed_flags_are_parsed(text: str, command: object) -> None:
    assert parse_command(text) == command


@pytest.mark.parametrize("verb", OURS, ids=lambda verb: str(verb.verb))
def test_an_example_survives_dump_and_load(verb: type) -> None:
    command = parse_command(verb.example)  # type: ignore[attr-defined]  # a verb
    assert isinstance(command, verb)
    assert load_command(command.dump()) == command  # type: ignore[union-attr]  # it is one


@pytest.mark.parametrize("field", [name for name in MonitorConfig.model_fields if name != "name"])
def test_every_rule_field_has_a_flag_with_help(field: str) -> None:
    for verb in (MonitorAdd, MonitorEdit):
        means = {one: arg.help for one, _, arg in verb.arguments() if arg.flags == (flag_of(field),)}
        assert means == {field: MonitorConfig.model_fields[field].description}


def test_the_shown_default_is_the_real_default() -> None:
    for name, field, _ in MonitorAdd.arguments():
        default = MonitorConfig.model_fields[name].default if name in MonitorConfig.model_fields else None
        if isinstance(default, timedelta):
            assert parse_duration(field.default) == default
        if isinstance(default, MinimumEffect):
            assert parse_effect(field.default) == default


def test_a_choice_accepts_dashes_and_capitals() -> None:
    assert added("monitor add churn a --greater-than 1 --action Dry-Run").action == "dry_run"


def test_a_negative_bound_is_not_read_as_a_flag() -> None:
    assert added("monitor add churn a --less-than -0.5").less_than == -0.5


def test_without_a_bound_the_rule_compares_with_the_previous_production() -> None:
    assert added("monitor add churn a").rule == "default"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "--rule blocks",
            "Fails when the mean of a over 1h is worse than the previous version's by more than 2% and 3 standard "
            "deviations for 2 windows in a row.",
        ),
        (
            "--rule default",
            "Fails when the mean of a over 1h is worse than the previous version's by more than 2% and 3 standard "
            "deviations for 2 windows in a row, or any mean over 30m to 8h is worse by about twice as many for 2 "
            "checks in a row.",
        ),
        (
            "--window 15m --fail-after 1",
            "Fails when the mean of a over 15m is worse than the previous version's by more than 2% and 3 standard "
            "deviations, or any mean over 7m 30s to 2h is worse by about twice as many.",
        ),
    ],
)
def test_the_rule_sentence_says_when_it_fails(typed: str, said: str) -> None:
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
def test_a_minimum_effect_works_with_and_without_quotes(typed: str, effect: MinimumEffect) -> None:
    assert added(f"monitor add churn a --min-effect {typed} --every 1m").min_effect == effect
    assert added(f"monitor add --min-effect {typed} churn a").min_effect == effect
    assert edited(f"monitor edit churn accuracy --min-effect {typed}").min_effect == effect


def test_a_monitor_named_error_is_not_part_of_an_effect() -> None:
    command = parse_command("monitor add churn --min-effect 2% error")
    assert isinstance(command, MonitorAdd)
    assert (command.name, command.to_rule("push").min_effect) == ("error", MinimumEffect(0.02))


def test_a_command_with_an_effect_survives_dump_and_load() -> None:
    command = parse_command("monitor add churn a --min-effect '0.01 abs'")
    assert isinstance(command, MonitorAdd)
    assert load_command(command.dump()) == command


# -- changing ----------------------------------------------------------------------------------------------------------


def test_an_edit_only_changes_typed_settings() -> None:
    rule = edited("monitor edit churn accuracy --every 10m", greater_than=0.8, fail_after=4)
    assert (rule.every, rule.greater_than, rule.fail_after) == (timedelta(minutes=10), 0.8, 4)


def test_a_setting_can_be_removed() -> None:
    assert edited("monitor edit churn accuracy --hard-limit none", greater_than=0.8, hard_limit=0.5).hard_limit is None


def test_a_bound_switches_to_threshold_and_another_rule_removes_the_bound() -> None:
    assert edited("monitor edit churn accuracy --greater-than 0.9", rule="blocks").rule == "threshold"
    assert edited("monitor edit churn accuracy --rule blocks", greater_than=0.8).greater_than is None


# -- invalid input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("monitor shwo churn accuracy", "Did you mean /model monitor show?"),
        ("monitor paus", "or /model monitor list paus for a model with that name?"),
        ("monitor frob churn accuracy", "Try /model help monitor"),
        ("monitr", "Did you mean /model monitor?"),
        ("monitor add churn a --greatr-than 3", "Did you mean --greater-than?"),
        ("monitor add churn a --greater-than high", "--greater-than: must be a number, such as 0.85."),
        ("monitor add churn a --greater-than nan", "--greater-than: must be a finite number."),
        ("monitor add churn a --every 1s", "--every: must be at least 10 seconds."),
        ("monitor add churn a --every soon", "--every: must be a duration, such as 30m, 24h, or 7d."),
        ("monitor add churn a --window 0s", "--window: must be greater than zero."),
        ("monitor add churn a --window 5d", "--window: A baseline covers at most 21d. A window of 5d fits"),
        ("monitor add churn a --window 7h", "so 3h would never be checked. Use 6h or 8h."),
        ("monitor add churn a --every 2h", "--window: A window of 1h is shorter than the 2h between checks"),
        ("monitor add churn loss --min-effect 10% of error", "--min-effect: Lower is better for loss, so a plain"),
        ("monitor add churn a --min-effect much", "--min-effect: isn't an effect size; use a value such as 2%"),
        ("monitor add churn a --min-effect '2% abs'", "--min-effect: is both a percentage and an absolute"),
        ("monitor add churn a --fail-after two", "--fail-after: must be a whole number, such as 2."),
        ("monitor add churn a --action boo", "--action: must be 'dry_run', 'notify', 'ask' or 'auto'."),
        ("monitor add churn a --aggregate p1", "--aggregate: 'p1' isn't an aggregate; use mean, last"),
        ("monitor add churn a --of all --aggregate p95", "With counts (of), the aggregate must be mean or last"),
        ("monitor add churn a --of ''", "--of: must have at least 1 character."),
        ("monitor add churn a --rule threshold", "The threshold rule needs --greater-than or --less-than."),
        ("monitor add churn a --greater-than 2 --less-than 1", "--greater-than must be below --less-than."),
        ("monitor add churn a --rule blocks --greater-than 2", "use --hard-limit with blocks."),
        ("monitor add churn 'a b'", "Can't use “a b” as a monitor's name"),
        ("monitor edit churn a", "Specify what to change, such as /model monitor edit"),
        ("monitor silence churn a 73h", "up to 72 hours"),
        ("monitor silence churn a soon", "Can't read “soon” as a duration"),
        ("monitor silence churn a", "Can't read “a” as a duration"),
        ("monitor backtest churn a --days 0", "--days: must be at least 1"),
        ("monitor show churn", "Missing NAME. Usage: monitor show MODEL NAME"),
    ],
)
def test_invalid_input_is_answered_with_a_sentence(text: str, said: str) -> None:
    assert said in refusal(text)


def test_an_error_names_its_field() -> None:
    for text, field in (("--window 7h", "window"), ("--every 5d", "every"), ("--min-effect much", "min_effect")):
        with pytest.raises(BadInput) as caught:
            parse_command(f"monitor add churn a {text}")
        assert caught.value.field == field


def test_an_edit_that_could_never_give_a_verdict_is_refused() -> None:
    with pytest.raises(BadInput, match="Use 6h or 8h"):
        edited("monitor edit churn accuracy --window 7h")
    with pytest.raises(BadInput, match="Use 6h or 8h"):
        edited("monitor edit churn accuracy --action notify", window="7h")
    assert edited("monitor edit churn accuracy --window 6h", window="7h").window == timedelta(hours=6)
    assert edited("monitor edit churn accuracy --greater-than 0.9", window="7h").rule == "threshold"


def test_missing_arguments_of_a_new_monitor_open_a_form() -> None:
    with pytest.raises(MissingArguments) as caught:
        parse_command("monitor add churn --every 10m")
    assert caught.value.command_class is MonitorAdd
    assert caught.value.given == {"model": "churn", "every": "10m"}


def test_a_forged_field_is_refused() -> None:
    with pytest.raises(BadInput, match="Monitors don't have a setting named"):
        load_command({"verb": "monitor add", "model": "churn", "name": "a", "armed_at": "now"})
