"""Attacks a Registrar until it's terminated: `python -m benchmarks.app.attack PORT SLACK_URL slow refused flood`.

It runs in its own process, so that it doesn't delay the measurement.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count

from benchmarks.app.load import Poster
from benchmarks.app.programs import command, form

SLOW, REFUSED_PER_SECOND, LANES = 1000, 200, 50
HALF_SENT = (
    b"POST /slack/events HTTP/1.1\r\nHost: bench\r\nX-Half: ",
    b"POST /v1/metrics HTTP/1.1\r\nHost: bench\r\nContent-Length: 100000\r\n\r\n{",
)
WRONG_TOKEN = b"POST /v1/metrics HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer no\r\nContent-Length: 2\r\n\r\n{}"
# Linux accepts any of these as the address of a client on this machine. Slack calls from 127.0.0.1.
SLOW_HOSTS, REFUSED_HOST = [f"127.0.0.{each}" for each in range(2, 17)], "127.0.0.17"
COMMANDS = ("list", "promote nothing 1 production", "show nothing 1")


class Attack:
    """The attacks on one address. `slack_url` is where answers to the commands are sent."""

    def __init__(self, port: int, slack_url: str) -> None:
        self._port = port
        self._slack_url = slack_url

    async def slow(self) -> None:
        """Keep a thousand half-sent requests open; whenever one is closed, open another."""

        async def one(number: int) -> None:
            while True:
                with suppress(OSError):
                    reader, writer = await self._connect(SLOW_HOSTS[number % len(SLOW_HOSTS)])
                    writer.write(HALF_SENT[number % len(HALF_SENT)])
                    await reader.read()
                    writer.close()
                await asyncio.sleep(1)

        await asyncio.gather(*(one(each) for each in range(SLOW)))

    async def refused(self) -> None:
        """Send calls with a wrong token at a constant rate, each on its own connection."""

        async def one() -> None:
            with suppress(OSError):
                reader, writer = await self._connect(REFUSED_HOST)
                writer.write(WRONG_TOKEN)
                await reader.readuntil(b"\r\n\r\n")
                writer.close()

        running = set()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in count(1):
            task = asyncio.create_task(one())
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(max(0.0, begin + number / REFUSED_PER_SECOND - loop.time()))

    async def flood(self) -> None:
        """Send one person's commands as fast as they're acknowledged, 50 at a time."""
        post = Poster(f"http://127.0.0.1:{self._port}/slack/events", form)
        numbers: Iterator[int] = count()

        async def lane(number: int) -> None:
            while True:
                payload = command(self._slack_url, COMMANDS[next(numbers) % len(COMMANDS)], "U0FLOOD")
                try:
                    await post(number, payload)
                except (OSError, RuntimeError, asyncio.IncompleteReadError):
                    post.disconnect(number)

        await asyncio.gather(*(lane(each) for each in range(LANES)))

    async def _connect(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, local_addr=(host, 0))


async def attack(port: int, slack_url: str, names: list[str]) -> None:
    """Run the named attacks together."""
    it = Attack(port, slack_url)
    attacks: dict[str, Callable[[], Awaitable[None]]] = {"slow": it.slow, "refused": it.refused, "flood": it.flood}
    await asyncio.gather(*(attacks[name]() for name in names))


if __name__ == "__main__":
    asyncio.run(attack(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
