"""Files are hashed in the background, by one process at a time, and hashing continues after an interruption."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.integrity.digest import DigestState
from bot.ports import StoredFile
from bot.services.integrity import files_pass, hashing
from tests.support.integrity.digests import LIMITS, World, give_up, unreachable
from tests.support.registry.memory import MemoryFiles


def test_a_requested_version_gets_a_manifest_of_its_files(world: World) -> None:
    world.request()
    assert world.run() == 1
    assert world.now.state is DigestState.RECORDED
    assert [(entry.path, entry.size, entry.sha256) for entry in world.now.manifest.files] == [
        (path, len(path), hashlib.sha256(path.encode()).hexdigest()) for path in ("a", "b", "c/d")
    ]
    assert (world.now.file_count, world.now.byte_count, world.now.due_at) == (3, 5, None)


def test_a_recorded_digest_is_in_the_audit_log(world: World) -> None:
    world.request()
    world.run()
    event = world.bench.events()[-1]
    assert (event.tag, event.model, event.after) == (EventTag.FILES_RECORDED, "churn", "v4")
    assert event.evidence == {
        "version": 4,
        "digest": world.now.manifest.digest,
        "root_digest": world.now.manifest.root_digest,
        "files": 3,
        "bytes": 5,
    }
    assert world.recorded == [world.now]


def test_a_version_is_hashed_only_once(world: World) -> None:
    for _ in range(2):
        world.request()
        world.run()
    assert world.read == ["a", "b", "c/d"]


def test_a_recreated_version_has_its_own_digest(world: World) -> None:
    before = world.request()
    world.bench.registry.replace_version("churn", 4, run_id="another run")
    assert world.run() == 0
    assert world.request().id != before.id
    assert world.run() == 1


def test_mlflow_s_own_files_are_left_out(world: World) -> None:
    world.add("registered_model_meta", b"x")
    world.add("registered_model_meta/evil.py", b"x")  # isn't MLflow's
    world.request()
    world.run()
    assert world.read == ["a", "b", "c/d", "registered_model_meta/evil.py"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a\\b", "a\0b"])
def test_a_path_outside_the_folder_fails_the_digest(world: World, path: str) -> None:
    world.add(path, b"x")
    world.request()
    give_up(world)
    assert world.now.state is DigestState.FAILED
    assert "invalid name" in world.now.why
    assert world.read == []


def test_the_same_path_twice_fails_the_digest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFiles, "files", lambda _: [StoredFile("a", 1), StoredFile("a", 1)])
    world.request()
    give_up(world)
    assert world.now.state is DigestState.FAILED


def test_a_version_without_files_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFiles, "files", lambda _: [])
    world.request()
    give_up(world)
    assert (world.now.state, world.now.why) == (DigestState.FAILED, "The version has no files.")


def test_a_registry_that_cannot_read_files_fails_the_digest(world: World) -> None:
    without = replace(world.bench.context, tracker=object())  # type: ignore[arg-type]
    world.request()
    give_up(world, without)
    assert (world.now.state, world.now.why) == (DigestState.FAILED, "The registry's adapter can't read files.")


def test_a_version_over_the_limit_is_not_read(world: World) -> None:
    world.add("big", bytes(2000))
    world.request()
    world.run()
    assert (world.now.state, world.now.due_at, world.read) == (DigestState.TOO_LARGE, None, [])
    assert world.now.why == "The files have 2,005 bytes. REGISTRAR_DIGEST_MAX allows 1,000."


def test_a_version_that_was_too_large_is_hashed_when_asked_again(world: World) -> None:
    world.add("big", bytes(2000))
    world.request()
    world.run()
    world.limits = replace(LIMITS, max_bytes=3000)
    world.request()
    assert world.run() == 0
    world.request(again=True)
    assert world.run() == 1


def test_a_hidden_size_does_not_exceed_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        world.add(name, bytes(600))
    monkeypatch.setattr(MemoryFiles, "files", lambda _: [StoredFile("one", None), StoredFile("two", None)])
    world.request()
    give_up(world)
    assert world.now.state is DigestState.FAILED
    assert world.now.why == "The files have more bytes than REGISTRAR_DIGEST_MAX allows."


def test_files_that_never_stop_changing_are_given_up(world: World) -> None:
    world.action = lambda path: world.add("a", bytes(len(world.read) % 7))
    world.request()
    for _ in range(40):
        world.run()
        world.bench.clock.advance(minutes=10)
    assert (world.now.state, world.now.due_at) == (DigestState.FAILED, None)
    assert world.now.why == "The files changed while they were being read."


def test_an_interrupted_pass_goes_on_with_the_next_file(world: World) -> None:
    world.request()
    world.is_interrupted("c/d")
    assert [entry.path for entry in world.now.partial.files] == ["a", "b"]
    world.bench.clock.advance(seconds=61)
    world.read.clear()
    assert world.run() == 1
    assert world.read == ["c/d"]


def test_a_file_that_was_resized_meanwhile_is_read_again(world: World) -> None:
    world.request()
    world.is_interrupted("c/d")
    world.add("a", b"longer")
    world.bench.clock.advance(seconds=61)
    world.read.clear()
    world.run()
    assert world.read == ["a", "c/d"]


def test_another_process_does_not_hash_the_same_files(world: World) -> None:
    other = world.digests(replace(world.bench.context, owner="elsewhere"))
    counts: list[int] = []
    world.action = lambda _: counts.append(other.run_due())
    world.request()
    assert world.run() == 1
    assert counts == [0, 0, 0]


def test_a_process_that_lost_its_claim_records_nothing(world: World) -> None:
    other = world.digests(replace(world.bench.context, owner="elsewhere"))

    def hang(_: str) -> None:
        world.action = lambda _: None
        world.bench.clock.advance(seconds=61)
        other.run_due()

    world.request()
    world.action = hang
    assert world.run() == 0
    assert len(world.recorded) == 1
    assert world.bench.tags().count(EventTag.FILES_RECORDED.value) == 1


def test_the_claim_is_extended_while_a_large_file_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: MemoryFiles, path: str) -> Iterator[bytes]:
        for _piece in range(3):
            world.bench.clock.advance(seconds=40)
            yield b""
        yield path.encode()

    monkeypatch.setattr(files_pass, "EXTEND_SECONDS", 0.0)
    monkeypatch.setattr(MemoryFiles, "chunks", slow)
    other = world.digests(replace(world.bench.context, owner="elsewhere"))
    world.action = lambda _: other.run_due()
    world.request()
    assert world.run() == 1


def test_a_stop_interrupts_a_file_and_the_next_start_goes_on(world: World) -> None:
    stop = threading.Event()
    world.action = lambda path: stop.set() if path == "b" else None
    world.request()
    assert world.digests().run_due(stop) == 0
    assert world.now.due_at == world.bench.clock.now()
    world.read.clear()
    assert world.run() == 1
    assert world.read == ["b", "c/d"]


def test_the_rate_limits_reading(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", waits.append)
    world.limits = replace(LIMITS, rate=1)
    world.request()
    world.digests().run_due(stop)
    assert [round(seconds) for seconds in waits] == [1, 2, 5]


def test_files_that_change_while_they_are_read_are_read_again_later(world: World) -> None:
    def add(path: str) -> None:
        if path == "c/d":
            world.add("e", b"new")

    world.action = add
    world.request()
    assert world.run() == 0
    assert (world.now.state, world.now.why) == (
        DigestState.WAITING,
        "The files changed while they were being read.",
    )
    world.bench.clock.advance(seconds=2)
    assert world.run() == 1
    assert len(world.now.manifest.files) == 4


def test_an_unreachable_store_is_tried_again_with_growing_delays(world: World) -> None:
    world.action = unreachable
    world.request()
    delays = []
    for _ in range(3):
        world.run()
        assert world.now.due_at is not None
        delays.append((world.now.due_at - world.bench.clock.now()).total_seconds())
        world.bench.clock.advance(seconds=delays[-1])
    assert delays == [2, 4, 8]
    assert world.now.why == "The store isn't responding."
    world.action = lambda _: None
    assert world.run() == 1
    assert (world.now.why, world.now.attempts) == ("", 0)


def test_a_store_that_sends_a_byte_now_and_then_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "PATIENCE", 0.0)
    monkeypatch.setattr(MemoryFiles, "chunks", lambda *_: itertools.repeat(b""))
    world.request()
    assert world.run() == 0
    assert (world.now.state, world.now.why) == (DigestState.WAITING, "The store sends the files too slowly.")


def test_after_an_outage_the_card_shows_the_progress_again(world: World) -> None:
    def later(path: str) -> None:
        if path == "b":
            unreachable(path)

    world.action = later
    world.request()
    world.run()
    world.bench.clock.advance(seconds=2)
    whys: list[str] = []
    world.action = lambda _: whys.append(world.now.why)
    world.run()
    assert whys == ["", ""]


def test_nothing_is_read_while_the_registry_is_unavailable(world: World) -> None:
    world.request()
    world.bench.context.availability.is_unavailable = True
    assert world.run() == 0
    assert (world.read, world.now.attempts) == ([], 0)


def test_a_bug_in_an_adapter_does_not_stop_the_others(world: World) -> None:
    world.action = {"no": "bug"}.__getitem__
    world.request()
    give_up(world)
    assert (world.now.state, world.now.why) == (DigestState.FAILED, "KeyError; see the log.")


def test_the_cards_of_open_requests_are_redrawn(world: World) -> None:
    request = world.bench.open("promote churn 4 production")
    world.request()
    world.run()
    assert any(note.key.startswith(f"card:{request.id}:files") for note in world.bench.notes())
