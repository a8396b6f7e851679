"""Times to the acknowledgment of other people's clicks while someone attacks the HTTP server, with memory and log."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.app.acknowledgements import pending_requests
from benchmarks.app.programs import ROOT, click, end, sender, start_registrar
from benchmarks.app.simulated_slack import BenchSlack
from benchmarks.report import Report
from benchmarks.ways import table, verdict

CLICKS, WARMUP, AIM = 100, 10, 1000.0  # the aim in milliseconds, for the slowest click under all attacks
DESCRIPTORS = 1024
GRACE = 5.0  # seconds until an attack has begun
POLICY = "clients: {scorer: {token_env: BENCH_TOKEN, may: [push]}}\n"
ATTACKS = {
    "none": (),
    "1,000 slow connections": ("slow",),
    "200 calls per second with a wrong token": ("refused",),
    "one person's commands, 50 at a time": ("flood",),
    "all three": ("slow", "refused", "flood"),
}


def flooding(folder: Path) -> Report:
    """Return the table of acknowledgment times, memory, and the log's size under each attack."""
    log = folder / "log"
    ids = pending_requests(folder / "home", len(ATTACKS) * (CLICKS + WARMUP))
    rows, slowest, figures = [], 0.0, dict[str, float]()
    with BenchSlack() as slack:
        process, port = start_registrar(slack, folder / "home", "HTTP", policy=POLICY, log=log)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        send = sender(slack, "HTTP", port)
        try:
            for attack, names in ATTACKS.items():
                before, began = log.stat().st_size, time.monotonic()
                with attacked(port, slack.url, names):
                    seconds = send([click(slack, next(ids)) for _ in range(CLICKS + WARMUP)], 1, False)[WARMUP:]
                    memory = psutil.Process(process.pid).memory_info().rss / 2**20
                rate = (log.stat().st_size - before) / 1024 / (time.monotonic() - began) * 60
                *_, p99 = statistics.quantiles(seconds, n=100, method="inclusive")
                times = [each * 1000 for each in (statistics.median(seconds), p99, max(seconds))]
                rows.append([attack, " / ".join(f"{each:.0f}" for each in times), f"{memory:.0f}", f"{rate:.0f}"])
                slowest = times[-1]
                figures |= {f"click, p50, attack: {attack}, ms": times[0], f"memory, attack: {attack}, MB": memory}
        finally:
            end(process)
    head = [f"attack, {DESCRIPTORS:,} descriptors", "p50 / p99 / max, ms", "memory, MB", "log, kB per minute"]
    result = f"The slowest click under all three: {slowest:.0f} ms{verdict(AIM, '≤', slowest, ' ms')}."
    return Report(f"{table(head, *rows)}\n\n{result}", figures)


@contextmanager
def attacked(port: int, slack_url: str, names: tuple[str, ...]) -> Iterator[None]:
    """Run these attacks in a separate process until the block ends."""
    if not names:
        yield
        return
    arguments = [sys.executable, "-m", "benchmarks.app.attack", str(port), slack_url, *names]
    process = subprocess.Popen(arguments, cwd=ROOT)  # noqa: S603 - our own module
    try:
        time.sleep(GRACE)
        yield
    finally:
        end(process)
