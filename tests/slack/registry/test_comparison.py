"""A comparison in Slack: its table, and the note about omitted rows and columns."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.registry.comparison import compare_versions
from bot.domain.registry.model import RunInfo, Stage, VersionInfo
from bot.slack.core.blocks import Message
from bot.slack.registry.comparison import comparison_message
from tests.support.app.app_fixture import message_text
from tests.support.slack.worst_case_values import a_comparison


def table(shown: Message) -> list[list[str]]:
    """Return the table's cells, heading first."""
    [found] = [block for block in shown.blocks if block["type"] == "table"]
    rows: list[list[dict[str, Any]]] = found["rows"]
    return [[cell["text"] for cell in row] for row in rows]


def test_the_best_value_has_a_star_and_the_others_show_the_difference_from_production() -> None:
    versions = [
        VersionInfo(model="m", version=1, stage=Stage.PRODUCTION, run_id="a"),
        VersionInfo(model="m", version=2, stage=Stage.NONE, run_id="b", tags={"semver": "1.1.0"}),
    ]
    runs = {"a": RunInfo(id="a", metrics={"f1": 0.5}), "b": RunInfo(id="b", metrics={"f1": 0.75})}
    assert table(comparison_message(compare_versions("m", versions, runs))[0])[1:] == [
        ["v2", "1.1.0", "–", "0.75 (+0.25) ★"],
        ["v1", "–", "Production", "0.5"],
    ]


def test_with_many_versions_and_many_metrics_fewer_metrics_are_shown() -> None:
    shown, _ = comparison_message(a_comparison("plain", 100, metrics=30))
    rows = table(shown)
    assert (len(rows) - 1 >= 20, len(rows[0])) == (True, 3 + 5)
    assert "25 more metrics in the CSV" in message_text({"blocks": shown.blocks})


def test_thirty_versions_with_three_metrics_fit() -> None:
    shown, is_cut = comparison_message(a_comparison("plain", 30, metrics=3))
    assert (len(table(shown)) - 1, is_cut) == (30, False)


@pytest.mark.parametrize(("versions", "metrics"), [(99, 1), (100, 5), (1000, 17)])
def test_the_oldest_versions_are_dropped_first_and_production_stays(versions: int, metrics: int) -> None:
    shown, is_cut = comparison_message(a_comparison("plain", versions, metrics=metrics))
    rows = table(shown)
    assert (rows[1][0], rows[-2][0], rows[-1][0]) == (f"v{versions}", f"v{versions + 3 - len(rows)}", "v1")
    left_out = versions + 1 - len(rows)
    assert (is_cut, f"{left_out} more versions " in message_text({"blocks": shown.blocks})) == (
        True,
        True,
    )


def test_metrics_that_do_not_fit_are_counted() -> None:
    shown, _ = comparison_message(a_comparison("plain", 2, metrics=300))
    assert len(table(shown)[0]) == 20
    assert "283 more metrics in the CSV" in message_text({"blocks": shown.blocks})


def test_without_versions_only_the_sentence_is_shown() -> None:
    [block] = comparison_message(compare_versions("m", [], {}))[0].blocks
    assert "has no versions" in message_text({"blocks": [block]})
