"""Colors in the terminal: what they mean, where they're readable, and when there are none."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from rich.color import Color
from rich.style import Style

from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from handlers.terminal.output import styles
from tests.support.ledger.tampering import VOTE, keep, tamper
from tests.support.terminal.cli_runner import CliRunner

COLORS = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
EACH_STYLE = [styles.GOOD, styles.WAITING, styles.ATTENTION, styles.BAD, styles.SILENT, styles.QUIET]


def luminance(color: Color) -> float:
    """Return a color's relative luminance, as WCAG 2 defines it."""
    parts = [value / 255 for value in color.get_truecolor()]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("style", EACH_STYLE)
def test_each_color_is_readable_on_black_and_on_white(style: str) -> None:
    color = Style.parse(style).color
    assert color
    on_black, on_white = (luminance(color) + 0.05) / 0.05, 1.05 / (luminance(color) + 0.05)
    assert min(on_black, on_white) >= 3.5


def test_each_state_has_a_style() -> None:
    assert styles.STYLES.keys() == {*Stage, *RequestState, *TransitionState, *MonitorStatus} - {Stage.NONE}


@pytest.mark.parametrize("words", [["list"], ["show"], ["show", "1"], ["compare"]])
def test_production_is_green(registrar: CliRunner, churn: str, words: list[str]) -> None:
    verb, *more = words
    out = registrar(verb, churn, *more, **COLORS).out
    assert re.search(r"\x1b\[38;5;29m *(v1|Production)", out)


@pytest.mark.parametrize("words", [["list"], ["show"], ["show", "1"], ["compare"]])
@pytest.mark.parametrize("settings", [{"NO_COLOR": "1", **COLORS}, {"TERM": "dumb", "FORCE_COLOR": "1"}, {}])
def test_the_words_are_the_same_without_colors(
    registrar: CliRunner, churn: str, words: list[str], settings: dict[str, str]
) -> None:
    verb, *more = words
    plain = registrar(verb, churn, *more, **settings).out
    colored = registrar(verb, churn, *more, **{"NO_COLOR": "", **COLORS}).out
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored).split() == plain.split()


def test_an_intact_audit_log_is_green_and_an_altered_one_is_red(
    registrar: CliRunner, sqlite_template: Path, tmp_path: Path
) -> None:
    (tmp_path / "ledger.db").write_bytes(sqlite_template.read_bytes())
    settings = {"REGISTRAR_DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}", **COLORS}
    with closing(SqlLedger(settings["REGISTRAR_DATABASE_URL"])) as ledger:
        keep(ledger, VOTE)
    assert registrar("audit", "verify", **settings).out.startswith("\x1b[38;5;29mThe audit log is intact")
    tamper(tmp_path, "UPDATE audit_events SET body = 'x'")
    assert registrar("audit", "verify", **settings).out.startswith("\x1b[1;38;5;160mThe audit log was altered")


def test_json_has_no_colors(registrar: CliRunner, churn: str) -> None:
    assert registrar("show", churn, "--json", **COLORS).document["model"] == churn
