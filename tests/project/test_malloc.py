"""The number of malloc arenas, measured in a separate process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bot.malloc import TUNING_VARIABLES
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these arenas")

# Concurrent threads allocate memory; then glibc reports its arenas (malloc_info(3)).
PROGRAM = """
import ctypes, sys, threading
from bot.malloc import limit_malloc
print(limit_malloc() if sys.argv[2] == "told" else "not told")
library, there = ctypes.CDLL(None), threading.Barrier(12)
library.malloc.restype = ctypes.c_void_p
library.fopen.restype = ctypes.c_void_p
def take():
    library.malloc(1000)
    there.wait()
threads = [threading.Thread(target=take) for _ in range(12)]
for one in threads: one.start()
for one in threads: one.join()
out = ctypes.c_void_p(library.fopen(sys.argv[1].encode(), b"w"))
library.malloc_info(0, out)
library.fclose(out)
"""


def arenas(folder: Path, told: str, **environment: str) -> tuple[str, int]:
    """Return the result of `limit_malloc`, and the final number of arenas."""
    found = folder / "arenas.xml"
    inherited = {name: value for name, value in os.environ.items() if name not in TUNING_VARIABLES}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(found), told],
        env=inherited | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.strip(), found.read_text().count("<heap ")


def test_many_threads_share_two_arenas(tmp_path: Path) -> None:
    assert arenas(tmp_path, "told") == ("True", 2)


def test_by_default_each_thread_has_an_arena(tmp_path: Path) -> None:
    assert arenas(tmp_path, "not told")[1] > 2


def test_an_explicit_setting_is_kept(tmp_path: Path) -> None:
    assert arenas(tmp_path, "told", MALLOC_ARENA_MAX="3") == ("False", 3)
