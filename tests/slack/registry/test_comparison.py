"""A comparison in Slack: its table, and the note about omitted rows and columns."""

from __future__ import annotations

import pytest

from bot.domain.registry.comparison import compare_versions
from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from bot.domain.registry.model import RunInfo, Stage, VersionInfo
from bot.slack.core.blocks import Message
from bot.slack.registry.comparison import comparison_message
from tests.support.app.app_fixture import message_text
from tests.support.domain.comparisons import NAN, compared
from tests.support.slack.message_parts import table_texts
from tests.support.slack.worst_case_values import a_comparison


def table(shown: Message) -> list[list[str]]:
    """Return the table's cells, heading first."""
    return table_texts(shown.blocks)


def test_the_best_value_is_bold_and_the_others_show_the_difference_from_production() -> None:
    versions = [
        VersionInfo(model="m", version=1, stage=Stage.PRODUCTION, run_id="a"),
        VersionInfo(model="m", version=2, stage=Stage.NONE, run_id="b", tags={"semver": "1.1.0"}),
    ]
    runs = {"a": RunInfo(id="a", metrics={"f1": 0.5}), "b": RunInfo(id="b", metrics={"f1": 0.75})}
    assert table(comparison_message(compare_versions("m", versions, runs))[0])[1:] == [
        ["v2 1.1.0", "*0.750 +50%*"],
        ["v1 ◆", "0.500"],
    ]


def test_with_many_versions_and_many_metrics_fewer_metrics_are_shown() -> None:
    shown, _ = comparison_message(a_comparison("plain", 100, metrics=30))
    rows = table(shown)
    assert (len(rows) - 1 >= 20, len(rows[0])) == (True, 1 + 7)
    assert "23 metrics" in message_text({"blocks": shown.blocks})


def test_thirty_versions_with_three_metrics_fit() -> None:
    shown, is_cut = comparison_message(a_comparison("plain", 30, metrics=3))
    assert (len(table(shown)) - 1, is_cut) == (30, False)


@pytest.mark.parametrize(("versions", "metrics"), [(99, 3), (100, 5), (1000, 17)])
def test_the_oldest_versions_are_dropped_first_and_production_stays(versions: int, metrics: int) -> None:
    shown, is_cut = comparison_message(a_comparison("plain", versions, metrics=metrics))
    rows = table(shown)
    shown_versions = [row[0].split()[0] for row in rows[1:]]
    assert shown_versions == [*(f"v{versions - n}" for n in range(len(rows) - 2)), "v1"]
    left_out = versions + 1 - len(rows)
    assert (is_cut, f"Not shown: {left_out} version" in message_text({"blocks": shown.blocks})) == (
        True,
        True,
    )


def test_metrics_that_do_not_fit_are_counted() -> None:
    shown, _ = comparison_message(a_comparison("plain", 2, metrics=300))
    assert len(table(shown)[0]) == 20
    assert "Not shown: 281 metrics" in message_text({"blocks": shown.blocks})


def test_a_column_that_no_version_has_a_value_for_is_left_out() -> None:
    found = compared({1: {"f1": 0.5, "auc": NAN}, 2: {"f1": 0.6}})
    assert table(comparison_message(found)[0])[0] == ["Version", "f1"]


def test_a_difference_within_noise_is_marked_as_such() -> None:
    catalog = MetricCatalog(settings={"f1": MetricSettings(noise=0.01)})
    shown, _ = comparison_message(compared({1: {"f1": 0.5}, 2: {"f1": 0.505}}, production=1, catalog=catalog))
    assert table(shown)[1] == ["v2", "*0.505 ≈*"]
    assert "≈ within noise" in message_text({"blocks": shown.blocks})


def test_without_versions_only_the_sentence_is_shown() -> None:
    [block] = comparison_message(compare_versions("m", [], {}))[0].blocks
    assert "has no versions" in message_text({"blocks": [block]})
