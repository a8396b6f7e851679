"""What people can see and do."""

from __future__ import annotations

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack, RefusedError, WorkspaceMember, connect
from tests.localslack.block_builders import actions, button, plain


def test_only_one_person_sees_an_ephemeral_message(
    client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="psst")
    assert alice.sees("#churn")[0]["is_ephemeral"]
    assert bob.sees("#churn") == []


def test_someone_else_s_ephemeral_message_can_t_be_clicked(
    client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    blocks = [actions(button("Go", "go"))]
    client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="psst", blocks=blocks)
    message = alice.sees("#churn")[0]
    with pytest.raises(RefusedError, match="message_not_found"):
        bob.clicks(message, "Go")


def test_replies_are_in_the_thread_and_not_in_the_channel(alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    question = alice.types("#churn", "question").message
    assert question is not None
    bob.types("#churn", "answer", thread=question)
    assert [message["text"] for message in alice.sees("#churn")] == ["question"]
    assert [message["text"] for message in alice.thread(question)] == ["question", "answer"]


def test_names_become_references_and_markup_is_escaped(alice: WorkspaceMember) -> None:
    sent = alice.types("#churn", "@bob see #general & <b> a@bob").message
    assert sent is not None
    assert sent["text"] == "<@U0BOB> see <#C0GENERAL|general> &amp; &lt;b&gt; a@bob"


def test_a_command_gets_ids_if_should_escape_is_set(connected_app: App, alice: WorkspaceMember) -> None:
    received: list[str] = []

    @connected_app.command("/ask")
    def ask(ack: Ack, command: dict[str, str]) -> None:
        received.append(command["text"])
        ack()

    @connected_app.command("/tell")
    def tell(ack: Ack, command: dict[str, str]) -> None:
        received.append(command["text"])
        ack()

    alice.types("#churn", "/ask @bob")
    alice.types("#churn", "/tell @bob in #general")
    assert received == ["@bob", "<@U0BOB|bob> in <#C0GENERAL|general>"]


def test_several_options_can_be_chosen_in_a_message(
    connected_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    received: list[list[str]] = []

    @connected_app.action("who")
    def who(ack: Ack, action: dict[str, list[str]]) -> None:
        received.append(action["selected_users"])
        ack()

    chooser = {"type": "multi_users_select", "action_id": "who"}
    client.chat_postMessage(channel="#churn", text="Who?", blocks=[actions(chooser)])
    alice.chooses(alice.sees("#churn")[-1], "who", ["U0BOB", "U0CAROL"])
    assert received == [["U0BOB", "U0CAROL"]]


def test_an_unknown_command_isn_t_sent(alice: WorkspaceMember) -> None:
    outcome = alice.types("#churn", "/dance")
    assert not outcome.acked
    assert outcome.text == "`/dance` is not a valid command."


def test_commands_don_t_work_in_threads(alice: WorkspaceMember) -> None:
    question = alice.types("#churn", "question").message
    assert question is not None
    assert "not supported in threads" in alice.types("#churn", "/ask x", thread=question).text


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda slack: slack.set_members("#churn", ["bob", "bot"]), "not_in_channel"),
        (lambda slack: slack.archive("#churn"), "is_archived"),
        (lambda slack: slack.change_person("alice", deleted=True), "account_inactive"),
    ],
)
def test_people_can_t_write_everywhere(slack: LocalSlack, alice: WorkspaceMember, change: object, error: str) -> None:
    change(slack)  # type: ignore[operator]
    with pytest.raises(RefusedError, match=error):
        alice.types("#churn", "x")


def test_a_guest_sees_only_their_channels(slack: LocalSlack, alice: WorkspaceMember) -> None:
    slack.set_members("#churn", ["bob", "bot"])
    alice.sees("#churn")
    slack.change_person("alice", is_restricted=True)
    with pytest.raises(RefusedError, match="channel_not_found"):
        alice.sees("#churn")


def test_unread_messages_are_counted_until_read(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    def unread() -> int:
        channels = slack.query("overview", user="alice")["channels"]
        return next(int(channel["unread"]) for channel in channels if channel["name"] == "churn")

    slack.act("read", user="alice", channel="#churn")
    client.chat_postMessage(channel="#churn", text="1")
    alice.types("#churn", "my own")
    assert unread() == 1
    slack.act("read", user="alice", channel="#churn")
    assert unread() == 0


def test_a_choice_is_kept_in_the_state_of_the_next_click(
    connected_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    received: list[dict[str, object]] = []
    option = {"text": plain("One"), "value": "1"}
    select = {"type": "static_select", "action_id": "pick", "options": [option], "placeholder": plain("Pick")}
    client.chat_postMessage(channel="#churn", text="x", blocks=[actions(select, button("Go", "go"))])

    @connected_app.action("pick")
    def pick(ack: Ack, body: dict[str, list[dict[str, object]]]) -> None:
        received.append(body["actions"][0])
        ack()

    @connected_app.action("go")
    def go(ack: Ack, body: dict[str, dict[str, dict[str, object]]]) -> None:
        received.append(body["state"]["values"])
        ack()

    message = alice.sees("#churn")[0]
    alice.chooses(message, "Pick", "One")
    alice.clicks(message, "Go")
    assert received[0]["selected_option"] == option
    assert received[1] == {"actions": {"pick": {"type": "static_select", "selected_option": option}}}


def test_the_error_about_a_missing_button_lists_the_existing_ones(client: WebClient, alice: WorkspaceMember) -> None:
    client.chat_postMessage(channel="#churn", text="x", blocks=[actions(button("Go", "go"))])
    with pytest.raises(LookupError, match="nothing called 'Stop' here; available: 'Go'"):
        alice.clicks(alice.sees("#churn")[0], "Stop")


def test_another_process_can_act_as_people(slack: LocalSlack) -> None:
    with connect(slack.url) as remote:
        remote.person("bob").types("#churn", "from afar")
        assert remote.bot_token == slack.bot_token
    assert slack.person("alice").sees("#churn")[-1]["text"] == "from afar"
