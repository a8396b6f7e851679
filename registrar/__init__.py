"""The installed package: the programs (`__main__`), and what plugins import (`plugins`, `contracts`).

In a wheel, Registrar's own packages are in this folder's subfolder `app`, because their names, such as `bot`, are too
common for site-packages. Importing `registrar` makes them importable. In a checkout, they're next to this folder.
"""

import sys
from pathlib import Path

APP = Path(__file__).parent / "app"

if APP.is_dir() and str(APP) not in sys.path:
    sys.path.insert(0, str(APP))  # first, so that another package named `bot` or `handlers` isn't imported instead
