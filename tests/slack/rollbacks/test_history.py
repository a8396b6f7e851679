"""The Production timeline in Slack: rows with version, time, cause, and reason, and a chart."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread
from matplotlib.text import Text

from bot.domain.commands.parser import load_command
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.actors import MONITOR_AUTOMATION, Person
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.history import resolve_window
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR, ServingPeriod, serving_periods
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.slack.core.answer import SHARE, RenderContext
from bot.slack.core.chart_style import MAX_ALT_LENGTH
from bot.slack.rollbacks.history import RENDERERS, timeline_message
from bot.slack.rollbacks.history_chart import (
    CURRENT_COLOR,
    MAX_VERSIONS,
    history_alt_text,
    history_chart,
    history_figure,
)
from tests.support.app.app_fixture import message_text
from tests.support.slack.chart_texts import cut_off_texts, overlapping_texts, texts
from tests.support.slack.worst_case_values import a_timeline

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


def stretched(*spans: tuple[int, TransitionKind, timedelta], why: str = "") -> list[ServingPeriod]:
    """Return periods from version, kind, and how long ago each started, oldest first; version 0 is a gap."""
    moves: list[Transition] = []
    for version, kind, ago in spans:
        leaves = version == 0
        moves.append(
            Transition(
                id=f"m{len(moves)}",
                kind=kind,
                model="churn",
                version=version or moves[-1].version,
                from_stage=Stage.PRODUCTION if leaves else Stage.STAGING,
                target=Stage.ARCHIVED if leaves else Stage.PRODUCTION,
                expected_incumbent=None,
                actor=Person("T", "UBOB"),
                intended_at=NOW - ago,
                finished_at=NOW - ago,
                state=TransitionState.DONE,
                why=why,
            )
        )
    return serving_periods(moves[::-1])


P, R, O = TransitionKind.PROMOTION, TransitionKind.ROLLBACK, TransitionKind.OBSERVED  # noqa: E741
STORY = stretched(
    (3, O, timedelta(days=60)),
    (4, P, timedelta(days=30)),
    (5, P, timedelta(days=9)),
    (4, R, timedelta(days=9) - timedelta(minutes=47)),
    (0, O, timedelta(days=2)),
    (6, P, timedelta(days=1)),
)


def size(picture: bytes) -> tuple[int, int]:
    height, width, _ = imread(BytesIO(picture), format="png").shape
    return width, height


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- the picture -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2, 10, 14, 15, 50, 500])
def test_the_timeline_has_a_size_that_slack_shows_well(number: int) -> None:
    served = stretched(*((n + 1, P, timedelta(days=number - n)) for n in range(number)))
    width, height = size(picture := history_chart("churn", served, NOW))
    assert width == 1260
    assert 400 < height < 1800
    assert len(picture) < 500_000


def colors(picture: bytes) -> set[str]:
    """Return the colors that fill more than a few pixels."""
    pixels = (imread(BytesIO(picture), format="png")[..., :3] * 255).round().astype(int).reshape(-1, 3)
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    return {"#{:02x}{:02x}{:02x}".format(*one) for one, count in zip(found, counts, strict=True) if count > 40}


def test_a_period_s_cause_sets_its_color() -> None:
    assert {"#2f6db5", "#c2410c", "#6b6a6b"} <= colors(history_chart("churn", STORY, NOW))
    assert "#c2410c" not in colors(history_chart("churn", stretched((1, P, timedelta(days=1))), NOW))


def test_a_period_of_minutes_is_visible_next_to_one_of_months() -> None:
    served = stretched((1, P, timedelta(days=300)), (2, R, timedelta(days=100)), (1, P, timedelta(days=99.999)))
    assert "#c2410c" in colors(history_chart("churn", served, NOW))


def hectic_day() -> list[ServingPeriod]:
    """Return a day with 20 promotions and 20 rollbacks."""
    changes = [(2 - n % 2, R if n % 2 else P, timedelta(minutes=1400 - 35 * n)) for n in range(40)]
    return stretched((1, O, timedelta(days=1, hours=1)), *changes)


@pytest.mark.parametrize(
    "periods",
    [
        STORY,
        hectic_day(),
        stretched(*((n + 1, R if n % 3 else P, timedelta(days=60 - n)) for n in range(50))),
        stretched((4, P, timedelta(days=9)), (5, P, timedelta(hours=3)), (4, R, timedelta(minutes=25))),
        stretched((1, P, timedelta(seconds=1))),
        [],
    ],
    ids=["usual", "hectic", "many versions", "just rolled back", "one second", "nothing"],
)
def test_no_text_of_a_timeline_overlaps_another_or_the_edge(periods: list[ServingPeriod]) -> None:
    figure = history_figure("m" * 60, periods, NOW, resolve_window(NOW - timedelta(hours=5), NOW))
    assert (overlapping_texts(figure), cut_off_texts(figure)) == ([], [])


def test_the_version_that_serves_now_is_green_and_labeled_even_after_a_rollback() -> None:
    figure = history_figure("churn", hectic_day(), NOW)
    [current] = [text for text in figure.findobj(Text) if text.get_text() == "▼ 35m"]
    assert current.get_color() == CURRENT_COLOR
    newest = max(figure.axes[0].patches[:41], key=lambda bar: bar.get_x())  # type: ignore[attr-defined]
    assert to_hex(newest.get_facecolor()) == CURRENT_COLOR


def test_a_timeline_names_its_time_zone() -> None:
    assert any("UTC" in text for text in texts(history_figure("churn", STORY, NOW)) if "\n" in text)


def test_a_gap_is_hatched_and_in_the_legend() -> None:
    without = [one for one in STORY if one.started_by.kind is P]
    assert "#fdeaea" in colors(history_chart("churn", STORY, NOW))
    assert "#fdeaea" not in colors(history_chart("churn", [replace(one, ended_by=None) for one in without[:1]], NOW))


def test_the_requested_time_is_marked() -> None:
    plain = history_chart("churn", STORY, NOW)
    day = resolve_window(date(2026, 4, 12), NOW)
    assert history_chart("churn", STORY, NOW, day) != plain
    assert history_chart("churn", STORY, NOW, resolve_window(datetime(2025, 1, 1, tzinfo=UTC), NOW)) == plain


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(seconds=1), timedelta(days=40_000)])
def test_any_time_range_can_be_drawn(ago: timedelta) -> None:
    assert size(history_chart("churn", stretched((1, P, ago)), NOW))[0] == 1260


@pytest.mark.parametrize("name", ["$x_1^2$", r"\frac{1}{2}", "精度", "W" * 250, "\u202e{}%`'\"", "a\nb\tc", " "])
def test_no_name_breaks_the_timeline(name: str) -> None:
    assert size(history_chart(name, STORY, NOW))[0] == 1260


def test_a_long_history_counts_the_omitted_periods() -> None:
    served = stretched(*((n + 1, P, timedelta(days=60 - n)) for n in range(50)))
    all_drawn = served[:MAX_VERSIONS]
    assert size(history_chart("churn", served, NOW))[1] > size(history_chart("churn", all_drawn, NOW))[1]


def test_the_alt_text_describes_the_timeline() -> None:
    assert history_alt_text("churn", STORY[:2], NOW) == (
        "Timeline of churn in Production. v6 serving now, since 3 May 2026 12:30 UTC (1d). "
        "v6 promoted 2026-05-03 12:30, serving now; v4 rolled back 2026-04-25 13:17, served 6d 23h."
    )
    assert history_alt_text("churn", [], NOW) == "Timeline of churn in Production. Nothing has been in Production yet."
    assert len(history_alt_text("m" * 900, STORY * 9, NOW)) <= MAX_ALT_LENGTH


def test_threads_draw_timelines_concurrently_without_changing_global_settings() -> None:
    before = dict(mpl.rcParams)
    draw: Callable[[int], bytes] = lambda n: history_chart(f"m{n}", STORY, NOW)  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(draw, range(6)))
    assert len({size(one) for one in pictures}) == 1
    assert dict(mpl.rcParams) == before


# -- the message -------------------------------------------------------------------------------------------------------


def text(number: int = 1, **changes: Any) -> str:
    return message_text({"blocks": timeline_message(a_timeline("plain", number, **changes)).blocks})


@pytest.mark.parametrize("number", [0, 1, 20, 30])
def test_every_period_has_a_row(number: int) -> None:
    assert text(number).count("• `v7`") == number


def test_rows_that_do_not_fit_are_counted() -> None:
    shown = message_text({"blocks": timeline_message(a_timeline("ampersands", 50)).blocks})
    assert "older periods don't fit here" in shown


def test_a_promotion_shows_requester_approver_and_reason() -> None:
    assert "promoted: requested by <@U0ALICE>, approved by <@U0BOB>, request `r4k7q`: churnchurn" in text()


def test_a_rollback_shows_version_person_and_reason() -> None:
    rolled: dict[str, Any] = {"kind": TransitionKind.ROLLBACK, "request": None, "reason": "accuracy fell"}
    assert "rolled back from `v5` by <@U0BOB>: accuracy fell" in text(**rolled)
    assert "rolled back from `v5` by the monitor: accuracy fell" in text(by=MONITOR_AUTOMATION, **rolled)


def test_an_observed_change_is_shown_as_such() -> None:
    found: dict[str, Any] = {"kind": TransitionKind.OBSERVED, "request": None, "reason": ""}
    assert "changed in MLflow, outside Registrar" in text(**found)
    assert "already in Production when Registrar first looked" in text(why=BEFORE_REGISTRAR, **found)
    assert "at least" in text(why=BEFORE_REGISTRAR, **found)


def test_the_button_carries_the_command() -> None:
    typed = ShowHistory(model="it's", last=7, at=date(2026, 3, 3))
    answer = RENDERERS[ShowHistory](typed, a_timeline("plain"), RenderContext(now=NOW))
    [*_, actions] = answer.in_channel("").blocks
    [button] = actions["elements"]
    assert button["action_id"] == SHARE
    assert load_command(json.loads(button["value"])) == typed


def test_an_empty_timeline_has_no_button() -> None:
    answer = RENDERERS[ShowHistory](ShowHistory(model="m"), a_timeline("plain", 0), RenderContext(now=NOW))
    assert [one["type"] for one in answer.in_channel().blocks] == ["section"]
    assert not answer.has_files
