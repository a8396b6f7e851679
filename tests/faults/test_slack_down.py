"""Slack's many failures: each message is posted once, later if necessary, and failures are logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.connection import Connection

from bot.bootstrap.slack import slack_client
from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Person as SlackPerson
from bot.domain.core.errors import SlackUnreachable
from bot.domain.promotions.request import RequestState
from bot.ports import MessageRef
from bot.slack.core.directory import SlackDirectory
from localslack import LocalSlack
from tests.support.app.app_fixture import (
    CHANNEL,
    AdjustableClock,
    RunningApp,
    make_policy,
    message_text,
    running_app,
    settings_for,
)
from tests.support.app.harness import (
    ALICE,
    BOB,
    audit_links,
    click,
    command,
    only_request,
    reply_to,
    signed_client,
    take_snapshot,
    type_and_read_reply,
)
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import PATIENCE, wait_until

ASK = "/model promote churn 4 production"


@pytest.fixture
def clock() -> AdjustableClock:
    """The clock of the bot."""
    return AdjustableClock()


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """The whole bot, reached over HTTP."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, clock=clock) as app:
        yield app


def posting(app: RunningApp) -> MessageRef:
    """Wait until the bot knows where the newest request's card is posted."""
    app.card()
    app.registrar.outbox.deliver(patience=10)  # by then, its position has been recorded
    with app.ledger.read() as reading:
        found = reading.message_ref(only_request(app.ledger).id)
    assert found is not None
    return found


def cards_in(app: RunningApp, channel: str = CHANNEL) -> list[dict[str, Any]]:
    """Return the channel's public messages."""
    return [message for message in app.bob.sees(channel) if not message["is_ephemeral"]]


# -- lost responses --------------------------------------------------------------------------------------------------


def test_a_card_whose_response_was_lost_is_posted_once(app: RunningApp, clock: AdjustableClock) -> None:
    app.slack.reset_after("chat.postMessage")
    app.alice.types(CHANNEL, ASK)
    tick(app, clock, until=lambda: is_all_told(app))
    assert posting(app).ts == cards_in(app)[0]["ts"]
    assert len(cards_in(app)) == 1


def test_a_direct_message_whose_response_was_lost_is_posted_once(app: RunningApp, clock: AdjustableClock) -> None:
    app.alice.types(CHANNEL, ASK)
    card = app.card()
    posting(app)
    app.slack.reset_after("chat.postMessage", times=3)
    app.bob.clicks(card, "Approve")
    tick(app, clock, until=lambda: "is in Production" in str(cards_in(app)) and is_all_told(app))
    assert len(app.alice.direct_messages()) == 1


def test_a_card_that_never_reached_slack_is_posted_later(app: RunningApp, clock: AdjustableClock) -> None:
    app.slack.reset_before("chat.postMessage", times=2)
    app.alice.types(CHANNEL, ASK)
    tick(app, clock, until=lambda: cards_in(app))
    assert len(cards_in(app)) == 1


def test_an_edit_whose_response_was_lost_is_repeated(app: RunningApp, clock: AdjustableClock) -> None:
    app.alice.types(CHANNEL, ASK)
    card = app.card()
    app.slack.reset_before("chat.update", times=2)
    app.bob.clicks(card, "Approve")
    tick(app, clock, until=lambda: "is in Production" in str(cards_in(app)))
    assert [one["ts"] for one in cards_in(app)] == [card["ts"]]


def test_slack_s_server_errors_are_retried(app: RunningApp, clock: AdjustableClock) -> None:
    app.slack.server_error("chat.postMessage")
    app.slack.fail("chat.postMessage", "internal_error")
    app.alice.types(CHANNEL, ASK)
    tick(app, clock, until=lambda: cards_in(app))
    assert len(cards_in(app)) == 1


