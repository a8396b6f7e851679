"""Limit the memory that the C library keeps."""

from __future__ import annotations

import ctypes
import os
import platform

# glibc's numbers for mallopt(3)
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
MAX_ARENAS = 2
TUNING_VARIABLES = frozenset(
    {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}
)  # set by the administrator
MMAP_THRESHOLD = 256 * 1024  # bytes


def limit_malloc() -> bool:
    """Limit glibc to two arenas, and have it return large blocks to the system at once. Return whether that worked.

    By default, glibc creates up to eight arenas per processor, and each thread leaves holes in one. It also keeps large
    blocks for reuse and fills them with small, long-lived ones. As a result, a process that runs for months grows even
    if its objects don't. Call this before starting a thread. Does nothing with another C library, or if the environment
    configures malloc, such as with `MALLOC_ARENA_MAX`.
    """
    if platform.libc_ver()[0] != "glibc" or not TUNING_VARIABLES.isdisjoint(os.environ):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_ARENA_MAX, MAX_ARENAS)) and bool(library.mallopt(_MMAP_THRESHOLD, MMAP_THRESHOLD))
