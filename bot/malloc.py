"""Limits the memory that the C library keeps."""

from __future__ import annotations

import ctypes
import os
import platform

# glibc's numbers for mallopt(3)
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
MAX_ARENAS = 2
TUNING_VARIABLES = frozenset({"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"})  # by the administrator
MMAP_THRESHOLD = 256 * 1024  # bytes


def limit_malloc() -> bool:
    """Let glibc keep two arenas, and return large blocks to the system at once; return whether that was done.

    By default, it creates up to eight arenas for each processor, and each of our threads leaves holes in one; and it
    keeps large blocks for reuse and fills them with small, long-lived ones. A process that runs for months then grows,
    though none of our objects do. Call this before starting a thread. Another C library, or one that's configured by
    the environment (`MALLOC_ARENA_MAX`), is left alone.
    """
    if platform.libc_ver()[0] != "glibc" or not TUNING_VARIABLES.isdisjoint(os.environ):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_ARENA_MAX, MAX_ARENAS)) and bool(library.mallopt(_MMAP_THRESHOLD, MMAP_THRESHOLD))
