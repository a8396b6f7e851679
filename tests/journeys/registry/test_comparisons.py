"""Comparisons end to end: the answer is private, with its chart in direct messages, and a button shares both."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journeys.registry.measured_models import add_big_model, announced
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text
from tests.support.app.harness import BOB, click, reply_to, signed_client
from tests.support.slack.message_parts import table_texts

SUMMARY = "`v4` beats Production `v3`: `f1` 0.010 higher (+1.2%); worse: `latency_ms` 1 ms higher (+2.3%)."
UPLOAD = "files.getUploadURLExternal"


def pointer(app: RunningApp, channel: str = CHANNEL, holds: str = "") -> dict[str, Any]:
    """Wait for what Alice gets in the channel, where no one else sees it."""
    return app.alice.waits_for(
        channel, lambda m: m.get("is_ephemeral") and "a direct message" in message_text(m) and holds in message_text(m)
    )


def direct_answer(app: RunningApp) -> dict[str, Any]:
    return app.alice.waits_for_direct_message(lambda m: "beats" in message_text(m))


def direct_files(app: RunningApp) -> list[dict[str, Any]]:
    return [file for message in app.alice.direct_messages() for file in message.get("files") or []]


def shared(app: RunningApp, model: str = "churn") -> dict[str, Any]:
    """Compare a model, share the answer, and return the message in the channel."""
    app.alice.types(CHANNEL, f"/model compare {model}")
    app.alice.clicks(pointer(app), "Share to channel")
    return app.bob.waits_for(CHANNEL, lambda m: "Shared by <@U0ALICE>" in message_text(m))


def files_in_thread(app: RunningApp, message: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for reply in app.bob.thread(message) for file in app.bob.files(reply)]


def table_of(message: dict[str, Any]) -> list[list[str]]:
    return table_texts(message["blocks"])


# -- the private answer ------------------------------------------------------------------------------------------------


def test_the_answer_and_its_chart_go_to_direct_messages(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model compare churn")
    answer = direct_answer(measured)
    assert SUMMARY in message_text(answer)
    assert table_of(answer) == [
        ["Version", "latency_ms", "f1"],
        ["v4", "44 ms +2.3%", "*0.840 +1.2%*"],
        ["v3 ◆", "43 ms", "0.830"],
        ["v2", "42 ms −2.3%", "0.820 −1.2%"],
        ["v1", "*41 ms −4.7%*", "0.810 −2.4%"],
    ]
    [picture] = measured.slack.wait_for(lambda: direct_files(measured))
    assert measured.alice.downloads(picture).startswith(b"\x89PNG")


def test_in_the_channel_only_the_asker_gets_the_summary_with_a_link(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model compare churn")
    told = pointer(measured)
    assert SUMMARY in message_text(told)
    assert [block["type"] for block in told["blocks"]] == ["section", "context", "actions"]
    assert f"p{direct_answer(measured)['ts'].replace('.', '')}|a direct message>" in message_text(told)
    assert "beats" not in str(measured.bob.sees(CHANNEL))


def test_in_direct_messages_the_answer_is_sent_once_and_not_offered_for_sharing(measured: RunningApp) -> None:
    measured.alice.types(str(measured.slack.query("direct", user="alice")["channel"]), "/model compare churn")
    measured.slack.wait_for(lambda: direct_files(measured))
    assert len([one for one in measured.alice.direct_messages() if "beats" in message_text(one)]) == 1
    assert "Share to channel" not in str(measured.alice.direct_messages())


@pytest.mark.parametrize("error", ["missing_scope", "fatal_error"])
def test_if_direct_messages_fail_the_whole_answer_is_shown_where_it_was_asked(measured: RunningApp, error: str) -> None:
    measured.slack.fail("chat.postMessage", error)
    measured.alice.types(CHANNEL, "/model compare churn")
    told = measured.alice.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and "beats" in message_text(m))
    assert [block["type"] for block in told["blocks"]] == ["section", "table", "context", "actions"]
    assert "a direct message" not in message_text(told)


@pytest.mark.parametrize("method", ["chat.getPermalink", UPLOAD, "files.completeUploadExternal"])
def test_the_rest_of_the_answer_is_sent_if_slack_rejects_a_link_or_a_file(measured: RunningApp, method: str) -> None:
    measured.slack.fail(method, "internal_error")
    measured.alice.types(CHANNEL, "/model compare churn")
    assert SUMMARY in message_text(direct_answer(measured))
    assert SUMMARY in message_text(pointer(measured))


def test_a_rate_limited_answer_is_sent_later(measured: RunningApp) -> None:
    measured.slack.rate_limit("chat.postMessage", retry_after=1)
    measured.alice.types(CHANNEL, "/model compare churn 4")
    assert SUMMARY in message_text(direct_answer(measured))
    assert [call["error"] for call in measured.slack.calls("chat.postMessage")] == ["ratelimited", None]


def test_versions_that_do_not_fit_the_table_come_as_csv(measured: RunningApp) -> None:
    add_big_model(measured)
    measured.alice.types(CHANNEL, "/model compare big")
    [csv_file] = measured.slack.wait_for(lambda: direct_files(measured)[1:])
    assert len(measured.alice.downloads(csv_file).decode().splitlines()) == 121


def test_if_slack_rejects_the_csv_no_message_mentions_it_except_to_suggest_a_command(measured: RunningApp) -> None:
    add_big_model(measured)
    measured.slack.fail(UPLOAD, "missing_scope", times=None)
    measured.alice.types(CHANNEL, "/model compare big")
    line = measured.answer(measured.alice, "Slack rejected the CSV")
    assert "name them: `/model compare big 1 --metrics f1`" in line
    seen = [*measured.alice.direct_messages(), *measured.alice.sees(CHANNEL)]
    assert [m for m in seen if "CSV" in message_text(m) and "Slack rejected" not in message_text(m)] == []


def test_a_new_version_is_compared_privately(measured: RunningApp) -> None:
    notice = announced(measured)
    measured.alice.clicks(notice, "Compare with Production")
    assert "`v5` beats Production `v3`" in message_text(pointer(measured))
    assert len(measured.alice.thread(notice)) == 1


def test_only_an_admin_hears_once_that_files_cannot_be_attached(measured: RunningApp) -> None:
    measured.slack.fail(UPLOAD, "missing_scope", times=None)
    for version in ("v4", "v2"):
        measured.alice.types(CHANNEL, f"/model compare churn {version}")
        pointer(measured, holds=f"`{version}`")
    told = measured.slack.person("dave").waits_for_direct_message()
    assert "missing scopes that I need: `files:write`" in message_text(told)
    measured.slack.wait_for(lambda: len(measured.slack.calls(UPLOAD)) == 2)
    measured.registrar.outbox.deliver(patience=5)
    posted = [one["args"] for one in measured.slack.calls("chat.postMessage")]
    assert [one["channel"] for one in posted if "files:write" in str(one)] == ["U0DAVE"]


# -- sharing -----------------------------------------------------------------------------------------------------------


def test_share_posts_the_answer_with_its_chart_in_the_thread(measured: RunningApp) -> None:
    message = shared(measured)
    assert SUMMARY in message_text(message)
    assert len(table_of(message)) == 5
    [picture] = measured.slack.wait_for(lambda: files_in_thread(measured, message))
    assert measured.bob.downloads(picture).startswith(b"\x89PNG")


def test_share_posts_the_csv_of_a_long_table_in_the_thread(measured: RunningApp) -> None:
    add_big_model(measured)
    message = shared(measured, "big")
    [csv_file] = measured.slack.wait_for(lambda: files_in_thread(measured, message)[1:])
    assert csv_file["name"] == "big-versions.csv"


def test_share_posts_the_versions_that_were_compared_even_if_there_is_a_newer_one(measured: RunningApp) -> None:
    measured.alice.types(CHANNEL, "/model compare churn latest")
    told = pointer(measured)
    announced(measured)
    measured.alice.clicks(told, "Share to channel")
    message = measured.bob.waits_for(CHANNEL, lambda m: "Shared by" in message_text(m))
    assert [row[0] for row in table_of(message)] == ["Version", "v4", "v3 ◆"]


INCOMPLETE = dict.fromkeys(("{}", '{"verb": "compare"}'), "`--model`: Field required.")
OTHERS = dict.fromkeys(("", "[1]", "compare churn", '{"verb": "list"}', "[" * 1999), "I can't share this answer.")


@pytest.mark.parametrize(("value", "why"), [*INCOMPLETE.items(), *OTHERS.items()])
def test_a_forged_button_shares_nothing_and_says_why(measured: RunningApp, value: str, why: str) -> None:
    told = reply_to(measured.bob, lambda: signed_client(measured).send(click(BOB, value, "share")))
    assert why in told
    assert "Shared by" not in str(measured.bob.sees(CHANNEL))


def test_in_a_channel_without_the_bot_sharing_asks_for_an_invitation(measured: RunningApp) -> None:
    measured.slack.add_channel("C0ELSE", "elsewhere", members=["U0ALICE"], is_private=True)
    measured.alice.types("C0ELSE", "/model compare churn 4")
    measured.alice.clicks(pointer(measured, "C0ELSE"), "Share to channel")
    assert "`/invite @registrar`" in measured.answer(measured.alice, "can't post here", "C0ELSE")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("restricted_action", "Slack won't let me post here (`restricted_action`)"),
        ("msg_blocks_too_long", "Slack rejected the message (`msg_blocks_too_long`)."),
        ("fatal_error", "Slack rejected the message (`fatal_error`). Try again."),
    ],
)
def test_if_sharing_fails_the_code_is_shown_and_a_retry_suggested_only_if_it_can_help(
    measured: RunningApp, error: str, told: str
) -> None:
    measured.alice.types(CHANNEL, "/model compare churn 4")
    private = pointer(measured)
    measured.slack.fail("chat.postMessage", error)
    measured.alice.clicks(private, "Share to channel")
    answer = measured.answer(measured.alice, error)
    assert told in answer
    assert ("Try again" in answer) is ("Try again" in told)


def test_a_channel_without_the_bot_gets_one_invitation_hint_for_files(measured: RunningApp) -> None:
    measured.slack.add_channel("C0OPEN", "open", members=["U0ALICE", "U0BOB"])
    for version in ("v4", "v2"):
        measured.alice.types("C0OPEN", f"/model compare churn {version}")
        measured.alice.clicks(pointer(measured, "C0OPEN", f"`{version}`"), "Share to channel")
        measured.card("C0OPEN", holds=f"`{version}`")
    measured.slack.wait_for(lambda: len(measured.slack.calls("files.completeUploadExternal")) == 4)
    assert str(measured.alice.sees("C0OPEN")).count("can't attach charts and files. To get them") == 2  # text and block


def test_sharing_counts_as_another_comparison(measured: RunningApp) -> None:
    measured.registrar.context.active_policy.replace(make_policy({"quotas": {"comparisons": 1}}), "")
    measured.alice.types(CHANNEL, "/model compare churn")
    measured.alice.clicks(pointer(measured), "Share to channel")
    assert measured.answer(measured.alice, "You've reached the limit of 1 comparison an hour")
