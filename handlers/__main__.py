"""`python -m handlers`: the same as `registrar`."""

from __future__ import annotations

import sys

from handlers.program import main

if __name__ == "__main__":
    sys.exit(main())
