"""What a listener wants done later starts when the acknowledgement is on its way, so that it cannot hold it up."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from slack_bolt import App, BoltRequest, BoltResponse

Task = Callable[[], object]

_collected: ContextVar[list[Task] | None] = ContextVar("collected", default=None)


def dispatch(app: App, request: BoltRequest) -> tuple[BoltResponse, Task]:
    """Let Bolt handle the request; return its response, and what starts the rest once the response was sent."""
    tasks: list[Task] = []
    token = _collected.set(tasks)
    try:
        response = app.dispatch(request)
    finally:
        _collected.reset(token)

    def start() -> None:
        for task in tasks:
            task()

    return response, start


def after_acknowledgement(task: Task) -> None:
    """Start a task once the acknowledgement is sent; at once where nothing is being acknowledged."""
    tasks = _collected.get()
    if tasks is None:
        task()
    else:
        tasks.append(task)
