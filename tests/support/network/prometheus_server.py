"""A real Prometheus for tests, and an exporter. The top conftest lists this module as a plugin."""

from __future__ import annotations

import math
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

EVERY = "200ms"
LONG = 20.0  # seconds after which a test gives up


class Exporter:
    """The scraped metrics, with labels and values. The exporter can be stopped and started again."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        """Start serving metrics."""
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
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Stop serving metrics."""
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
        """Stop the process, so that it accepts connections but doesn't answer."""
        self._process.send_signal(signal.SIGSTOP)
        stopping = psutil.Process(self._process.pid)
        wait_until(lambda: stopping.status() == psutil.STATUS_STOPPED)  # until then it answers
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def set(self, name: str, value: float) -> None:
        """Set the value of a metric with labels, and return once Prometheus reports it."""
        self.exporter.values[name] = value
        wait_until(lambda: self._has(name))

    def _has(self, name: str) -> bool:
        found = httpx2.get(f"{self.url}/api/v1/query", params={"query": name}, trust_env=False).json()
        return bool(found["data"]["result"])


def prometheus_binary() -> str | None:
    """Return this machine's Prometheus, or None."""
    found = subprocess.run([ROOT / "scripts" / "find-prometheus"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; skip if it isn't installed."""
    binary = prometheus_binary()
    tool = Path(binary).with_name("promtool") if binary else None
    if tool is None or not tool.exists():
        pytest.skip("no promtool here; it comes with Prometheus")
    return subprocess.run([tool, *words], input=given, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    """Yield a running Prometheus with an exporter; skip if it isn't installed."""
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
        return httpx2.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def label(text: str) -> str:
    """Return a label's value, escaped as exporters do."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _shown(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return f"{value}" if math.isfinite(value) else ("+Inf" if value > 0 else "-Inf")
