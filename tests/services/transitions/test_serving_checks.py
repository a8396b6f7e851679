"""Moved is not yet serving: the serving side is asked over HTTP until it agrees, or its time is over."""

from __future__ import annotations

import json
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
    """Return the reply of a serving side that serves this version."""
    return PlannedReply(body=json.dumps({"data": {"model": {"version": version}}}).encode())


@dataclass(kw_only=True)
class ServingHarness:
    """A bench whose policy says where to ask, and who asks."""

    bench: Bench
    there: HttpReceiver
    servings: ServingChecks = field(init=False)

    def __post_init__(self) -> None:
        self.servings = ServingChecks(self.bench.context, HttpServingProbes())

    def promote(self, version: int = 4, model: str = "churn") -> str:
        """Move a version to Production, and return the move's id."""
        self.bench.clock.advance(seconds=1)
        request = self.bench.approved(f"promote {model} {version} production")
        self.bench.moves.execute_due(model)
        return f"promotion:{request.id}"

    def ask_after(self, **span: float) -> int:
        """Let time pass, and ask what is due."""
        self.bench.clock.advance(**span)
        return self.servings.run_due()

    def of(self, move: str) -> ServingCheck:
        """Return where the question after a move stands."""
        with self.bench.ledger.read() as reading:
            found = reading.serving_check(move)
        assert found is not None
        return found

    def news(self, move: str) -> list[str]:
        """Return what the thread of a promotion hears of serving, in order."""
        lane = move.partition(":")[2]
        return [
            str(unpack_sentence(note.data["say"]))
            for note in self.bench.notes()
            if note.lane == lane and note.kind is MessageKind.THREAD_REPLY and "erv" in str(note.data["say"])
        ]


@pytest.fixture
def asked(sqlite_url: str) -> Iterator[ServingHarness]:
    """Return a bench where `churn` and `churn-eu` have somebody to ask, and `fraud` has not."""
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


# -- the story ---------------------------------------------------------------------------------------------------------


def test_it_is_asked_until_it_agrees_and_the_thread_tells_both(asked: ServingHarness) -> None:
    asked.there.replies = [says(3), says("v4")]
    move = asked.promote()
    assert asked.news(move) == ["Registry moved to v4, serving not confirmed yet."]
    assert asked.ask_after(seconds=0) == 0
    assert asked.there.got == []  # the first time a second after the move
    assert asked.ask_after(seconds=1) == 0
    assert asked.of(move).seen == "3"
    assert asked.ask_after(seconds=4) == 0
    assert len(asked.there.got) == 1
    assert asked.ask_after(seconds=1) == 1
    assert [got.path for got in asked.there.got] == ["/churn/version"] * 2
    at = asked.bench.clock.now()
    assert asked.of(move).confirmed_at == at
    assert asked.news(move)[1:] == [f"Serving v4 since {at:%Y-%m-%d %H:%M} UTC."]
    assert asked.bench.tags()[-1] == EventTag.SERVING_CONFIRMED.value
    assert asked.ask_after(hours=1) == 0
    assert len(asked.there.got) == 2


def test_when_the_time_is_over_the_thread_hears_what_is_reported_instead(asked: ServingHarness) -> None:
    asked.there.replies = [says(3)]
    move = asked.promote()
    asked.ask_after(seconds=1)
    assert asked.ask_after(minutes=10) == 1
    assert asked.of(move).state is ServingCheckState.TIMED_OUT
    [_, said] = asked.news(move)
    assert said.startswith("Not serving v4: 10m after the move the serving side still reports v3.")
    assert asked.bench.tags()[-1] == EventTag.SERVING_TIMED_OUT.value


def test_when_it_cannot_be_read_the_thread_hears_why(asked: ServingHarness) -> None:
    asked.there.replies = [PlannedReply(502)]
    move = asked.promote()
    asked.ask_after(minutes=11)
    [_, said] = asked.news(move)
    assert said.startswith("Not confirmed that v4 serves: for 10m the serving side could not be asked (HTTP 502).")


def test_a_model_that_is_gone_is_asked_no_more(asked: ServingHarness) -> None:
    asked.bench.watch.poll()
    first = asked.promote()
    asked.bench.registry.delete_model("churn")
    asked.bench.watch.poll()
    assert asked.of(first).state is ServingCheckState.SUPERSEDED
    assert asked.ask_after(hours=1) == 0


def test_an_agreement_at_the_last_moment_counts(asked: ServingHarness) -> None:
    asked.there.replies = [says(4)]
    move = asked.promote()
    asked.ask_after(hours=2)  # we were down meanwhile
    assert asked.of(move).state is ServingCheckState.CONFIRMED


