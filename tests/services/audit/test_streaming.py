"""The audit stream: what an endpoint gets, in which order, and what happens if it fails."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest

from bot.domain.core.errors import LedgerUnavailable
from bot.ledger import SqlLedger
from bot.ports import ENDPOINT_KINDS, DeliveryResult, LedgerTransaction, OutboxMessage
from bot.services.audit.streaming import MAX_BODY_LENGTH
from bot.services.core.outbox import Outbox
from bot.webhook_sender import WebhookNotifier
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
from tests.support.network.streaming_bot import SECRET, STREAM, TOKEN, StreamingBot, numbers, verified_head
from tests.support.services.fakes import ManualClock
from tests.support.terminal.cli_runner import command


@pytest.fixture
def siem() -> Iterator[HttpReceiver]:
    """Yield the endpoint."""
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def bot(ledger: SqlLedger, siem: HttpReceiver) -> StreamingBot:
    """Return a bot that streams to the endpoint."""
    return StreamingBot(ledger=ledger, receiver=siem, clock=ManualClock())


@pytest.fixture
def other(ledger_url: str, bot: StreamingBot) -> Iterator[StreamingBot]:
    """Yield another process on the same ledger."""
    with closing(SqlLedger(ledger_url, timeout=20)) as ledger:
        yield StreamingBot(ledger=ledger, receiver=bot.receiver, clock=bot.clock, owner="there:2:b")


# -- what's sent -------------------------------------------------------------------------------------------------------


def test_the_endpoint_gets_what_the_export_prints(
    bot: StreamingBot, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bot.bench.ask()
    bot.record(why="größer\n🚀")
    bot.run()
    [got] = bot.receiver.got
    exported = command(monkeypatch, capsys)("audit", "export", REGISTRAR_DATABASE_URL=ledger_url)
    assert got.body.decode() == exported.out


def test_the_endpoint_can_verify_the_chain(bot: StreamingBot) -> None:
    bot.record(250)
    bot.run()
    with bot.bench.ledger.read() as reader:
        assert verified_head(b"".join(got.body for got in bot.receiver.got)) == reader.audit_head().hash


def test_a_call_is_signed_and_has_an_id(bot: StreamingBot) -> None:
    bot.record(3)
    bot.run()
    [got] = bot.receiver.got
    stamp = got.headers["x-registrar-timestamp"]
    signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-registrar-signature"] == f"v1={signed}"
    assert got.headers["x-registrar-event-id"].startswith("audit:SIEM_URL:1-3:")
    assert got.headers["content-type"] == "application/x-ndjson"


def test_events_come_in_order_and_up_to_a_hundred_at_a_time(bot: StreamingBot) -> None:
    bot.record(250)
    bot.run()
    assert [len(got.body.splitlines()) for got in bot.receiver.got] == [100, 100, 50]
    assert numbers(bot.receiver) == list(range(1, 251))


def test_long_events_come_in_shorter_calls(bot: StreamingBot) -> None:
    bot.record(why="x" * (MAX_BODY_LENGTH + 1))
    bot.record(3, why="x" * (MAX_BODY_LENGTH // 2 - 1000))
    bot.run()
    assert [len(got.body.splitlines()) for got in bot.receiver.got] == [1, 2, 1]


def test_new_events_are_sent_after_the_earlier_ones(bot: StreamingBot) -> None:
    bot.record(2)
    bot.run()
    bot.record(2)
    bot.run()
    assert numbers(bot.receiver) == [1, 2, 3, 4]


def test_sending_records_no_events(bot: StreamingBot) -> None:
    bot.record()
    for status in (200, 500, 403, 200):
        bot.receiver.replies = [PlannedReply(status)]
        bot.run_later(minutes=10)
    assert bot.bench.tags() == ["person:request:voted"]
    assert not bot.stream.enqueue_next()


def test_without_a_stream_in_the_policy_nothing_is_sent(bot: StreamingBot) -> None:
    bot.use(None)
    bot.record()
    bot.run()
    assert bot.receiver.got == []
    assert bot.waiting() == []


# -- an endpoint that fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 400, 403, 404, 413, 429, 500])
def test_events_wait_for_an_endpoint_that_fails_for_days(bot: StreamingBot, status: int) -> None:
    bot.receiver.replies = [PlannedReply(status)]
    bot.record(3)
    bot.run()
    bot.run_later(days=3)
    bot.record(3)
    bot.run()
    bot.receiver.replies = [PlannedReply(200)]
    called = len(bot.receiver.got)
    bot.run_later(minutes=5)
    assert numbers(bot.receiver, called) == [1, 2, 3, 4, 5, 6]


def test_one_message_at_a_time_waits_for_an_endpoint(bot: StreamingBot) -> None:
    bot.receiver.replies = [PlannedReply(503)]
    for _ in range(5):
        bot.record(200)
        bot.run_later(minutes=10)
    assert len(bot.waiting()) == 1


def test_a_repeated_call_has_the_same_id_and_body(bot: StreamingBot) -> None:
    bot.receiver.replies = [PlannedReply(500), PlannedReply(200)]
    bot.record(2)
    bot.run()
    bot.record(2)
    bot.run_later(minutes=5)
    first, second, _ = bot.receiver.got
    assert first.headers["x-registrar-event-id"] == second.headers["x-registrar-event-id"]
    assert first.body == second.body


def test_the_channel_gets_one_message_about_a_failing_endpoint_and_one_about_its_recovery(
    bot: StreamingBot, other: StreamingBot
) -> None:
    bot.receiver.replies = [PlannedReply(403)]
    bot.record()
    bot.run()
    bot.run_later(minutes=59)
    assert bot.said() == []
    bot.run_later(minutes=1)
    other.run()
    bot.run_later(days=2)
    assert bot.said() == ["⚠️ SIEM_URL hasn't accepted audit events for 1h (HTTP 403). I'll keep trying."]
    bot.receiver.replies = [PlannedReply(200)]
    bot.run_later(minutes=5)
    other.run()
    assert bot.said()[1:] == ["SIEM_URL is accepting audit events again."]


def test_an_unset_variable_delays_events(bot: StreamingBot) -> None:
    secret = bot.variables.pop("SIEM_SECRET")
    bot.record()
    bot.run()
    assert bot.receiver.got == []  # never unsigned
    bot.variables["SIEM_SECRET"] = secret
    bot.run_later(minutes=1)
    assert numbers(bot.receiver) == [1]


def test_nothing_secret_is_logged_or_stored(bot: StreamingBot, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="bot")
    bot.use({"url": f"{bot.receiver.url}/{TOKEN}", "secret_env": "SIEM_SECRET"})
    bot.record()
    for status in (500, 404):
        bot.receiver.replies = [PlannedReply(status)]
        bot.run()
        bot.run_later(hours=1)
    ours = "".join(logging.Formatter().format(record) for record in caplog.records if record.name.startswith("bot"))
    assert "HTTP 404" in ours
    for secret in (TOKEN, SECRET):
        assert secret not in ours + repr(bot.bench.notes())


# -- a policy that changes ---------------------------------------------------------------------------------------------


def test_a_removed_stream_drops_what_was_waiting(bot: StreamingBot) -> None:
    bot.receiver.replies = [PlannedReply(500)]
    bot.record()
    bot.run()
    bot.use(None)
    called = len(bot.receiver.got)
    bot.run_later(minutes=5)
    assert bot.waiting() == []
    assert len(bot.receiver.got) == called
    assert bot.bench.tags() == ["person:request:voted"]


def test_a_stream_that_is_added_again_continues_without_a_gap(bot: StreamingBot) -> None:
    bot.record(2)
    bot.run()
    bot.receiver.replies = [PlannedReply(500)]
    bot.record(2)
    bot.run()
    for stream in (None, STREAM, None, STREAM):  # each time, what was waiting is dropped
        bot.use(stream)
        bot.run_later(minutes=5)
    bot.receiver.replies = [PlannedReply(200)]
    called = len(bot.receiver.got)
    bot.run_later(minutes=5)
    assert numbers(bot.receiver, called) == [3, 4]


def test_another_endpoint_gets_all_events(bot: StreamingBot) -> None:
    bot.record(2)
    bot.run()
    bot.variables["SIEM_2_URL"] = f"{bot.receiver.url}/2"
    bot.use("SIEM_2_URL")
    bot.record()
    bot.run()
    assert [(got.path, len(got.body.splitlines())) for got in bot.receiver.got] == [(f"/{TOKEN}", 2), ("/2", 3)]


# -- crashes and several processes -------------------------------------------------------------------------------------


class DyingNotifier(WebhookNotifier):
    """Dies after the endpoint got the events, before the ledger says so."""

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        super().deliver(outbox_message)
        raise SystemExit


def test_after_a_crash_the_events_are_sent_again_with_the_same_id(bot: StreamingBot, other: StreamingBot) -> None:
    bot.record(2)
    bot.stream.enqueue_next()
    with pytest.raises(SystemExit):
        Outbox(bot.bench.context, bot.notifier(DyingNotifier), kinds=ENDPOINT_KINDS).deliver()
    bot.record()
    other.run_later(seconds=31)  # the dead process's claim has expired
    assert numbers(bot.receiver) == [1, 2, 1, 2, 3]
    first, second, _ = bot.receiver.got
    assert first.headers["x-registrar-event-id"] == second.headers["x-registrar-event-id"]


def test_after_a_crash_before_the_delivery_nothing_is_lost(bot: StreamingBot, other: StreamingBot) -> None:
    bot.record(2)
    bot.stream.enqueue_next()
    other.record()
    other.outboxes.deliver(patience=10)
    other.run()
    assert numbers(bot.receiver) == [1, 2, 3]


def test_a_restarted_process_continues_after_the_last_event_sent(bot: StreamingBot, other: StreamingBot) -> None:
    bot.record(2)
    bot.run()
    other.record(1)
    other.run()
    assert numbers(bot.receiver) == [1, 2, 3]


def test_two_processes_add_the_same_events_once(bot: StreamingBot, other: StreamingBot) -> None:
    class Overtaken:
        """Lets the other process add the events after this one has read them."""

        read = staticmethod(bot.bench.ledger.read)
        set_operator_ids = staticmethod(bot.bench.ledger.set_operator_ids)

        @contextmanager
        def write(self) -> Iterator[LedgerTransaction]:
            assert other.stream.enqueue_next()
            with bot.bench.ledger.write() as tx:
                yield tx

    bot.record(2)
    bot.over(Overtaken()).enqueue_next()  # type: ignore[arg-type]  # it's never closed
    assert len(bot.waiting()) == 1


def test_only_one_process_at_a_time_adds_events(bot: StreamingBot, ledger_url: str) -> None:
    bot.record()
    with closing(SqlLedger(ledger_url, timeout=0.2)) as ledger, bot.bench.ledger.write() as tx:
        tx.lock("audit:SIEM_URL")
        with pytest.raises(LedgerUnavailable):
            bot.over(ledger).enqueue_next()


def test_two_processes_send_every_event_once_and_in_order(bot: StreamingBot, other: StreamingBot) -> None:
    def record_and_run(process: StreamingBot) -> None:
        for _ in range(5):
            process.record(30)
            process.run()

    threads = [Thread(target=record_and_run, args=[process]) for process in (bot, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bot.run()
    assert numbers(bot.receiver) == list(range(1, 301))
