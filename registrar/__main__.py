"""The programs `registrar` and `localslack`, and `python -m registrar`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run `registrar`; return the exit code."""
    from handlers.program import main as run

    return run()


def localslack() -> int:
    """Run `localslack`; return the exit code."""
    from localslack.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