def test_rate_limited_calls_are_retried_when_slack_says_so(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        slack.rate_limit("chat.postMessage", retry_after=2)
        app.alice.types(CHANNEL, ASK)
        app.card()
        first, second = (call["at"] for call in slack.calls("chat.postMessage"))
        assert 2 <= second - first < PATIENCE
        assert len(cards_in(app)) == 1


def tick(app: RunningApp, clock: AdjustableClock, *, until: Callable[[], object]) -> None:
    """Advance the clock and run the outbox until a condition is true."""

    def passes() -> object:
        clock.advance(timedelta(minutes=1))
        app.registrar.outbox.deliver(patience=10)
        return until()

    app.slack.wait_for(lambda: the_requests(app) and passes(), timeout=PATIENCE)


def the_requests(app: RunningApp) -> int:
    """Return the number of requests."""
    with app.ledger.read() as reading:
        return len(reading.requests())


def is_all_told(app: RunningApp) -> bool:
    """Return whether the outbox is empty."""
    with app.ledger.read() as reading:
        return not reading.due_messages(app.registrar.context.clock.now() + timedelta(days=1))


# -- missing methods -------------------------------------------------------------------------------------------------


def test_without_users_info_the_bot_uses_listed_ids_and_logs_that(
    slack: LocalSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slack.remove_method("users.info")
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        app.alice.types(CHANNEL, ASK)
        app.bob.clicks(app.card(), "Approve")
        app.card(holds="is in Production")
    assert "can't look up users" in caplog.text


def test_without_user_groups_no_one_is_in_one_and_the_log_says_so(
    slack: LocalSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slack.remove_method("usergroups.list")
    slack.remove_method("usergroups.users.list")
    policy = make_policy({"roles": {"lead": ["S0LEADS"]}})
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, policy=policy) as app:
        app.alice.types(CHANNEL, ASK)
        app.bob.clicks(app.card(), "Approve")
        assert "Only approvers can decide" in app.answer(app.bob, "decide")
        assert app.production() == [3]
    assert "can't list the user group S0LEADS" in caplog.text


def test_without_history_the_bot_posts_again_and_says_that_it_may_appear_twice(
    app: RunningApp, clock: AdjustableClock, caplog: pytest.LogCaptureFixture
) -> None:
    app.slack.remove_method("conversations.history")
    app.slack.reset_before("chat.postMessage")
    app.alice.types(CHANNEL, ASK)
    tick(app, clock, until=lambda: cards_in(app))
    assert "it might appear twice" in caplog.text


def test_without_edits_the_requester_gets_the_outcome_and_a_late_click_is_refused(
    app: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    app.slack.remove_method("chat.update")
    app.alice.types(CHANNEL, ASK)
    card = app.card()
    app.bob.clicks(card, "Approve")
    app.alice.waits_for_direct_message(lambda message: "Done" in message_text(message))
    carol = app.slack.person("carol")
    assert "<@U0BOB>" in reply_to(carol, lambda: carol.clicks(card, "Approve"))
    assert "Slack permanently rejected card:" in caplog.text


def test_without_forms_people_are_told_to_type(app: RunningApp) -> None:
    app.slack.remove_method("views.open")
    assert "Type the command in full" in type_and_read_reply(app.alice, "/model promote")


@pytest.mark.parametrize("response_url", ["", "hooks/commands/T0LOCAL/0/none"])
def test_without_ephemeral_messages_people_are_told_directly(app: RunningApp, response_url: str) -> None:
    app.slack.remove_method("chat.postEphemeral")
    payload = command(ALICE, "show chrun") | {"response_url": response_url and app.slack.url + response_url}
    assert signed_client(app).send(payload).status_code == 200
    assert "Did you mean `churn`?" in message_text(app.alice.waits_for_direct_message())


def test_an_answer_that_its_response_url_refuses_goes_to_the_channel(app: RunningApp) -> None:
    payload = command(ALICE, "show chrun") | {"response_url": f"{app.slack.url}hooks/commands/T0LOCAL/0/none"}
    signed_client(app).send(payload)
    assert "Did you mean `churn`?" in app.answer(app.alice, "Did you mean")


def test_a_decision_counts_even_if_it_cannot_be_answered(app: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    app.alice.types(CHANNEL, ASK)
    app.card()
    for method in ("chat.postEphemeral", "chat.postMessage", "conversations.open"):
        app.slack.remove_method(method)
    signed_client(app).send(click(BOB, only_request(app.ledger).id))
    app.card(holds="is in Production")
    wait_until(lambda: "can't send an answer to U0BOB" in caplog.text)
    assert app.production() == [4]


def test_an_unverifiable_account_changes_nothing(app: RunningApp) -> None:
    before = take_snapshot(app)
    app.slack.reset_before("users.info", times=None)
    assert "Nothing changed" in type_and_read_reply(app.alice, ASK)
    assert take_snapshot(app) == before


def test_a_slow_account_lookup_times_out(slack: LocalSlack, tmp_path: Path) -> None:
    client = slack_client(settings_for(slack, tmp_path), timeout=2)  # as `build_for_slack` has it
    directory = SlackDirectory(client, slack.team_id, frozenset)
    slack.slow("users.info", PATIENCE)
    began = time.monotonic()
    with pytest.raises(SlackUnreachable):
        directory.profile(SlackPerson(slack.team_id, "U0ALICE"))
    assert time.monotonic() - began < PATIENCE / 2  # instead of the minute that Slack takes


# -- the channel -----------------------------------------------------------------------------------------------------


def test_the_requester_is_asked_to_invite_the_bot_and_then_the_card_is_posted(
    slack: LocalSlack, tmp_path: Path, clock: AdjustableClock
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice", "bob"])
    policy = make_policy({"channel": "#secret"})
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, policy=policy, clock=clock) as app:
        answer = type_and_read_reply(app.alice, ASK)
        assert "/invite" in answer
        assert "#secret" in answer
        slack.set_members("secret", ["alice", "bob", "bot"])
        clock.advance(timedelta(seconds=30))
        app.bob.clicks(app.card("secret"), "Approve")
        app.card("secret", holds="is in Production")
        assert len(cards_in(app, "secret")) == 1


def test_a_deleted_card_is_posted_again_at_the_next_change(app: RunningApp) -> None:
    app.alice.types(CHANNEL, ASK)
    app.card()
    where = posting(app)
    WebClient(app.slack.bot_token, base_url=app.slack.api_url).chat_delete(channel=where.channel, ts=where.ts)
    app.bob.types(CHANNEL, f"/model approve {only_request(app.ledger).id}")
    app.card(holds="is in Production")
    assert len(cards_in(app)) == 1


def test_an_archived_channel_does_not_prevent_decisions(app: RunningApp) -> None:
    app.alice.types(CHANNEL, ASK)
    app.card()
    app.slack.archive("ml-models")
    app.bob.types("general", f"/model approve {only_request(app.ledger).id}")
    wait_until(lambda: only_request(app.ledger).state is RequestState.DONE)
    assert "Done" in message_text(app.alice.waits_for_direct_message())


# -- permanent refusals ------------------------------------------------------------------------------------------------


def test_the_requester_and_an_admin_are_told_the_code_when_slack_refuses_a_card(app: RunningApp) -> None:
    app.slack.limit_posting(CHANNEL, "admins")
    answer = type_and_read_reply(app.alice, ASK)
    assert "Slack rejected the card for `churn`" in answer
    assert "(`restricted_action`)" in answer
    assert "/invite" not in answer
    told = [message_text(app.slack.person(name).waits_for_direct_message()) for name in ("alice", "dave")]
    assert ["restricted_action" in text for text in told] == [True, True]
    assert "Only some people can post there" in told[1]


def test_a_request_whose_card_slack_refused_is_decided_and_the_next_change_posts_it(app: RunningApp) -> None:
    app.slack.limit_posting(CHANNEL, "admins")
    type_and_read_reply(app.alice, ASK)
    wait_until(lambda: is_all_told(app))
    app.slack.limit_posting(CHANNEL, "everyone")
    app.bob.types(CHANNEL, f"/model approve {only_request(app.ledger).id}")
    app.card(holds="is in Production")
    wait_until(lambda: is_all_told(app))
    assert app.production() == [4]
    assert len(cards_in(app)) == 1


def test_a_card_too_long_for_slack_is_shortened_and_can_be_approved(app: RunningApp, clock: AdjustableClock) -> None:
    app.slack.fail("chat.postMessage", "msg_blocks_too_long")
    app.alice.types(CHANNEL, ASK)
    tick(app, clock, until=lambda: cards_in(app))
    [card] = cards_in(app)
    assert "Details: `/model show churn 4`" in message_text(card)
    assert app.bob.clicks(card, "Approve").acked
    tick(app, clock, until=lambda: "is in Production" in str(cards_in(app)))


@pytest.mark.parametrize(
    "code",
    [
        "msg_blocks_too_long",
        "restricted_action",
        "cannot_reply_to_message",
        "message_limit_exceeded",
        "invalid_metadata_format",
    ],
)
def test_a_permanently_refused_message_does_not_block_others(
    app: RunningApp, clock: AdjustableClock, code: str
) -> None:
    app.slack.fail("chat.postMessage", code, times=None)
    app.alice.types(CHANNEL, ASK)
    tick(app, clock, until=lambda: is_all_told(app))
    app.slack.heal()
    app.bob.types(CHANNEL, f"/model approve {only_request(app.ledger).id}")
    tick(app, clock, until=lambda: "is in Production" in str(cards_in(app)) and is_all_told(app))
    assert app.production() == [4]


# -- Socket Mode -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["graceful", "abrupt"])
def test_commands_and_clicks_work_after_a_disconnection(slack: LocalSlack, tmp_path: Path, how: str) -> None:
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        app.alice.types(CHANNEL, ASK)
        card = app.card()
        assert slack.disconnect_sockets(how) == 1
        slack.wait_for(lambda: app.alice.types(CHANNEL, "/model help").acked, timeout=PATIENCE)
        assert app.bob.clicks(card, "Approve").acked
        app.card(holds="is in Production")
        assert len(audit_links(app.ledger, EventTag.VOTED)) == 1


def test_a_replaced_connection_is_read_until_slack_closes_it(slack: LocalSlack, tmp_path: Path) -> None:
    before = slack.status()["connections_so_far"]
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        for last in (before + 1, before + 2):
            slack.disconnect_sockets("graceful")
            assert all(app.alice.types(CHANNEL, "/model help").acked for _ in range(10))
            assert slack.wait_for(lambda: slack.status()["connections_so_far"] > last, timeout=PATIENCE)  # noqa: B023
        assert slack.wait_for(lambda: slack.status()["connections"] == 1, timeout=PATIENCE)
        # A connection that's already being replaced isn't replaced again.
        assert slack.status()["connections_so_far"] == before + 3
    assert slack.wait_for(lambda: slack.status()["connections"] == 0)


def test_stopping_during_a_reconnection_leaves_no_connection(
    slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, close = Connection.connect, SocketModeClient.close
    is_under_way, is_closing = Event(), Event()

    def slowly(connection: Connection) -> None:
        connect(connection)
        is_under_way.set()
        is_closing.wait(30)

    def closing(client: SocketModeClient) -> None:
        is_closing.set()
        close(client)

    with running_app(slack, tmp_path, MemoryRegistry()):
        monkeypatch.setattr(Connection, "connect", slowly)
        monkeypatch.setattr(SocketModeClient, "close", closing)
        slack.disconnect_sockets("graceful")
        assert is_under_way.wait(30)
    slack.wait_for(lambda: slack.status()["connections"] == 0)
