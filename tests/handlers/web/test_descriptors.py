"""How many connections the HTTP server has, depending on the process's descriptors."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from bot.settings import Settings
from handlers.web.server import allot_descriptors

soft, hard, threads = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
limits = allot_descriptors(Settings(REGISTRAR_THREADS=threads))
print(limits.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "threads", "connections", "descriptors"),
    [
        pytest.param(1024, 4096, 40, 512, 1024, id="enough"),
        pytest.param(256, 4096, 40, 512, 820, id="raised as far as needed"),
        pytest.param(1024, 4096, 500, 512, 2200, id="raised for many threads"),
        pytest.param(256, 700, 40, 392, 700, id="as many as the hard limit leaves"),
        pytest.param(64, 64, 40, 32, 64, id="never none"),
    ],
)
def test_connections_leave_descriptors_for_everything_else(
    soft: int, hard: int, threads: int, connections: int, descriptors: int
) -> None:
    arguments = [str(each) for each in (soft, hard, threads)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(connections), str(descriptors)]
