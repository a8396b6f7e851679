"""`registrar` and `python -m handlers`."""

from __future__ import annotations

import sys

from handlers.terminal.main import main

if __name__ == "__main__":
    sys.exit(main())
