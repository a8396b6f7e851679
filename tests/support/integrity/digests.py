"""A version with three files, whose reading a test can watch, interrupt, and make fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from bot.domain.core.errors import FilesUnreachable, RegistryRefused
from bot.domain.integrity.digest import VersionDigest, digest_id
from bot.domain.registry.model import VersionInfo
from bot.services.core.context import Context
from bot.services.integrity import files_pass
from bot.services.integrity.digests import DigestLimits, Digests, request_comparison, request_digest
from tests.support.registry.memory import MemoryFiles
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
            found, now = self.version, self.bench.clock.now()
            return request_digest(tx, found.model, found.version, found.identity(), now=now, again=again)

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
def saves_after_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_pass, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files_pass, "MAX_SAVING", float("inf"))


@pytest.fixture
def world(bench: Bench) -> World:
    return World(bench=bench)


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
