"""Files are hashed in the background and compared later, by one process at a time, and go on after an interruption."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import FilesUnreachable, RegistryRefused
from bot.domain.integrity.digest import DigestState, VersionDigest, digest_id
from bot.domain.registry.model import Stage, VersionInfo
from bot.ports import StoredFile
from bot.registry.memory import MemoryFiles
from bot.services.core.context import Context
from bot.services.integrity import files_pass
from bot.services.integrity.digests import DigestLimits, Digests, request_comparison, request_digest
from tests.support.services.bench import Bench

LIMITS = DigestLimits(rate=10**9, max_bytes=1000, recheck=timedelta(hours=24))


class WatchedFiles(MemoryFiles):
    """Files that note which of them are read, and run a test's action first."""

    read: list[str]
    action: Callable[[str], object]

    def chunks(self, path: str) -> Iterator[bytes]:
        self.action(path)
        self.read.append(path)
        yield from super().chunks(path)


@dataclass(kw_only=True)
class World:
    """A version with three files, and what hashing them has called."""

    bench: Bench
    limits: DigestLimits = LIMITS
    read: list[str] = field(default_factory=list)  # the files that were read, in order
    recorded: list[VersionDigest] = field(default_factory=list)
    changes: list[VersionDigest] = field(default_factory=list)
    action: Callable[[str], object] = lambda _: None  # runs before a file is read

    def __post_init__(self) -> None:
        for path in ("a", "b", "c/d"):
            self.add(path, path.encode())
        plain = self.bench.registry.version_files

        def watched(version: VersionInfo) -> WatchedFiles:
            files = WatchedFiles(plain(version).contents)
            object.__setattr__(files, "read", self.read)
            object.__setattr__(files, "action", lambda path: self.action(path))  # noqa: PLW0108 - a test can replace it
            return files

        self.bench.registry.version_files = watched  # type: ignore[method-assign]

    @property
    def version(self) -> VersionInfo:
        return self.bench.registry.version("churn", 4)

    def add(self, path: str, contents: bytes) -> None:
        self.bench.registry.add_file(self.version, path, contents)

    def digests(self, context: Context | None = None) -> Digests:
        return Digests(
            context or self.bench.context,
            self.limits,
            on_recorded=lambda _, digest: self.recorded.append(digest),
            on_changed=lambda _, digest: self.changes.append(digest),
        )

    def request(self, *, again: bool = False) -> VersionDigest:
        with self.bench.ledger.write() as tx:
            return request_digest(tx, self.bench.context, self.version, now=self.bench.clock.now(), again=again)

    def compare(self) -> None:
        with self.bench.ledger.write() as tx:
            request_comparison(tx, self.now, since=self.bench.clock.now())

    def run(self) -> int:
        return self.digests().run_due()

    @property
    def now(self) -> VersionDigest:
        with self.bench.ledger.read() as reader:
            digest = reader.digest(digest_id(self.version))
        assert digest is not None
        return digest

    def is_interrupted(self, path: str) -> None:
        """Kill the process right before this file is read: nothing of it is saved, nor released."""

        def die(at: str) -> None:
            if at == path:
                raise Killed

        self.action = die
        with pytest.raises(Killed):
            self.run()
        self.action = lambda _: None


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def _saves_after_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_pass, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files_pass, "MAX_SAVING", float("inf"))


@pytest.fixture
def world(bench: Bench) -> World:
    return World(bench=bench)


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
    world.request()
    world.run()
    assert "registered_model_meta" not in world.read


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
    world.add("big", bytes(2000))
    monkeypatch.setattr(MemoryFiles, "files", lambda _: [StoredFile("big", None)])
    world.request()
    world.run()
    assert (world.now.state, world.now.attempts) == (DigestState.WAITING, 1)


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


# Comparisons


@pytest.fixture
def compared(world: World) -> World:
    """Return the world with recorded files, right before a requested comparison."""
    world.request()
    world.run()
    world.read.clear()
    world.bench.clock.advance(hours=1)
    world.compare()
    return world


def test_files_that_still_match_are_not_reported(compared: World) -> None:
    assert compared.run() == 1
    assert (compared.now.compared_at, compared.now.changed) == (compared.bench.clock.now(), ())
    assert (compared.read, compared.changes) == (["a", "b", "c/d"], [])


def test_changed_added_and_removed_files_are_reported_once(compared: World) -> None:
    compared.add("a", b"x")
    compared.add("e", b"new")
    compared.run()
    assert compared.now.changed == ("a", "e")
    assert compared.now.is_recorded
    event = compared.bench.events()[-1]
    assert (event.tag, event.evidence) == (
        EventTag.FILES_CHANGED,
        {"version": 4, "files": ["a", "e"], "changed": 2},
    )
    compared.bench.clock.advance(hours=1)
    compared.compare()
    compared.run()
    assert len(compared.changes) == 1


