"""What the C library keeps of the memory that threads gave back, asked of itself in a process of its own."""

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

# Threads that are all there at once take memory; then glibc writes down its arenas (malloc_info(3)).
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
    """Return what `limit_malloc` said, and how many arenas there were in the end."""
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


def test_by_itself_there_is_one_for_each_of_many(tmp_path: Path) -> None:
    assert arenas(tmp_path, "not told")[1] > 2


def test_who_says_something_else_has_it(tmp_path: Path) -> None:
    assert arenas(tmp_path, "told", MALLOC_ARENA_MAX="3") == ("False", 3)
