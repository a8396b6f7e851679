"""Write whole files, so that an interruption leaves either the old file or the new one."""

from __future__ import annotations

import os
from pathlib import Path

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say


def replace_private_file(path: Path, text: str) -> None:
    """Write a file that's private to its owner from the start, replacing any existing one. Raises Misconfigured."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    except OSError as error:
        raise Misconfigured(say("Can't write {file}: {why}.", file=Code(path), why=error.strerror)) from error
    finally:
        draft.unlink(missing_ok=True)
