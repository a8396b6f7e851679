"""Chart axes: a few round labels with their units."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from matplotlib.dates import date2num

from bot.slack.core.chart_style import BACKGROUND, CONTENT_WIDTH, SMALL_SIZE, new_figure, style_time_axis, text_width

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
SPANS = [timedelta(minutes=n) for n in (1, 4, 20, 55, 180, 600)] + [timedelta(days=n) for n in (1, 3, 9, 30, 64, 200)]


def labeled(left: datetime, right: datetime) -> dict[float, str]:
    """Return the labels of a time axis by their positions, in days."""
    axes = new_figure(3).add_axes((0.1, 0.3, 0.8, 0.5), facecolor=BACKGROUND)
    axes.set_xlim(date2num(left), date2num(right))
    style_time_axis(axes, left, right)
    return dict(zip(axes.get_xticks(), (label.get_text() for label in axes.get_xticklabels()), strict=True))


@pytest.mark.parametrize(
    ("start", "whole", "labels"),
    [
        (NOW, timedelta(minutes=20), ["12:30\n4 May 2026, UTC", "12:35", "12:40", "12:45", "12:50"]),
        (NOW, timedelta(hours=2), ["12:30\n4 May 2026, UTC", "13:00", "13:30", "14:00", "14:30"]),
        (NOW.replace(hour=20), timedelta(hours=8), ["22:00\n4 May 2026, UTC", "00:00\n5 May", "02:00", "04:00"]),
        (NOW, timedelta(days=4), ["5 May\n2026, UTC", "6 May", "7 May", "8 May"]),
        (NOW, timedelta(days=64), ["15 May\n2026, UTC", "1 Jun", "15 Jun", "1 Jul"]),
        (NOW, timedelta(days=400), ["Jul\n2026, UTC", "Oct", "Jan\n2027", "Apr"]),
        (NOW, timedelta(days=2200), ["2027\nUTC", "2028", "2029", "2030", "2031", "2032"]),
    ],
)
def test_time_ticks_are_round_and_name_a_new_day_or_year(start: datetime, whole: timedelta, labels: list[str]) -> None:
    assert list(labeled(start, start + whole).values()) == labels


@pytest.mark.parametrize(
    "whole",
    [
        timedelta(seconds=170),  # too short for minutes, long for seconds
        *SPANS,
        timedelta(days=2, hours=20),  # too short for days, long for hours
        timedelta(days=400),
        timedelta(days=1050),  # too short for years, long for months
        timedelta(days=4000),
    ],
)
@pytest.mark.parametrize("day", range(0, 40, 3))
def test_time_labels_do_not_touch(whole: timedelta, day: int) -> None:
    start = NOW + timedelta(days=day)
    found = labeled(start, start + whole)
    assert 1 <= len(found) <= 7
    inch = whole / timedelta(days=1) / (CONTENT_WIDTH * 0.86)
    ends = [(at / inch, text.partition("\n")[0]) for at, text in found.items()]
    for (at, text), (following, other) in pairwise(ends):
        assert following - at > (text_width(text, SMALL_SIZE) + text_width(other, SMALL_SIZE)) / 2
