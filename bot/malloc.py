"""How much memory the C library keeps for itself."""

from __future__ import annotations

import ctypes
import os
import platform

# glibc's numbers for mallopt(3)
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
MAX_ARENAS = 2
TUNING_VARIABLES = frozenset(
    {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}
)  # by whoever knows better
MMAP_THRESHOLD = 256 * 1024  # bytes


def limit_malloc() -> bool:
    """Let glibc keep two arenas, and give back at once what is large; return whether that was done.

    By itself it makes up to eight arenas for each processor, and each of our threads leaves holes in one; and it keeps
    what once was large for the next time, and fills that with what is small and stays. A process that works for months
    then grows for no object of ours. Call it before there is a thread. Another C library, or one that was told
    something else by the environment (`MALLOC_ARENA_MAX`), is left alone.
    """
    if platform.libc_ver()[0] != "glibc" or not TUNING_VARIABLES.isdisjoint(os.environ):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_ARENA_MAX, MAX_ARENAS)) and bool(library.mallopt(_MMAP_THRESHOLD, MMAP_THRESHOLD))
