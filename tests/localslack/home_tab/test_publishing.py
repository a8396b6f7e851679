"""views.publish, and views.update of a Home tab."""

from __future__ import annotations

from collections.abc import Callable
from urllib.error import URLError

import pytest
from slack_sdk import WebClient

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.block_builders import home, modal, plain
from tests.localslack.bolt_apps import (
    HOME_MANIFEST,
    MANIFEST,
    SlackErrorOf,
    web_client,
)
from tests.localslack.home_views import JSON, section, texts_of
from tests.support.app.workspaces import local_slack


def test_a_view_is_published_for_one_person(client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    view = client.views_publish(user_id="U0ALICE", view=home(section("hello"), private_metadata="page 1"))["view"]
    assert (view["type"], view["root_view_id"], view["private_metadata"]) == ("home", view["id"], "page 1")
    assert alice.home() == view
    assert bob.home() is None


def test_a_new_view_replaces_the_old_one_with_a_new_hash(client: WebClient, alice: WorkspaceMember) -> None:
    first = client.views_publish(user_id="U0ALICE", view=home(section("first")))["view"]
    second = client.views_publish(user_id="U0ALICE", view=home(section("second")), hash=first["hash"])["view"]
    assert second["id"] == first["id"]
    assert second["hash"] != first["hash"]
    assert texts_of(alice.home()) == ["second"]


def test_an_old_hash_publishes_nothing(client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf) -> None:
    old = client.views_publish(user_id="U0ALICE", view=home(section("old")))["view"]
    client.views_publish(user_id="U0ALICE", view=home(section("new")))
    assert slack_error(client.views_publish, user_id="U0ALICE", view=home(), hash=old["hash"]) == "hash_conflict"
    assert slack_error(client.views_publish, user_id="U0BOB", view=home(), hash=old["hash"]) == "hash_conflict"
    assert texts_of(alice.home()) == ["new"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"user_id": None}, "invalid_arguments"),
        ({"user_id": "alice"}, "invalid_arguments"),
        ({"user_id": "U0NOBODY"}, "user_not_found"),
        ({"view": None}, "invalid_arguments"),
        ({"view": "no JSON"}, "invalid_arguments"),
        ({"view": modal()}, "invalid_arguments"),
        ({"view": home(section("x" * 3001))}, "invalid_arguments"),
        ({"view": home(*[{"type": "section", "fields": [plain("x" * 2000)] * 10}] * 13)}, "view_too_large"),
    ],
)
def test_an_invalid_view_isn_t_published(
    client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf, change: JSON, error: str
) -> None:
    arguments = {"user_id": "U0ALICE", "view": home()} | change
    assert slack_error(client.api_call, api_method="views.publish", json=arguments) == error
    assert alice.home() is None


def test_an_external_id_has_to_be_unique(client: WebClient, slack_error: SlackErrorOf) -> None:
    mine = home(external_id="page")
    client.views_publish(user_id="U0ALICE", view=mine)
    client.views_publish(user_id="U0ALICE", view=mine)
    assert slack_error(client.views_publish, user_id="U0BOB", view=mine) == "duplicate_external_id"


def test_without_a_home_tab_in_the_manifest_nothing_can_be_published_or_opened(slack_error: SlackErrorOf) -> None:
    with local_slack(MANIFEST) as slack:
        assert slack_error(web_client(slack).views_publish, user_id="U0ALICE", view=home()) == "not_enabled"
        with pytest.raises(RefusedError, match="not_enabled"):
            slack.person("alice").opens_home()


def test_publishing_needs_no_scope() -> None:
    with local_slack(HOME_MANIFEST | {"oauth_config": {}}) as slack:
        assert web_client(slack).views_publish(user_id="U0ALICE", view=home())["ok"]


def test_a_home_tab_is_updated_like_a_modal(
    client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    view = client.views_publish(user_id="U0ALICE", view=home(section("first")))["view"]
    updated = client.views_update(view_id=view["id"], hash=view["hash"], view=home(section("second")))["view"]
    assert texts_of(alice.home()) == ["second"]
    assert slack_error(client.views_update, view_id=view["id"], hash=view["hash"], view=home()) == "hash_conflict"
    assert slack_error(client.views_update, view_id=view["id"], view=modal()) == "invalid_arguments"
    assert alice.home() == updated


@pytest.mark.parametrize(
    ("order", "published"),
    [
        (lambda slack: slack.rate_limit("views.publish"), False),
        (lambda slack: slack.reset_before("views.publish"), False),
        (lambda slack: slack.reset_after("views.publish"), True),
        (lambda slack: slack.server_error("views.publish"), False),
        (lambda slack: slack.fail("views.publish", "fatal_error"), False),
        (lambda slack: slack.remove_method("views.publish"), False),
    ],
    ids=["ratelimited", "reset before", "reset after", "server error", "error", "unknown"],
)
def test_publishing_fails_with_an_injected_fault(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, order: Callable[[LocalSlack], None], published: bool
) -> None:
    from slack_sdk.errors import SlackApiError

    order(slack)
    with pytest.raises((SlackApiError, ConnectionError, URLError)):
        client.views_publish(user_id="U0ALICE", view=home())
    assert (alice.home() is not None) is published
