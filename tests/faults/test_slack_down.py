"""Slack fails in its many ways: what must be said is said once, later if need be, and the log tells what could not."""

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

from bot.bootstrap import slack_client
from bot.domain.approvals import RequestState
from bot.domain.errors import SlackUnreachable
from bot.domain.events import Tag
from bot.domain.people import Person as SlackPerson
from bot.ports import Posting
from bot.registry.memory import MemoryRegistry
from bot.slack.directory import SlackDirectory
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
from tests.support.waiting import PATIENCE, wait_until

ASK = "/model promote churn 4 production"


@pytest.fixture
def clock() -> AdjustableClock:
    """The clock of the bot."""
    return AdjustableClock()


@pytest.fixture
def world(slack: LocalSlack, tmp_path: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """The whole bot, reached over HTTP."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, clock=clock) as world:
        yield world


def posting(world: RunningApp) -> Posting:
    """Wait until the bot knows where the newest request's card stands."""
    world.card()
    world.registrar.outbox.deliver(wait=10)  # whoever is at it has then written down where it stands
    with world.ledger.read() as reading:
        found = reading.posting(only_request(world.ledger).id)
    assert found is not None
    return found


def cards_in(world: RunningApp, channel: str = CHANNEL) -> list[dict[str, Any]]:
    """Return the messages of the channel that everybody sees."""
    return [message for message in world.bob.sees(channel) if not message["is_ephemeral"]]


# -- answers that get lost -------------------------------------------------------------------------------------------


def test_a_card_whose_answer_was_lost_is_posted_once(world: RunningApp, clock: AdjustableClock) -> None:
    world.slack.reset_after("chat.postMessage")
    world.alice.types(CHANNEL, ASK)
    tick(world, clock, until=lambda: is_all_told(world))
    assert posting(world).ts == cards_in(world)[0]["ts"]
    assert len(cards_in(world)) == 1


def test_news_whose_answer_was_lost_is_told_once(world: RunningApp, clock: AdjustableClock) -> None:
    world.alice.types(CHANNEL, ASK)
    card = world.card()
    posting(world)
    world.slack.reset_after("chat.postMessage", times=3)
    world.bob.clicks(card, "Approve")
    tick(world, clock, until=lambda: "is in Production" in str(cards_in(world)) and is_all_told(world))
    told = [message_text(answer) for answer in world.bob.thread(card)]
    assert len(told) == len(set(told))
    assert len(world.alice.direct_messages()) == 1


def test_a_card_that_never_reached_slack_is_posted_later(world: RunningApp, clock: AdjustableClock) -> None:
    world.slack.reset_before("chat.postMessage", times=2)
    world.alice.types(CHANNEL, ASK)
    tick(world, clock, until=lambda: cards_in(world))
    assert len(cards_in(world)) == 1


def test_an_edit_whose_answer_was_lost_is_made_again(world: RunningApp, clock: AdjustableClock) -> None:
    world.alice.types(CHANNEL, ASK)
    card = world.card()
    world.slack.reset_before("chat.update", times=2)
    world.bob.clicks(card, "Approve")
    tick(world, clock, until=lambda: "is in Production" in str(cards_in(world)))
    assert [one["ts"] for one in cards_in(world)] == [card["ts"]]


def test_errors_of_slacks_own_are_waited_out(world: RunningApp, clock: AdjustableClock) -> None:
    world.slack.server_error("chat.postMessage")
    world.slack.fail("chat.postMessage", "internal_error")
    world.alice.types(CHANNEL, ASK)
    tick(world, clock, until=lambda: cards_in(world))
    assert len(cards_in(world)) == 1


def test_too_many_requests_are_repeated_when_slack_says_so_and_not_before(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as world:
        slack.rate_limit("chat.postMessage", retry_after=2)
        world.alice.types(CHANNEL, ASK)
        world.card()
        first, second = (call["at"] for call in slack.calls("chat.postMessage"))
        assert 2 <= second - first < PATIENCE
        assert len(cards_in(world)) == 1


def tick(world: RunningApp, clock: AdjustableClock, *, until: Callable[[], object]) -> None:
    """Let minutes pass and the outbox work, until something is so."""

    def passes() -> object:
        clock.turn(timedelta(minutes=1))
        world.registrar.outbox.deliver(wait=10)
        return until()

    world.slack.wait_for(lambda: the_requests(world) and passes(), timeout=PATIENCE)


def the_requests(world: RunningApp) -> int:
    """Return how many requests there are."""
    with world.ledger.read() as reading:
        return len(reading.requests())


def is_all_told(world: RunningApp) -> bool:
    """Tell whether the outbox is empty."""
    with world.ledger.read() as reading:
        return not reading.due_notes(world.registrar.context.clock.now() + timedelta(days=1))


# -- what this Slack does not have -----------------------------------------------------------------------------------


def test_without_users_info_the_bot_goes_by_listed_ids_and_says_so(
    slack: LocalSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slack.remove_method("users.info")
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as world:
        world.alice.types(CHANNEL, ASK)
        world.bob.clicks(world.card(), "Approve")
        world.card(holds="is in Production")
    assert "does not tell who people are" in caplog.text


def test_without_user_groups_nobody_is_in_one_and_the_log_says_so(
    slack: LocalSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slack.remove_method("usergroups.list")
    slack.remove_method("usergroups.users.list")
    policy = make_policy({"roles": {"lead": ["S0LEADS"]}})
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, policy=policy) as world:
        world.alice.types(CHANNEL, ASK)
        world.bob.clicks(world.card(), "Approve")
        assert "not among those who may decide" in world.answer(world.bob, "decide")
        assert world.production() == [3]
    assert "has no user group S0LEADS" in caplog.text


def test_without_history_the_bot_posts_again_and_says_that_it_may_appear_twice(
    world: RunningApp, clock: AdjustableClock, caplog: pytest.LogCaptureFixture
) -> None:
    world.slack.remove_method("conversations.history")
    world.slack.reset_before("chat.postMessage")
    world.alice.types(CHANNEL, ASK)
    tick(world, clock, until=lambda: cards_in(world))
    assert "it may appear twice" in caplog.text


def test_without_edits_the_thread_tells_it_and_a_late_click_hears_that_it_is_decided(
    world: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    world.slack.remove_method("chat.update")
    world.alice.types(CHANNEL, ASK)
    card = world.card()
    world.bob.clicks(card, "Approve")
    world.slack.wait_for(lambda: any("Done" in message_text(each) for each in world.bob.thread(card)))
    carol = world.slack.person("carol")
    assert "<@U0BOB>" in reply_to(carol, lambda: carol.clicks(card, "Approve"))
    assert "Slack will never take card:" in caplog.text


def test_without_forms_people_are_told_to_type(world: RunningApp) -> None:
    world.slack.remove_method("views.open")
    assert "type it in full" in type_and_read_reply(world.alice, "/model promote")


@pytest.mark.parametrize("response_url", ["", "hooks/commands/T0LOCAL/0/none"])
def test_without_ephemeral_messages_people_are_told_directly(world: RunningApp, response_url: str) -> None:
    world.slack.remove_method("chat.postEphemeral")
    payload = command(ALICE, "show chrun") | {"response_url": response_url and world.slack.url + response_url}
    assert signed_client(world).send(payload).status_code == 200
    assert "Did you mean `churn`?" in message_text(world.alice.waits_for_direct_message())


def test_an_answer_that_its_response_url_refuses_is_given_in_the_channel(world: RunningApp) -> None:
    payload = command(ALICE, "show chrun") | {"response_url": f"{world.slack.url}hooks/commands/T0LOCAL/0/none"}
    signed_client(world).send(payload)
    assert "Did you mean `churn`?" in world.answer(world.alice, "Did you mean")


def test_with_no_way_left_to_answer_a_decision_is_made_all_the_same(
    world: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    world.alice.types(CHANNEL, ASK)
    world.card()
    for method in ("chat.postEphemeral", "chat.postMessage", "conversations.open"):
        world.slack.remove_method(method)
    signed_client(world).send(click(BOB, only_request(world.ledger).id))
    world.card(holds="is in Production")
    wait_until(lambda: "no way to answer U0BOB" in caplog.text)


def test_an_account_that_slack_cannot_tell_of_changes_nothing(world: RunningApp) -> None:
    before = take_snapshot(world)
    world.slack.reset_before("users.info", times=None)
    assert "nothing was changed" in type_and_read_reply(world.alice, ASK)
    assert take_snapshot(world) == before


def test_an_account_that_slack_is_slow_to_tell_of_is_given_up_in_time(slack: LocalSlack, tmp_path: Path) -> None:
    client = slack_client(settings_for(slack, tmp_path), timeout=2)  # as `build_for_slack` has it
    directory = SlackDirectory(client, slack.team_id, frozenset)
    slack.slow("users.info", PATIENCE)
    began = time.monotonic()
    with pytest.raises(SlackUnreachable):
        directory.profile(SlackPerson(slack.team_id, "U0ALICE"))
    assert time.monotonic() - began < PATIENCE / 2  # and not the minute that Slack takes


# -- the channel -----------------------------------------------------------------------------------------------------


def test_who_asks_is_told_to_invite_the_bot_and_the_card_comes_after_it(
    slack: LocalSlack, tmp_path: Path, clock: AdjustableClock
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice", "bob"])
    policy = make_policy({"channel": "#secret"})
    with running_app(slack, tmp_path, MemoryRegistry(), http=True, policy=policy, clock=clock) as world:
        answer = type_and_read_reply(world.alice, ASK)
        assert "/invite" in answer
        assert "#secret" in answer
        slack.set_members("secret", ["alice", "bob", "bot"])
        clock.turn(timedelta(seconds=30))
        world.bob.clicks(world.card("secret"), "Approve")
        world.card("secret", holds="is in Production")
        assert len(cards_in(world, "secret")) == 1


def test_a_card_that_somebody_deleted_is_posted_anew_at_the_next_change(world: RunningApp) -> None:
    world.alice.types(CHANNEL, ASK)
    world.card()
    where = posting(world)
    WebClient(world.slack.bot_token, base_url=world.slack.api_url).chat_delete(channel=where.channel, ts=where.ts)
    world.bob.types(CHANNEL, f"/model approve {only_request(world.ledger).id}")
    world.card(holds="is in Production")
    assert len(cards_in(world)) == 1


def test_an_archived_channel_stops_no_decision(world: RunningApp) -> None:
    world.alice.types(CHANNEL, ASK)
    world.card()
    world.slack.archive("ml-models")
    world.bob.types("general", f"/model approve {only_request(world.ledger).id}")
    wait_until(lambda: only_request(world.ledger).state is RequestState.DONE)
    assert "Done" in message_text(world.alice.waits_for_direct_message())


# -- what Slack refuses for good ---------------------------------------------------------------------------------------


def test_the_requester_and_an_admin_are_told_the_code_when_slack_refuses_a_card(world: RunningApp) -> None:
    world.slack.limit_posting(CHANNEL, "admins")
    answer = type_and_read_reply(world.alice, ASK)
    assert "Slack refused the card for `churn`" in answer
    assert "(`restricted_action`)" in answer
    assert "/invite" not in answer
    told = [message_text(world.slack.person(name).waits_for_direct_message()) for name in ("alice", "dave")]
    assert ["restricted_action" in text for text in told] == [True, True]
    assert "Only some people can post there" in told[1]


def test_a_request_whose_card_slack_refused_is_decided_and_the_next_change_posts_it(world: RunningApp) -> None:
    world.slack.limit_posting(CHANNEL, "admins")
    type_and_read_reply(world.alice, ASK)
    wait_until(lambda: is_all_told(world))
    world.slack.limit_posting(CHANNEL, "everyone")
    world.bob.types(CHANNEL, f"/model approve {only_request(world.ledger).id}")
    world.card(holds="is in Production")
    wait_until(lambda: is_all_told(world))


def test_a_card_that_slack_finds_too_long_is_posted_shorter_and_can_be_approved(
    world: RunningApp, clock: AdjustableClock
) -> None:
    world.slack.fail("chat.postMessage", "msg_blocks_too_long")
    world.alice.types(CHANNEL, ASK)
    tick(world, clock, until=lambda: cards_in(world))
    [card] = cards_in(world)
    assert "Details: `/model show churn 4`" in message_text(card)
    assert world.bob.clicks(card, "Approve").acked
    tick(world, clock, until=lambda: "is in Production" in str(cards_in(world)))


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
def test_nothing_waits_behind_what_slack_refuses_permanently(
    world: RunningApp, clock: AdjustableClock, code: str
) -> None:
    world.slack.fail("chat.postMessage", code, times=None)
    world.alice.types(CHANNEL, ASK)
    tick(world, clock, until=lambda: is_all_told(world))
    world.slack.heal()
    world.bob.types(CHANNEL, f"/model approve {only_request(world.ledger).id}")
    tick(world, clock, until=lambda: "is in Production" in str(cards_in(world)) and is_all_told(world))


# -- Socket Mode -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["graceful", "abrupt"])
def test_after_a_disconnection_commands_and_clicks_work_again(slack: LocalSlack, tmp_path: Path, how: str) -> None:
    with running_app(slack, tmp_path, MemoryRegistry()) as world:
        world.alice.types(CHANNEL, ASK)
        card = world.card()
        assert slack.disconnect_sockets(how) == 1
        slack.wait_for(lambda: world.alice.types(CHANNEL, "/model help").acked, timeout=PATIENCE)
        assert world.bob.clicks(card, "Approve").acked
        world.card(holds="is in Production")
        assert len(audit_links(world.ledger, Tag.VOTED)) == 1


def test_who_stops_while_a_reconnection_is_under_way_leaves_no_connection(
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