def test_the_next_move_overtakes_the_question(asked: ServingHarness) -> None:
    asked.there.replies = [says(2)]
    first = asked.promote(4)
    second = asked.promote(2)
    assert asked.of(first).state is ServingCheckState.SUPERSEDED
    assert asked.ask_after(seconds=1) == 1
    assert asked.of(second).state is ServingCheckState.CONFIRMED
    assert asked.news(first)[1:] == [
        "Production has moved again before the serving side reported v4; nobody asks for it any more."
    ]


def test_a_move_while_it_is_asked_overtakes_the_answer(asked: ServingHarness) -> None:
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
    assert len(asked.news(first)) == 2
    assert "Serving v4" not in " ".join(asked.news(first))


def test_without_a_probe_nothing_is_said(asked: ServingHarness) -> None:
    move = asked.promote(model="fraud")
    assert asked.news(move) == []
    assert asked.ask_after(hours=1) == 0


def test_what_others_moved_is_asked_in_the_thread_of_what_was_found(asked: ServingHarness) -> None:
    asked.bench.watch.poll()
    asked.bench.clock.advance(minutes=1)
    asked.bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    asked.bench.watch.poll()
    asked.there.replies = [says(2)]
    assert asked.ask_after(seconds=1) == 1
    [finding] = asked.bench.findings()
    lanes = [note.lane for note in asked.bench.notes() if note.kind is MessageKind.THREAD_REPLY]
    assert lanes == [finding.id, finding.id]


# -- what can go wrong -------------------------------------------------------------------------------------------------


def test_one_that_hangs_keeps_nobody_waiting(asked: ServingHarness) -> None:
    hold = threading.Event()
    asked.there.replies = [PlannedReply(hold=hold), says(4)]
    asked.promote(model="churn")
    asked.bench.clock.advance(seconds=1)
    hanging = threading.Thread(target=asked.servings.run_due)
    hanging.start()
    assert asked.there.is_asked.wait(10)
    other = asked.promote(model="churn-eu")
    assert asked.ask_after(seconds=1) == 1  # while the first one hangs, which nobody asks a second time
    assert asked.of(other).state is ServingCheckState.CONFIRMED
    hold.set()
    hanging.join(10)


def test_a_probe_that_raises_stops_nobody_else(asked: ServingHarness, caplog: pytest.LogCaptureFixture) -> None:
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


def test_what_a_dead_process_was_asking_is_asked_by_another(asked: ServingHarness) -> None:
    class Dying:
        def serving_version(self, probe: ServingProbe, model: str) -> str:
            raise SystemExit

    move = asked.promote()
    asked.servings = ServingChecks(asked.bench.context, Dying())
    with pytest.raises(SystemExit):
        asked.ask_after(seconds=1)
    asked.servings = ServingChecks(second_bench(asked.bench).context, HttpServingProbes())
    asked.there.replies = [says(4)]
    assert asked.ask_after(seconds=1) == 0  # it may still be asking
    assert asked.ask_after(seconds=CLAIM_LEASE.total_seconds()) == 1
    assert asked.of(move).state is ServingCheckState.CONFIRMED


def test_a_policy_that_says_no_more_where_to_ask_ends_the_question(asked: ServingHarness) -> None:
    move = asked.promote()
    asked.bench.context.active_policy.replace(validate_policy(POLICY), "new")
    asked.ask_after(seconds=1)
    asked.ask_after(minutes=10)
    assert "the policy does not say any more where to ask" in asked.news(move)[-1]


# -- what a serving side says ------------------------------------------------------------------------------------------


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
def test_a_version_is_read_where_it_stands(body: bytes, path: str, version: str) -> None:
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
def test_where_no_version_stands_it_is_said(body: bytes) -> None:
    with pytest.raises(Unreachable, match="the answer has no version at version"):
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
def test_a_version_is_known_with_and_without_its_v(said: str, is_it: bool) -> None:
    assert reports_version(said, 6) is is_it


@pytest.mark.parametrize("reply", [PlannedReply(hold=threading.Event()), PlannedReply(drips=True)])
def test_a_call_takes_no_longer_than_it_may(reply: PlannedReply) -> None:
    with run_receiver() as there:
        there.replies = [reply]
        with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
            send_request("GET", there.url, timeout=0.2, headers={})


def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    with run_receiver() as there:
        there.replies = [PlannedReply(body=b"x" * 1_000_000)]
        assert send_request("GET", there.url, timeout=5, headers={}, max_bytes=10).body == b"x" * 10
        assert send_request("GET", there.url, timeout=5, headers={}).body == b""
