"""Serving checks: the endpoint is probed over HTTP until it agrees or the check times out."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Unreachable
from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import ServingProbe
from bot.domain.registry.model import Stage
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState, reports_version
from bot.http_client import send_request
from bot.ledger import SqlLedger
from bot.ports import MessageKind
from bot.services.transitions.serving_checks import CLAIM_LEASE, ServingChecks
from bot.serving_probe import HttpServingProbes, parse_reported_version
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
from tests.support.services.bench import POLICY, Bench, second_bench
from tests.support.services.fakes import FaultyRegistry, ManualClock


def says(version: object) -> PlannedReply:
    """Return the reply of an endpoint that serves this version."""
    return PlannedReply(body=json.dumps({"data": {"model": {"version": version}}}).encode())


@dataclass(kw_only=True)
class ServingHarness:
    """A bench whose policy has probes, and the service that runs them."""

    bench: Bench
    there: HttpReceiver
    servings: ServingChecks = field(init=False)

    def __post_init__(self) -> None:
        self.servings = ServingChecks(self.bench.context, HttpServingProbes())

    def promote(self, version: int = 4, model: str = "churn") -> str:
        """Promote a version to Production, and return the transition's ID."""
        self.bench.clock.advance(seconds=1)
        request = self.bench.approved(f"promote {model} {version} production")
        self.bench.moves.execute_due(model)
        return f"promotion:{request.id}"

    def ask_after(self, **span: float) -> int:
        """Advance the clock, and run the checks that are due."""
        self.bench.clock.advance(**span)
        return self.servings.run_due()

    def of(self, move: str) -> ServingCheck:
        """Return the serving check of a transition."""
        with self.bench.ledger.read() as reading:
            found = reading.serving_check(move)
        assert found is not None
        return found

    def cards(self, move: str) -> list[str]:
        """Return what redrew a promotion's card, in order."""
        prefix = f"card:{move.partition(':')[2]}:"
        return [note.key.removeprefix(prefix) for note in self.bench.notes() if note.key.startswith(prefix)]

    def news(self, move: str) -> list[str]:
        """Return the messages about serving in a promotion's thread, in order."""
        lane = move.partition(":")[2]
        return [
            str(unpack_sentence(note.data["say"]))
            for note in self.bench.notes()
            if note.lane == lane
            and note.kind is MessageKind.THREAD_REPLY
            and re.search("Serving|endpoint", str(note.data["say"]))
        ]


