"""The name of this process in the ledger's leases."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path


def new_process_name() -> str:
    """Return a unique name for this run of the process: host, process ID, and a random token."""
    return f"{socket.gethostname()}/{_process_namespace()}:{os.getpid()}:{secrets.token_hex(4)}"


def is_process_gone(name: str, own_name: str) -> bool:
    """Return whether the process with this name has ended.

    Returns False for a process on another machine or in another container, because its state is unknown.
    """
    host, pid, _ = name.rsplit(":", 2)
    own_host, own_pid, _ = own_name.rsplit(":", 2)
    if host != own_host or name == own_name:
        return False
    return pid == own_pid or not _is_alive(int(pid))


@cache
def _process_namespace() -> str:
    """Return an ID for the scope in which process IDs are unique: this boot of this machine, and this container.

    Two containers can have the same host name and both be process 1.
    """
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:6]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
