"""Fork processes of the complete bot and kill them.

`python -m tests.support.faults.forking_server` reads when to kill them from lines of JSON.

A fork runs `registrar run` with all its threads, jobs, and sockets; the imports, which take most of
a start, are done once. A line says how long the fork lives: `{"lives": seconds}`; it's then killed, whatever it's
doing, and reaped before the answer. With `{"lives": null}`, it lives until the next line, which asks it to end.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial

from bot.bootstrap.build import build_for_slack
from bot.policy_file import load_policy
from bot.settings import Settings, read_settings
from handlers.serve import build_bolt_app
from handlers.startup_checks import run

STARTS = 120.0  # seconds after which an unfinished start is a failure


def preload(settings: Settings) -> None:
    """Do slow first-time work once, before the forks, and close every connection."""
    registrar = build_for_slack(settings, load_policy(settings.policy))
    build_bolt_app(settings, registrar)[1].close()
    registrar.context.registry.models()
    registrar.close()
    gc.freeze()


def start(settings: Settings) -> tuple[int, int]:
    """Fork a running process; return its ID, and the file descriptor of its output."""
    assert threading.active_count() == 1, "a fork with threads may hang"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            run(settings, partial(print, file=os.fdopen(writing, "w"), flush=True))
            status = 0
        except BaseException as error:  # a child must never continue as a second parent
            with suppress(OSError):
                os.write(writing, f"error {error!r}\n".encode())
        os._exit(status)
    os.close(writing)
    return child, reading


def is_ready(reading: int, seconds: float) -> bool:
    """Wait until it's ready or the timeout expires; return whether it is. Raises RuntimeError if it ended."""
    until, said = time.monotonic() + seconds, b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        said += (more := os.read(reading, 4096))
        if b"is ready" in said:
            return True
        if not more or b"error " in said:
            raise RuntimeError(said.decode())
    return False


def main() -> None:
    """Answer each line with one line: whether the process was ready when it was killed, or how it ended."""
    settings = read_settings()
    preload(settings)
    for line in sys.stdin:
        asked = json.loads(line)
        child, reading = start(settings)
        lives = asked["lives"]
        if lives is None:
            ready = is_ready(reading, STARTS)
            print(json.dumps({"ready": ready}), flush=True)
            sys.stdin.readline()
            os.kill(child, signal.SIGTERM)
        elif asked["ready"]:
            ready = is_ready(reading, STARTS)
            time.sleep(lives)
        else:
            ready = is_ready(reading, lives)
        if lives is not None:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(reading)
        print(json.dumps({"ready": ready, "status": status}), flush=True)


if __name__ == "__main__":
    main()
