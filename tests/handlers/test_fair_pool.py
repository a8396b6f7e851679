"""The thread pool in which owners take turns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import Event

import pytest

from bot.fair_pool import FairPool

THREADS = 4  # each owner's share is one


@pytest.fixture
def release() -> Iterator[Event]:
    """Ends the tasks that wait for it."""
    release = Event()
    yield release
    release.set()


@pytest.fixture
def pool(release: Event) -> Iterator[FairPool]:
    pool = FairPool(THREADS, "test")
    yield pool
    release.set()
    pool.shutdown()


def test_one_owner_s_tasks_leave_threads_for_the_others(pool: FairPool, release: Event) -> None:
    for _ in range(100):
        pool.submit_for("ann", release.wait)
    assert pool.submit_for("bob", lambda: "done").result(10) == "done"


def test_one_owner_s_tasks_leave_threads_for_the_program_s_own(pool: FairPool, release: Event) -> None:
    for _ in range(100):
        pool.submit_for("ann", release.wait)
    assert pool.submit(lambda: "done").result(10) == "done"


def test_owners_take_turns(release: Event) -> None:
    done: list[str] = []
    with FairPool(1, "test") as pool:
        pool.submit(release.wait)
        for owner in ("ann", "ann", "ann", "bob", "bob", "cid"):
            pool.submit_for(owner, partial(done.append, owner))
        release.set()
    assert done == ["ann", "bob", "cid", "ann", "bob", "ann"]


def test_an_owner_s_tasks_run_in_order(pool: FairPool) -> None:
    done: list[int] = []
    futures = [pool.submit_for("ann", partial(done.append, number)) for number in range(100)]
    for future in futures:
        future.result(10)
    assert done == list(range(100))


def test_a_closing_pool_runs_what_it_accepted(release: Event) -> None:
    with FairPool(THREADS, "test") as pool:
        futures = [pool.submit_for(owner, release.wait) for owner in ("ann", "bob") for _ in range(50)]
        release.set()
    assert all(future.result(0) for future in futures)


def test_a_closed_pool_accepts_nothing(pool: FairPool) -> None:
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit_for("ann", lambda: None)
    assert pool.in_progress("ann") == 0


def test_a_failed_task_ends(pool: FairPool) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.submit_for("ann", lambda: 1 // 0).result(10)
    assert pool.submit_for("ann", lambda: "done").result(10) == "done"


def test_waiting_running_and_held_tasks_are_in_progress(pool: FairPool, release: Event) -> None:
    for _ in range(3):
        pool.submit_for("ann", release.wait)
    let_go = pool.hold("ann")
    assert pool.in_progress("ann") == 4
    let_go()
    assert pool.in_progress("ann") == 3


def test_nothing_is_kept_about_an_owner_without_tasks(pool: FairPool) -> None:
    for number in range(100):
        pool.submit_for(f"owner {number}", lambda: None)
    pool.shutdown()
    assert pool._waiting == pool._running == pool._in_progress == {}


def test_a_canceled_task_does_not_run(release: Event) -> None:
    done: list[str] = []
    with FairPool(1, "test") as pool:
        pool.submit(release.wait)
        future = pool.submit_for("ann", partial(done.append, "ann"))
        assert future.cancel()
        release.set()
    assert done == []
