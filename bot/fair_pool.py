"""A thread pool in which task owners take turns, so that one owner's backlog doesn't delay the others' tasks."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

MAX_SHARE = 4  # unless a pool has another limit, one owner's tasks run on at most a quarter of the threads


class FairPool(ThreadPoolExecutor):
    """A thread pool. Use `submit` for the program's own tasks, and `submit_for` for an owner's, such as a person's.

    Each owner's tasks wait in their own queue. A free thread takes the next task of the owner whose turn it is
    (round-robin fair queuing; Nagle, RFC 970). An owner gets no turn while `share` threads are running its tasks; by
    default, `share` is a quarter of the threads.
    """

    def __init__(self, threads: int, name: str, share: int = 0) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._share = share or max(1, threads // MAX_SHARE)
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()  # next one first
        self._running: Counter[str] = Counter()
        self._in_progress: Counter[str] = Counter()
        self._spare_turns = 0  # turns that no owner could take; whoever finishes uses one

    def submit_for(self, owner: str, task: Callable[[], T]) -> Future[T]:
        """Run a task when it's the owner's turn. Raises RuntimeError if the pool is shut down."""
        future: Future[T] = Future()
        with self._lock:
            self.submit(self._take_turns)
            self._waiting.setdefault(owner, deque()).append((future, task))
            self._in_progress[owner] += 1
        return future

    def in_progress(self, owner: str) -> int:
        """Return how many of the owner's tasks are held, waiting, or running."""
        return self._in_progress[owner]

    def hold(self, owner: str) -> Callable[[], None]:
        """Count a task that will be submitted later as in progress until the returned function is called."""
        with self._lock:
            self._in_progress[owner] += 1
        return lambda: self._end(self._in_progress, owner)

    def _end(self, counts: Counter[str], owner: str) -> None:
        with self._lock:
            counts[owner] -= 1
            if not counts[owner]:
                del counts[owner]  # only owners with tasks take memory

    def _take_turns(self) -> None:
        """Run a task, then one more for each turn that went unused because every owner had its share."""
        while taken := self._take():
            owner, future, task = taken
            _run(future, task)
            self._end(self._running, owner)
            self._end(self._in_progress, owner)
            with self._lock:
                if not self._spare_turns:
                    return
                self._spare_turns -= 1

    def _take(self) -> tuple[str, Future[Any], Callable[[], Any]] | None:
        with self._lock:
            owner = next((owner for owner in self._waiting if self._running[owner] < self._share), None)
            if owner is None:
                self._spare_turns += 1
                return None
            self._running[owner] += 1
            tasks = self._waiting.pop(owner)
            future, task = tasks.popleft()
            if tasks:
                self._waiting[owner] = tasks  # behind the others
            return owner, future, task


def _run(future: Future[T], task: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(task())
    except BaseException as error:
        future.set_exception(error)