def test_files_that_match_again_are_reported_too(compared: World) -> None:
    compared.add("a", b"x")
    compared.run()
    compared.add("a", b"a")
    compared.bench.clock.advance(hours=1)
    compared.compare()
    compared.run()
    assert [digest.changed for digest in compared.changes] == [("a",), ()]


def test_files_that_are_all_gone_have_changed(compared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFiles, "files", lambda _: [])
    compared.run()
    assert compared.now.changed == ("a", "b", "c/d")


def test_a_file_that_grew_over_the_limit_has_changed_without_being_read(compared: World) -> None:
    compared.add("a", bytes(2000))
    compared.run()
    assert (compared.now.changed, compared.read) == (("a",), [])


def test_a_comparison_that_began_too_early_begins_again(compared: World) -> None:
    def approve(path: str) -> None:
        if path == "b":
            compared.bench.clock.advance(seconds=1)
            compared.compare()
            compared.action = lambda _: None

    compared.action = approve
    assert compared.run() == 1
    assert compared.read == ["a", "b", "a", "b", "c/d"]
    assert compared.now.compared_at == compared.bench.clock.now()


def test_a_request_does_not_disturb_a_comparison_that_began_later(compared: World) -> None:
    def again(_: str) -> None:
        with compared.bench.ledger.write() as tx:
            request_comparison(tx, compared.now, since=compared.bench.clock.now() - timedelta(seconds=1))

    compared.action = again
    assert compared.run() == 1
    assert compared.read == ["a", "b", "c/d"]


def test_an_outage_during_a_comparison_changes_nothing(compared: World) -> None:
    compared.action = unreachable
    assert compared.run() == 0
    assert (compared.now.changed, compared.now.compared_at, compared.now.is_recorded) == ((), None, True)


def test_a_refused_comparison_ends_and_can_be_requested_again(compared: World) -> None:
    compared.action = refuse
    give_up(compared)
    assert (compared.now.is_recorded, compared.now.due_at, compared.now.why) == (True, None, "Forbidden.")
    compared.action = lambda _: None
    compared.compare()
    assert compared.run() == 1


def test_a_listing_shows_changes_without_reading(compared: World) -> None:
    assert compared.digests().compare_listing(compared.version) == ()
    compared.add("a", b"xy")
    assert compared.digests().compare_listing(compared.version) == ("a",)
    assert compared.read == []


def test_nothing_is_listed_if_nothing_is_recorded(world: World) -> None:
    world.request()
    assert world.digests().compare_listing(world.version) == ()


# The schedule


@pytest.fixture
def scheduled(world: World) -> World:
    """Return the world with v4 in Production, as the poll found it."""
    world.bench.watch.poll()
    world.bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    world.bench.clock.advance(seconds=1)
    world.bench.watch.poll()
    world.digests().schedule()
    return world


def test_a_version_in_production_without_a_digest_gets_one(scheduled: World) -> None:
    assert scheduled.run() == 1
    assert scheduled.now.is_recorded


def test_a_version_in_production_is_compared_every_day(scheduled: World) -> None:
    scheduled.run()
    for hours, runs in ((23, 0), (1, 1), (23, 0), (1, 1)):
        scheduled.bench.clock.advance(hours=hours)
        scheduled.digests().schedule()
        assert scheduled.run() == runs


def test_a_version_that_left_production_is_not_compared(scheduled: World) -> None:
    scheduled.run()
    scheduled.bench.registry.by_hand("churn", 4, Stage.ARCHIVED)
    scheduled.bench.watch.poll()
    scheduled.bench.clock.advance(hours=25)
    scheduled.digests().schedule()
    assert scheduled.run() == 0


def test_a_digest_that_failed_is_not_tried_every_minute(scheduled: World) -> None:
    scheduled.action = refuse
    give_up(scheduled)
    scheduled.digests().schedule()
    assert scheduled.now.due_at is None


def give_up(world: World, context: Context | None = None) -> None:
    """Let the clock run until the digest isn't due anymore."""
    for _ in range(3):
        world.digests(context).run_due()
        world.bench.clock.advance(minutes=10)
    assert world.now.due_at is None


def unreachable(_: str) -> None:
    raise FilesUnreachable("The store isn't responding.")


def refuse(_: str) -> None:
    raise RegistryRefused("Forbidden.")
