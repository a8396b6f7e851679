"""Many messages at once: Slack accepts one a second per channel, so they take turns, and none is refused twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack, Remote
from tests.support.app.app_fixture import CHANNEL, MANIFEST, RunningApp, make_policy, message_text, running_app
from tests.support.app.harness import add_people, run_concurrently
from tests.support.app.workspaces import SPEED, local_slack
from tests.support.faults.consistency_checks import is_quiet
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

MANY = 20
SLOWER = 2.0  # for a workspace in which several threads post; on a busy machine, they're late
MODELS = [f"m{number:02}" for number in range(MANY)]


def with_models() -> MemoryRegistry:
    registry = MemoryRegistry()
    for name in MODELS:
        registry.add_model(name, versions=[Stage.PRODUCTION, Stage.NONE])
    return registry


def ask_for_all(app: RunningApp) -> None:
    """Request all models at the same moment, and wait until everything is delivered."""
    typed = [f"/model promote {name} 2 production" for name in MODELS]
    run_concurrently([partial(app.alice.types, CHANNEL, text) for text in typed])
    wait_until(lambda: len(cards_in(app.slack)) == MANY and is_quiet(app.ledger))


def cards_in(slack: Remote) -> list[str]:
    """Return the texts of the cards in the channel."""
    return [one["text"] for one in slack.person("bob").sees(CHANNEL) if not one["is_ephemeral"]]


def posts(slack: Remote) -> dict[str, list[dict[str, Any]]]:
    """Return the posting calls, by conversation."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in slack.calls("chat.postMessage"):
        found[call["args"]["channel"]].append(call)
    return found


def refused(slack: Remote) -> Counter[str]:
    """Count rate-limited responses by call; the same message to the same conversation is the same call."""
    return Counter(f"{call['method']} {call['args']}" for call in slack.calls() if call["error"] == "ratelimited")


def test_twenty_cards_in_one_channel_are_posted_one_a_second_without_refusals(
    slack: LocalSlack, tmp_path: Path
) -> None:
    with running_app(slack, tmp_path, with_models()) as app:
        ask_for_all(app)
    assert refused(slack) == {}
    [calls] = posts(slack).values()
    assert min((later["at"] - sooner["at"]) * SPEED for sooner, later in pairwise(calls)) >= 1


def test_ten_approvers_of_twenty_requests_are_invited_with_at_most_one_refusal_each(
    slack: LocalSlack, tmp_path: Path
) -> None:
    people = add_people(slack, 10)
    rule = {"approvers": [person.id for person in people], "tell_approvers": "direct"}
    policy = make_policy({"models": {"*": {"production": rule}}})
    with running_app(slack, tmp_path, with_models(), policy=policy) as app:
        ask_for_all(app)
    assert max(refused(slack).values(), default=0) <= 1
    told = [message_text(one) for person in people for one in person.direct_messages()]
    assert Counter("|Open the card>" in text for text in told) == {True: 10 * MANY}


def test_shared_comparisons_and_cards_are_refused_at_most_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.app.app_fixture.SPEED", SLOWER)
    registry = with_models()
    for name in MODELS[:4]:
        registry.add_run(name, metrics={"f1": 0.5})
        registry.add_version(name, run_id=name)
    with local_slack(MANIFEST, speed=SLOWER) as slack, running_app(slack, tmp_path, registry) as app:
        compare = [partial(app.alice.types, CHANNEL, f"/model compare {name}") for name in MODELS[:4]]
        run_concurrently(compare)
        private = slack.wait_for(lambda: found if len(found := private_answers(slack)) == 4 else [])
        promote = [partial(app.alice.types, CHANNEL, f"/model promote {name} 2 production") for name in MODELS[:4]]
        share = [partial(app.alice.clicks, answer, "Share to channel") for answer in private]
        run_concurrently([*promote, *share])
        wait_until(lambda: len(cards_in(slack)) == 8 and is_quiet(app.ledger))
        assert max(refused(slack).values(), default=0) <= 1


def private_answers(slack: Remote) -> list[dict[str, Any]]:
    """Return the answers in the channel that only Alice sees."""
    return [one for one in slack.person("alice").sees(CHANNEL) if one["is_ephemeral"]]


def test_after_a_rate_limited_edit_no_other_is_tried_until_slack_allows_it(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, with_models()) as app:
        ask_for_all(app)
        slack.forget_calls()
        slack.rate_limit("chat.update", retry_after=1)
        slack.person("dave").types(CHANNEL, '/model freeze --all --reason "audit"')
        wait_until(lambda: len(slack.calls("chat.update")) > MANY and is_quiet(app.ledger))
    first, second, *_ = slack.calls("chat.update")
    assert first["error"] == "ratelimited"
    assert second["at"] - first["at"] >= 1


@pytest.mark.postgres
def test_twenty_requests_at_two_processes_are_refused_at_most_once_each(
    slack: LocalSlack, tmp_path: Path, postgres_url: str
) -> None:
    registry = with_models()
    with (
        running_app(slack, tmp_path / "one", registry, database_url=postgres_url) as one,
        running_app(slack, tmp_path / "two", registry, database_url=postgres_url),
    ):
        slack.wait_until_connected(2)
        ask_for_all(one)
    assert max(refused(slack).values(), default=0) <= 1
    assert len(set(cards_in(slack))) == MANY
