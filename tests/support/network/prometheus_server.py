"""A real Prometheus to test with, and what it scrapes. The top conftest names it among the plug-ins."""

from __future__ import annotations

import math
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

EVERY = "200ms"
LONG = 20.0  # seconds after which a test gives up


class Exporter:
    """What is scraped: lines of a metric with its labels, and their values. Can be killed and revived."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        """Let it be scraped."""
        values = self.values

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f"{name} {_shown(value)}\n" for name, value in dict(values).items()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Let it be scraped no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class RealPrometheus:
    """A Prometheus that scrapes an exporter several times a second."""

    def __init__(self, url: str, exporter: Exporter, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.exporter = exporter
        self._process = process

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Let it be there, and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)
        stopping = psutil.Process(self._process.pid)
        wait_until(lambda: stopping.status() == psutil.STATUS_STOPPED)  # until then it answers
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def set(self, name: str, value: float) -> None:
        """Let a metric with its labels have this value, and return when Prometheus says so."""
        self.exporter.values[name] = value
        wait_until(lambda: self._has(name))

    def _has(self, name: str) -> bool:
        found = httpx.get(f"{self.url}/api/v1/query", params={"query": name}, trust_env=False).json()
        return bool(found["data"]["result"])


def prometheus_binary() -> str | None:
    """Return the Prometheus of this machine, if it has one."""
    found = subprocess.run([ROOT / "scripts" / "find-prometheus"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the tool that comes with Prometheus; skip where there is none."""
    binary = prometheus_binary()
    tool = Path(binary).with_name("promtool") if binary else None
    if tool is None or not tool.exists():
        pytest.skip("no promtool here; it comes with Prometheus")
    return subprocess.run([tool, *words], input=given, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    """Give a running Prometheus with an exporter; skip where none is installed."""
    binary = prometheus_binary()
    if binary is None:
        pytest.skip("no Prometheus here; apt-get install prometheus, or name one in PROMETHEUS")
    home, exporter, port = tmp_path_factory.mktemp("prometheus"), Exporter(), free_port()
    (home / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {EVERY}, scrape_timeout: {EVERY}}}\n"
        f"scrape_configs: [{{job_name: tests, static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]}}]\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    running = RealPrometheus(f"http://127.0.0.1:{port}", exporter, process)
    try:
        wait_until(lambda: _is_ready(running.url, process))
        yield running
    finally:
        process.terminate()
        process.wait(timeout=20)
        exporter.stop()


def _is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "Prometheus ended at once"
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def label(text: str) -> str:
    """Return a label's value as an exporter writes it."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _shown(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return f"{value}" if math.isfinite(value) else ("+Inf" if value > 0 else "-Inf")
