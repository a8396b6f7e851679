"""Anchoring: when the chain's head is recorded, in which form, and how failures are reported."""

from __future__ import annotations

import logging
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from bot.anchor_file import LocalAnchorFile
from bot.domain.audit.anchors import AnchoredHead, parse_anchors, serialize_anchor
from bot.domain.audit.audit_chain import stream_records, verify
from bot.domain.audit.events import ChainHead, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.services.audit.anchoring import Anchoring
from tests.support.services.bench import POLICY, Bench


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the anchor file."""
    return tmp_path / "anchor.jsonl"


def policy(**anchor: str) -> Policy:
    return validate_policy(POLICY | {"anchor": anchor})


def anchoring(bench: Bench, **anchor: str) -> Anchoring:
    """Return the service under a policy with this anchor."""
    bench.context.active_policy.replace(policy(**anchor), "")
    return Anchoring(bench.context, LocalAnchorFile())


def anchors(file: Path) -> list[AnchoredHead]:
    return parse_anchors(file.read_text(), "it")


def numbers(file: Path) -> list[int]:
    return [anchor.number for anchor in anchors(file)]


def said(bench: Bench) -> list[tuple[str, str]]:
    """Return the sentences that are still to be sent to Slack, each with its channel."""
    return [(note.to, str(unpack_sentence(note.data["say"]))) for note in bench.notes() if note.key.startswith("said:")]


def test_the_head_is_anchored_and_the_audit_log_records_it(bench: Bench, file: Path) -> None:
    bench.ask()
    with bench.ledger.read() as reading:
        head = reading.audit_head()
    anchoring(bench, file=str(file)).anchor_if_due()
    [anchor] = anchors(file)
    assert (anchor.number, anchor.hash, anchor.at) == (head.number, head.hash, bench.clock.now())
    event = bench.events()[-1]
    assert (event.tag, event.actor, event.origin) == (EventTag.ANCHORED, Automation("anchor"), "job")
    assert event.evidence == {"number": head.number, "hash": head.hash, "file": str(file)}


def test_anchors_match_the_chain(bench: Bench, file: Path) -> None:
    service = anchoring(bench, file=str(file), every="1s")
    for _ in range(3):
        bench.ask()
        service.anchor_if_due()
        bench.clock.advance(minutes=1)
    with bench.ledger.read() as reading:
        records = stream_records(lambda after: reading.audit_records(after_number=after))
        assert verify(records, reading.audit_head(), anchors=anchors(file)) is None
    assert len(anchors(file)) == 3


def test_without_an_anchor_in_the_policy_nothing_happens(bench: Bench) -> None:
    bench.ask()
    assert not Anchoring(bench.context, LocalAnchorFile()).anchor_if_due()
    assert EventTag.ANCHORED.value not in bench.tags()


def test_an_empty_audit_log_is_not_anchored(bench: Bench, file: Path) -> None:
    anchoring(bench, file=str(file)).anchor_if_due()
    assert not file.exists()
    assert bench.events() == []


def test_the_next_anchor_waits_for_its_interval(bench: Bench, file: Path) -> None:
    service = anchoring(bench, file=str(file), every="1h")
    bench.ask()
    service.anchor_if_due()
    bench.ask()
    bench.clock.advance(minutes=59)
    service.anchor_if_due()
    assert numbers(file) == [1]
    bench.clock.advance(minutes=1)
    service.anchor_if_due()
    assert numbers(file) == [1, 3]


def test_an_anchor_alone_does_not_cause_another_one(bench: Bench, file: Path) -> None:
    service = anchoring(bench, file=str(file), every="1h")
    bench.ask()
    for _ in range(5):
        service.anchor_if_due()
        bench.clock.advance(days=1)
    assert numbers(file) == [1]


def test_a_changed_interval_applies_immediately(bench: Bench, file: Path) -> None:
    service = anchoring(bench, file=str(file), every="7d")
    bench.ask()
    service.anchor_if_due()
    bench.ask()
    bench.clock.advance(minutes=5)
    bench.context.active_policy.replace(policy(file=str(file), every="5m"), "")
    service.anchor_if_due()
    assert numbers(file) == [1, 3]


def test_a_changed_file_gets_an_anchor_immediately(bench: Bench, file: Path, tmp_path: Path) -> None:
    service = anchoring(bench, file=str(file))
    bench.ask()
    service.anchor_if_due()
    bench.ask()
    other = tmp_path / "other.jsonl"
    bench.context.active_policy.replace(policy(file=str(other)), "")
    service.anchor_if_due()
    assert (numbers(file), numbers(other)) == ([1], [3])


def test_events_during_anchoring_are_in_the_next_anchor(bench: Bench, file: Path) -> None:
    service = anchoring(bench, file=str(file), every="1h")
    bench.ask()

    class Slow(LocalAnchorFile):
        def append_line(self, path: str, line: str) -> None:
            super().append_line(path, line)
            bench.ask()  # after the head was read, before the anchor's event exists

    Anchoring(bench.context, Slow()).anchor_if_due()
    assert bench.tags()[-1] == EventTag.ANCHORED.value
    bench.clock.advance(hours=1)
    service.anchor_if_due()
    assert numbers(file) == [1, 3]


def test_two_processes_can_anchor_at_once(bench: Bench, file: Path) -> None:
    one, other = anchoring(bench, file=str(file), channel="#audit"), Anchoring(bench.context, LocalAnchorFile())
    bench.ask()

    class Meanwhile(LocalAnchorFile):
        def append_line(self, path: str, line: str) -> None:
            other.anchor_if_due()
            super().append_line(path, line)

    Anchoring(bench.context, Meanwhile()).anchor_if_due()
    bench.clock.advance(days=1)
    assert not one.anchor_if_due()
    assert numbers(file) == [1, 1]
    assert len(said(bench)) == 1


# -- the channel -------------------------------------------------------------------------------------------------------


def test_a_channel_gets_the_number_and_the_hash(bench: Bench, file: Path) -> None:
    bench.ask()
    assert anchoring(bench, file=str(file), channel="#audit").anchor_if_due()
    [anchor] = anchors(file)
    assert said(bench) == [("#audit", f"The audit log ends at event 1; its hash is {anchor.hash}.")]


def test_a_channel_alone_is_enough(bench: Bench) -> None:
    bench.ask()
    assert anchoring(bench, channel="#audit").anchor_if_due()
    assert bench.events()[-1].evidence["file"] is None
    assert len(said(bench)) == 1


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_file_is_private_and_append_only(bench: Bench, file: Path) -> None:
    file.write_text("what was there before\n")
    bench.ask()
    anchoring(bench, file=str(file)).anchor_if_due()
    assert file.read_text().startswith("what was there before\n{")
    file.unlink()
    LocalAnchorFile().append_line(str(file), "{}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("before", ["", "{}\n", '{"at":"2026'])
def test_a_line_is_never_joined_to_a_torn_one(file: Path, before: str) -> None:
    file.write_text(before)
    LocalAnchorFile().append_line(str(file), "{1}\n")
    LocalAnchorFile().append_line(str(file), "{2}\n")
    assert file.read_text().split() == [*before.split(), "{1}", "{2}"]
    assert "\n\n" not in file.read_text()


def test_a_full_disk_leaves_a_torn_line_that_the_next_anchor_survives(bench: Bench, file: Path) -> None:
    """The disk fills after half a line; once there's room, the next line is complete."""
    service = anchoring(bench, file=str(file))
    bench.ask()
    service.anchor_if_due()
    bench.ask()
    bench.clock.advance(hours=1)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 50, hard))
    try:
        with pytest.raises(Misconfigured, match="50 of"):
            LocalAnchorFile().append_line(str(file), serialize_anchor(ChainHead(3, "a" * 64), bench.clock.now()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert numbers(file) == [1]
    service.anchor_if_due()
    assert numbers(file) == [1, 3]


def test_a_file_that_cannot_be_written_is_reported_once_and_retried(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "nowhere"
    service = anchoring(bench, file=str(folder / "anchor.jsonl"), channel="#audit")
    bench.ask()
    with caplog.at_level(logging.ERROR):
        assert service.anchor_if_due()
        assert not service.anchor_if_due()
        Anchoring(bench.context, LocalAnchorFile()).anchor_if_due()  # another process without the failure
    [(channel, sentence)] = said(bench)
    assert channel == "#ml-models"
    assert "anchor.jsonl: No such file or directory" in sentence
    assert len(caplog.records) == 2  # one for each process
    assert EventTag.ANCHORED.value not in bench.tags()
    folder.mkdir()
    service.anchor_if_due()
    assert numbers(folder / "anchor.jsonl") == [1]


def test_a_file_that_fails_again_later_is_reported_again(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    service = anchoring(bench, file=str(folder / "anchor.jsonl"), every="1h")
    for _ in range(2):
        bench.ask()
        folder.rename(tmp_path / "away")
        service.anchor_if_due()
        (tmp_path / "away").rename(folder)
        service.anchor_if_due()
        bench.clock.advance(hours=1)
    assert len(said(bench)) == 2


def test_a_pipe_without_a_reader_blocks_nothing(bench: Bench, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    bench.ask()
    assert anchoring(bench, file=str(pipe)).anchor_if_due()
    assert "Can't write" in said(bench)[0][1]


def test_a_pipe_with_a_reader_works_like_a_file(bench: Bench, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    bench.ask()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    anchoring(bench, file=str(pipe)).anchor_if_due()
    line = os.read(reader, 1000).decode()
    os.close(reader)
    assert [anchor.number for anchor in parse_anchors(line, "it")] == [1]
    assert bench.tags()[-1] == EventTag.ANCHORED.value
