"""Sentences as mrkdwn."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.actors import Automation, Person
from bot.domain.core.sentence import Channel, Code, Mention, Name, pack_sentence, say, unpack_sentence
from bot.slack.core.blocks import (
    code,
    cut_mrkdwn,
    escape,
    escape_and_cut,
    format_time,
    mention_actor,
    to_mrkdwn,
    unescape,
)


@given(st.text())
def test_escaped_text_has_no_slack_markup(text: str) -> None:
    assert not set("<>") & set(escape(text))


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"])))
def test_unescape_reverses_escape(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.text(), st.integers(min_value=1, max_value=60))
def test_cut_text_fits(text: str, most: int) -> None:
    assert len(escape_and_cut(text, most)) <= most


def test_cutting_splits_no_entity() -> None:
    assert escape_and_cut("&&&&", 12) == "&amp;&amp;…"


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("abc", 3, "abc"),
        ("ab &amp; cd", 7, "ab…"),
        ("ab <@U0BOB> cd", 8, "ab…"),
        ("ab <@U0BOB> cd", 12, "ab <@U0BOB>…"),
    ],
)
def test_cutting_leaves_no_half_entity_or_mention(text: str, most: int, kept: str) -> None:
    assert cut_mrkdwn(text, most).replace(" …", "…") == kept


@given(st.text())
def test_text_cannot_break_out_of_code(text: str) -> None:
    assert code(text).count("`") in {0, 2}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Name("churn"), "`churn`"),
        (Code("approve r4k7q"), "`approve r4k7q`"),
        (Mention("U0BOB"), "<@U0BOB>"),
        (Mention("S0LEADS"), "<!subteam^S0LEADS>"),
        ("<!channel>", "&lt;!channel&gt;"),
        (say("{n} & more", n=1), "1 & more"),
        (7, "7"),
    ],
)
def test_each_kind_of_value_has_its_format(value: object, shown: str) -> None:
    assert to_mrkdwn(say("{it}", it=value)) == shown


def test_a_time_is_shown_in_the_reader_s_time_zone() -> None:
    time = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
    assert format_time(time) == "<!date^1777897800^{date_short_pretty} {time}|2026-05-04 12:30 UTC>"


def test_a_person_is_mentioned_and_a_program_is_named() -> None:
    assert (mention_actor(Person("T1", "U0BOB")), mention_actor(Automation("clock"))) == ("<@U0BOB>", "`clock`")


@pytest.mark.parametrize("user", ["", "u0bob", "!channel", "U0BOB> <!here", "B0T"])
def test_an_invalid_slack_id_is_not_mentioned(user: str) -> None:
    for shown in (to_mrkdwn(say("{who}", who=Mention(user))), mention_actor(Person("T1", user))):
        assert not shown.startswith("<")


@pytest.mark.parametrize(
    ("channel", "shown"),
    [("#ml-models", "`#ml-models`"), ("C0MLMODELS", "<#C0MLMODELS>"), ("C<!here>", "`C&lt;!here&gt;`")],
)
def test_a_channel_is_shown_by_its_name(channel: str, shown: str) -> None:
    sentence = unpack_sentence(pack_sentence(say("Its channel is {channel}.", channel=Channel(channel))))
    assert to_mrkdwn(sentence) == f"Its channel is {shown}."