@pytest.fixture
def asked(sqlite_url: str) -> Iterator[ServingHarness]:
    """Return a bench where `churn` and `churn-eu` have a probe, and `fraud` doesn't."""
    ledger = SqlLedger(sqlite_url)
    with run_receiver() as there:
        registry = FaultyRegistry()
        for model in ("churn", "churn-eu", "fraud"):
            registry.add_model(model, versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
        probe = {"url": f"{there.url}/{{model}}/version", "json": "data.model.version"}
        policy = validate_policy(POLICY | {"serving": {"churn*": probe}})
        yield ServingHarness(
            bench=Bench(ledger=ledger, registry=registry, clock=ManualClock(), policy=policy), there=there
        )
    ledger.close()


# -- the life of a check -----------------------------------------------------------------------------------------------


def test_the_endpoint_is_probed_until_it_agrees(asked: ServingHarness) -> None:
    asked.there.replies = [says(3), says("v4")]
    move = asked.promote()
    assert asked.cards(move)[-1] == "done"
    assert asked.ask_after(seconds=0) == 0
    assert asked.there.got == []  # the first probe is a second after the transition
    assert asked.ask_after(seconds=1) == 0
    assert asked.of(move).seen == "3"
    assert asked.ask_after(seconds=4) == 0
    assert len(asked.there.got) == 1
    assert asked.ask_after(seconds=1) == 1
    assert [got.path for got in asked.there.got] == ["/churn/version"] * 2
    at = asked.bench.clock.now()
    assert asked.of(move).confirmed_at == at
    assert asked.cards(move)[-1] == "serving-confirmed"
    assert asked.news(move) == []
    assert asked.bench.tags()[-1] == EventTag.SERVING_CONFIRMED.value
    assert asked.ask_after(hours=1) == 0
    assert len(asked.there.got) == 2


def test_the_thread_names_the_version_reported_at_the_deadline(asked: ServingHarness) -> None:
    asked.there.replies = [says(3)]
    move = asked.promote()
    asked.ask_after(seconds=1)
    assert asked.ask_after(minutes=10) == 1
    assert asked.of(move).state is ServingCheckState.TIMED_OUT
    [said] = asked.news(move)
    assert said.startswith("The registry has v4, but 10m after the transition the endpoint still reports v3.")
    assert asked.bench.tags()[-1] == EventTag.SERVING_TIMED_OUT.value


def test_the_thread_says_why_no_version_could_be_read(asked: ServingHarness) -> None:
    asked.there.replies = [PlannedReply(502)]
    move = asked.promote()
    asked.ask_after(minutes=11)
    [said] = asked.news(move)
    assert said.startswith("Can't confirm that v4 is serving: the endpoint reported no version for 10m (HTTP 502).")


def test_a_deleted_model_is_no_longer_probed(asked: ServingHarness) -> None:
    asked.bench.watch.poll()
    first = asked.promote()
    asked.bench.registry.delete_model("churn")
    asked.bench.watch.poll()
    assert asked.of(first).state is ServingCheckState.SUPERSEDED
    assert asked.ask_after(hours=1) == 0


def test_a_report_at_the_last_moment_counts(asked: ServingHarness) -> None:
    asked.there.replies = [says(4)]
    move = asked.promote()
    asked.ask_after(hours=2)  # the bot was down in the meantime
    assert asked.of(move).state is ServingCheckState.CONFIRMED


def test_the_next_transition_supersedes_the_check(asked: ServingHarness) -> None:
    asked.there.replies = [says(2)]
    first = asked.promote(4)
    second = asked.promote(2)
    assert asked.of(first).state is ServingCheckState.SUPERSEDED
    assert asked.ask_after(seconds=1) == 1
    assert asked.of(second).state is ServingCheckState.CONFIRMED
    assert asked.cards(first)[-1] == "serving-overtaken"


def test_a_transition_during_a_probe_supersedes_its_result(asked: ServingHarness) -> None:
    hold = threading.Event()
    asked.there.replies = [PlannedReply(body=says(4).body, hold=hold)]
    first = asked.promote(4)
    asked.bench.clock.advance(seconds=1)
    asking = threading.Thread(target=asked.servings.run_due)
    asking.start()
    assert asked.there.is_asked.wait(10)
    asked.promote(2)
    hold.set()
    asking.join(10)
    assert asked.of(first).state is ServingCheckState.SUPERSEDED
    assert asked.cards(first)[-1] == "serving-overtaken"


def test_there_is_no_message_without_a_probe(asked: ServingHarness) -> None:
    move = asked.promote(model="fraud")
    assert asked.news(move) == []
    assert asked.ask_after(hours=1) == 0


def test_the_check_of_a_transition_made_in_mlflow_is_in_the_drift_notice_s_thread(asked: ServingHarness) -> None:
    asked.bench.watch.poll()
    asked.bench.clock.advance(minutes=1)
    asked.bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    asked.bench.watch.poll()
    asked.there.replies = [says(2)]
    assert asked.ask_after(seconds=1) == 1
    [finding] = asked.bench.findings()
    lanes = [note.lane for note in asked.bench.notes() if note.kind is MessageKind.THREAD_REPLY]
    assert lanes == [finding.id, finding.id]


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_hanging_endpoint_does_not_delay_others(asked: ServingHarness) -> None:
    hold = threading.Event()
    asked.there.replies = [PlannedReply(hold=hold), says(4)]
    asked.promote(model="churn")
    asked.bench.clock.advance(seconds=1)
    hanging = threading.Thread(target=asked.servings.run_due)
    hanging.start()
    assert asked.there.is_asked.wait(10)
    other = asked.promote(model="churn-eu")
    assert asked.ask_after(seconds=1) == 1  # while the first one hangs, which isn't probed a second time
    assert asked.of(other).state is ServingCheckState.CONFIRMED
    hold.set()
    hanging.join(10)


def test_a_failing_probe_does_not_stop_others(asked: ServingHarness, caplog: pytest.LogCaptureFixture) -> None:
    class Wild:
        def serving_version(self, probe: ServingProbe, model: str) -> str:
            if model == "churn":
                raise ZeroDivisionError
            return "4"

    asked.servings = ServingChecks(asked.bench.context, Wild())
    wild, tame = asked.promote(model="churn"), asked.promote(model="churn-eu")
    assert asked.ask_after(seconds=1) == 1
    assert asked.of(tame).state is ServingCheckState.CONFIRMED
    assert asked.of(wild).seen == "ZeroDivisionError"
    assert "ZeroDivisionError" in caplog.text


def test_another_process_takes_over_a_dead_process_s_check(asked: ServingHarness) -> None:
    class Dying:
        def serving_version(self, probe: ServingProbe, model: str) -> str:
            raise SystemExit

    move = asked.promote()
    asked.servings = ServingChecks(asked.bench.context, Dying())
    with pytest.raises(SystemExit):
        asked.ask_after(seconds=1)
    asked.servings = ServingChecks(second_bench(asked.bench).context, HttpServingProbes())
    asked.there.replies = [says(4)]
    assert asked.ask_after(seconds=1) == 0  # its probe may still be running
    assert asked.ask_after(seconds=CLAIM_LEASE.total_seconds()) == 1
    assert asked.of(move).state is ServingCheckState.CONFIRMED


def test_a_check_ends_if_the_policy_no_longer_has_its_probe(asked: ServingHarness) -> None:
    move = asked.promote()
    asked.bench.context.active_policy.replace(validate_policy(POLICY), "new")
    asked.ask_after(seconds=1)
    asked.ask_after(minutes=10)
    assert "the policy no longer says where to check" in asked.news(move)[-1]


# -- endpoint responses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path", "version"),
    [
        (b'{"version": 6}', "version", "6"),
        (b'{"version": "v6"}', "version", "v6"),
        (b"6\n", "version", "6"),
        (b'{"version": 6.0}', "version", "6"),
        (b"v6", "version", "v6"),
        (b'"6"', "version", "6"),
        (b'{"data": {"models": [{"version": "6"}]}}', "data.models.0.version", "6"),
    ],
)
def test_a_version_is_read_from_its_configured_place(body: bytes, path: str, version: str) -> None:
    assert parse_reported_version(body, path) == version


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"true",
        b'{"version": null}',
        b'{"version": {}}',
        b"[1]",
        b"x" * 100,
        b"[" * 9999,
        b"\xff" * 99,
    ],
)
def test_a_response_without_a_version_is_reported(body: bytes) -> None:
    with pytest.raises(Unreachable, match="the response has no version at version"):
        parse_reported_version(body, "version")


@pytest.mark.parametrize(
    ("said", "is_it"),
    [
        ("6", True),
        ("v6", True),
        (" V6 ", True),
        ("06", True),
        ("7", False),
        ("6.0.1", False),
        ("v", False),
        ("", False),
        ("66", False),
    ],
)
def test_a_version_matches_with_and_without_v(said: str, is_it: bool) -> None:
    assert reports_version(said, 6) is is_it


@pytest.mark.parametrize("reply", [PlannedReply(hold=threading.Event()), PlannedReply(drips=True)])
def test_a_probe_respects_its_time_limit(reply: PlannedReply) -> None:
    with run_receiver() as there:
        there.replies = [reply]
        with pytest.raises(Unreachable, match=r"no response within 0\.2 s"):
            send_request("GET", there.url, timeout=0.2, headers={})


def test_only_the_beginning_of_a_long_response_is_read() -> None:
    with run_receiver() as there:
        there.replies = [PlannedReply(body=b"x" * 1_000_000)]
        assert send_request("GET", there.url, timeout=5, headers={}, max_bytes=10).body == b"x" * 10
        assert send_request("GET", there.url, timeout=5, headers={}).body == b""
