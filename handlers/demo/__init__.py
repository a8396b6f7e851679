"""`registrar demo`: the whole story on this machine, without Slack, on real models."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from bot.domain.errors import Misconfigured
from bot.domain.text import Code, say
from handlers.demo.home import DEFAULT, Home, leave_the_real_world
from localslack import LocalSlack

MANIFEST = Path(__file__).parents[2] / "manifest.yml"
ROWS = 6_000  # made-up customers to train on


def demo(*, play: bool = False, port: int = 0, rows: int = ROWS) -> int:
    """Run the demo until Ctrl-C, or `play` its story once in a home of its own; return the exit code.

    Raises Misconfigured: the port is taken, a demo runs here already, or the home is not a demo's.
    """
    asked_for = leave_the_real_world()
    _on_the_end(signal.default_int_handler)  # an exception, because a training does not look for anything else
    try:
        with _home(asked_for, is_fresh=play) as home, _workspace(home, port) as slack:
            return _play(home, slack, rows) if play else _serve(home, slack, rows)
    except KeyboardInterrupt:
        if play:
            return 130
        _tell("\nStopped before all was ready. What is there is kept; the next start does the rest.")
        return 0


@contextmanager
def _home(asked_for: Path | None, *, is_fresh: bool) -> Iterator[Home]:
    """Open the demo's folder, and let what would disturb the terminal go into its log."""
    with _throwaway() if is_fresh and not asked_for else nullcontext(asked_for or DEFAULT) as folder:
        home = Home(Path(folder))
        with home.opened():
            _log_to(home.log)
            _tell(f"{'Starting the demo from' if home.is_furnished else 'Setting the demo up in'} {home.folder} …")
            yield home


def _throwaway() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="registrar-demo-", ignore_cleanup_errors=True)


def _log_to(file: Path) -> None:
    logging.basicConfig(filename=file, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    for name in ("bot", "handlers"):
        logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def _workspace(home: Home, port: int) -> Iterator[LocalSlack]:
    """Run the local workspace at the wanted port; without one at that of the last time, or a free one."""
    with _listening(home, port) as slack:
        home.remember(_port_of(slack))
        yield slack


def _listening(home: Home, port: int) -> LocalSlack:
    try:
        return LocalSlack.start(MANIFEST, state=home.workspace, port=port or home.port)
    except OSError as error:
        if port:
            raise Misconfigured(
                say("Port {port} cannot be used: {why}. Without {option}, a free one is taken.",
                    port=str(port), why=error.strerror, option=Code("--port"))
            ) from error  # fmt: skip
        return LocalSlack.start(MANIFEST, state=home.workspace)


def _port_of(slack: LocalSlack) -> int:
    return int(slack.url.rstrip("/").rpartition(":")[2])


def _serve(home: Home, slack: LocalSlack, rows: int) -> int:
    """Let people live the story until SIGINT or SIGTERM."""
    # Here and not above: these bring MLflow along, and a taken port or home is told without it.
    from handlers.demo import stage, welcome
    from handlers.serve import wait_for

    ended: SimpleQueue[None] = SimpleQueue()
    with stage.set_up(home, slack, _tell, rows) as registrar:
        _on_the_end(lambda *_: ended.put(None))
        welcome.greet(slack.bot_token, slack.api_url)
        for line in welcome.lines(
            _port_of(slack), home, stage.first_act(registrar), is_watched=stage.is_watched(registrar)
        ):
            _tell(line)
        welcome.open_browser(_port_of(slack))
        wait_for(ended)
        _tell("\nEnding: finishing what was begun.")
    return 0


def _play(home: Home, slack: LocalSlack, rows: int) -> int:
    """Let the story play by itself; return 1 where it breaks."""
    from handlers.demo import stage, story

    with stage.set_up(home, slack, _tell, rows):
        _tell("")
        try:
            story.Story(slack, _tell).play()
        except story.StoryError as broke:
            _tell(str(broke))
            return 1
    _tell("\nThat was the whole story. To live it yourself: make demo")
    return 0


def _on_the_end(handler: Callable[[int, FrameType | None], Any]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _tell(line: str) -> None:
    print(line, flush=True)
